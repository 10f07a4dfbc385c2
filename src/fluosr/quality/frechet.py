"""Distances between two sets of pictures by their features: Fréchet's (FID) and the kernel's (KID)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.errors import UsageError

SUBSET = 1000  # features of each set in one estimate of KID
SUBSETS = 100


@dataclass(frozen=True)
class KernelDistance:
    """KID.

    Args:
        value: the mean over subsets; may fall below 0, as an unbiased estimate of 0 must.
        spread: standard deviation between subsets; None where the whole sets were used. It says how far the draw of
            subsets matters, not how far other fields would change the value.
    """

    value: float
    spread: float | None


def score_name(measure: str, extractor: str) -> str:
    """As tables call it: "FID (fluosr-random-conv)"; never plain FID, which means the Inception network's."""
    return f"{measure} ({extractor})"


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet's distance between the Gaussians that have the sets' means and covariances.

        |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

    With S = X'X for deviations X / sqrt(N - 1), the last trace is the sum of the singular values of X1 X2': no root of
    a matrix is taken, and N < D is as good as any other case.

    WARNING: it is biased upwards by about 1 / N, the more the larger D: two sets of one kind do not have 0. Compare
    only distances of equal N, give N, and prefer KID where N is small.

    Args:
        features, reference: (N1, D) and (N2, D), N >= 2.

    Returns:
        FID, 0 or more, in the features' unit squared.

    Raises:
        UsageError: shapes that do not fit, fewer than two rows, values that are not finite.

    Source:
        M. Heusel et al., NeurIPS 30 (2017), eq. 6; D. Dowson and B. Landau, Journal of Multivariate Analysis 12 (1982)
        450. On the bias: M. Bińkowski et al., ICLR (2018).
    """
    both = _checked(features, reference)
    means = [rows.mean(0) for rows in both]
    deviations = [(rows - mean) / np.sqrt(len(rows) - 1) for rows, mean in zip(both, means, strict=True)]
    # Their triangular factors have the same products, and are small where there are many rows.
    first, second = (np.asarray(np.linalg.qr(rows, mode="r")) for rows in deviations)
    common = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    spread = sum(float((rows**2).sum()) for rows in deviations)
    apart = means[0] - means[1]
    return max(float(apart @ apart) + spread - 2 * float(common), 0.0)


def kernel_distance(
    features: np.ndarray,
    reference: np.ndarray,
    *,
    generator: np.random.Generator,
    subset: int = SUBSET,
    subsets: int = SUBSETS,
) -> KernelDistance:
    """Kernel distance: the unbiased estimate of the squared maximum mean discrepancy, kernel (x'y / D + 1)^3.

        mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j)

    Averaged over subsets without replacement, so that its cost does not grow with the square of N. Without bias at any
    N: sets of one kind have 0 on average, and single values below 0. Its sampling error falls as 1 / sqrt(N) all the
    same.

    Args:
        features, reference: (N1, D) and (N2, D), N >= 2.
        generator: of the subsets.
        subset: rows of each set in one estimate. Where neither set has more, both are used whole, once.
        subsets: their number.

    Raises:
        UsageError: shapes that do not fit, fewer than two rows, values that are not finite, subsets below two rows.

    Source:
        M. Bińkowski, D. Sutherland, M. Arbel and A. Gretton, ICLR (2018), eq. 4 and section 4.
    """
    features, reference = _checked(features, reference)
    if subset < 2 or subsets < 1:
        raise UsageError(f"KID needs subsets of two rows or more and at least one subset, not {subsets} of {subset}.")
    sizes = [min(subset, len(rows)) for rows in (features, reference)]
    if sizes == [len(features), len(reference)]:
        return KernelDistance(_discrepancy(features, reference), None)
    found = [
        _discrepancy(
            *(rows[generator.choice(len(rows), m, False)] for rows, m in zip((features, reference), sizes, strict=True))
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found, ddof=1)) if subsets > 1 else None)


def interval_over_fields(
    distance: Callable[[np.ndarray, np.ndarray], float],
    features: Sequence[np.ndarray],
    reference: np.ndarray | Sequence[np.ndarray],
) -> Interval:
    """A distance of all fields with its 95 % interval, by leaving out one field after the other.

    A bootstrap would not do: fields drawn twice shrink the covariance, which raises FID. The interval knows nothing of
    the bias of the distance itself.

    Args:
        distance: of two sets of features, as ``frechet_distance``; it must give the same for the same.
        features: for each field the features (n, D) of its pictures, two fields or more.
        reference: (N, D) features that stay, or for each field those that go with it.

    Raises:
        UsageError: fewer than two fields, or a reference of another number of fields.
    """
    count = len(features)
    if count < 2:
        raise UsageError(f"an interval over fields needs two fields or more, not {count}.")
    if not isinstance(reference, np.ndarray) and len(reference) != count:
        raise UsageError(f"there are {count} fields and {len(reference)} of the reference.")

    def of(chosen: np.ndarray) -> float:
        others = (
            reference if isinstance(reference, np.ndarray) else np.concatenate([reference[field] for field in chosen])
        )
        return distance(np.concatenate([features[field] for field in chosen]), others)

    return jackknife(of, count)


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    def within(a: np.ndarray) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def _checked(features: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.asarray(features, float), np.asarray(reference, float)
    if any(rows.ndim != 2 for rows in both) or both[0].shape[1:] != both[1].shape[1:] or not both[0].shape[1]:
        raise UsageError(
            f"features must be (N, D) with one D for both sets, got {both[0].shape} and {both[1].shape}: both sets "
            "must come from one extractor."
        )
    if min(len(rows) for rows in both) < 2:
        raise UsageError(f"sets of {len(both[0])} and {len(both[1])} features: a distance needs two or more of each.")
    if not all(np.isfinite(rows).all() for rows in both):
        raise UsageError("features must be finite numbers.")
    return both
