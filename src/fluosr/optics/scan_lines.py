"""The Gaussian PSF line by line: blur, a shift of each line's own, and the sum over its camera pixels, batched.

The same integrals as :class:`fluosr.optics.operators.SeparableOperator`, of which this is one axis with another shift
in every line: no line is resampled, however far it lies from its place.
"""

from __future__ import annotations

import math

import torch

from fluosr.errors import OpticsError

REACH_SIGMAS = 5.0  # 6e-7 of a line's light lies beyond


def blur_lines(
    lines: torch.Tensor, factor: int, sigma_px: torch.Tensor, shift_px: torch.Tensor, *, reach_px: float
) -> torch.Tensor:
    """Light of each line on its pixels, from a Gaussian PSF around every fine pixel's centre:

        y_i = sum_j [Phi((i + 1 - c_j) / sigma) - Phi((i - c_j) / sigma)] x_j,    c_j = (j + 1/2) / factor + shift

    Beyond either end lies the line's mirror image, so that an even line stays even.

    Args:
        lines: (B, N, factor X) light per fine pixel.
        factor: fine pixels per pixel, along the line.
        sigma_px: (B, 1) or (B, N), > 0: the PSF's standard deviation, pixels.
        shift_px: (B, 1) or (B, N), pixels: a positive shift moves the light to larger x.
        reach_px: how far from a pixel light may come from: 5 of the largest sigma and the largest shift.

    Returns:
        (B, N, X) light per pixel.

    Raises:
        OpticsError: the line does not divide into pixels, or is shorter than the reach.
    """
    batch, count, length = lines.shape
    if length % factor:
        raise OpticsError(f"a line of {length} fine pixels does not divide into pixels of {factor}.")
    margin = math.ceil(reach_px) * factor
    if margin > length:
        raise OpticsError(
            f"the PSF with the shift of a line reaches {reach_px:.3g} pixels, and the image is {length // factor} "
            "pixels wide: take a larger image or a narrower PSF."
        )
    places = torch.arange(-margin, length + margin, device=lines.device)
    places = torch.where(places < 0, -1 - places, places)
    padded = lines[..., torch.where(places >= length, 2 * length - 1 - places, places)]
    taps = torch.arange(-margin, margin + factor, device=lines.device, dtype=lines.dtype)
    centres = (taps + 0.5) / factor + shift_px.unsqueeze(-1)
    sigma = sigma_px.unsqueeze(-1)
    weights = torch.special.ndtr((1.0 - centres) / sigma) - torch.special.ndtr(-centres / sigma)
    weights = weights.expand(batch, count, -1).reshape(batch * count, 1, -1)
    # One group a line: each has its own kernel.
    seen = torch.nn.functional.conv1d(
        padded.reshape(1, batch * count, -1), weights, stride=factor, groups=batch * count
    )
    return seen.reshape(batch, count, -1)


def reach_px(sigma_px: float, shift_px: float) -> float:
    """From how far away a pixel is lit, pixels: of a Gaussian and its largest shift."""
    return REACH_SIGMAS * sigma_px + abs(shift_px)
