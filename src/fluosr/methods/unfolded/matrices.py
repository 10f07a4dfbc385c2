"""A X = R X C^T for frames in batches, differentiable in the PSF's width.

Entry (i, j) of R is the light that an emitter in the middle of fine pixel j of the extended grid puts into camera
pixel i, as in :class:`fluosr.optics.operators.SeparableOperator`. For variances every entry is squared: the variance
that independent emitters give a pixel goes through A o A (22), which is separable too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fluosr.methods.unfolded.physics import Physics
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid, margin_for


@dataclass(frozen=True)
class BatchedOperator:
    """Frames from fine images, and back.

    Args:
        rows: (Y, ny) factor R.
        columns: (X, nx) factor C.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    def forward(self, fine: torch.Tensor) -> torch.Tensor:
        """(B, ny, nx) -> (B, Y, X), R X C^T."""
        return self.rows @ (fine @ self.columns.T)

    def adjoint(self, coarse: torch.Tensor) -> torch.Tensor:
        """(B, Y, X) -> (B, ny, nx), R^T V C."""
        return (self.rows.T @ coarse) @ self.columns


def grid_for(physics: Physics, field_shape: tuple[int, int]) -> Grid:
    """The fine grid behind a field, with a margin from which light still comes in."""
    margin = margin_for(GaussianPSF(physics.fwhm_nm).reach_nm, physics.pixel_size_nm)
    return Grid(field_shape, physics.factor, margin)


def operator_for(physics: Physics, grid: Grid, width: torch.Tensor, dtype: torch.dtype) -> BatchedOperator:
    """The operator of a PSF ``width`` times as wide as stated.

    Args:
        physics: stated optics.
        grid: fine grid.
        width: scalar float64, may require a gradient; the factors are made on its device.
        dtype: of the factors.
    """
    sigma = width * (physics.sigma_fine / physics.factor)  # camera pixels
    made = []
    for size in grid.field_shape:
        matrix = axis_matrix(size, grid, sigma)
        made.append((matrix.square() if physics.semi_blind else matrix).to(dtype))
    return BatchedOperator(*made)


def axis_matrix(size: int, grid: Grid, sigma: torch.Tensor) -> torch.Tensor:
    """(size, n) float64 Phi((i + 1 - c_j) / sigma) - Phi((i - c_j) / sigma), ``sigma`` in camera pixels."""
    n = (size + 2 * grid.margin) * grid.factor
    centres = (torch.arange(n, dtype=torch.float64, device=sigma.device) + 0.5) / grid.factor - grid.margin
    edges = torch.arange(size + 1, dtype=torch.float64, device=sigma.device)
    below = 0.5 * torch.erf((edges[:, None] - centres) / (math.sqrt(2.0) * sigma))
    return below.diff(dim=0)


def curvature_bound(physics: Physics) -> float:
    """A bound of |A|^2 for the stated PSF, the same for every field: |R|^2 <= max row sum x max column sum."""
    reach = margin_for(GaussianPSF(physics.fwhm_nm).reach_nm, physics.pixel_size_nm)
    grid = Grid((4 * reach + 1, 4 * reach + 1), physics.factor, 2 * reach)
    matrix = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float64).rows
    return float(matrix.sum(0).max() * matrix.sum(1).max()) ** 2
