"""What the network learns from: frames of single molecules that the instrument would make, and where they lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from fluosr.camera import Camera
from fluosr.errors import UsageError
from fluosr.forward import sample_photons
from fluosr.optics.operators import ImagingOperator, imaging_operator
from fluosr.optics.psf import GaussianPSF

MOST_PER_FINE_PIXEL = 0.5


@dataclass(frozen=True)
class Instrument:
    """The microscope, and what may be seen with it.

    Args:
        pixel_size_nm: of the camera in the sample.
        fwhm_nm: of a Gaussian PSF.
        factor: L, fine pixels per camera pixel.
        density_per_um2: (least, most) active molecules per square micrometre and frame; a frame has one density.
        photons: of a molecule in a frame, the mean of a lognormal distribution.
        photon_spread: standard deviation over mean of these.
        background_photons: (least, most) per camera pixel; even over a frame.
        read_noise_e: electrons rms.

    Raises:
        UsageError: what cannot be.
    """

    pixel_size_nm: float
    fwhm_nm: float
    factor: int
    density_per_um2: tuple[float, float] = (0.5, 6.0)
    photons: float = 1000.0
    photon_spread: float = 0.3
    background_photons: tuple[float, float] = (1.0, 20.0)
    read_noise_e: float = 1.0

    def __post_init__(self) -> None:
        if not (1.0 <= self.pixel_size_nm <= self.fwhm_nm and self.factor >= 1 and math.isfinite(self.fwhm_nm)):
            raise UsageError(
                f"pixels of {self.pixel_size_nm:.4g} nm, a FWHM of {self.fwhm_nm:.4g} nm, a factor of {self.factor}: "
                "lengths are in nanometres, the FWHM is at least a pixel, and the factor at least 1."
            )
        for name, (least, most), lowest in (
            ("density_per_um2", self.density_per_um2, 1e-6),
            ("background_photons", self.background_photons, 0.0),
        ):
            if not (math.isfinite(most) and lowest <= least <= most):
                raise UsageError(f"{name}: give the least and the most, in this order, got {least:g} and {most:g}.")
        each = self.density_per_um2[1] * (self.fine_nm / 1000.0) ** 2
        if each > MOST_PER_FINE_PIXEL:
            raise UsageError(
                f"density_per_um2: {self.density_per_um2[1]:g} would put {each:.3g} molecules into every fine pixel of "
                f"{self.fine_nm:.4g} nm, where none can be told from another; crowded frames hold some 10 per um2."
            )
        if not (self.photons > 0 and self.photon_spread >= 0 and self.read_noise_e >= 0):
            raise UsageError("photons must be positive, their spread and the read noise not negative.")

    @property
    def fine_nm(self) -> float:
        """Of a fine pixel."""
        return self.pixel_size_nm / self.factor


def draw_examples(
    instrument: Instrument, count: int, side: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames and where their molecules lie.

    Molecules lie in the middles of fine pixels, also outside the field as far as their light reaches into it.

    Args:
        instrument: what makes the frames.
        count: B.
        side: S of a frame, camera pixels.
        generator: of all that is random.

    Returns:
        (B, S, S) photoelectrons, and (B, L S, L S) molecules in each fine pixel.
    """
    operator = _operator(instrument.pixel_size_nm, instrument.fwhm_nm, instrument.factor, side)
    ny, nx = operator.grid.shape

    def uniform(least: float, most: float) -> torch.Tensor:
        return least + (most - least) * torch.rand(count, 1, 1, generator=generator)

    per_pixel = uniform(*instrument.density_per_um2) * (instrument.fine_nm / 1000.0) ** 2
    molecules = torch.poisson(per_pixel.expand(count, ny, nx).contiguous(), generator=generator)
    log_variance = math.log1p(instrument.photon_spread**2)
    normal = torch.randn(count, ny, nx, generator=generator)
    photons = instrument.photons * torch.exp(math.sqrt(log_variance) * normal - 0.5 * log_variance)
    background = uniform(*instrument.background_photons)
    expected = torch.stack([operator.forward(light)[0] for light in molecules * photons]) + background
    frames = sample_photons(expected, Camera(read_noise_e=instrument.read_noise_e), generator)
    return frames, operator.grid.crop(molecules)


@lru_cache(maxsize=4)
def _operator(pixel_size_nm: float, fwhm_nm: float, factor: int, side: int) -> ImagingOperator:
    return imaging_operator((side, side), factor, GaussianPSF(fwhm_nm), pixel_size_nm)
