"""The mean of a figure with its 95 % interval over fields: repeats of one field are no independent data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fluosr.corrections.intervals import CONFIDENCE, Interval, student
from fluosr.errors import UsageError

Kind = Literal["percentile", "bca"]
RESAMPLES = 4000
FEW_FIELDS = 8  # fewer cannot be resampled: the mean of three drawn from three takes ten values


@dataclass(frozen=True)
class FieldMean:
    """A mean over fields.

    Args:
        interval: the mean, and the ends of its 95 % interval; infinite where there is one field only.
        n_fields: fields.
        n_values: values that they hold together: repeats, crops.
        kind: of the interval: as asked for, or "student" where there are too few fields to resample.
    """

    interval: Interval
    n_fields: int
    n_values: int
    kind: str

    @property
    def note(self) -> str | None:
        """What to know before the interval is believed; None where there is nothing."""
        if self.n_fields == 1:
            return "one field: nothing is known of how other fields would differ"
        if self.n_fields < FEW_FIELDS:
            return f"{self.n_fields} fields, too few to resample: the interval takes their scatter for a Gaussian"
        return None

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON: an end that nothing bounds is None."""
        ends = {name: value if math.isfinite(value) else None for name, value in self.interval.describe().items()}
        return {
            "mean": ends["value"],
            "low": ends["low"],
            "high": ends["high"],
            "confidence": CONFIDENCE,
            "kind": self.kind,
            "n_fields": self.n_fields,
            "n_values": self.n_values,
            "note": self.note,
        }


def mean_over_fields(
    values: np.ndarray,
    fields: np.ndarray,
    *,
    generator: np.random.Generator,
    kind: Kind = "percentile",
    resamples: int = RESAMPLES,
) -> FieldMean:
    """The mean of the fields' means, and its 95 % interval from resampled fields.

    Each field counts once, however many repeats or crops it has; whole fields are drawn, with what belongs to them. To
    compare two methods on the same fields, give the differences of their values: much of the spread is common to both.

    The quantiles are those of Student's t with F - 1 degrees of freedom for F fields, since a resampled mean of F
    fields is too narrow by sqrt((F - 1) / F) and knows nothing of the doubt in their spread. Below 8 fields the
    interval is Student's itself, which is as wide as so few fields deserve; a note says so.

    Where fields scatter as a Gaussian does, it holds the truth in 95 of 100 cases from 8 fields on; where they scatter
    as an exponential does, in 90 of 100 with 12 fields.

    Args:
        values: (n,) finite: a figure of each repeat or crop.
        fields: (n,) which field each belongs to: numbers or names.
        generator: of the draws.
        kind: "percentile" takes quantiles of the resampled means as they are; "bca" corrects them for bias and
            skewness, which few fields hardly tell.
        resamples: number of draws.

    Raises:
        UsageError: no values, of another length than their fields, or not finite.

    Source:
        B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), sections 13.3 and 14.3; T. Hesterberg, The
        American Statistician 69 (2015) 371, section 4.4 on the quantiles.
    """
    names, means = means_of_fields(values, fields)
    return field_mean(means, field_draws(len(names), generator, resamples), len(values), kind)


def means_of_fields(values: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) names in order and (F,) means of the values of each field.

    Raises:
        UsageError: as for ``mean_over_fields``.
    """
    values, fields = np.asarray(values, float), np.asarray(fields)
    if values.ndim != 1 or not values.size or fields.shape != values.shape:
        raise UsageError(
            f"values and their fields must be two rows of one length, not {values.shape} and {fields.shape}."
        )
    if not np.isfinite(values).all():
        raise UsageError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} values are not finite and have no mean: a PSNR is "
            "infinite where a picture is its truth; a figure that could not be computed must be left out by name."
        )
    names, where = np.unique(fields, return_inverse=True)
    return names, np.bincount(where, values) / np.bincount(where)


def field_draws(count: int, generator: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """(R, F) which of F fields take part in each resampled mean."""
    return generator.integers(count, size=(resamples, count))


def field_mean(means: np.ndarray, draws: np.ndarray, n_values: int, kind: Kind = "percentile") -> FieldMean:
    """The mean of the fields' means with its interval.

    Args:
        means: (F,) of the fields.
        draws: (R, F) of ``field_draws``; the same for figures that are to be compared.
        n_values: values behind the means.
        kind: as for ``mean_over_fields``.
    """
    count, value = means.size, float(means.mean())
    if count == 1:
        return FieldMean(Interval(value, -math.inf, math.inf), 1, n_values, "student")
    if count < FEW_FIELDS:
        reach = student(count - 1) * float(means.std(ddof=1)) / math.sqrt(count)
        return FieldMean(Interval(value, value - reach, value + reach), count, n_values, "student")
    return FieldMean(_of_draws(means, draws, kind), count, n_values, kind)


def _of_draws(means: np.ndarray, draws: np.ndarray, kind: Kind) -> Interval:
    from scipy.stats import norm

    count, value = means.size, float(means.mean())
    resampled = means[draws].mean(1)
    reach = math.sqrt(count / (count - 1)) * student(count - 1)  # in standard deviations of the resampled means
    ends = np.array([-reach, reach])
    deviation = means - value
    power = float((deviation**2).sum())
    if kind == "bca" and power > 0:
        # Ties with the mean count by half, else few fields would look biased.
        below = ((resampled < value).mean() + (resampled <= value).mean()) / 2
        bias = float(norm.ppf(np.clip(below, 1 / (len(draws) + 1), 1 - 1 / (len(draws) + 1))))
        acceleration = float((deviation**3).sum()) / (6 * power**1.5)
        moved = bias + ends
        # Beyond 1 the correction has no meaning: the end is that of all draws.
        stretch = np.maximum(1 - acceleration * moved, 1e-9)
        ends = bias + moved / stretch
    low, high = np.quantile(resampled, norm.cdf(ends))
    return Interval(value, float(low), float(high))
