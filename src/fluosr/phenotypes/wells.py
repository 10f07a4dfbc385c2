"""Wells: how they are split, and intervals that count wells and not cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.corrections.intervals import CONFIDENCE, Interval, student
from fluosr.errors import UsageError
from fluosr.quality.bootstrap import FEW_FIELDS, RESAMPLES, field_draws

# A figure of two groups of wells from how often each well counts: (r, A), (r, B) -> (r,).
Figure = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class WellFigure:
    """A figure with its 95 % interval over wells.

    Args:
        interval: the figure of all wells, and the ends.
        wells: in each of the two groups.
        kind: of the interval: "bootstrap", "jackknife" where there are few wells, "none" where there is one, or where
            without one of them nothing is left to measure.
    """

    interval: Interval
    wells: tuple[int, int]
    kind: str

    @property
    def note(self) -> str | None:
        """What to know before the interval is believed; None where there is nothing."""
        if not math.isfinite(self.interval.value):
            return "cells are all alike: there is no spread to hold a difference against"
        if self.kind == "none":
            return "too few wells of a condition: nothing is known of how other wells would differ"
        if self.kind == "jackknife":
            return f"{min(self.wells)} wells, too few to resample: the interval takes their scatter for a Gaussian"
        return None

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        ends = {name: value if math.isfinite(value) else None for name, value in self.interval.describe().items()}
        return {**ends, "confidence": CONFIDENCE, "wells": list(self.wells), "kind": self.kind, "note": self.note}


def split_wells(treatments: Mapping[str, str], test_share: float, generator: np.random.Generator) -> dict[str, str]:
    """For each well "train" or "test": whole wells, the same share of each treatment, at least one on either side.

    Args:
        treatments: of each well.
        test_share: 0 for none, 1 for all.
        generator: of the draw.

    Raises:
        UsageError: a share outside 0 to 1, or a treatment with one well only, which cannot be on both sides.
    """
    if not 0 <= test_share <= 1:
        raise UsageError(f"the share of test wells lies between 0 and 1, got {test_share:g}.")
    splits: dict[str, str] = {}
    for treatment in sorted(set(treatments.values())):
        wells = sorted(well for well, given in treatments.items() if given == treatment)
        tested = round(test_share * len(wells))
        if 0 < test_share < 1:
            if len(wells) < 2:
                raise UsageError(
                    f"treatment {treatment} has one well, {wells[0]}, which cannot be in both splits: add wells, or "
                    "put all of them in one split with --test-share 0 or 1."
                )
            tested = min(max(tested, 1), len(wells) - 1)
        chosen = set(generator.permutation(len(wells))[:tested].tolist())
        splits |= {well: "test" if number in chosen else "train" for number, well in enumerate(wells)}
    return splits


def over_wells(
    figure: Figure,
    counts: tuple[int, int],
    generator: np.random.Generator,
    *,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> WellFigure:
    """A figure of two groups of wells with its 95 % interval: wells are drawn, with all their cells.

    With 8 wells or more in both groups they are resampled, each group by itself, and the quantiles are those of
    :func:`~fluosr.quality.bootstrap.mean_over_fields`. With fewer, each well is left out in turn,

        se^2 = sum over groups of (n - 1) / n sum_i (figure without i - their mean)^2,

    and the interval is Student's with one degree of freedom less than the smaller group has wells. Where wells scatter
    as a Gaussian does, effect sizes lie in it in 95 of 100 cases from 8 wells on, in 97 to 99 of 100 with fewer.

    Args:
        figure: of (r, A) and (r, B) numbers of times that each well counts.
        counts: A, B.
        generator: of the draws.
        limits: that the figure cannot pass.
    """
    ones = [np.ones((1, count)) for count in counts]
    value = float(figure(ones[0], ones[1])[0])
    if min(counts) < 2 or not math.isfinite(value):
        return WellFigure(Interval(value, -math.inf, math.inf), counts, "none")
    if min(counts) >= FEW_FIELDS:
        times = [_times(field_draws(count, generator), count) for count in counts]
        ends = _quantiles(figure(times[0], times[1]), min(counts))
        kind = "bootstrap"
    else:
        variance = 0.0
        for side, count in enumerate(counts):
            without = 1 - np.eye(count)
            weights = [np.repeat(ones[0], count, 0), np.repeat(ones[1], count, 0)]
            weights[side] = without
            found = figure(weights[0], weights[1])
            if not np.isfinite(found).all():  # without one of the wells there is no figure: nothing bounds it
                return WellFigure(Interval(value, *limits), counts, "none")
            variance += (count - 1) / count * float(((found - found.mean()) ** 2).sum())
        reach = student(min(counts) - 1) * math.sqrt(variance)
        ends, kind = (value - reach, value + reach), "jackknife"
    low, high = (min(max(end, limits[0]), limits[1]) for end in ends)
    return WellFigure(Interval(value, low, high), counts, kind)


def _times(draws: np.ndarray, count: int) -> np.ndarray:
    """(R, count) how often each well was drawn."""
    row = np.arange(len(draws))[:, None] * count
    return np.bincount((draws + row).ravel(), minlength=draws.shape[0] * count).reshape(-1, count).astype(float)


def _quantiles(found: np.ndarray, count: int) -> tuple[float, float]:
    from scipy.stats import norm

    found = found[np.isfinite(found)]
    if len(found) < RESAMPLES / 2:  # most draws have no figure: nothing bounds it
        return -math.inf, math.inf
    reach = math.sqrt(count / (count - 1)) * student(count - 1)
    low, high = np.quantile(found, norm.cdf([-reach, reach]))
    return float(low), float(high)
