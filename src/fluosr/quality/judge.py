"""The judgement every reconstruction gets without truth: resolution from its halves, residuals from its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fluosr.quality.residuals import Residuals, residual_map
from fluosr.quality.resolution import Criterion, RingCorrelation, fourier_ring_correlation
from fluosr.reconstruction import NOTHING_HERE, Reconstruction

UNEXPLAINED = 3.0  # residuals, in units of the noise, above which no resolution is given


@dataclass(frozen=True, eq=False)
class Quality:
    """How far to trust a reconstruction.

    Args:
        resolution: Fourier ring correlation of two independent halves; None where the method made no halves.
        residuals: what the forward model leaves unexplained.
        resolution_reason: why ``resolution`` is None, in plain words; None otherwise.
    """

    resolution: RingCorrelation | None
    residuals: Residuals
    resolution_reason: str | None = None

    def describe(self) -> dict[str, Any]:
        """All figures without maps and curves, for the run's record."""
        if self.resolution is None:
            resolution: dict[str, Any] = {"resolution_nm": None, "reason": self.resolution_reason}
        else:
            resolution = self.resolution.describe()
        return {"resolution": resolution, "residuals": self.residuals.describe()}


def judge(reconstruction: Reconstruction, *, criterion: Criterion = "1/7") -> Quality:
    """Resolution and residuals of a reconstruction, without truth.

    The halves hold half the light each, so their agreement understates a little what the whole movie resolves.

    Args:
        reconstruction: what to judge.
        criterion: threshold of the ring correlation.

    Returns:
        Both judgements; where one is not possible it says why.

    Raises:
        UsageError: images of the reconstruction whose shapes do not fit each other.
    """
    residuals = residual_map(reconstruction)
    if reconstruction.halves is None:
        reason = "no resolution was measured: that takes two reconstructions from separate halves of the frames"
        return Quality(None, residuals, reason)
    if reconstruction.significance is not None and reconstruction.significance < NOTHING_HERE:
        return Quality(
            None, residuals, "there is no evidence of structure, so there is nothing whose resolution to measure"
        )
    first, second = reconstruction.halves
    resolution = fourier_ring_correlation(first, second, reconstruction.pixel_size_nm, criterion=criterion)
    measured = resolution.resolution_nm is not None or resolution.finer_than_grid
    if measured and residuals.rms is not None and residuals.rms > UNEXPLAINED:
        reason = (
            f"the residuals are {residuals.rms:.3g} times the noise: details of a picture that does not explain the "
            "movie mean nothing; is --iterations too small, or the PSF wrong?"
        )
        return Quality(None, residuals, reason)
    return Quality(_no_finer_than_grain(resolution, reconstruction.grain_nm), residuals)


def _no_finer_than_grain(resolution: RingCorrelation, grain_nm: float | None) -> RingCorrelation:
    """Halves that share their grains agree on the grains' shape too: what is finer is not the sample's."""
    found = resolution.resolution_nm
    if grain_nm is None or not (resolution.finer_than_grid or (found is not None and found < grain_nm)):
        return resolution
    return replace(resolution, resolution_nm=max(grain_nm, resolution.limit_nm), finer_than_grid=False, reason=None)
