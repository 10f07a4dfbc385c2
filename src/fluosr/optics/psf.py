"""Point spread functions: the image of a point, in nanometres, integrated over the pixel that samples it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from fluosr.errors import OpticsError

NARROWEST_BEAD_PX = 1.5  # FWHM under which a measured spot is no PSF but a pixel
MOST_NEGATIVE = 0.5  # of the peak, under the rim
SPOT_LEVEL, SPOT_SHARE = 0.25, 0.1  # of the peak, and of the brightest spot's light, from which on a spot counts
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


@runtime_checkable
class PointSpreadFunction(Protocol):
    """What every PSF offers: its width, its reach, and its kernel on a grid of square pixels."""

    @property
    def fwhm_nm(self) -> float:
        """Full width at half maximum, nm."""

    @property
    def reach_nm(self) -> float:
        """Distance from the centre beyond which the PSF is taken to be dark, nm."""

    def kernel(self, pixel_nm: float) -> np.ndarray:
        """(2r+1, 2r+1) float64, of unit sum, integrated over pixels of ``pixel_nm``, centred on its middle pixel."""

    def describe(self) -> dict[str, object]:
        """The PSF in words and numbers, for the run's record."""


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise OpticsError(f"{name} must be a positive number, got {value!r}.")


@dataclass(frozen=True)
class GaussianPSF:
    """Gaussian PSF, the paper's model of diffraction.

    Args:
        fwhm_nm: full width at half maximum, nm. sigma = fwhm / 2.3548.
    """

    fwhm_nm: float

    def __post_init__(self) -> None:
        _check_positive(fwhm_nm=self.fwhm_nm)

    @property
    def sigma_nm(self) -> float:
        """Standard deviation, nm."""
        return self.fwhm_nm / FWHM_PER_SIGMA

    @property
    def reach_nm(self) -> float:
        """Three standard deviations: .3 % of the light of a line lies beyond."""
        return 3.0 * self.sigma_nm

    def kernel(self, pixel_nm: float) -> np.ndarray:
        """(2r+1, 2r+1) float64, the Gaussian integrated over each pixel; r covers ``reach_nm``."""
        radius = max(1, math.ceil(self.reach_nm / pixel_nm))
        profile = gaussian_integrals(np.arange(-radius, radius + 1) - 0.5, 1.0, 0.0, self.sigma_nm / pixel_nm)
        kernel = np.outer(profile, profile)
        return kernel / kernel.sum()

    def describe(self) -> dict[str, object]:
        """Model and width."""
        return {"model": "gaussian", "fwhm_nm": self.fwhm_nm}


@dataclass(frozen=True)
class AiryPSF:
    """Airy pattern of an aberration-free objective: h(r) = [2 J1(v) / v]^2, v = 2 pi NA r / wavelength.

    Args:
        na: numerical aperture.
        wavelength_nm: emission wavelength, nm.
        reach_rings: where the pattern is cut, in units of the first dark ring's radius.

    The rings die off slowly: beyond a radius of v lies J0(v)^2 + J1(v)^2, about 2 / (pi v), of the light, which is
    4.1 % for the 4 rings of the default, 2.1 % for 8 and 1.0 % for 16. That light, spread thinly over the field, is
    counted to the part that is kept (the kernel has unit sum). Each doubling halves it and doubles the margin around
    the field, whose light has to be estimated too.
    """

    na: float
    wavelength_nm: float
    reach_rings: float = 4.0

    def __post_init__(self) -> None:
        _check_positive(na=self.na, wavelength_nm=self.wavelength_nm, reach_rings=self.reach_rings)
        if self.na >= 1.8:
            raise OpticsError(f"na={self.na} is more than any objective has; is it the magnification?")

    @property
    def fwhm_nm(self) -> float:
        """0.5145 wavelength / NA."""
        return 0.514497 * self.wavelength_nm / self.na

    @property
    def reach_nm(self) -> float:
        """``reach_rings`` times 0.61 wavelength / NA."""
        return self.reach_rings * 0.609835 * self.wavelength_nm / self.na

    def __call__(self, radius_nm: np.ndarray) -> np.ndarray:
        """Relative intensity at a distance, 1 at the centre."""
        from scipy.special import j1

        v = 2.0 * np.pi * self.na * np.asarray(radius_nm, float) / self.wavelength_nm
        small = np.abs(v) < 1e-6
        v = np.where(small, 1.0, v)
        return np.where(small, 1.0, (2.0 * j1(v) / v) ** 2)

    def kernel(self, pixel_nm: float) -> np.ndarray:
        """(2r+1, 2r+1) float64, integrated over each pixel by Gauss-Legendre quadrature."""
        radius = max(1, math.ceil(self.reach_nm / pixel_nm))
        # Nodes per pixel follow the pattern: the Airy disk is smooth on the scale of wavelength / (8 NA).
        order = max(3, math.ceil(8.0 * self.na * pixel_nm / self.wavelength_nm) + 2)
        nodes, weights = np.polynomial.legendre.leggauss(order)
        centres = np.arange(-radius, radius + 1) * pixel_nm
        positions = (centres[:, None] + nodes * pixel_nm / 2.0).ravel()
        values = self(np.hypot(positions[:, None], positions[None, :]))
        side = 2 * radius + 1
        values = values.reshape(side, order, side, order)
        kernel = np.einsum("iajb,a,b->ij", values, weights, weights)
        return kernel / kernel.sum()

    def describe(self) -> dict[str, object]:
        """Model, aperture, wavelength and the width they give."""
        return {"model": "airy", "na": self.na, "wavelength_nm": self.wavelength_nm, "fwhm_nm": self.fwhm_nm}


