"""The camera's fixed pattern: what differs from pixel to pixel in every frame alike, and no averaging removes."""

from __future__ import annotations

import numpy as np


def fixed_pattern(residual: np.ndarray, variance: np.ndarray, used: np.ndarray, fwhm_px: float) -> float:
    """Variance of what changes from pixel to pixel in a residual, over what noise predicts; 1 unless it is surely more.

    A fourth difference along both axes keeps only what changes from pixel to pixel: what a fit has not reached yet is
    smoother.

    Args:
        residual: (Y, X) mean frame less the fit, photons.
        variance: (Y, X) what the frames' noise predicts for it.
        used: (Y, X) bool, pixels to trust.
        fwhm_px: FWHM of the PSF, camera pixels; under 2 the light itself changes from pixel to pixel: 1 is returned.
    """
    from scipy.ndimage import convolve, minimum_filter

    if fwhm_px < 2.0:
        return 1.0
    difference = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
    kernel = np.outer(difference, difference)
    inner = (slice(2, -2), slice(2, -2))
    found = convolve(residual.astype(float), kernel)[inner] ** 2
    predicted = convolve(variance.astype(float), kernel**2)[inner]
    usable = (predicted > 0) & (minimum_filter(used, 5)[inner])
    if usable.sum() < 64:
        return 1.0
    # The median of chi-square with one degree of freedom is .4549. Fourth differences of neighbours share pixels:
    # about one in 24 counts.
    ratio = float(np.median(found[usable] / predicted[usable]) / 0.4549)
    chance = 4.0 * (24.0 / usable.sum()) ** 0.5
    return ratio if ratio > 1.0 + chance else 1.0
