"""What a trained model was trained for: optics, grid and noise. Data of other physics are refused."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fluosr.errors import UsageError

DATA_TERMS = ("least-squares", "kullback-leibler")
PIXEL_TOLERANCE = 0.02  # relative
WIDTH_TOLERANCE = 0.05  # relative, of the FWHM that either side states
NOISE_TOLERANCE, LEAST_NOISE_E = 0.5, 1.0  # relative, and electrons: a camera's noise is often an estimate

DataTerm = Literal["least-squares", "kullback-leibler"]


@dataclass(frozen=True)
class Physics:
    """Microscope, grid and noise of a model.

    Args:
        fwhm_nm: full width at half maximum of the Gaussian PSF as stated before training, nm. A model that learned the
            width has one of its own besides.
        pixel_size_nm: camera pixel, nm.
        factor: L, fine pixels per camera pixel along each axis.
        data_term: least squares for Gaussian noise, Kullback-Leibler for Poisson noise.
        background_photons: b per camera pixel; None: estimated for each frame.
        read_noise_e: of the camera, electrons rms.
        semi_blind: the data are variances of movies, seen through the squared PSF, not frames.

    Raises:
        UsageError: a value that cannot be, or Kullback-Leibler without background.
    """

    fwhm_nm: float
    pixel_size_nm: float
    factor: int
    data_term: DataTerm = "least-squares"
    background_photons: float | None = None
    read_noise_e: float = 0.0
    semi_blind: bool = False

    def __post_init__(self) -> None:
        for name in ("fwhm_nm", "pixel_size_nm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} must be a positive number of nanometres, got {value}.")
        if self.fwhm_nm < self.pixel_size_nm / 2:
            raise UsageError(
                f"the PSF's FWHM ({self.fwhm_nm:g} nm) is less than half a pixel ({self.pixel_size_nm:g} nm): both are "
                "in nanometres. Check --fwhm and --pixel-size."
            )
        if self.factor < 1:
            raise UsageError(f"the factor must be a whole number of at least 1, got {self.factor}.")
        if self.data_term not in DATA_TERMS:
            raise UsageError(f"there is no data term {self.data_term!r}; known are: {', '.join(DATA_TERMS)}.")
        if not (math.isfinite(self.read_noise_e) and self.read_noise_e >= 0):
            raise UsageError(f"the read noise must not be negative (electrons rms), got {self.read_noise_e}.")
        background = self.background_photons
        if background is not None and not (math.isfinite(background) and background >= 0):
            raise UsageError(f"the background must not be negative (photons per pixel), got {background}.")
        if self.data_term == "kullback-leibler" and background == 0:
            raise UsageError(
                "the Kullback-Leibler data term needs a background above 0: it divides by what is expected, and where "
                "there is no light that would be nothing. Give --background, leave it out to have it estimated, or "
                "take --data-term least-squares."
            )

    @property
    def sigma_fine(self) -> float:
        """Standard deviation of the stated PSF, fine pixels."""
        return self.fwhm_nm / (2.0 * math.sqrt(2.0 * math.log(2.0))) / self.pixel_size_nm * self.factor

    def differences(self, other: Physics, learned_fwhm_nm: float | None = None) -> list[str]:
        """How data of other physics differ from these, each as a clause; empty where they fit.

        Args:
            other: of the data. Data term and background are the model's own business.
            learned_fwhm_nm: width that the model found, which data may have instead of the stated one.
        """
        said = []
        if abs(other.pixel_size_nm / self.pixel_size_nm - 1.0) > PIXEL_TOLERANCE:
            said.append(f"pixels of {self.pixel_size_nm:.4g} nm (the data: {other.pixel_size_nm:.4g} nm)")
        widths = [self.fwhm_nm] + ([] if learned_fwhm_nm is None else [learned_fwhm_nm])
        if all(abs(other.fwhm_nm / width - 1.0) > WIDTH_TOLERANCE for width in widths):
            said.append(f"a PSF with a FWHM of {self.fwhm_nm:.4g} nm (the data: {other.fwhm_nm:.4g} nm)")
        if other.factor != self.factor:
            said.append(f"a factor of {self.factor} (asked for: {other.factor})")
        off = abs(other.read_noise_e - self.read_noise_e)
        if off > max(LEAST_NOISE_E, NOISE_TOLERANCE * self.read_noise_e):
            said.append(f"a read noise of {self.read_noise_e:.3g} e (the data: {other.read_noise_e:.3g} e)")
        if other.semi_blind != self.semi_blind:
            kinds = {True: "variances of movies (--semi-blind)", False: "single frames (without --semi-blind)"}
            said.append(f"{kinds[self.semi_blind]} (asked for: {kinds[other.semi_blind]})")
        return said

    def describe(self) -> dict[str, Any]:
        """As plain values, for the model's file and the record."""
        return {"psf": "gaussian", **asdict(self)}
