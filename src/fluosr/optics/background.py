"""The background: smooth by construction, a non-negative combination of broad bumps, and smoother still by penalty."""

from __future__ import annotations

import math

import numpy as np
import torch

KNOTS_PER_FWHM = 0.4  # knots further apart than the PSF is wide: the background cannot draw what the image should


class BackgroundBasis:
    """b = B1 beta B2^T with cubic B-splines on evenly spaced knots, beta >= 0, and the penalty |grad b|^2.

    With one knot per pixel (``spacing`` at most 1) B is the identity: the paper's free background image.
    On broad knots the penalty is well conditioned, so that its minimum is reached in as many steps as the image's.

    Args:
        field_shape: (Y, X), camera pixels.
        spacing: distance of knots, camera pixels.
        dtype, device: of the tensors.
    """

    def __init__(
        self, field_shape: tuple[int, int], spacing: float, *, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        factors = [_spline_matrix(size, spacing) for size in field_shape]
        slopes = [np.diff(f, axis=0) for f in factors]
        masses = [f.T @ f for f in factors]
        stiffness = [s.T @ s for s in slopes]

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        self.shape = (factors[0].shape[1], factors[1].shape[1])
        self._rows, self._columns = tensor(factors[0]), tensor(factors[1])
        self.factors = (self._rows, self._columns)  # B1 (Y, k), B2 (X, l)
        self._masses = [tensor(m) for m in masses]
        self._stiffness = [tensor(k) for k in stiffness]
        absolute = [[np.abs(m).sum(1) for m in pair] for pair in (masses, stiffness)]
        self.curvature = tensor(
            np.outer(absolute[1][0], absolute[0][1]) + np.outer(absolute[0][0], absolute[1][1])
        )  # row sums of |B^T grad^T grad B|: a diagonal that majorises it

    def image(self, beta: torch.Tensor) -> torch.Tensor:
        """B beta: coefficients -> (Y, X)."""
        return self._rows @ beta @ self._columns.T

    def adjoint(self, image: torch.Tensor) -> torch.Tensor:
        """B^T r: (Y, X) -> coefficients."""
        return self._rows.T @ image @ self._columns

    def roughness_gradient(self, beta: torch.Tensor) -> torch.Tensor:
        """Gradient of |grad b|^2 / 2 with respect to beta, forward differences with free ends."""
        (my, mx), (ky, kx) = self._masses, self._stiffness
        return ky @ beta @ mx + my @ beta @ kx

    def roughness(self, beta: torch.Tensor) -> float:
        """|grad b|^2."""
        return float((beta * self.roughness_gradient(beta)).sum())


def _spline_matrix(size: int, spacing: float) -> np.ndarray:
    """(size, k) float64: cubic B-splines at the pixel centres, rows summing to one."""
    if spacing <= 1.0:
        return np.eye(size)
    intervals = max(1, math.ceil(size / spacing))
    step = size / intervals
    position = (np.arange(size) + 0.5) / step
    centres = np.arange(-1, intervals + 2)
    u = np.abs(position[:, None] - centres[None, :])
    basis = np.where(u < 1, 2 / 3 - u**2 + u**3 / 2, np.where(u < 2, (2 - u) ** 3 / 6, 0.0))
    return basis / basis.sum(1, keepdims=True)
