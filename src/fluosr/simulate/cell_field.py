"""What fields of cells share: their size and seed, where cells lie, and smooth random textures."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid

LARGEST_NM = 1e6
LATTICE_NM = 100.0  # on which textures are drawn: they are the same whatever grid they are seen on
MOST_LATTICE_POINTS = 30_000_000


@dataclass(frozen=True)
class CellField:
    """One field of view of a sample: another seed is another field.

    Args:
        shape: (Y, X) of the field, camera pixels.
        pixel_size_nm: camera pixel.
        seed: of everything that is drawn.

    Raises:
        UsageError: no field, a pixel that cannot be, or a field too large to be drawn.
    """

    shape: tuple[int, int] = (512, 512)
    pixel_size_nm: float = 90.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise UsageError(f"a field of cells is (Y, X), camera pixels, got {self.shape}.")
        if not (math.isfinite(self.pixel_size_nm) and 0 < self.pixel_size_nm <= LARGEST_NM):
            raise UsageError(f"the pixel size must be positive (nm), got {self.pixel_size_nm}.")
        if math.prod(self.shape) * (self.pixel_size_nm / LATTICE_NM) ** 2 > MOST_LATTICE_POINTS:
            raise UsageError(
                f"a field of cells of {self.shape} pixels of {self.pixel_size_nm:g} nm is too large to be drawn: take "
                "fewer or smaller pixels, or several fields."
            )

    def _check(self, what: str, **limits: tuple[float, float]) -> None:
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} of {what} lies between {low:g} and {high:g}, got {value:g}.")

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.shape

    @property
    def field_nm(self) -> np.ndarray:
        """(2,): height and width, nm."""
        return np.array(self.shape) * self.pixel_size_nm

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from."""
        return {"kind": type(self).__name__, **{f.name: getattr(self, f.name) for f in fields(self) if f.init}}

    def coordinates(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """The (ny,) rows and (nx,) columns of a fine grid: middles of its pixels, nm from the field's outer corner."""
        ny, nx = grid.shape
        y, x = (((np.arange(n) + 0.5) / grid.factor - grid.margin) * self.pixel_size_nm for n in (ny, nx))
        return y, x

    def seen_finer(self, coarse: np.ndarray, grid: Grid) -> np.ndarray:
        """What is smooth over a camera pixel, (Y, X) with the grid's margin, interpolated to the fine grid."""
        if grid.factor == 1:
            return coarse
        image = torch.as_tensor(coarse)[None, None]
        finer = torch.nn.functional.interpolate(image, size=grid.shape, mode="bilinear", align_corners=False)
        return np.asarray(finer[0, 0].numpy())

    def texture(self, scales_nm: dict[float, float], generator: np.random.Generator) -> Texture:
        """A Gaussian random field of mean 0 and variance 1: waves of each scale (nm) with their share of it."""
        shape = tuple(math.ceil(side / LATTICE_NM) + 1 for side in self.field_nm)
        total = math.sqrt(sum(share**2 for share in scales_nm.values()))
        values = np.zeros(shape)
        for scale, share in scales_nm.items():
            values += share / total * smooth_noise(shape, (scale / LATTICE_NM,) * 2, generator)
        return Texture(values)


@dataclass(frozen=True, eq=False)
class Texture:
    """Values on a lattice of ``LATTICE_NM`` from the field's outer corner; mirrored beyond."""

    values: np.ndarray

    def at(self, y_nm: np.ndarray, x_nm: np.ndarray) -> np.ndarray:
        """Interpolated between the lattice's points at places (y, x), two arrays of any one shape."""
        return np.asarray(
            ndimage.map_coordinates(self.values, [y_nm / LATTICE_NM, x_nm / LATTICE_NM], order=1, mode="mirror")
        )


def smooth_noise(shape: tuple[int, ...], sigmas: tuple[float, ...], generator: np.random.Generator) -> np.ndarray:
    """White noise under a Gaussian of these widths along its axes, samples; brought back to variance 1."""
    reaches = [math.ceil(4 * sigma) for sigma in sigmas]
    noise = generator.standard_normal([n + 2 * reach for n, reach in zip(shape, reaches, strict=True)])
    for axis, (sigma, reach) in enumerate(zip(sigmas, reaches, strict=True)):
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
        noise = ndimage.convolve1d(noise, weights / math.sqrt((weights**2).sum()), axis=axis, mode="constant")
    return noise[tuple(slice(reach, reach + n) for n, reach in zip(shape, reaches, strict=True))]


def scattered(
    field_nm: np.ndarray, spacing_nm: float, jitter: float, margin_nm: float, generator: np.random.Generator
) -> np.ndarray:
    """(n, 2) points (y, x), nm: a hexagonal lattice turned and moved at random, each point jittered.

    Args:
        field_nm: (2,), height and width.
        spacing_nm: between neighbours.
        jitter: standard deviation along each axis, spacings.
        margin_nm: beyond the field that is filled too.
        generator: of all of it.
    """
    reach = math.ceil((np.hypot(*field_nm) / 2 + margin_nm) / spacing_nm) + 1
    row, column = np.meshgrid(*2 * [np.arange(-2 * reach, 2 * reach + 1)], indexing="ij")
    lattice = np.stack([row * math.sqrt(0.75), column + 0.5 * (row % 2)], axis=-1).reshape(-1, 2)
    lattice += generator.uniform(0, 1, 2)
    angle = generator.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    lattice = lattice @ turn.T + jitter * generator.standard_normal(lattice.shape)
    points = lattice * spacing_nm + field_nm / 2
    return points[((points > -margin_nm) & (points < field_nm + margin_nm)).all(1)]
