"""Grey values as a network sees them: each image with mean 0 and standard deviation 1; and a pair on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from fluosr.errors import UsageError

BAND_PIXELS = 2**18
Image = TypeVar("Image", np.ndarray, torch.Tensor)

# Of the smoothing before a pair is compared: a fast scan is blurrier, which pixel by pixel would pass for less light.
ALIKE_PX = 3.0


class ConstantImage(UsageError):
    """An image of one grey value everywhere: it has no scale. A movie may hold some, as where a shutter was closed.

    Args:
        value: the grey value.
    """

    def __init__(self, value: float) -> None:
        super().__init__(f"the image is constant ({value:g} everywhere): there is nothing to restore in it.")
        self.value = value


@dataclass(frozen=True)
class GreyScale:
    """v = (y - offset) / spread.

    Args:
        offset, spread: grey values; ``spread`` is positive.
    """

    offset: float
    spread: float

    @classmethod
    def of(cls, image: np.ndarray) -> GreyScale:
        """That on which a (Y, X) image has mean 0 and standard deviation 1: whatever its gain and its bits.

        Raises:
            ConstantImage: the image is constant.
            UsageError: it is not finite.
        """
        with np.errstate(invalid="ignore"):  # of infinite values: said below
            offset = float(image.mean(dtype=float))
            bands = np.array_split(image, -(-image.size // BAND_PIXELS))  # a large image is not copied whole
            squares = sum(np.square(np.subtract(band, offset, dtype=float)).sum() for band in bands)
            spread = float(np.sqrt(squares / image.size))
        if not np.isfinite(spread):
            raise UsageError("the image holds values that are not finite.")
        if spread <= 1e-6 * max(abs(offset), 1e-30):
            raise ConstantImage(offset)
        return cls(offset, spread)

    def apply(self, image: Image) -> Image:
        """Grey values -> what the network sees."""
        return (image - self.offset) / self.spread

    def undo(self, image: Image) -> Image:
        """What the network makes -> grey values."""
        return image * self.spread + self.offset


def block_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """(s Y, s X) -> (Y, X) float64, the means over s x s pixels.

    Raises:
        UsageError: sides that are no multiples of ``factor``.
    """
    height, width = image.shape
    if height % factor or width % factor:
        raise UsageError(f"sides of {height} x {width} pixels are no multiples of {factor}.")
    return np.asarray(image.reshape(height // factor, factor, width // factor, factor).mean((1, 3), dtype=float))


def on_scale_of(high: np.ndarray, low: np.ndarray, factor: int) -> np.ndarray:
    """The good image on the scale of grey values of the fast one: a high + b, least squares over its block means.

    Two recordings of one field differ in exposure, gain and offset; what is to be learnt is not that. Both are smoothed
    by a Gaussian of 3 pixels first, in which lines out of place, lag and noise no longer count.

    Args:
        high: (s Y, s X).
        low: (Y, X), a mean over repeats where there are several.
        factor: s.

    Raises:
        UsageError: the good image is constant, or the two have nothing in common.
    """
    from scipy.ndimage import gaussian_filter

    small = block_mean(high, factor)
    if float(np.ptp(small)) <= 0.0:
        raise UsageError("the good image is constant: nothing can be learnt from it.")
    seen, wide = (gaussian_filter(np.asarray(image, float), ALIKE_PX, mode="nearest") for image in (low, small))
    centred = wide - wide.mean()
    gain = float((centred * seen).sum()) / float((centred**2).sum())
    if gain <= 0.0:
        raise UsageError("the good image is dark where the fast one is bright: they do not show one field.")
    return (gain * high + (float(seen.mean()) - gain * float(wide.mean()))).astype(np.float32)
