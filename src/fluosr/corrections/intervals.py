"""A value with the interval that holds it in 95 of 100 movies, by leaving out one stretch of time after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95 % interval; infinite where nothing bounds it.

    Args:
        value: the estimate.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the interval."""
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> Interval:
        """In another unit, ``factor`` > 0 times as large."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def inverse(self) -> Interval:
        """Of 1 / value, for a value of which only the positive part can be: an end at or below 0 becomes infinite."""
        low, value, high = (1.0 / end if end > 0 else math.inf for end in (self.high, self.value, self.low))
        return Interval(value, low, high)

    def __str__(self) -> str:
        """As "30.2 (95 %: 27 to 33.5)"."""
        return f"{self.value:.3g} ({self.ends()})"

    def ends(self) -> str:
        """As "95 %: 27 to 33.5"."""
        return f"95 %: above {self.low:.3g}" if math.isinf(self.high) else f"95 %: {self.low:.3g} to {self.high:.3g}"

    def describe(self) -> dict[str, float]:
        """For the record."""
        return {"value": self.value, "low": self.low, "high": self.high}


def student(degrees: float) -> float:
    """Half the width of a 95 % interval in standard errors, when the error is known from so many degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, max(1, degrees)))


def jackknife(estimate: Callable[[np.ndarray], float], count: int) -> Interval:
    """The interval of an estimate from ``count`` stretches of time that are independent of each other.

        se^2 = (n - 1) / n  sum_i (estimate without i - their mean)^2

    Args:
        estimate: from the (m,) numbers of stretches that take part, the value.
        count: n >= 2.

    Source:
        B. Efron and C. Stein, Annals of Statistics 9 (1981) 586.
    """
    everything = np.arange(count)
    without = np.array([estimate(np.delete(everything, i)) for i in everything])
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    value, reach = estimate(everything), student(count - 1) * error
    return Interval(value, value - reach, value + reach)
