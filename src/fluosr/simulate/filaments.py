"""A network of filaments: smooth random curves of one width, as a cytoskeleton shows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid

LARGEST_NM = 1e6
LENGTHS = ("width_nm", "length_nm", "persistence_nm", "pixel_size_nm")
MOST_FILAMENTS = 10_000
BEYOND_NM = 1000.0  # filaments may begin that far outside the field: they cross its border
STEP_NM = 20.0  # along a curve, between changes of its direction; a tenth of the persistence length where that is less
POINTS_PER_FINE_PIXEL = 12  # along each axis, by which a curve's area is sampled


@dataclass(frozen=True)
class FilamentPhantom:
    """Worm-like chains in the plane.

    A curve's direction theta makes a random walk along its length s, with Var(theta(s) - theta(0)) = s / P: directions
    are forgotten as exp(-s / 2 P). Curves begin anywhere in the field or shortly beyond, in any direction.

    Args:
        shape: (Y, X) of the field, camera pixels.
        count: number of filaments.
        width_nm: width of each.
        length_nm: length of each.
        persistence_nm: P; straight over shorter distances.
        pixel_size_nm: camera pixel.
        seed: of the curves.

    Raises:
        UsageError: no filament, or a length that cannot be.

    Source:
        O. Kratky and G. Porod, Recueil des Travaux Chimiques 68 (1949) 1106: the chain of persistence length P.
    """

    shape: tuple[int, int] = (64, 64)
    count: int = 12
    width_nm: float = 50.0
    length_nm: float = 6000.0
    persistence_nm: float = 5000.0
    pixel_size_nm: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in LENGTHS:
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= LARGEST_NM):
                raise UsageError(f"a filament's {name} lies above 0 and not above a millimetre, got {value:g} nm.")
        if not 1 <= self.count <= MOST_FILAMENTS:
            raise UsageError(f"a network has 1 to {MOST_FILAMENTS} filaments, got {self.count}.")
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise UsageError(f"the field of filaments is (Y, X), camera pixels, got {self.shape}.")

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.shape

    def curves(self) -> list[np.ndarray]:
        """For each filament its (n, 2) points, (y, x) in nm from the field's upper left corner, evenly spaced."""
        generator = np.random.default_rng(self.seed)
        steps = max(1, math.ceil(self.length_nm / min(STEP_NM, self.persistence_nm / 10)))
        step = self.length_nm / steps
        field = np.array(self.shape) * self.pixel_size_nm
        curves = []
        for _ in range(self.count):
            begin = generator.uniform(-BEYOND_NM, field + BEYOND_NM)
            turns = generator.standard_normal(steps - 1) * math.sqrt(step / self.persistence_nm)
            theta = generator.uniform(0, 2 * math.pi) + np.concatenate([[0.0], np.cumsum(turns)])
            moves = step * np.stack([np.sin(theta), np.cos(theta)], axis=1)
            points = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
            curves.append(begin + points)
        return curves

    def render(self, grid: Grid) -> np.ndarray:
        """The emitters on a fine grid: (ny, nx) float64, 1 where a filament covers a fine pixel whole.

        Each filament is sampled by points evenly over its area, so that one of any width carries its light. Where
        filaments cross they add up.
        """
        ny, nx = grid.shape
        fine_nm = self.pixel_size_nm / grid.factor
        origin = grid.margin * grid.factor
        spacing = fine_nm / POINTS_PER_FINE_PIXEL
        across_count = max(1, math.ceil(self.width_nm / spacing))
        across = self.width_nm * ((np.arange(across_count) + 0.5) / across_count - 0.5)
        image = np.zeros(ny * nx)
        for curve in self.curves():
            moves = np.diff(curve, axis=0)
            step = float(np.hypot(*moves[0]))
            along_count = max(1, math.ceil(step / spacing))
            along = (np.arange(along_count) + 0.5) / along_count
            area = step * self.width_nm / (along_count * across_count)
            normals = np.stack([moves[:, 1], -moves[:, 0]], axis=1) / step
            axis = (curve[:-1, None] + along[None, :, None] * moves[:, None]).reshape(-1, 2)
            normals = np.repeat(normals, along_count, axis=0)
            for offset in across:
                iy, ix = (np.floor((axis + offset * normals) / fine_nm).astype(int) + origin).T
                inside = (iy >= 0) & (iy < ny) & (ix >= 0) & (ix < nx)
                image += np.bincount(iy[inside] * nx + ix[inside], minlength=ny * nx) * (area / fine_nm**2)
        return image.reshape(ny, nx)

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from."""
        return {"kind": type(self).__name__, **asdict(self)}
