"""D of the search: from a sharp image to the coarse one it would have given; linear, and constants stay constant.

Both keep means, so that D acts alike on grey values and on a network's range, which differ by a factor and an offset.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from fluosr.camera import Camera
from fluosr.errors import UsageError
from fluosr.optics.operators import ImagingOperator, SeparableOperator, imaging_operator
from fluosr.optics.psf import GaussianPSF, PointSpreadFunction
from fluosr.optics.sampling import Grid

FACTORS = (2, 4, 8, 16, 32)
KEYS = -0.5  # the a of Keys' cubic
CUBIC_REACH = 2.0  # pixels


class Degradation(Protocol):
    """What a worse microscope makes of an image.

    ``factor`` is the number of sharp pixels along a coarse one; ``name`` says what it does,
    alike where it does the same.
    """

    factor: int

    @property
    def name(self) -> str:
        """In words and numbers."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, R, R) -> (N, C, R / factor, R / factor), any unit; gradients pass."""


class Bicubic:
    """The antialiased bicubic reduction: Keys' cubic (a = -1/2), widened by the factor, as two matrix products.

    Beyond the border nothing is read; the weights of the pixels inside are scaled to sum to 1.

    Args:
        resolution: R, pixels of the sharp side.
        factor: 2, 4, 8, 16 or 32; the paper's are 16 and 32.

    Raises:
        UsageError: another factor, or one larger than the side.

    Source:
        R. Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29 (1981) 1153.
    """

    name = "bicubic reduction"

    def __init__(self, resolution: int, factor: int) -> None:
        _check_factor(resolution, factor)
        self.factor = factor
        centres = (np.arange(resolution // factor) + 0.5) * factor
        distance = np.abs(centres[:, None] - (np.arange(resolution) + 0.5)) / factor
        weights = _cubic(distance)
        self.matrix = torch.from_numpy(weights / weights.sum(1, keepdims=True))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, R, R) -> (N, C, R / factor, R / factor)."""
        matrix = self.matrix.to(images)
        return matrix @ images @ matrix.T


class Microscope:
    """Blur by a PSF, then pixels ``factor`` times larger that average what falls on them: the forward model's A.

    Beyond the border the image's last rows and columns go on.

    Args:
        resolution: R, pixels of the sharp side.
        factor: as :class:`Bicubic` takes it.
        psf: of the worse microscope, beyond what the sharp images have.
        pixel_size_nm: of the sharp images.

    Raises:
        UsageError: another factor, or one larger than the side, or no pixel size.
        OpticsError: the PSF does not fit the field.
    """

    def __init__(self, resolution: int, factor: int, psf: PointSpreadFunction, pixel_size_nm: float) -> None:
        _check_factor(resolution, factor)
        if not 0 < pixel_size_nm < np.inf:
            raise UsageError(f"pixel_size_nm: {pixel_size_nm} is no size of a pixel.")
        self.factor, side = factor, resolution // factor
        blur = ", ".join(f"{name} {value}" for name, value in psf.describe().items())
        self.name = f"blur by a PSF ({blur}), pixels of {pixel_size_nm:g} nm"
        coarse_nm = factor * pixel_size_nm
        reach_px = -(-max(psf.reach_nm, pixel_size_nm) // coarse_nm)
        grid = Grid((side, side), factor, int(reach_px) + 1)
        self._pad = grid.margin * factor
        self._operators = {
            dtype: _operator((side, side), psf, coarse_nm, dtype, grid) for dtype in (torch.float32, torch.float64)
        }

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, R, R) -> (N, C, R / factor, R / factor)."""
        around = torch.nn.functional.pad(images, (self._pad,) * 4, mode="replicate")
        return self._operators[images.dtype].forward_one(around, 0) / self.factor**2


def exposed(
    coarse: np.ndarray,
    dark: np.ndarray,
    photons_per_grey: np.ndarray,
    camera: Camera,
    generator: np.random.Generator,
) -> np.ndarray:
    """What a camera makes of coarse images: their light counted and read out, again as grey values.

    Args:
        coarse: (N, C, Y, X) grey values without noise.
        dark: (C,) grey value without light, of each channel.
        photons_per_grey: (C,) photons a coarse pixel for each grey value above it.
        camera: gain, offset, noise.
        generator: of the noise.
    """
    scale, zero = (np.asarray(value, float)[:, None, None] for value in (photons_per_grey, dark))
    photons = np.clip((coarse - zero) * scale, 0, None)
    counted = camera.to_photons(camera.expose(photons, generator))
    return (counted / scale + zero).astype(np.float32)


def _operator(
    shape: tuple[int, int], psf: PointSpreadFunction, pixel_size_nm: float, dtype: torch.dtype, grid: Grid
) -> ImagingOperator:
    if isinstance(psf, GaussianPSF):  # not in bands, through which no gradient passes
        return SeparableOperator(grid, psf, pixel_size_nm, dtype=dtype, banded=False)
    return imaging_operator(shape, grid.factor, psf, pixel_size_nm, dtype=dtype, grid=grid)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic at distances in pixels."""
    near = (KEYS + 2) * distance**3 - (KEYS + 3) * distance**2 + 1
    far = KEYS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < CUBIC_REACH, far, 0.0))


def _check_factor(resolution: int, factor: int) -> None:
    if factor not in FACTORS or resolution % factor:
        raise UsageError(
            f"factor: {factor} is none of {', '.join(map(str, FACTORS))} that divide a side of {resolution} pixels."
        )
