"""The noise of synthetic pipelines: Gaussian, and scaled Poisson noise, with what the latter means in photons."""

from __future__ import annotations

import torch


def gaussian_noise(images: torch.Tensor, sigmas: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise of one standard deviation added to each image, clipped to [0, 1].

    Args:
        images: (B, Y, X), in [0, 1].
        sigmas: (B,), of the same unit.
        generator: of the noise; drawn on its device.

    Returns:
        (B, Y, X).
    """
    noise = torch.randn(images.shape, generator=generator, device=generator.device, dtype=images.dtype)
    return (images + sigmas.to(images)[:, None, None] * noise.to(images.device)).clamp(0, 1)


def poisson_noise(images: torch.Tensor, scales: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Real-ESRGAN's Poisson branch, x + scale (Poisson(v x) / v - x), clipped to [0, 1].

    v is the number of different grey values among 256 that the image has, rounded up to a power of two.

    What that is in photons: an image of which N photons were counted at full scale varies by x / N about x. Here the
    variance is scale^2 x / v, so that N = v / scale^2. An image of more than 128 grey values has v = 256, and with
    scale 3, the largest drawn, N = 256 / 9 = 28: never fewer photons at full scale than that, and 100,000 with scale
    .05. A video-rate confocal image has 1 to 20 where it is brightest: it lies outside what this branch can draw. (An
    image of few grey values gets fewer photons, down to N = 1 / scale^2 for a constant one: an accident of counting
    grey values, which does not make a dim image dim.)

    Args:
        images: (B, Y, X), in [0, 1]; rounded to 8 bits first.
        scales: (B,).
        generator: of the noise; drawn on its device.

    Returns:
        (B, Y, X).
    """
    levels = (images.clamp(0, 1) * 255).round()
    values = _values(levels).to(images)[:, None, None]
    mean = levels / 255
    counts = torch.poisson((mean * values).to(generator.device), generator=generator).to(images.device)
    noise = counts / values - mean
    return (images + scales.to(images)[:, None, None] * noise).clamp(0, 1)


def equivalent_photons(images: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """N = v / scale^2 of :func:`poisson_noise`: (B,), photons at full scale whose noise is as strong."""
    return _values((images.clamp(0, 1) * 255).round()).to(scales) / scales**2


def _values(levels: torch.Tensor) -> torch.Tensor:
    """v: (B,) int64, how many of the 256 levels each image has, rounded up to a power of two."""
    found = torch.tensor([len(torch.unique(level)) for level in levels])
    return 2 ** torch.ceil(torch.log2(found.double())).long()
