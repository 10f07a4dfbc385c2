"""From sharp images to frames of a video-rate confocal microscope: the degradation that the physics calls for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch

from fluosr.degradations.detector import detect, digitise
from fluosr.degradations.microscope import CONTINUOUS, ScanningMicroscope, ScanningRanges
from fluosr.degradations.scan import LARGEST_JITTER, lag_lines, line_shifts
from fluosr.errors import UsageError
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.optics.scan_lines import blur_lines, reach_px

Parameters = dict[str, torch.Tensor]  # (B,) of every name in CONTINUOUS


class Confocal(ABC):
    """Degrades batches of sharp images; each image with a microscope of its own.

        rate = dose PSF * HR summed over s x s fine pixels, every line shifted, + background
        k ~ Poisson(rate + dark);  y = lag[g Gamma(k / (F^2 - 1), F^2 - 1) + offset + N(0, read noise)]

    clipped and rounded to ``bits``. Beyond the borders lies the mirror image of the field.
    """

    _low: ScanningMicroscope
    _high: ScanningMicroscope

    @abstractmethod
    def parameters(self, count: int, generator: torch.Generator | None, device: torch.device) -> Parameters:
        """(count,) float32 of every number of the microscope, for one image each."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The microscope, or its ranges, for the record."""

    @property
    def factor(self) -> int:
        """s: fine pixels per pixel along each axis."""
        return self._low.factor

    def degrade(
        self, sharp: torch.Tensor, generator: torch.Generator, parameters: Parameters | None = None
    ) -> torch.Tensor:
        """One noisy frame of each image.

        Args:
            sharp: (B, s Y, s X) HR images, not negative; a fine pixel of value 1 sends ``dose_photons``.
            generator: of every draw, on the device of ``sharp``.
            parameters: what :meth:`parameters` gave, to take several frames with the same microscopes.

        Returns:
            (B, Y, X) float32, ADU: whole numbers from 0 to 2^bits - 1.

        Raises:
            UsageError: images of another form, or with values that no light has.
            OpticsError: an image that the PSF does not fit.
        """
        fine = self._checked(sharp)
        chosen = self.parameters(len(fine), generator, fine.device) if parameters is None else parameters
        shifts = self._shifts(fine, chosen, chosen["jitter_px"], generator)
        sigma = (chosen["fwhm_nm"] / FWHM_PER_SIGMA / self._low.pixel_size_nm).unsqueeze(-1)
        columns = {name: value[:, None, None] for name, value in chosen.items()}
        signal = detect(
            self._rate(fine, columns, sigma, sigma, shifts),
            gain_adu_per_e=columns["gain_adu_per_e"],
            excess_noise=columns["excess_noise"],
            offset_adu=columns["offset_adu"],
            read_noise_adu=columns["read_noise_adu"],
            generator=generator,
        )
        return digitise(self._lagged(signal, chosen), self._low.ceiling_adu)

    def mean(self, sharp: torch.Tensor, parameters: Parameters | None = None) -> torch.Tensor:
        """The expected frame, (B, Y, X) float32 ADU, before clipping and rounding; :meth:`degrade` has the arguments.

        Over jitter the mean is exact: normal shifts widen the Gaussian along the line to sqrt(sigma^2 + jitter^2).
        """
        fine = self._checked(sharp)
        chosen = self.parameters(len(fine), None, fine.device) if parameters is None else parameters
        shifts = self._shifts(fine, chosen, None, None)
        sigma = (chosen["fwhm_nm"] / FWHM_PER_SIGMA / self._low.pixel_size_nm).unsqueeze(-1)
        wider = torch.hypot(sigma, chosen["jitter_px"].unsqueeze(-1))
        columns = {name: value[:, None, None] for name, value in chosen.items()}
        rate = self._rate(fine, columns, sigma, wider, shifts)
        return self._lagged(columns["gain_adu_per_e"] * rate + columns["offset_adu"], chosen)

    def _rate(
        self,
        fine: torch.Tensor,
        columns: Parameters,
        across: torch.Tensor,
        along: torch.Tensor,
        shifts: torch.Tensor,
    ) -> torch.Tensor:
        """(B, Y, X) expected photoelectrons, with PSFs of these widths across and along the lines."""
        widest = max(self._low.sigma_px, self._high.sigma_px)
        jitter = self._high.jitter_px
        still = torch.zeros_like(across)
        reach = reach_px(widest, 0.0)
        image = blur_lines(fine.transpose(1, 2), self.factor, across, still, reach_px=reach).transpose(1, 2)
        phase = max(abs(self._low.phase_px), abs(self._high.phase_px))
        reach = reach_px(widest, phase + LARGEST_JITTER * jitter)
        image = blur_lines(image, self.factor, along, shifts, reach_px=reach)
        # What rounding leaves below zero no Poisson takes.
        light = columns["dose_photons"] * image.clamp_min(0.0)
        return light + columns["background_photons"] + columns["dark_e"]

    def _shifts(
        self,
        fine: torch.Tensor,
        chosen: Parameters,
        jitter: torch.Tensor | None,
        generator: torch.Generator | None,
    ) -> torch.Tensor:
        return line_shifts(fine.shape[1] // self.factor, chosen["phase_px"], jitter, generator)

    def _lagged(self, signal: torch.Tensor, chosen: Parameters) -> torch.Tensor:
        longest = self._high.lag_px
        return lag_lines(signal, chosen["lag_px"], longest_px=longest, return_parity=self._low.return_parity)

    def _checked(self, sharp: torch.Tensor) -> torch.Tensor:
        if sharp.ndim != 3 or any(side % self.factor for side in sharp.shape[1:]):
            raise UsageError(
                f"sharp images are (B, {self.factor} Y, {self.factor} X), got {tuple(sharp.shape)}: cut their sides "
                f"to multiples of {self.factor}."
            )
        fine = sharp.to(torch.float32)
        if not bool(torch.isfinite(fine).all()) or bool((fine < 0).any()):
            raise UsageError(
                "the sharp images hold negative values, NaN or infinity, which no light has: subtract no more than "
                "their offset, and replace such values."
            )
        return fine


class VideoRateConfocal(Confocal):
    """One microscope for all images.

    Args:
        microscope: its numbers.
    """

    def __init__(self, microscope: ScanningMicroscope) -> None:
        self.microscope = self._low = self._high = microscope

    def parameters(self, count: int, generator: torch.Generator | None, device: torch.device) -> Parameters:
        """(count,) of every number, all the same; nothing is drawn."""
        return {name: torch.full((count,), float(getattr(self.microscope, name)), device=device) for name in CONTINUOUS}

    def describe(self) -> dict[str, Any]:
        """The microscope's numbers."""
        return self.microscope.describe()


class RandomisedConfocal(Confocal):
    """A microscope drawn anew for every image, within what a calibration leaves open: for training.

    Args:
        ranges: in which each number lies.
    """

    def __init__(self, ranges: ScanningRanges) -> None:
        self.ranges = ranges
        self._low, self._high = ranges.corner(0), ranges.corner(1)

    def parameters(self, count: int, generator: torch.Generator | None, device: torch.device) -> Parameters:
        """(count,) of every number, drawn within its range.

        Raises:
            UsageError: no generator.
        """
        if generator is None:
            raise UsageError("the mean of drawn microscopes needs them: give the parameters that were drawn.")
        return {name: value.to(device) for name, value in self.ranges.draw(count, generator).items()}

    def describe(self) -> dict[str, Any]:
        """The ranges."""
        return self.ranges.describe()
