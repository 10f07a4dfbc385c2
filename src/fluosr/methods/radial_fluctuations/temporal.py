"""What is made of a fine pixel's values I_t over time, from one pass and without keeping them.

    mean                <I_t>                                 TRA, AVG
    maximum             max_t I_t                             TRM
    pairwise product    <I_s I_t> over all pairs s < t        TRPPM
    variance            <d_t^2>,  d_t = I_t - <I>             VAR
    cumulants           over consecutive frames:
      order 2           <d_t d_t+1>                           TRAC2, TAC2
      order 3           <d_t d_t+1 d_t+2>                     TRAC3
      order 4           <d_t d_t+1 d_t+2 d_t+3> - <d_t d_t+1>^2 - <d_t d_t+2>^2 - <d_t d_t+1><d_t d_t+3>      TRAC4

Shot noise is not the same in two frames: cumulants over consecutive frames are free of it, the variance is not. A mean
over products takes all groups of frames with these numbers; lost frames and the seams of halves make none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fluosr.errors import AcquisitionError

Statistic = Literal["mean", "maximum", "pairwise product", "variance", "cumulant 2", "cumulant 3", "cumulant 4"]

# The products of d at these lags that a statistic is made of.
_LAGS: dict[Statistic, tuple[tuple[int, ...], ...]] = {
    "variance": ((0, 0),),
    "cumulant 2": ((0, 1),),
    "cumulant 3": ((0, 1, 2),),
    "cumulant 4": ((0, 1, 2, 3), (0, 1), (0, 2), (0, 3)),
}


def frames_in_a_row(statistic: Statistic) -> int:
    """How many consecutive frames it looks at together."""
    return 1 + max((max(lags) for lags in _LAGS.get(statistic, ())), default=0)


def fine_images_held(statistic: Statistic) -> int:
    """What a :class:`Projection` keeps, in fine images of single precision."""
    sums = 1 + (statistic == "pairwise product") + sum(len(lags) for lags in _LAGS.get(statistic, ()))
    return 2 * sums + frames_in_a_row(statistic)


class CentredProduct:
    """The mean of a product of centred values at fixed lags, <d_t d_t+l ...>, centred when the mean is known.

    With e_k the k-th elementary symmetric polynomial of the n values of a group,

        prod_i (x_i - m) = sum_k (-m)^(n-k) e_k,

    so the sums of e_1 ... e_n over all groups are enough.

    Args:
        lags: ascending, the first is 0.
    """

    def __init__(self, lags: Sequence[int]) -> None:
        self.lags = tuple(lags)
        self.groups = 0
        self.sums: list[np.ndarray] = []

    def add(self, recent: Sequence[np.ndarray]) -> None:
        """Take the group that ends with the last of ``recent``, images of consecutive frames, if there are enough."""
        if len(recent) <= self.lags[-1]:
            return
        polynomials: list[np.ndarray] = []
        for lag in self.lags:
            polynomials = _with_one_more(polynomials, recent[len(recent) - 1 - self.lags[-1] + lag])
        if not self.sums:
            self.sums = [np.zeros(polynomial.shape) for polynomial in polynomials]
        for total, polynomial in zip(self.sums, polynomials, strict=True):
            total += polynomial
        self.groups += 1

    def mean(self, centre: np.ndarray) -> np.ndarray:
        """The mean over the groups, of values less ``centre``.

        Raises:
            AcquisitionError: there was no group.
        """
        if not self.groups:
            raise AcquisitionError(
                f"no {self.lags[-1] + 1} frames follow each other: choose a temporal mode without lags, or all frames "
                "of the movie (--frames without a step)."
            )
        result = np.ones_like(centre)
        for total in self.sums:
            result *= -centre
            result += total / self.groups
        return result


def _with_one_more(polynomials: list[np.ndarray], value: np.ndarray) -> list[np.ndarray]:
    """e_1 ... e_n+1 of n + 1 values from e_1 ... e_n of n of them: e_k gains value e_k-1."""
    if not polynomials:
        return [value]
    products = [value, *(value * polynomial for polynomial in polynomials)]
    return [*(a + b for a, b in zip(polynomials, products, strict=False)), products[-1]]


class Projection:
    """One statistic of a stream of fine images.

    Args:
        statistic: which.
    """

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._products = [CentredProduct(lags) for lags in _LAGS.get(statistic, ())]
        self._count, self._last = 0, -1
        self._recent: list[np.ndarray] = []  # images of frames that follow each other, the newest last
        self._first: np.ndarray | None = None  # all sums are of differences from it: what never changes is exactly 0
        self._sum: np.ndarray | None = None
        self._squares: np.ndarray | None = None
        self._maximum: np.ndarray | None = None

    def add(self, number: int, image: np.ndarray) -> None:
        """Take the next frame's fine image, (L Y, L X); it is not changed."""
        if self._statistic == "maximum":
            self._maximum = image.copy() if self._maximum is None else np.maximum(self._maximum, image)
            self._count += 1
            return
        if self._sum is None:
            self._sum = np.zeros(image.shape)
            self._first = image.copy() if self._products else None
        value = image if self._first is None else image - self._first
        self._sum += value
        if self._statistic == "pairwise product":
            square = value.astype(np.float64) ** 2
            self._squares = square if self._squares is None else self._squares + square
        if self._products:
            self._recent = [*self._recent, value] if number == self._last + 1 else [value]
            self._recent = self._recent[-frames_in_a_row(self._statistic) :]
            for product in self._products:
                product.add(self._recent)
        self._count, self._last = self._count + 1, number

    def image(self) -> np.ndarray:
        """(L Y, L X) float64, of either sign.

        Raises:
            AcquisitionError: too few frames for it.
        """
        if self._maximum is not None:
            return self._maximum.astype(np.float64)
        if self._sum is None or (self._statistic == "pairwise product" and self._count < 2):
            raise AcquisitionError(f"{self._count} frames are too few for the {self._statistic} over time.")
        mean = self._sum / self._count
        if self._statistic == "mean":
            return mean
        if self._squares is not None:
            return (self._sum**2 - self._squares) / (self._count * (self._count - 1))
        means = [product.mean(mean) for product in self._products]
        if self._statistic != "cumulant 4":
            return means[0]
        four, lag_1, lag_2, lag_3 = means
        return four - lag_1**2 - lag_2**2 - lag_1 * lag_3

    def state(self) -> dict[str, np.ndarray]:
        """All that :meth:`restore` needs."""
        named = {"first": self._first, "sum": self._sum, "squares": self._squares, "maximum": self._maximum}
        state = {name: array for name, array in named.items() if array is not None}
        state |= {f"recent {i}": image for i, image in enumerate(self._recent)}
        for i, product in enumerate(self._products):
            state |= {f"product {i} {k}": total for k, total in enumerate(product.sums)}
        counts = [self._count, self._last, len(self._recent), *(product.groups for product in self._products)]
        return state | {"counts": np.array(counts)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""

        def copied(name: str) -> np.ndarray | None:
            return state[name].copy() if name in state else None

        self._first, self._sum, self._squares = copied("first"), copied("sum"), copied("squares")
        self._maximum = copied("maximum")
        self._count, self._last, recent, *groups = (int(n) for n in state["counts"])
        self._recent = [state[f"recent {i}"] for i in range(recent)]
        for i, (product, count) in enumerate(zip(self._products, groups, strict=True)):
            product.groups = count
            product.sums = [state[f"product {i} {k}"].copy() for k in range(len(product.lags))] if count else []
