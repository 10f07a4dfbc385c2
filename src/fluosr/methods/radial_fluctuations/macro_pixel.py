"""The macro-pixel pattern: what repeats in every camera pixel of a magnified image."""

from __future__ import annotations

import numpy as np

STRONG = 2.0  # largest over smallest; fields full of filaments show 1.02 to 1.8, a field of few structures more


def pattern_of(image: np.ndarray, factor: int) -> np.ndarray:
    """(L, L) mean patch of all camera pixels over the mean of all; 1 where nothing can be said.

    Args:
        image: (L Y, L X), not negative.
        factor: L.
    """
    height, width = image.shape
    patch = image.reshape(height // factor, factor, width // factor, factor).mean((0, 2))
    whole = float(patch.mean())
    return np.where(patch > 1e-6 * whole, patch, whole) / whole if whole > 0 else np.ones_like(patch)


def corrected(image: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """The image divided by a pattern: each of the L x L fine pixels of a camera pixel has the same mean after it."""
    factor = len(pattern)
    height, width = image.shape
    patches = image.reshape(height // factor, factor, width // factor, factor)
    divided: np.ndarray = (patches / pattern[:, None, :]).reshape(height, width)
    return divided
