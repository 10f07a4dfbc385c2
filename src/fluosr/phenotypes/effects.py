"""How far apart two conditions lie in one feature: Hedges' g and the area under the ROC curve, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.figures import area, by_well, hedges, less
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


@dataclass(frozen=True)
class EffectDifference:
    """How much larger an effect is as one method shows the cells than as another does.

    Args:
        hedges_g, auc: those of the one less those of the other, with intervals over the wells that both share.
    """

    hedges_g: WellFigure
    auc: WellFigure

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"hedges_g": self.hedges_g.describe(), "auc": self.auc.describe()}


@dataclass(frozen=True, eq=False)
class CellValues:
    """One feature of the cells of the control and of a condition, as compared; NaN where it could not be measured.

    Args:
        control, condition: (n,) values.
        control_wells, condition_wells: (n,) the wells that they are of.
    """

    control: np.ndarray
    control_wells: np.ndarray
    condition: np.ndarray
    condition_wells: np.ndarray

    @property
    def enough(self) -> bool:
        """Whether two cells of each could be measured, as an effect needs."""
        return all(np.isfinite(values).sum() >= 2 for values, _ in self.sides())

    def sides(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(values, wells) of control and condition."""
        return [
            (np.asarray(values, float), np.asarray(wells))
            for values, wells in ((self.control, self.control_wells), (self.condition, self.condition_wells))
        ]


def effect_size(
    control: np.ndarray,
    control_wells: np.ndarray,
    condition: np.ndarray,
    condition_wells: np.ndarray,
    *,
    generator: np.random.Generator,
) -> Effect:
    """The effect of a condition on single cells, with 95 % intervals over wells.

    Cells of one well are alike, so that n cells are not n independent data: wells are drawn whole. The factor that
    takes off g's bias counts cells all the same: where wells differ by half of what cells do, g of three wells of each
    condition is 3 % too large, and by as much as cells do 10 %, a tenth of its interval's width at most.

    Args:
        control, condition: (n,) values of cells, as compared; NaN where a cell could not be measured.
        control_wells, condition_wells: (n,) the wells that they are of.
        generator: of the draws.

    Raises:
        UsageError: fewer than two cells that could be measured in one of the two.

    Source:
        L. V. Hedges, Journal of Educational Statistics 6 (1981) 107; H. B. Mann and D. R. Whitney, Annals of
        Mathematical Statistics 18 (1947) 50; L. V. Hedges, Journal of Educational and Behavioral Statistics 32 (2007)
        341, on g where data come in groups.
    """
    groups, left_out = [], []
    for values, wells in CellValues(control, control_wells, condition, condition_wells).sides():
        there = np.isfinite(values)
        if there.sum() < 2:
            raise UsageError(
                f"of {len(values)} cells {int(there.sum())} could be measured: an effect needs at least two of each "
                "condition."
            )
        left_out.append(int((~there).sum()))
        groups.append(by_well(values, wells, np.unique(wells[there])))
    counts, cells = (len(groups[0]), len(groups[1])), (sum(map(len, groups[0])), sum(map(len, groups[1])))
    return Effect(
        over_wells(hedges(groups[0], groups[1]), counts, generator),
        over_wells(area(groups[0], groups[1]), counts, generator, least=1 / (2 * cells[0] * cells[1])),
        cells,
        (left_out[0], left_out[1]),
    )


def effect_difference(first: CellValues, second: CellValues, *, generator: np.random.Generator) -> EffectDifference:
    """The effect in the first less that in the second, of the same cells as two methods show them.

    Wells are drawn once for both, so that what both owe to a well falls out: the interval tells more than two intervals
    beside each other do.

    Args:
        first, second: values of the same cells, in the same order.
        generator: of the draws.

    Raises:
        UsageError: other cells, or fewer than two that could be measured of one condition in one of the two.
    """
    groups: list[list[list[np.ndarray]]] = [[], []]  # of each method, of control and condition: values well by well
    for (one, wells), (other, others) in zip(first.sides(), second.sides(), strict=True):
        if len(wells) != len(others) or (wells != others).any():
            raise UsageError("two methods can be compared on the same cells only, in the same order.")
        if min(np.isfinite(one).sum(), np.isfinite(other).sum()) < 2:
            raise UsageError("an effect needs at least two cells of each condition that could be measured.")
        names = np.unique(wells[np.isfinite(one) | np.isfinite(other)])
        for number, values in enumerate((one, other)):
            groups[number].append(by_well(values, wells, names))
    counts = (len(groups[0][0]), len(groups[0][1]))
    return EffectDifference(
        over_wells(less(hedges(*groups[0]), hedges(*groups[1])), counts, generator),
        over_wells(less(area(*groups[0]), area(*groups[1])), counts, generator, limits=(-1.0, 1.0)),
    )
