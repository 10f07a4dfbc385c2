"""The fine grid: how it lies on the camera's pixels, and U, the sum over L x L fine pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fluosr.errors import OpticsError

FINE_PIXELS_PER_FWHM = 18.0  # the FluoGAN paper's 324 nm at 100 / 6 nm is 19.4


def automatic_factor(fwhm_nm: float, pixel_size_nm: float) -> int:
    """L that puts about 18 fine pixels on the PSF's FWHM, between 1 and 12."""
    return int(min(12, max(1, round(FINE_PIXELS_PER_FWHM * pixel_size_nm / fwhm_nm))))


def sum_pool(fine: torch.Tensor, factor: int) -> torch.Tensor:
    """U: (..., L Y, L X) -> (..., Y, X), the sum (not the mean) of each L x L patch: photons are kept."""
    *batch, ny, nx = fine.shape
    if ny % factor or nx % factor:
        raise OpticsError(f"a fine image of {ny} x {nx} does not divide into patches of {factor} x {factor}.")
    return fine.reshape(*batch, ny // factor, factor, nx // factor, factor).sum(dim=(-3, -1))


def sum_pool_adjoint(coarse: torch.Tensor, factor: int) -> torch.Tensor:
    """U^T: (..., Y, X) -> (..., L Y, L X), each value repeated over its L x L patch."""
    return coarse.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


@dataclass(frozen=True)
class Grid:
    """The fine grid behind a field of camera pixels, and a margin beyond it from which light still comes in.

    Fine pixel i of the field spans [i, i+1) / L camera pixels.

    Args:
        field_shape: (Y, X), camera pixels.
        factor: L, fine pixels per camera pixel along each axis.
        margin: camera pixels added on every side.
    """

    field_shape: tuple[int, int]
    factor: int
    margin: int = 0

    def __post_init__(self) -> None:
        if self.factor < 1 or int(self.factor) != self.factor:
            raise OpticsError(f"the factor must be a whole number of at least 1, got {self.factor}.")

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the extended fine grid."""
        y, x = self.field_shape
        return (y + 2 * self.margin) * self.factor, (x + 2 * self.margin) * self.factor

    @property
    def fine_field_shape(self) -> tuple[int, int]:
        """(L Y, L X), the fine grid without its margin."""
        return self.field_shape[0] * self.factor, self.field_shape[1] * self.factor

    def crop(self, fine: torch.Tensor) -> torch.Tensor:
        """(..., ny, nx) -> (..., L Y, L X): the part that lies in the field."""
        start = self.margin * self.factor
        height, width = self.fine_field_shape
        return fine[..., start : start + height, start : start + width]

    def embed(self, fine: torch.Tensor) -> torch.Tensor:
        """(..., L Y, L X) -> (..., ny, nx), dark in the margin."""
        extended = fine.new_zeros(*fine.shape[:-2], *self.shape)
        self.crop(extended).copy_(fine)
        return extended


def margin_for(reach_nm: float, pixel_size_nm: float) -> int:
    """Camera pixels beyond the field that can still send light into it."""
    return math.ceil(reach_nm / pixel_size_nm)
