"""The camera: from photoelectrons to grey values (ADU) and back, and what it adds of its own."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fluosr.errors import UsageError

if TYPE_CHECKING:
    import torch

TYPICAL_READ_NOISE_E = 1.5  # rms of today's scientific CMOS cameras; used only where nothing is known


Image = TypeVar("Image", np.ndarray, "torch.Tensor")


@dataclass(frozen=True)
class Camera:
    """y = gain * N + offset + gain * read_noise * g, N photoelectrons, g a standard normal variable.

    Args:
        gain_adu_per_e: ADU per photoelectron (alpha of the paper's model 4).
        offset_adu: grey value without light, ADU.
        read_noise_e: Gaussian noise, electrons rms (sigma = gain * read_noise in the paper's ADU).
        certainty: for each value how it is known: "given", "estimated ...", "assumed ...".

    Raises:
        UsageError: gain not positive, read noise negative.
    """

    gain_adu_per_e: float = 1.0
    offset_adu: float = 0.0
    read_noise_e: float = 0.0
    certainty: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain_adu_per_e) and self.gain_adu_per_e > 0):
            raise UsageError(f"the gain must be positive (ADU per photoelectron), got {self.gain_adu_per_e}.")
        if not math.isfinite(self.offset_adu):
            raise UsageError(f"the offset must be a number (ADU), got {self.offset_adu}.")
        if not (math.isfinite(self.read_noise_e) and self.read_noise_e >= 0):
            raise UsageError(f"the read noise must not be negative (electrons rms), got {self.read_noise_e}.")

    def to_photons(self, adu: np.ndarray) -> np.ndarray:
        """(...) ADU -> (...) photoelectrons, float32."""
        scale = np.float32(1.0 / self.gain_adu_per_e)
        return (np.asarray(adu, np.float32) - np.float32(self.offset_adu)) * scale

    def to_adu(self, photons: np.ndarray) -> np.ndarray:
        """(...) photoelectrons -> (...) ADU, float32."""
        return np.asarray(photons, np.float32) * np.float32(self.gain_adu_per_e) + np.float32(self.offset_adu)

    def noise_variance(self, expected: Image) -> Image:
        """(...) expected photoelectrons -> (...) variance of a frame, electrons squared: max(phi, 0) + read_noise^2."""
        return expected.clip(0.0) + self.read_noise_e**2

    def expose(self, expected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Frames in ADU, (...) float32, for expected photoelectrons (...): Poisson count, read noise, gain, offset."""
        counts = generator.poisson(expected).astype(np.float32)
        noise = generator.standard_normal(counts.shape, dtype=np.float32) * np.float32(self.read_noise_e)
        return self.to_adu(counts + noise)

    def describe(self) -> dict[str, object]:
        """All values and how each is known."""
        return {**asdict(self), "certainty": dict(self.certainty)}
