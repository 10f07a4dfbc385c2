"""Wells: how they are split, and intervals that count wells and not cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.corrections.intervals import CONFIDENCE, Interval, student
from fluosr.errors import UsageError
from fluosr.phenotypes.figures import Figure
from fluosr.quality.bootstrap import FEW_FIELDS, RESAMPLES, field_draws


@dataclass(frozen=True)
class WellFigure:
    """A figure with its 95 % interval over wells.

    Args:
        interval: the figure of all wells, and the ends, which belong to it; both are infinite where the kind is "none".
        wells: in each of the two groups.
        kind: of the interval: "bootstrap"; "jackknife" of shares and chances, and where one of the groups has fewer
            than 8 wells; "none" where it has one, or where without one of them nothing is left to measure.
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
        if min(self.wells) < FEW_FIELDS:
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
    least: float | None = None,
) -> WellFigure:
    """A figure of two groups of wells with its 95 % interval: wells are drawn, with all their cells.

    With 8 wells or more in both groups they are resampled, each group by itself, and the quantiles are those of
    :func:`~fluosr.quality.bootstrap.mean_over_fields`. With fewer, and for shares and chances, each well is left out in
    turn,

        se^2 = se_0^2 + se_1^2,  se_k^2 = (n_k - 1) / n_k sum_i (figure without i - their mean)^2,

    and the interval is Student's, with Welch's degrees of freedom, se^4 / sum_k se_k^4 / (n_k - 1). A share or a chance
    is taken through the normal quantile for that and back again: near 0 and 1 its own scatter is no Gaussian's, and
    resampled its intervals are too narrow there.

    Where wells scatter as a Gaussian does, effect sizes, AUCs and the differences of methods lie in it in 92 to 98 of
    100 cases from 3 wells of each condition on (``benchmarks/results/phenotype_intervals.md``).

    WARNING: what is 1 without each well in turn has an interval of no width. An AUC of .994 lies in it in 53, 77 and 82
    of 100 cases with 2, 3 and 4 wells.

    Args:
        figure: of (r, A) and (r, B) numbers of times that each well counts.
        counts: A, B.
        generator: of the draws.
        limits: that the figure can reach and not pass; ends beyond are put there.
        least: of a share or a chance (0 to 1), half of the least step that it can take; nearer to 0 or 1 it is taken
            for that far away.
    """
    ones = [np.ones((1, count)) for count in counts]
    value = float(figure(ones[0], ones[1])[0])
    unbounded = WellFigure(Interval(value, -math.inf, math.inf), counts, "none")
    if min(counts) < 2 or not math.isfinite(value):
        return unbounded
    if min(counts) >= FEW_FIELDS and least is None:
        times = [_times(field_draws(count, generator), count) for count in counts]
        ends, kind = _quantiles(figure(times[0], times[1]), min(counts)), "bootstrap"
    else:
        found = []
        for side, count in enumerate(counts):
            weights = [np.repeat(one, count, 0) for one in ones]
            weights[side] = 1 - np.eye(count)
            found.append(figure(weights[0], weights[1]))
        ends, kind = _left_out(value, found, least), "jackknife"
    if ends is None:
        return unbounded
    low, high = (min(max(end, limits[0]), limits[1]) for end in ends)
    return WellFigure(Interval(value, low, high), counts, kind)


def _left_out(value: float, found: list[np.ndarray], least: float | None) -> tuple[float, float] | None:
    """Ends from the figures of either group without one well; None where without one there is no figure."""
    from scipy.special import ndtr, ndtri

    if not all(np.isfinite(of_group).all() for of_group in found):
        return None
    middle = value
    if least is not None:
        middle = float(ndtri(min(max(value, least), 1 - least)))
        found = [ndtri(np.clip(figures, least, 1 - least)) for figures in found]
    variances = [(len(f) - 1) / len(f) * float(((f - f.mean()) ** 2).sum()) for f in found]
    variance = sum(variances)
    if variance == 0:
        return value, value
    degrees = variance**2 / sum(v**2 / (len(f) - 1) for v, f in zip(variances, found, strict=True))
    reach = student(degrees) * math.sqrt(variance)
    low, high = middle - reach, middle + reach
    if least is not None:
        low, high = min(float(ndtr(low)), value), max(float(ndtr(high)), value)
    return low, high


def _times(draws: np.ndarray, count: int) -> np.ndarray:
    """(R, count) how often each well was drawn."""
    row = np.arange(len(draws))[:, None] * count
    return np.bincount((draws + row).ravel(), minlength=draws.shape[0] * count).reshape(-1, count).astype(float)


def _quantiles(found: np.ndarray, count: int) -> tuple[float, float] | None:
    """Ends from the figures of the draws; None where most have none."""
    from scipy.stats import norm

    found = found[np.isfinite(found)]
    if len(found) < RESAMPLES / 2:
        return None
    reach = math.sqrt(count / (count - 1)) * student(count - 1)
    low, high = np.quantile(found, norm.cdf([-reach, reach]))
    return float(low), float(high)
