"""How sure an image is, from two images made of separate halves of the frames."""

from __future__ import annotations

import numpy as np


def from_halves(first: np.ndarray, second: np.ndarray, fwhm_px: float) -> np.ndarray:
    """(L Y, L X) float32 standard deviation of the whole movie's image: half the difference of the halves, averaged.

    Args:
        first, second: (L Y, L X) images of the two halves, each scaled as the whole movie's.
        fwhm_px: FWHM of the PSF, fine pixels; differences are averaged over a sixth of it (as a standard deviation).
    """
    from scipy.ndimage import gaussian_filter

    squared = (first.astype(np.float64) - second) ** 2
    return np.sqrt(gaussian_filter(squared, max(1.0, fwhm_px / 6.0), mode="nearest")).astype(np.float32) / 2
