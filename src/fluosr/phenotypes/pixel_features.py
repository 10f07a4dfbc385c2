"""What a classifier sees of the pictures themselves: responses of fixed random filters, and how channels agree."""

from __future__ import annotations

import numpy as np

from fluosr.quality.features import RandomConvolutions

AT_ONCE = 64  # crops, of which double-precision copies are held
SCALES = 3


def pixel_features(pixels: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(N, C, R, R) -> (N, F) of the picture itself: 48 responses of random filters a channel, and how channels agree.

    The filters are those of ``fluosr-random-conv``, which see texture and not brightness; added are, for each pair of
    channels, the correlation of their pixels at three scales, which gain and offset change as little. Crops are taken a
    few at a time: beside what it returns, memory does not grow with their number.

    Args:
        pixels: any unit.
        rows: (n,) numbers of those wanted; all without.

    Raises:
        UsageError: no crop, sides below 28 pixels, or values that are not finite.
    """
    pixels = np.asarray(pixels)
    wanted = np.arange(len(pixels)) if rows is None else np.asarray(rows)
    blocks = range(0, max(len(wanted), 1), AT_ONCE)
    return np.concatenate([_block(pixels[wanted[first : first + AT_ONCE]]) for first in blocks])


def _block(pixels: np.ndarray) -> np.ndarray:
    filters = RandomConvolutions()
    found = [filters.features(pixels[:, channel]) for channel in range(pixels.shape[1])]
    level = pixels.astype(float)
    for _ in range(SCALES):
        flat = level.reshape(*level.shape[:2], -1)
        flat = flat - flat.mean(2, keepdims=True)
        flat /= np.maximum(np.sqrt((flat**2).mean(2, keepdims=True)), 1e-9)
        agree = np.einsum("nap,nbp->nab", flat, flat) / flat.shape[2]
        found.append(agree[:, *np.triu_indices(pixels.shape[1], 1)])
        count, channels, height, width = level.shape
        level = level.reshape(count, channels, height // 2, 2, width // 2, 2).mean((3, 5))
    return np.concatenate(found, axis=1)
