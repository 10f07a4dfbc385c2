"""Molecules from images: every connected patch above the threshold is one."""

from __future__ import annotations

import numpy as np

from fluosr.localisations import Localisations


def molecules_in(
    images: np.ndarray, numbers: np.ndarray, background: np.ndarray, threshold: float, fine_nm: float
) -> Localisations:
    """The light-weighted middle and the light of each patch of touching fine pixels (corners count) above a threshold.

    Args:
        images: (B, L Y, L X) photons per fine pixel.
        numbers: (B,) frame numbers.
        background: (B,) photons per camera pixel.
        threshold: tau, photons per fine pixel.
        fine_nm: fine pixel, nm.
    """
    from scipy.ndimage import label

    within_a_frame = np.zeros((3, 3, 3), int)
    within_a_frame[1] = 1
    labels, count = label(images > threshold, within_a_frame)
    if not count:
        return Localisations.none()
    which, rows, columns = np.nonzero(labels)
    patch = labels[which, rows, columns] - 1
    light = images[which, rows, columns].astype(float)
    photons = np.bincount(patch, light, count)
    y, x = (np.bincount(patch, light * (place + 0.5), count) / photons * fine_nm for place in (rows, columns))
    frame = np.zeros(count, np.int64)
    frame[patch] = which
    return Localisations(numbers[frame], x, y, photons, background[frame])
