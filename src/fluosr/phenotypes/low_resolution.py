"""Crops as a coarser microscope would show them: the bound below which no super-resolved image should fall."""

from __future__ import annotations

import numpy as np

from fluosr.degradations.resizing import resize
from fluosr.errors import UsageError
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.features import FAINT

LEAST_PX = 2  # along a coarse crop
MOST_VALUES_PX = 16  # likewise, up to which a classifier of all its grey values is quick
AT_ONCE = 64  # crops


def low_resolution(crops: CropSet, factor: int) -> CropSet:
    """The same cells, reduced by a factor and enlarged again, so that one ruler measures them all.

    The reduction is the antialiased bicubic one of the latent search (Keys' cubic, a = -1/2, widened by the factor);
    the enlargement is by the same cubic. It adds nothing: what the coarse crops tell is in the enlarged ones.

    Args:
        crops: of R pixels.
        factor: 2, 4, 8, ... up to R / 2.

    Raises:
        UsageError: another factor.
    """
    check_factor(crops.size_px, factor)
    pixels = np.empty(crops.pixels.shape, np.float32)
    for first in range(0, len(crops), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        pixels[part] = _resized(_resized(crops.pixels[part], crops.size_px // factor), crops.size_px)
    return crops.with_pixels(pixels)


def coarse_values(crops: CropSet, factor: int) -> np.ndarray | None:
    """(N, C r r) of the coarse crops themselves, r = R / factor: the logarithm to the base 2 of each pixel's signal.

    The signal is that above the background, and at least 1 % of its usual reach. None where r is more than 16: there
    the features of the enlarged crops lose little.

    Args:
        crops: of R pixels.
        factor: as for :func:`low_resolution`.

    Raises:
        UsageError: another factor.
    """
    check_factor(crops.size_px, factor)
    if crops.size_px > MOST_VALUES_PX * factor:
        return None
    ground, side = crops.taken_ground, crops.size_px // factor
    level, least = (values[:, None, None] for values in (ground.level, FAINT / 2 * ground.reach))
    found = np.empty((len(crops), len(crops.channels) * side**2))
    for first in range(0, len(crops), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        coarse = _resized(crops.pixels[part], side)
        found[part] = np.log2(np.maximum(coarse - level, least)).reshape(len(coarse), -1)
    return found


def check_factor(size_px: int, factor: int) -> None:
    """Whether crops can be reduced so.

    Raises:
        UsageError: not a power of 2, or hardly a pixel would be left.
    """
    factors = [2**power for power in range(1, 9) if 2**power * LEAST_PX <= size_px]
    if factor not in factors:
        raise UsageError(f"crops of {size_px} pixels can be reduced by {', '.join(map(str, factors))}; got {factor}.")


def _resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """(n, C, R, R) -> (n, C, side, side), float64, smaller or larger."""
    import torch

    count, channels, *shape = pixels.shape
    images = torch.from_numpy(np.array(pixels, np.float64).reshape(-1, *shape))
    return np.asarray(resize(images, (side, side), "bicubic").reshape(count, channels, side, side))