@dataclass(frozen=True, eq=False)
class MeasuredPSF:
    """A PSF measured on a bead: its background is taken off, its centroid put in the middle, its sum made one.

    WARNS that what the bead's image holds stays in: the size of the bead, and the integration over the image's own
    pixels, which are integrated over again where the PSF is used. For a pixel p and a Gaussian of sigma that makes the
    PSF wider by sqrt(1 + p^2 / (12 sigma^2)): 2.5 % for a pixel of a third of the FWHM, 0.6 % for a sixth. Measure it
    on pixels as fine as can be had.

    Args:
        image: (h, w) intensities of one bead, on a square grid; on an even background or none.
        pixel_size_nm: size of that grid's pixel, nm; need not be the camera's.
        source: where it came from, for the record.

    Raises:
        OpticsError: no image of one bead: not finite, empty, negative, cut by the border, narrower than its pixels, or
            with more than one spot.
    """

    image: np.ndarray
    pixel_size_nm: float
    source: str = "array"

    def __post_init__(self) -> None:
        _check_positive(pixel_size_nm=self.pixel_size_nm)
        image = np.asarray(self.image, float)
        if image.ndim != 2 or min(image.shape) < 3:
            raise OpticsError(f"a measured PSF is one image of at least 3 x 3 pixels, got shape {image.shape}.")
        if not np.isfinite(image).all():
            raise OpticsError("the measured PSF contains NaN or infinite values.")
        rim = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
        image = image - np.median(rim)
        self._check_bead(image)
        image = np.clip(image, 0.0, None)
        # Noise at the rim must not pull the centroid: what is under 2 % of the peak is left out.
        image = np.where(image < 0.02 * image.max(), 0.0, image)
        object.__setattr__(self, "image", image / image.sum())
        if self.fwhm_nm < NARROWEST_BEAD_PX * self.pixel_size_nm:
            raise OpticsError(
                f"the measured PSF ({self.source}) is only {self.fwhm_nm / self.pixel_size_nm:.2g} of its pixels wide: "
                "is it a hot pixel? Give a bead whose FWHM is two pixels or more, and the pixel size that goes with it."
            )

    def _check_bead(self, image: np.ndarray) -> None:
        """Refuse what is not one whole bead; ``image`` is free of its background."""
        from scipy.ndimage import gaussian_filter, label, sum_labels

        where, peak = f"the measured PSF ({self.source})", float(image.max())
        if peak <= 0:
            raise OpticsError(f"{where} is empty once its rim is taken as background. Give the image of one bead.")
        if -float(image.min()) > MOST_NEGATIVE * peak:
            raise OpticsError(
                f"{where} lies further below its rim than above it: is it inverted, or filtered? Give the image as the "
                "camera took it."
            )
        smooth = gaussian_filter(image, 0.7, mode="nearest")
        y, x = (int(i) for i in np.unravel_index(smooth.argmax(), smooth.shape))
        if min(y, x, image.shape[0] - 1 - y, image.shape[1] - 1 - x) < 1:
            raise OpticsError(
                f"{where} has its peak on the border of its image (row {y}, column {x}): the bead is cut. Give an "
                "image with the whole bead and a rim of background."
            )
        labels, count = label(smooth > SPOT_LEVEL * smooth.max(), np.ones((3, 3), int))
        light = sum_labels(smooth, labels, np.arange(1, count + 1))
        spots = int((light > SPOT_SHARE * light.max()).sum())
        if spots > 1:
            raise OpticsError(f"{where} shows {spots} spots; give an image cut around one bead.")

    @cached_property
    def _centroid(self) -> tuple[float, float]:
        y, x = np.indices(self.image.shape)
        return float((y * self.image).sum()), float((x * self.image).sum())

    @cached_property
    def fwhm_nm(self) -> float:
        """Diameter of a disk as large as the part of the (fourfold interpolated) image above half its maximum, nm."""
        from scipy.ndimage import zoom

        fine = zoom(self.image, 4, order=3, mode="grid-constant", grid_mode=True)  # a fine pixel is a quarter exactly
        return 2.0 * math.sqrt(float((fine > fine.max() / 2).sum()) / math.pi) / 4.0 * self.pixel_size_nm

    @cached_property
    def reach_nm(self) -> float:
        """Radius that holds 99.7 % of the light, nm."""
        cy, cx = self._centroid
        y, x = np.indices(self.image.shape)
        radius = np.hypot(y - cy, x - cx).ravel()
        order = np.argsort(radius)
        inside = np.searchsorted(np.cumsum(self.image.ravel()[order]), 0.997)
        return float(radius[order][min(inside, radius.size - 1)] + 1.0) * self.pixel_size_nm

    def kernel(self, pixel_nm: float) -> np.ndarray:
        """(2r+1, 2r+1) float64, the image resampled about its centroid (linear; a sub-pixel grid integrates it)."""
        from scipy.ndimage import map_coordinates

        radius = max(1, math.ceil(self.reach_nm / pixel_nm))
        over = max(1, math.ceil(2.0 * pixel_nm / self.pixel_size_nm))
        side = 2 * radius + 1
        offsets = ((np.arange(side * over) + 0.5) / over - side / 2.0) * pixel_nm / self.pixel_size_nm
        cy, cx = self._centroid
        grid = np.meshgrid(offsets + cy, offsets + cx, indexing="ij")
        values = map_coordinates(self.image, grid, order=1, mode="constant")
        kernel = values.reshape(side, over, side, over).sum(axis=(1, 3))
        # Resampling moves the centroid by a few hundredths of a pixel: put it back, so that a point stays where it was.
        kernel = _centred(kernel)
        return kernel / kernel.sum()

    def describe(self) -> dict[str, object]:
        """Source, width and grid."""
        return {
            "model": "measured",
            "source": self.source,
            "sha256": hashlib.sha256(self.image.tobytes()).hexdigest(),
            "fwhm_nm": self.fwhm_nm,
            "pixel_size_nm": self.pixel_size_nm,
        }


def _centred(kernel: np.ndarray) -> np.ndarray:
    from scipy.ndimage import shift

    radius = kernel.shape[0] // 2
    axis = np.arange(-radius, radius + 1)
    for _ in range(3):
        total = kernel.sum()
        offset = (kernel.sum(1) @ axis / total, kernel.sum(0) @ axis / total)
        # Not "constant": it drops a whole border row for a shift of 1e-17.
        kernel = np.clip(shift(kernel, (-offset[0], -offset[1]), order=1, mode="grid-constant"), 0.0, None)
    return kernel


def gaussian_integrals(left: np.ndarray, width: float, centre: np.ndarray | float, sigma: float) -> np.ndarray:
    """Mass of a unit Gaussian on [left, left + width): Phi((left + width - centre)/sigma) - Phi((left - centre)/sigma).

    Args:
        left: left edges, any shape; ``centre`` broadcasts against it. All in one unit.
        width: length of the interval.
        centre: the Gaussian's mean.
        sigma: its standard deviation, > 0.

    Returns:
        Array of the broadcast shape, float64.
    """
    from scipy.special import ndtr

    left = np.asarray(left, float)
    return ndtr((left + width - centre) / sigma) - ndtr((left - centre) / sigma)
