"""The judgement every reconstruction gets without truth: resolution, fidelity to the mean frame, residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fluosr.quality.decorrelation import Decorrelation, decorrelation_analysis
from fluosr.quality.error_map import ErrorMap, error_map
from fluosr.quality.local_resolution import BLOCK_PX, MEASURED, OVERLAP, LocalResolution, local_resolution
from fluosr.quality.residuals import Residuals, residual_map
from fluosr.quality.resolution import Criterion, RingCorrelation, fourier_ring_correlation
from fluosr.reconstruction import NOTHING_HERE, Reconstruction

UNEXPLAINED = 3.0  # residuals, in units of the noise, above which no resolution is given
LARGE_PX = 1_000_000  # pixels of an image from which on the blocks of its map do not overlap, to save time
NO_HALVES = "no resolution was measured: that takes two reconstructions from separate halves of the frames"
SHARED_PATTERN = 1.5  # fixed pattern above which halves agree on the camera as much as on the sample
NOTHING = "there is no evidence of structure, so there is nothing whose resolution to measure"


@dataclass(frozen=True, eq=False)
class Quality:
    """How far to trust a reconstruction.

    Args:
        resolution: Fourier ring correlation of two independent halves; None where the method made no halves.
        residuals: what the forward model leaves unexplained.
        resolution_reason: why ``resolution`` is None, in plain words; None otherwise.
        local_resolution: the same correlation block by block; None where ``resolution`` is, or where the image is
            smaller than one block.
        local_resolution_reason: why ``local_resolution`` is None, in plain words; None otherwise.
        decorrelation: the finest detail of the image itself that stands above its noise; it needs no halves. None where
            there is no structure, or the image does not explain the movie.
        decorrelation_reason: why ``decorrelation`` is None, in plain words; None otherwise.
        error_map: the mean frame less the background against the image, blurred, scaled and offset to fit it.
    """

    resolution: RingCorrelation | None
    residuals: Residuals
    resolution_reason: str | None = None
    local_resolution: LocalResolution | None = None
    local_resolution_reason: str | None = None
    decorrelation: Decorrelation | None = None
    decorrelation_reason: str | None = None
    error_map: ErrorMap | None = None

    def describe(self) -> dict[str, Any]:
        """All figures without maps and curves, for the run's record."""
        if self.resolution is None:
            resolution: dict[str, Any] = {"resolution_nm": None, "reason": self.resolution_reason}
        else:
            resolution = self.resolution.describe()
        if self.local_resolution is None:
            local: dict[str, Any] = {"median_nm": None, "reason": self.local_resolution_reason}
        else:
            local = self.local_resolution.describe()
        if self.decorrelation is None:
            decorrelation: dict[str, Any] = {"resolution_nm": None, "reason": self.decorrelation_reason}
        else:
            decorrelation = self.decorrelation.describe()
        return {
            "resolution": resolution,
            "local_resolution": local,
            "decorrelation": decorrelation,
            "error_map": {} if self.error_map is None else self.error_map.describe(),
            "residuals": self.residuals.describe(),
        }


def judge(reconstruction: Reconstruction, *, criterion: Criterion = "1/7") -> Quality:
    """Resolution, fidelity and residuals of a reconstruction, without truth.

    The halves hold half the light each, so their agreement understates a little what the whole movie resolves. The
    error map is SQUIRREL's, with the reconstruction's background taken off the mean frame: the image has to explain the
    rest.

    Args:
        reconstruction: what to judge.
        criterion: threshold of the ring correlations.

    Returns:
        All judgements; where one is not possible it says why.

    Raises:
        UsageError: images of the reconstruction whose shapes do not fit each other.
    """
    residuals = residual_map(reconstruction)
    errors = mean_frame_error_map(reconstruction)
    resolution, reason = ring_resolution(reconstruction, criterion=criterion)
    if resolution is not None and (resolution.resolution_nm is not None or resolution.finer_than_grid):
        unexplained = _unexplained(reconstruction, residuals)
        if unexplained is not None:
            resolution, reason = None, unexplained
    local, local_reason = None, reason
    if resolution is not None and reconstruction.halves is not None:
        local, local_reason = _local_resolution(reconstruction, reconstruction.halves, criterion)
    decorrelation, decorrelation_reason = _decorrelation(reconstruction, residuals)
    return Quality(
        resolution, residuals, reason, local, local_reason, decorrelation, decorrelation_reason, errors
    )  # fmt: skip


