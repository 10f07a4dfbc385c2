"""What scanning does to a frame: lines displaced against each other, and an amplifier that lags behind the beam."""

from __future__ import annotations

import math

import torch

LARGEST_JITTER = 4.0  # standard deviations; a line further off would reach beyond the kernel
LAG_TAIL = 1e-6  # of the light that the cut response may leave out


def line_shifts(
    n_lines: int, phase_px: torch.Tensor, jitter_px: torch.Tensor | None, generator: torch.Generator | None
) -> torch.Tensor:
    """Shift of every line: +d on even lines, -d on odd ones, and a normal draw of each line's own.

    Args:
        n_lines: Y.
        phase_px: (B,) d, pixels.
        jitter_px: (B,) standard deviations, pixels; None for none.
        generator: of the jitter, on the device of ``phase_px``.

    Returns:
        (B, Y) pixels.
    """
    sign = 1.0 - 2.0 * (torch.arange(n_lines, device=phase_px.device) % 2)
    shifts = phase_px.unsqueeze(-1) * sign.to(phase_px.dtype)
    if jitter_px is None:
        return shifts
    drawn = torch.randn(shifts.shape, generator=generator, device=shifts.device, dtype=shifts.dtype)
    return shifts + jitter_px.unsqueeze(-1) * drawn.clamp(-LARGEST_JITTER, LARGEST_JITTER)


def lag_memory(lag_px: torch.Tensor) -> torch.Tensor:
    """r = exp(-1 / tau), what a pixel keeps of the one scanned before it; 0 for tau = 0."""
    return torch.where(lag_px > 0, torch.exp(-1.0 / lag_px.clamp_min(1e-3)), torch.zeros_like(lag_px))


def lag_lines(
    lines: torch.Tensor, lag_px: torch.Tensor, *, longest_px: float, return_parity: int | None
) -> torch.Tensor:
    """The amplifier's first-order low-pass along the scan:

        y_n = r y_{n-1} + (1 - r) x_n,    r = exp(-1 / tau)

    backwards on the return lines of a bidirectional scan. What came before a line is taken to be like its first pixel.

    Args:
        lines: (B, Y, X), ADU.
        lag_px: (B,) tau, pixels.
        longest_px: the largest tau that may occur.
        return_parity: of the lines scanned backwards: 0 (even), 1 (odd), None where there are none.

    Returns:
        (B, Y, X), ADU: the same light, a little later.
    """
    if longest_px <= 0:
        return lines
    taps = max(1, math.ceil(-math.log(LAG_TAIL) * longest_px))
    batch, count, width = lines.shape
    powers = torch.arange(taps, -1, -1, device=lines.device, dtype=lines.dtype)
    memory = lag_memory(lag_px).to(lines.dtype).unsqueeze(-1)
    response = memory**powers  # 0^0 = 1: without lag a pixel is itself
    response = response / response.sum(-1, keepdim=True)
    in_order = along_scan(lines, return_parity=return_parity)
    padded = torch.cat([in_order[..., :1].expand(-1, -1, taps), in_order], -1)
    # Images side by side as groups, lines as the batch: one response an image.
    lagged = torch.nn.functional.conv1d(padded.transpose(0, 1), response.unsqueeze(1), groups=batch)
    return along_scan(lagged.transpose(0, 1).reshape(batch, count, width), return_parity=return_parity)


def along_scan(lines: torch.Tensor, *, return_parity: int | None) -> torch.Tensor:
    """(..., Y, X) with each line in the order it is scanned; applied twice, the lines as they were."""
    if return_parity is None:
        return lines
    turned = lines.clone()
    turned[..., return_parity::2, :] = lines[..., return_parity::2, :].flip(-1)
    return turned
