"""Local dynamic range compression: what a high order shows of dim emitters beside bright ones."""

from __future__ import annotations

import numpy as np


def compress_dynamic_range(image: np.ndarray, reference: np.ndarray, window_px: int) -> np.ndarray:
    """In every window the image is stretched from 0 to the reference's maximum there; overlapping windows are averaged.

        out(r) = mean over windows w around r of  max_w(reference) (image(r) - min_w(image)) / (max_w - min_w)(image)

    WARNS that brightness is then the reference's, not the cumulant's, and that noise in empty windows is stretched.

    Args:
        image: (Y, X).
        reference: (Y, X) not negative, of ordinary contrast, such as the mean frame less its darkest value.
        window_px: side of the square window, pixels of the image, odd; it is mirrored at the borders.

    Returns:
        (Y, X), in the reference's unit; 0 where the image is even.

    Source: Yi et al. 2020 (moments reconstruction and local dynamic range compression of high-order SOFI).
    """
    from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

    low, high = minimum_filter(image, window_px), maximum_filter(image, window_px)
    contrast = high - low
    there = contrast > 1e-12 * max(float(np.abs(image).max()), 1e-300)
    gain = np.where(there, maximum_filter(reference, window_px) / np.where(there, contrast, 1.0), 0.0)
    # The windows that hold a pixel are those whose centres lie in the window around it.
    return np.maximum(image * uniform_filter(gain, window_px) - uniform_filter(gain * low, window_px), 0.0)
