"""A video-rate point-scanning confocal microscope in numbers, and ranges of such numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from fluosr.errors import UsageError
from fluosr.optics.psf import FWHM_PER_SIGMA

FACTORS = (1, 2, 4)
BITS = range(1, 25)  # float32 holds whole numbers up to 2^24
LONGEST_LAG_PX = 1000.0  # beyond it a line is an average of itself
LARGEST_EXCESS = 4.0  # F^2 of a photomultiplier is 1.2 to 1.5, of an avalanche diode 2 to 3

Range = tuple[float, float]


@dataclass(frozen=True)
class ScanningMicroscope:
    """What turns a sharp image into one frame of a point-scanning confocal microscope with a photomultiplier.

    Pixels without another word are those of the frame. Lines are scanned from left to right; in a bidirectional scan
    every other one, the return lines, from right to left.

    Args:
        pixel_size_nm: pixel of the frame in the sample, nm.
        fwhm_nm: full width at half maximum of the Gaussian PSF, nm.
        dose_photons: detected photons that a fine pixel of value 1 sends while a pixel is scanned.
        factor: s, fine pixels per pixel along each axis: 1, 2 or 4.
        background_photons: detected photons per pixel, everywhere.
        dark_e: dark counts per pixel.
        phase_px: d; the image lies d pixels too far right on even lines, d too far left on odd ones.
        jitter_px: standard deviation of each line's further shift, new in every line and frame, pixels.
        lag_px: time constant of the amplifier, in pixels scanned (0: none).
        gain_adu_per_e: ADU per detected photon.
        excess_noise: F^2 of the multiplication; 1 adds none.
        offset_adu: grey value without light, ADU.
        read_noise_adu: Gaussian noise before the amplifier's low-pass, ADU rms.
        bits: grey values are whole numbers from 0 to 2^bits - 1.
        bidirectional: whether there are return lines.
        even_lines_return: whether they are lines 0, 2, ... instead of 1, 3, ... (an image cut at an odd line).

    Raises:
        UsageError: a value that no microscope has.
    """

    pixel_size_nm: float
    fwhm_nm: float
    dose_photons: float = 1.0
    factor: int = 2
    background_photons: float = 0.0
    dark_e: float = 0.0
    phase_px: float = 0.0
    jitter_px: float = 0.0
    lag_px: float = 0.0
    gain_adu_per_e: float = 1.0
    excess_noise: float = 1.0
    offset_adu: float = 0.0
    read_noise_adu: float = 0.0
    bits: int = 12
    bidirectional: bool = True
    even_lines_return: bool = False

    def __post_init__(self) -> None:
        for name in ("pixel_size_nm", "fwhm_nm", "dose_photons", "gain_adu_per_e"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} of the microscope must be a positive number, got {value!r}.")
        for name in ("background_photons", "dark_e", "jitter_px", "lag_px", "read_noise_adu"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} of the microscope must not be negative, got {value!r}.")
        if self.lag_px > LONGEST_LAG_PX:
            raise UsageError(f"lag_px of the microscope is at most {LONGEST_LAG_PX:g} pixels, got {self.lag_px!r}.")
        for name in ("phase_px", "offset_adu"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} of the microscope must be a number, got {getattr(self, name)!r}.")
        if not 1.0 <= self.excess_noise <= LARGEST_EXCESS:
            raise UsageError(
                f"excess_noise (F^2) lies between 1 (none) and {LARGEST_EXCESS:g}, got {self.excess_noise!r}; "
                "photomultipliers have 1.2 to 1.5."
            )
        if self.factor not in FACTORS:
            raise UsageError(f"factor (fine pixels per pixel) is 1, 2 or 4, got {self.factor!r}.")
        if self.bits not in BITS:
            raise UsageError(f"bits is a whole number from {BITS[0]} to {BITS[-1]}, got {self.bits!r}.")
        if self.phase_px and not self.bidirectional:
            raise UsageError(
                f"phase_px is {self.phase_px:g} in a unidirectional scan: only lines scanned both ways are displaced "
                "against each other. Set phase_px to 0, or bidirectional to True."
            )

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the PSF, pixels of the frame."""
        return self.fwhm_nm / FWHM_PER_SIGMA / self.pixel_size_nm

    @property
    def return_parity(self) -> int | None:
        """Of the lines scanned backwards: 0 (even), 1 (odd), None where there are none."""
        if not self.bidirectional:
            return None
        return 0 if self.even_lines_return else 1

    @property
    def ceiling_adu(self) -> int:
        """The largest grey value, ADU."""
        return 2**self.bits - 1

    def describe(self) -> dict[str, Any]:
        """All values, by name."""
        return asdict(self)


