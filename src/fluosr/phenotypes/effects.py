"""How far apart two conditions lie in one feature: Hedges' g and the area under the ROC curve, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.wells import WellFigure, over_wells


@dataclass(frozen=True)
class Effect:
    """One condition against the control.

    Args:
        hedges_g: difference of the means over the common standard deviation of cells, less its bias of few cells.
        auc: chance that a cell of the condition has more than one of the control, ties by half: .5 where nothing
            differs. It knows no outliers.
        cells: measured, of control and condition.
        left_out: cells that could not be measured, likewise.
    """

    hedges_g: WellFigure
    auc: WellFigure
    cells: tuple[int, int]
    left_out: tuple[int, int]

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "hedges_g": self.hedges_g.describe(),
            "auc": self.auc.describe(),
            "cells": list(self.cells),
            "left_out": list(self.left_out),
        }


def effect_size(
    control: np.ndarray,
    control_wells: np.ndarray,
    condition: np.ndarray,
    condition_wells: np.ndarray,
    *,
    generator: np.random.Generator,
) -> Effect:
    """The effect of a condition on single cells, with 95 % intervals over wells.

        g = (mean_1 - mean_0) / s (1 - 3 / (4 (n_0 + n_1) - 9)),
        s^2 = ((n_0 - 1) s_0^2 + (n_1 - 1) s_1^2) / (n_0 + n_1 - 2)

    Cells of one well are alike, so that n cells are not n independent data: wells are drawn whole.

    Args:
        control, condition: (n,) values of cells, as compared; NaN where a cell could not be measured.
        control_wells, condition_wells: (n,) the wells that they are of.
        generator: of the draws.

    Raises:
        UsageError: fewer than two cells that could be measured in one of the two.

    Source:
        L. V. Hedges, Journal of Educational Statistics 6 (1981) 107; H. B. Mann and D. R. Whitney, Annals of
        Mathematical Statistics 18 (1947) 50.
    """
    groups, left_out = [], []
    for values, wells in ((control, control_wells), (condition, condition_wells)):
        values, wells = np.asarray(values, float), np.asarray(wells)
        there = np.isfinite(values)
        if there.sum() < 2:
            raise UsageError(
                f"of {len(values)} cells {int(there.sum())} could be measured: an effect needs at least two of each "
                "condition."
            )
        left_out.append(int((~there).sum()))
        groups.append([values[there][wells[there] == well] for well in np.unique(wells[there])])
    counts = (len(groups[0]), len(groups[1]))
    return Effect(
        over_wells(_hedges(groups[0], groups[1]), counts, generator),
        over_wells(_area(groups[0], groups[1]), counts, generator, limits=(0.0, 1.0)),
        (sum(map(len, groups[0])), sum(map(len, groups[1]))),
        (left_out[0], left_out[1]),
    )


def _hedges(control: list[np.ndarray], condition: list[np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """g from how often each well counts; moments are kept for each well, about the mean of all cells."""
    middle = float(np.concatenate([*control, *condition]).mean())
    moments = [
        np.array([(len(v), (v - middle).sum(), ((v - middle) ** 2).sum()) for v in group])
        for group in (control, condition)
    ]

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        (n0, sum0, square0), (n1, sum1, square1) = (
            (times @ part).T for times, part in zip((times_0, times_1), moments, strict=True)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            within = np.maximum(square0 - sum0**2 / n0 + square1 - sum1**2 / n1, 0)
            spread = np.sqrt(within / (n0 + n1 - 2))
            return np.asarray((sum1 / n1 - sum0 / n0) / spread * (1 - 3 / (4 * (n0 + n1) - 9)))

    return figure


def _area(control: list[np.ndarray], condition: list[np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """AUC from how often each well counts; for each pair of wells the pairs of cells that are won is kept."""
    won = np.array([[_won(c, np.sort(k)) for c in condition] for k in control])
    sizes = [np.array([len(v) for v in group], float) for group in (control, condition)]

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        pairs = (times_0 @ sizes[0]) * (times_1 @ sizes[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(((times_0 @ won) * times_1).sum(1) / pairs)

    return figure


def _won(condition: np.ndarray, sorted_control: np.ndarray) -> float:
    """Pairs in which the condition's cell has more, ties by half."""
    below, reached = (np.searchsorted(sorted_control, condition, side) for side in ("left", "right"))
    return math.fsum(((below + reached) / 2).tolist())
