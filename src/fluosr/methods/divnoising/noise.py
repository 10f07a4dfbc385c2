"""-log p(x | s): how unlikely a frame is, if its light was s."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# A count has no Gaussian distribution where less than a photon comes: variances are not believed under this, e^2.
LEAST_VARIANCE_E2 = 0.25


@dataclass(frozen=True)
class CameraNoise:
    """Photon and read noise, the project's camera as a Gaussian whose variance is the predicted signal's.

        x ~ N(s, v(s)),   v(s) = max(max(scale s, 0) + scale^2 read_noise^2, floor).

    Args:
        read_noise_e: electrons rms.
    """

    read_noise_e: float

    def variance(self, signal: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Of each pixel, electrons squared; the shape of ``signal``.

        Args:
            signal: (B, Y, X) photoelectrons.
            scale: (B, 1, 1) what each frame was multiplied with: its noise is no longer that of a count.
        """
        photon = scale * signal.clamp_min(0.0) + (scale * self.read_noise_e) ** 2
        return torch.maximum(photon, scale**2 * LEAST_VARIANCE_E2)


@dataclass(frozen=True)
class EvenNoise:
    """One Gaussian for all pixels, x ~ N(s, noise^2): the published form without a noise model.

    Args:
        noise_e: electrons rms.
    """

    noise_e: float

    def variance(self, signal: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """As :meth:`CameraNoise.variance`, whatever the signal."""
        return torch.full_like(signal, self.noise_e**2) * scale**2


Noise = CameraNoise | EvenNoise


def negative_log_likelihood(
    frames: torch.Tensor, signal: torch.Tensor, scale: torch.Tensor, noise: Noise
) -> torch.Tensor:
    """-log p(x | s), nats, pixel by pixel:

        (x - s)^2 / (2 v) + log(2 pi v) / 2.

    v depends on s, so the logarithm pulls as well: without it the brightest signal would explain every frame best. The
    two together are least, in the mean over frames, where s is their mean and v their variance.

    Args:
        frames, signal: (B, Y, X) photoelectrons.
        scale: (B, 1, 1), see :meth:`CameraNoise.variance`.
        noise: the camera's, or an even one.
    """
    variance = noise.variance(signal, scale)
    return (frames - signal) ** 2 / (2.0 * variance) + 0.5 * torch.log(2.0 * math.pi * variance)