KNOWN = ("pixel_size_nm", "factor", "bits", "bidirectional", "even_lines_return")
CONTINUOUS = tuple(field.name for field in fields(ScanningMicroscope) if field.name not in KNOWN)


@dataclass(frozen=True)
class ScanningRanges:
    """A microscope of which each number is known to lie in a range (low, high); see :class:`ScanningMicroscope`.

    Args:
        gain_times_excess_adu_per_e: range of g F^2, which is what variance and mean of frames tell; the gain follows
            with F^2.
        pixel_size_nm, factor, bits, bidirectional, even_lines_return: known exactly.

    The others are ranges of the microscope's numbers of that name.

    Raises:
        UsageError: a range whose low end lies above its high end, or with an end that no microscope has.
    """

    pixel_size_nm: float
    fwhm_nm: Range
    dose_photons: Range
    factor: int = 2
    background_photons: Range = (0.0, 0.0)
    dark_e: Range = (0.0, 0.0)
    phase_px: Range = (0.0, 0.0)
    jitter_px: Range = (0.0, 0.0)
    lag_px: Range = (0.0, 0.0)
    gain_times_excess_adu_per_e: Range = (1.0, 1.0)
    excess_noise: Range = (1.0, 1.0)
    offset_adu: Range = (0.0, 0.0)
    read_noise_adu: Range = (0.0, 0.0)
    bits: int = 12
    bidirectional: bool = True
    even_lines_return: bool = False

    def __post_init__(self) -> None:
        for name, value in self.items():
            if len(value) != 2 or not value[0] <= value[1]:
                raise UsageError(f"{name}: a range is (low, high) with low no larger than high, got {value!r}.")
        for which in (0, 1):
            self.corner(which)

    def items(self) -> list[tuple[str, Range]]:
        """(name, range) of what is drawn."""
        return [(part.name, getattr(self, part.name)) for part in fields(self) if part.name not in KNOWN]

    def corner(self, which: int) -> ScanningMicroscope:
        """The microscope of all low (0) or of all high (1) ends.

        Raises:
            UsageError: no microscope is so.
        """
        ends: dict[str, Any] = {name: value[which] for name, value in self.items()}
        product = ends.pop("gain_times_excess_adu_per_e")
        # An F^2 below 1 is refused there; the division must get that far.
        ends["gain_adu_per_e"] = product / ends["excess_noise"] if ends["excess_noise"] > 0 else product
        known: dict[str, Any] = {name: getattr(self, name) for name in KNOWN}
        return ScanningMicroscope(**known, **ends)

    def draw(self, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """(count,) float32 of every number of ``CONTINUOUS``, on the generator's device.

        Uniform in each range, the dose uniform in its logarithm: twice the light and half of it are as likely.
        """
        drawn = {}
        for name, (low, high) in self.items():
            share = torch.rand(count, generator=generator, device=generator.device)
            if name == "dose_photons":
                drawn[name] = low * (high / low) ** share
            else:
                drawn[name] = low + (high - low) * share
        drawn["gain_adu_per_e"] = drawn.pop("gain_times_excess_adu_per_e") / drawn["excess_noise"]
        return drawn

    def describe(self) -> dict[str, Any]:
        """All ranges, by name."""
        return asdict(self)
