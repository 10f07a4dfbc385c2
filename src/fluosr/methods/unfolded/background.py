"""The even background of a frame in which molecules cover up to half of the pixels."""

from __future__ import annotations

import numpy as np

ROUNDS = 10
REACH = 2.0  # standard deviations above the level, beyond which a pixel is taken to hold light


def background_levels(frames: np.ndarray) -> np.ndarray:
    """(T,) photons per camera pixel: the median of what lies no further above it than the values below it scatter.

    Args:
        frames: (T, Y, X) photons.
    """
    values = np.sort(np.asarray(frames, float).reshape(len(frames), -1), axis=1)
    return np.array([_level(ordered) for ordered in values])


def _level(ordered: np.ndarray) -> float:
    count = ordered.size
    for _ in range(ROUNDS):
        level = float(np.median(ordered[:count]))
        below = ordered[: max(1, int(np.searchsorted(ordered, level, side="right")))]
        spread = 1.4826 * float(np.median(level - below))
        kept = max(1, int(np.searchsorted(ordered, level + REACH * spread, side="right")))
        if kept == count:
            break
        count = kept
    return level
