"""The field as overlapping patches, and in each the few coordinates in which its light can be seen.

The covariance of two pixels that no emitter reaches both of is nil: it is enough to know it within patches of a few PSF
widths. A patch sees a window of the fine image through A_p, a sum of a few Kronecker products R_k (x) C_k. Light varies
no faster than the PSF lets it: with Q the singular vectors of A_p's factors that carry light, z = Q^T y holds all that
a frame y of the patch says of the image, in two thirds as many numbers for a PSF three pixels wide.

The map g -> A_p diag(g) A_p^T and its adjoint P -> diag(A_p^T P A_p) are two small matrix products each: their entries
(a, b), (c, d) of row and column coordinates are sum_ij R_ai R_ci g_ij C_bj C_dj.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch

from fluosr.optics.kronecker import imaging_pairs, merged
from fluosr.optics.psf import PointSpreadFunction
from fluosr.optics.sampling import Grid

PATCH_FWHM = 5.0  # side of a patch, in FWHM of the PSF
OVERLAP_FWHM = 1.25  # of neighbouring patches: pairs of pixels that share much light lie together in some patch
LEAST_PATCH, LEAST_OVERLAP = 8, 2  # camera pixels
LEAST_SINGULAR = 5e-3  # of the largest: a singular vector under it carries no light to speak of


class Patches:
    """Overlapping patches of one size, their windows on the fine grid, and the products that all of them share.

    Args:
        grid: fine grid with its margin.
        psf: point spread function.
        pixel_size_nm: camera pixel, nm.
        device: where to compute; in double precision.

    Attributes:
        side: (py, px) camera pixels of a patch.
        corners: (row, column) of each patch's first camera pixel.
        size: M, coordinates z of a patch.
        origin: camera pixel of the movie at which the grid's field begins.
        weight: what a patch counts, so that every camera pixel counts once on average.
    """

    def __init__(
        self, grid: Grid, psf: PointSpreadFunction, pixel_size_nm: float, device: torch.device | str = "cpu"
    ) -> None:
        self.grid = grid
        self.device = torch.device(device)
        fwhm_px = psf.fwhm_nm / pixel_size_nm
        side = max(LEAST_PATCH, math.ceil(PATCH_FWHM * fwhm_px))
        overlap = max(LEAST_OVERLAP, math.ceil(OVERLAP_FWHM * fwhm_px))
        self.side = (min(side, grid.field_shape[0]), min(side, grid.field_shape[1]))
        starts = [_starts(size, part, overlap) for size, part in zip(grid.field_shape, self.side, strict=True)]
        self.corners = [(row, column) for row in starts[0] for column in starts[1]]
        self.origin = (0, 0)
        self.weight = math.prod(grid.field_shape) / (len(self.corners) * math.prod(self.side))
        pairs = imaging_pairs(Grid(self.side, grid.factor, grid.margin), psf, pixel_size_nm)
        bases = [_basis([pair[axis] for pair in pairs]) for axis in (0, 1)]
        self.coordinates = (bases[0].shape[1], bases[1].shape[1])
        self.size = math.prod(self.coordinates)
        seen = [(bases[0].T @ rows, bases[1].T @ columns) for rows, columns in pairs]
        self._q = [self._tensor(basis) for basis in bases]
        self._imaging = [(self._tensor(rows), self._tensor(columns)) for rows, columns in pairs]
        self._seen = [(self._tensor(rows), self._tensor(columns)) for rows, columns in seen]
        products = merged([(_products(r, s), _products(c, d)) for r, c in seen for s, d in seen])
        self._second = [(self._tensor(rows), self._tensor(columns)) for rows, columns in products]
        self._noise = [
            (self._tensor(_products(bases[0].T, bases[0].T)), self._tensor(_products(bases[1].T, bases[1].T)))
        ]

    def __len__(self) -> int:
        return len(self.corners)

    def block(self, members: list[int]) -> Patches:
        """Some of the patches with a grid of their own, the smallest that holds them."""
        rows, columns = zip(*(self.corners[k] for k in members), strict=True)
        first = min(rows), min(columns)
        last = max(rows) + self.side[0], max(columns) + self.side[1]
        part = copy.copy(self)
        part.grid = Grid((last[0] - first[0], last[1] - first[1]), self.grid.factor, self.grid.margin)
        part.corners = [(self.corners[k][0] - first[0], self.corners[k][1] - first[1]) for k in members]
        part.weight = math.prod(part.grid.field_shape) / (len(members) * math.prod(self.side))
        part.origin = first
        return part

    def gather(self, field: torch.Tensor) -> torch.Tensor:
        """(..., Y, X) -> (P, ..., py, px): each patch's camera pixels."""
        height, width = self.side
        return torch.stack([field[..., y : y + height, x : x + width] for y, x in self.corners])

    def gather_adjoint(self, parts: torch.Tensor) -> torch.Tensor:
        """(P, py, px) -> (Y, X), summed where patches overlap."""
        height, width = self.side
        field = parts.new_zeros(self.grid.field_shape)
        for part, (y, x) in zip(parts, self.corners, strict=True):
            field[y : y + height, x : x + width] += part
        return field

    def windows(self, fine: torch.Tensor) -> torch.Tensor:
        """(ny, nx) -> (P, hy, hx): what each patch sees of the extended fine image."""
        factor, (height, width) = self.grid.factor, self._window
        return torch.stack(
            [fine[y * factor : y * factor + height, x * factor : x * factor + width] for y, x in self.corners]
        )

    def windows_adjoint(self, parts: torch.Tensor) -> torch.Tensor:
        """(P, hy, hx) -> (ny, nx), summed where windows overlap."""
        factor, (height, width) = self.grid.factor, self._window
        fine = parts.new_zeros(self.grid.shape)
        for part, (y, x) in zip(parts, self.corners, strict=True):
            fine[y * factor : y * factor + height, x * factor : x * factor + width] += part
        return fine

    def project(self, parts: torch.Tensor) -> torch.Tensor:
        """(..., py, px) -> (..., M): z = Q^T y."""
        return (self._q[0].T @ parts @ self._q[1]).flatten(-2)

    def project_adjoint(self, z: torch.Tensor) -> torch.Tensor:
        """(..., M) -> (..., py, px): Q z."""
        return self._q[0] @ z.unflatten(-1, self.coordinates) @ self._q[1].T

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(P, hy, hx) -> (P, py, px): A_p x."""
        return sum(rows @ windows @ columns.T for rows, columns in self._imaging)  # type: ignore[return-value]

    def adjoint(self, parts: torch.Tensor) -> torch.Tensor:
        """(P, py, px) -> (P, hy, hx): A_p^T r."""
        return sum(rows.T @ parts @ columns for rows, columns in self._imaging)  # type: ignore[return-value]

    def seen_adjoint(self, z: torch.Tensor) -> torch.Tensor:
        """(P, M) -> (P, hy, hx): A_p^T Q z."""
        parts = z.unflatten(-1, self.coordinates)
        return sum(rows.T @ parts @ columns for rows, columns in self._seen)

    def covariance(self, windows: torch.Tensor) -> torch.Tensor:
        """(P, hy, hx) -> (P, M, M): Q^T A_p diag(g) A_p^T Q."""
        return self._matrices(self._second, windows)

    def covariance_adjoint(self, matrices: torch.Tensor) -> torch.Tensor:
        """(P, M, M) -> (P, hy, hx): diag(A_p^T Q S Q^T A_p), S symmetric."""
        return self._diagonals(self._second, matrices)

    def noise(self, variances: torch.Tensor) -> torch.Tensor:
        """(P, py, px) -> (P, M, M): Q^T diag(v) Q."""
        return self._matrices(self._noise, variances)

    def noise_adjoint(self, matrices: torch.Tensor) -> torch.Tensor:
        """(P, M, M) -> (P, py, px): diag(Q S Q^T)."""
        return self._diagonals(self._noise, matrices)

    @property
    def _window(self) -> tuple[int, int]:
        margin, factor = 2 * self.grid.margin, self.grid.factor
        return (self.side[0] + margin) * factor, (self.side[1] + margin) * factor

    def _matrices(self, factors: list[tuple[torch.Tensor, torch.Tensor]], images: torch.Tensor) -> torch.Tensor:
        a, b = self.coordinates
        total = sum(rows @ images @ columns.T for rows, columns in factors)
        assert isinstance(total, torch.Tensor)
        # rows are (a, c), columns (b, d): the matrix is ((a, b), (c, d)).
        return total.reshape(-1, a, a, b, b).transpose(2, 3).reshape(-1, self.size, self.size)

    def _diagonals(self, factors: list[tuple[torch.Tensor, torch.Tensor]], matrices: torch.Tensor) -> torch.Tensor:
        a, b = self.coordinates
        entries = matrices.reshape(-1, a, b, a, b).transpose(2, 3).reshape(-1, a * a, b * b)
        return sum(rows.T @ entries @ columns for rows, columns in factors)  # type: ignore[return-value]

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float64, device=self.device)


def _starts(size: int, side: int, overlap: int) -> list[int]:
    """First pixels of patches that cover ``size`` pixels evenly, overlapping by ``overlap`` or more."""
    count = 1 if size <= side else math.ceil((size - overlap) / max(1, side - overlap))
    return np.linspace(0, size - side, count).round().astype(int).tolist()


def _basis(factors: list[np.ndarray]) -> np.ndarray:
    """(p, r) orthonormal: the left singular vectors of the factors, side by side, that carry light."""
    left, values, _ = np.linalg.svd(np.concatenate(factors, axis=1), full_matrices=False)
    basis: np.ndarray = left[:, values > LEAST_SINGULAR * values[0]]
    return basis


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(r, n), (r, n) -> (r^2, n): all products of two entries of one column."""
    product: np.ndarray = (first[:, None, :] * second[None, :, :]).reshape(-1, first.shape[1])
    return product
