"""Drift of the sample: how far each block of frames lies from the time-average, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.psf import FWHM_PER_SIGMA

SEARCH_PX = 10  # largest displacement looked for between a block and those before it
OBSERVABLE_ERROR_PX = 0.3  # a direction in which blocks cannot be placed better than this is left alone
SIGNIFICANT_RMS_PX = 0.05
SIGNIFICANT_RATIO = 3.0
LARGE_RANGE_PX = 3.0
COARSE_FIELD_PX = 256  # larger fields are binned for the search
SURE_LOG_LIKELIHOOD = 12.0  # what a jump must gain over staying, against some four hundred places to jump to


@dataclass(frozen=True, eq=False)
class Drift:
    """Shift of the sample in every block of frames against its mean place.

    Attributes:
        shifts: (B, 2) (dy, dx), camera pixels; a positive dy moves the image to larger y. Their mean, weighted with the
            frames of each block, is 0. 0 along directions in which the sample shows no structure.
        standard_error: (B, 2) of these; ``SEARCH_PX`` where nothing can be seen.
        weights: (B,) frames in each block.
        observed: (2, k) unit vectors (columns, (y, x)) of the directions in which drift could be seen, k = 0, 1, 2.
        significant: root mean square shift above 0.05 px and above 3 times its error.
    """

    shifts: np.ndarray
    standard_error: np.ndarray
    weights: np.ndarray
    observed: np.ndarray
    significant: bool

    @property
    def rms_px(self) -> float:
        """Root mean square shift, camera pixels."""
        return float(np.sqrt(np.average((self.shifts**2).sum(1), weights=self.weights)))

    @property
    def range_px(self) -> float:
        """Largest distance between the places of two blocks (diagonal of their bounding box), camera pixels."""
        return float(np.hypot(*np.ptp(self.shifts, axis=0)))

    def warnings(self) -> list[str]:
        """What the reader should know, in plain words."""
        words = []
        if self.observed.shape[1] == 0:
            words.append("The movie shows too little structure to see whether the sample drifts; it was taken to be at rest.")
        elif self.observed.shape[1] == 1:
            y, x = self.observed[:, 0]
            words.append(
                f"Drift can be seen only along (y, x) = ({y:.2f}, {x:.2f}), across the structures; along them the sample "
                "was taken to be at rest."
            )
        if self.significant and self.range_px > LARGE_RANGE_PX:
            words.append(
                f"The sample drifts by {self.range_px:.1f} pixels during the movie. That is corrected, but less of the field "
                "is seen all the time, and motion within a block of frames blurs: consider fewer frames."
            )
        return words


def estimate_drift(
    block_means: np.ndarray,
    weights: np.ndarray,
    *,
    fwhm_px: float,
    pixel_weight: np.ndarray | None = None,
    iterations: int = 12,
) -> Drift:
    """Shift of each block against the time-average, by registration on the others' shift-compensated average.

    Blocks are low-passed within the PSF's band. A search by masked correlation places each block on those before it;
    Gauss-Newton steps then solve, for every block b against the average R of all other blocks,

        min over (e, a, c) of  sum_i w_i [ S_b(i) - a (R(i) - e . grad R(i)) - c ]^2

    with a brightness a and an offset c of its own, so that bleaching does not pull, and only over pixels that both saw,
    so that nothing wraps around. The information matrix comes from the gradients of two independent halves of the
    blocks: noise does not feign structure, and directions without structure (along parallel lines) are left at 0 with a
    large standard error. Errors are sandwich estimates that allow for residuals correlated over the PSF.

    Args:
        block_means: (B, Y, X) mean of the frames of each block, photons, in order of time.
        weights: (B,) frames in each block.
        fwhm_px: FWHM of the PSF, camera pixels.
        pixel_weight: (Y, X), 0 for bad pixels; all 1 by default.
        iterations: at most this many Gauss-Newton rounds.

    Raises:
        ValueError: shapes that do not belong together, weights not positive, or NaN.

    Source:
        B. Lucas and T. Kanade, IJCAI 1981; D. Padfield, IEEE Trans. Image Process. 21, 2706 (2012), for the search.
    """
    blocks = np.asarray(block_means, float)
    weights = np.asarray(weights, float)
    if blocks.ndim != 3 or weights.shape != blocks.shape[:1]:
        raise ValueError(f"blocks of shape {blocks.shape} and weights of shape {weights.shape} do not belong together")
    if not (weights > 0).all() or not np.isfinite(blocks).all():
        raise ValueError("weights must be positive and blocks finite")
    if not (math.isfinite(fwhm_px) and fwhm_px > 0):
        raise ValueError(f"fwhm_px must be positive, got {fwhm_px}")
    count = len(blocks)
    good = np.ones(blocks.shape[1:], bool) if pixel_weight is None else np.asarray(pixel_weight) > 0
    if count < 2 or blocks.std() == 0 or good.sum() < 16:
        return _at_rest(weights)
    smoothing = max(0.7 * fwhm_px / FWHM_PER_SIGMA, 0.5)
    stack = _Stack(blocks, weights, good, smoothing, fwhm_px)
    shifts = _centred(_search(stack), weights)
    observed, error = np.zeros((2, 0)), np.full((count, 2), float(SEARCH_PX))
    for _ in range(iterations):
        step, observed, error = _refine(stack, shifts)
        shifts = _centred(shifts + step, weights)
        if np.abs(step).max() < 1e-3:
            break
    if observed.shape[1] == 0 or np.abs(shifts).max() > 2 * SEARCH_PX:
        return _at_rest(weights)
    if observed.shape[1] == 1:
        shifts = shifts @ observed @ observed.T
    along = np.average(((shifts @ observed) ** 2).sum(1), weights=weights)
    noise = np.average(((error @ np.abs(observed)) ** 2).sum(1), weights=weights) if observed.shape[1] == 1 else None
    noise = np.average((error**2).sum(1), weights=weights) if noise is None else noise
    return _judged(shifts, error, weights, observed, along, noise)
