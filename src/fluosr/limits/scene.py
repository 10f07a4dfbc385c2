"""What the limit is asked for: an experiment, and a pair of lines or points in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fluosr.errors import OpticsError, UsageError
from fluosr.limits.response import pixel_response
from fluosr.optics.psf import GaussianPSF, PointSpreadFunction

MOST_PIXELS = 1200  # of a window: the time grows with their third power
REACH_FWHM = 1.25  # light beyond the pair that the window holds, 2.9 standard deviations of a Gaussian
NODES_PER_SIGMA = 1.5
LARGEST = 1e9


@dataclass(frozen=True)
class Experiment:
    """A microscope, a camera and a movie.

    Args:
        psf: a Gaussian or an Airy pattern.
        pixel_size_nm: camera pixel, nm.
        photons: brightest expected photons per camera pixel and frame of the pair alone, where a pixel's middle lies on
            its brightest place.
        frames: T, how many.
        fano_factor: kappa, variance over mean of the emission; 0 for steady emitters.
        read_noise_e: electrons rms.
        background_fraction: even background, relative to ``photons``.

    Raises:
        UsageError: a number that cannot be.
        OpticsError: a PSF narrower than the pixel.
    """

    psf: PointSpreadFunction = GaussianPSF(324.0)
    pixel_size_nm: float = 100.0
    photons: float = 30.0
    frames: int = 500
    fano_factor: float = 1.0
    read_noise_e: float = 0.5
    background_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name, words in (("pixel_size_nm", "the pixel size (nm)"), ("photons", "the photons of the peak")):
            if not 0 < getattr(self, name) <= LARGEST:
                raise UsageError(
                    f"{words} must be positive and not above {LARGEST:g}, got {getattr(self, name):g}: a limit cannot "
                    "be computed."
                )
        for name, words in (
            ("fano_factor", "the Fano factor is variance over mean and"),
            ("read_noise_e", "the read noise (electrons rms)"),
            ("background_fraction", "the background (fraction of the peak)"),
        ):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST:
                raise UsageError(f"{words} must not be negative nor above {LARGEST:g}, got {value:g}.")
        if self.frames < 2:
            raise UsageError(f"a covariance needs at least 2 frames, got {self.frames}; some hundreds are good.")
        if self.frames > LARGEST:
            raise UsageError(f"a limit is computed for at most {LARGEST:g} frames, got {self.frames}.")
        if self.psf.fwhm_nm < self.pixel_size_nm:
            raise OpticsError(
                f"the PSF's FWHM ({self.psf.fwhm_nm:.4g} nm) is smaller than the pixel ({self.pixel_size_nm:.4g} nm); "
                "both are in nanometres."
            )

    @property
    def background_photons(self) -> float:
        """Photons per camera pixel and frame."""
        return self.background_fraction * self.photons


@dataclass(frozen=True)
class Pair:
    """Two equal parallel lines, or two equal points.

    Args:
        shape: "lines" or "points".
        length_nm: of the lines.
        width_nm: of the lines.
        angle_deg: tilt of the lines, counter-clockwise, 0 for upright; points then lie along x.

    Raises:
        UsageError: another shape, or a length that cannot be.
    """

    shape: Literal["lines", "points"] = "lines"
    length_nm: float = 800.0
    width_nm: float = 20.0
    angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in ("lines", "points"):
            raise UsageError(f"a limit is known for lines and for points, not for {self.shape!r}.")
        if not 0 < self.length_nm <= LARGEST or not 0 <= self.width_nm <= LARGEST:
            raise UsageError(
                f"lines have a length above 0 and a width of 0 or more, none above {LARGEST:g} nm, got "
                f"{self.length_nm:g} and {self.width_nm:g} nm."
            )
        if not abs(self.angle_deg) < 90:
            raise UsageError(f"lines tilt by less than 90 degrees, got {self.angle_deg:g}.")

    @property
    def normal(self) -> np.ndarray:
        """(y, x) unit vector across the lines, from one point to the other."""
        angle = math.radians(self.angle_deg)
        return np.array([-math.sin(angle), math.cos(angle)])

    @property
    def direction(self) -> np.ndarray:
        """(y, x) unit vector along the lines."""
        angle = math.radians(self.angle_deg)
        return np.array([math.cos(angle), math.sin(angle)])

    def nodes(self, sigma_nm: float) -> tuple[np.ndarray, np.ndarray]:
        """Places that stand for an even line: Gauss-Legendre nodes along and across, dense enough for the PSF.

        Returns:
            (n, 2) places along and across, nm from the line's middle; (n,) share of the light, of sum 1.
        """
        if self.shape == "points":
            return np.zeros((1, 2)), np.ones(1)
        along, share_along = _quadrature(self.length_nm, sigma_nm)
        across, share_across = _quadrature(self.width_nm, sigma_nm)
        grid = np.stack(np.meshgrid(along, across, indexing="ij"), -1)
        return grid.reshape(-1, 2), np.outer(share_along, share_across).ravel()

    def window(self, experiment: Experiment, widest_nm: float) -> tuple[int, int]:
        """(Y, X) camera pixels that hold the pair up to this separation with the light around it.

        Raises:
            UsageError: more pixels than are computed with.
        """
        long, wide = (0.0, 0.0) if self.shape == "points" else (self.length_nm, self.width_nm)
        extent = np.abs(np.outer(self.direction, [long]) / 2).sum(1) + np.abs(self.normal) * (widest_nm + wide) / 2
        half = extent + REACH_FWHM * experiment.psf.fwhm_nm
        sides = [min(float(2 * h / experiment.pixel_size_nm), LARGEST) for h in half]
        height, width = (math.ceil(side - 1e-9) for side in sides)
        if height * width > MOST_PIXELS:
            raise UsageError(
                f"the pair and the PSF around it fill {height} x {width} pixels, and at most {MOST_PIXELS} are "
                "computed with: take shorter lines (the bound falls with the square root of their length), smaller "
                "separations or larger pixels; or check the units of PSF and pixel, both nanometres."
            )
        return height, width

    def brightness(self, experiment: Experiment, separation_nm: float) -> float:
        """Photons per frame of each line (point) that give the experiment's peak at this separation."""
        places, share = self.nodes(sigma_nm(experiment.psf))
        line = places[:, :1] * self.direction + places[:, 1:] * self.normal
        peaks = []
        for place in np.linspace(0.0, separation_nm / 2, 9):  # the pair is symmetric
            light = [
                pixel_response(experiment.psf, (1, 1), experiment.pixel_size_nm, line + (offset - place) * self.normal)[
                    0
                ]
                for offset in (-separation_nm / 2, separation_nm / 2)
            ]
            peaks.append(float((light[0] @ share + light[1] @ share)[0]))
        return experiment.photons / max(peaks)


def sigma_nm(psf: PointSpreadFunction) -> float:
    """Standard deviation of the Gaussian of the PSF's width, nm."""
    return GaussianPSF(psf.fwhm_nm).sigma_nm


def _quadrature(length: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on [-length / 2, length / 2] and their shares."""
    if length == 0:
        return np.zeros(1), np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(3 + math.ceil(NODES_PER_SIGMA * length / sigma))
    return nodes * length / 2, weights / 2
