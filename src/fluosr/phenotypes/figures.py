"""Figures of two groups of wells, reckoned from how often each well counts: effect sizes, shares told rightly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

# A figure of two groups of wells from how often each well counts: (r, A), (r, B) -> (r,).
Figure = Callable[[np.ndarray, np.ndarray], np.ndarray]


def by_well(values: np.ndarray, wells: np.ndarray, names: np.ndarray) -> list[np.ndarray]:
    """(n,) values of cells -> for each well of ``names`` its finite ones; a well may have none."""
    there = np.isfinite(values)
    return [values[there & (wells == name)] for name in names]


def hedges(control: Sequence[np.ndarray], condition: Sequence[np.ndarray]) -> Figure:
    """Hedges' g of the values of the wells' cells.

        g = (mean_1 - mean_0) / s (1 - 3 / (4 (n_0 + n_1) - 9)),
        s^2 = ((n_0 - 1) s_0^2 + (n_1 - 1) s_1^2) / (n_0 + n_1 - 2)

    Moments are kept for each well, about the mean of all cells.
    """
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


def area(control: Sequence[np.ndarray], condition: Sequence[np.ndarray]) -> Figure:
    """AUC: the chance that a cell of the condition has more than one of the control, ties by half.

    For each pair of wells the pairs of cells that are won is kept.
    """
    won = np.array([[_won(c, np.sort(k)) for c in condition] for k in control])
    sizes = [np.array([len(v) for v in group], float) for group in (control, condition)]

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        pairs = (times_0 @ sizes[0]) * (times_1 @ sizes[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(((times_0 @ won) * times_1).sum(1) / pairs)

    return figure


def balanced(control: Sequence[np.ndarray], condition: Sequence[np.ndarray]) -> Figure:
    """The mean of the shares of the wells' cells that are right, of the control and of the condition."""
    right = [np.array([(v.sum(), len(v)) for v in group], float) for group in (control, condition)]

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        shares = [(times @ part).T for times, part in zip((times_0, times_1), right, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(sum(hits / cells for hits, cells in shares) / 2)

    return figure


def less(first: Figure, second: Figure) -> Figure:
    """The first less the second, on the same wells: what both owe to a well falls out."""

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # both without spread
            return np.asarray(first(times_0, times_1) - second(times_0, times_1))

    return figure


def _won(condition: np.ndarray, sorted_control: np.ndarray) -> float:
    """Pairs in which the condition's cell has more, ties by half."""
    below, reached = (np.searchsorted(sorted_control, condition, side) for side in ("left", "right"))
    return math.fsum(((below + reached) / 2).tolist())