def ring_resolution(
    reconstruction: Reconstruction, *, criterion: Criterion = "1/7"
) -> tuple[RingCorrelation | None, str | None]:
    """The ring correlation of the halves, never finer than the image's grains; or None, and why.

    Whether the image explains the movie is not asked here.
    """
    if reconstruction.halves is None:
        return None, NO_HALVES
    if _nothing_here(reconstruction):
        return None, NOTHING
    if reconstruction.fixed_pattern > SHARED_PATTERN:
        return None, (
            f"the camera's fixed pattern adds {reconstruction.fixed_pattern - 1:.1f} times the noise of the frames, "
            "and both halves share it: that they agree would say little of the sample"
        )
    first, second = reconstruction.halves
    resolution = fourier_ring_correlation(first, second, reconstruction.pixel_size_nm, criterion=criterion)
    return _no_finer_than_grain(resolution, reconstruction.grain_nm), None


def _local_resolution(
    reconstruction: Reconstruction, halves: tuple[np.ndarray, np.ndarray], criterion: Criterion
) -> tuple[LocalResolution | None, str | None]:
    first, second = halves
    if min(first.shape) < BLOCK_PX:
        return None, f"the image is smaller than one block of {BLOCK_PX} x {BLOCK_PX} pixels"
    overlap = OVERLAP if first.size < LARGE_PX else 0.0
    found = local_resolution(first, second, reconstruction.pixel_size_nm, overlap=overlap, criterion=criterion)
    grain_nm = reconstruction.grain_nm
    if grain_nm is None:
        return found, None
    # As for the whole image: halves that share their grains agree on the grains' shape too.
    finer = found.resolution_nm < grain_nm
    value = np.where(finer, max(grain_nm, found.limit_nm), found.resolution_nm)
    code = np.where(finer, MEASURED, found.code).astype(np.uint8)
    return replace(found, resolution_nm=value, code=code), None


def _decorrelation(reconstruction: Reconstruction, residuals: Residuals) -> tuple[Decorrelation | None, str | None]:
    if _nothing_here(reconstruction):
        return None, NOTHING
    reason = _unexplained(reconstruction, residuals)
    if reason is not None:
        return None, reason
    found = decorrelation_analysis(reconstruction.image, reconstruction.pixel_size_nm)
    grain_nm = reconstruction.grain_nm
    if grain_nm is not None and found.resolution_nm is not None and found.resolution_nm < grain_nm:
        found = replace(found, resolution_nm=max(grain_nm, found.limit_nm))
    return found, None


def mean_frame_error_map(reconstruction: Reconstruction) -> ErrorMap:
    """The image against what is left of the mean frame without its background and without dead pixels."""
    factor = reconstruction.factor
    # Dead pixels have no known noise; where the noise is known nowhere, that says nothing about any pixel.
    dead = ~np.isfinite(reconstruction.standard_error)
    reference = np.asarray(reconstruction.mean, float) - np.asarray(reconstruction.background, float)
    if not dead.all():
        reference[dead] = np.nan
    return error_map(reference, reconstruction.image, reconstruction.pixel_size_nm * factor)


def _nothing_here(reconstruction: Reconstruction) -> bool:
    return reconstruction.significance is not None and reconstruction.significance < NOTHING_HERE


def _unexplained(reconstruction: Reconstruction, residuals: Residuals) -> str | None:
    """Why a picture that claims photons but does not explain the movie gets no resolution.

    A picture in a unit of its own never claimed to: its halves may agree all the same, and its residuals stand beside.
    """
    if residuals.rms is None or residuals.rms <= UNEXPLAINED or not reconstruction.photometric:
        return None
    return (
        f"the residuals are {residuals.rms:.3g} times the noise: details of a picture that does not explain the "
        "movie mean nothing; is --iterations too small, or the PSF wrong?"
    )


def _no_finer_than_grain(resolution: RingCorrelation, grain_nm: float | None) -> RingCorrelation:
    """Halves that share their grains agree on the grains' shape too: what is finer is not the sample's."""
    found = resolution.resolution_nm
    if grain_nm is None or not (resolution.finer_than_grid or (found is not None and found < grain_nm)):
        return resolution
    return replace(resolution, resolution_nm=max(grain_nm, resolution.limit_nm), finer_than_grid=False, reason=None)
