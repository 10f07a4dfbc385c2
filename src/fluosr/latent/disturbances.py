"""What is laid over coarse images to see how robust a search is (section 4.3); never a part of the search itself."""

from __future__ import annotations

import math

import torch

from fluosr.errors import UsageError


def with_gaussian_noise(images: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Noise of a standard deviation ``sigma``, of the unit of the images (N, C, Y, X)."""
    return images + sigma * torch.randn(images.shape, generator=generator, dtype=images.dtype)


def with_salt_and_pepper(
    images: torch.Tensor, share: float, dark: float, bright: float, generator: torch.Generator
) -> torch.Tensor:
    """A share of the pixels of (N, C, Y, X) dark or bright, half of them each; channels are hit independently.

    Raises:
        UsageError: no share.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share: {share} of the pixels cannot be; give 0 to 1.")
    draw = torch.rand(images.shape, generator=generator, dtype=images.dtype)
    salted = torch.where(draw < share / 2, images.new_full((), bright), images)
    return torch.where(draw > 1 - share / 2, images.new_full((), dark), salted)


def with_blur(images: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Convolved with a Gaussian; beyond the border the last rows and columns go on.

    Raises:
        UsageError: a width that is none.
    """
    if not 0 < sigma_px < math.inf:
        raise UsageError(f"sigma_px: {sigma_px} is no width.")
    half = math.ceil(4 * sigma_px)
    places = torch.arange(-half, half + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (places / sigma_px) ** 2)
    kernel /= kernel.sum()
    folded = torch.nn.functional.pad(images.flatten(0, 1)[:, None], (half,) * 4, mode="replicate")
    rows = torch.nn.functional.conv2d(folded, kernel[None, None, :, None])
    return torch.nn.functional.conv2d(rows, kernel[None, None, None, :])[:, 0].unflatten(0, images.shape[:2])
