"""The photomultiplier: counts, their multiplication with its excess noise, and whole grey values."""

from __future__ import annotations

import torch

LEAST_EXCESS = 1e-4  # of F^2 over 1, under which the multiplication is exact for single precision


def multiply(counts: torch.Tensor, excess_noise: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The charge of k photoelectrons in units of the mean gain:

        q ~ Gamma(shape k / (F^2 - 1), scale F^2 - 1),    E q = k,    Var q = (F^2 - 1) k

    so that for k ~ Poisson(m) the variance is F^2 m. No photon gives no charge.

    Args:
        counts: (B, Y, X) whole numbers of photoelectrons.
        excess_noise: F^2 >= 1, broadcasts against ``counts``; 1 multiplies exactly.
        generator: on the device of ``counts``.

    Returns:
        (B, Y, X).
    """
    scale = (excess_noise - 1.0).expand_as(counts)
    noisy = (scale > LEAST_EXCESS) & (counts > 0)
    shape = torch.where(noisy, counts / scale.clamp_min(LEAST_EXCESS), torch.ones_like(counts))
    charge = torch._standard_gamma(shape, generator=generator) * scale
    return torch.where(noisy, charge, counts)


def detect(
    expected_e: torch.Tensor,
    *,
    gain_adu_per_e: torch.Tensor,
    excess_noise: torch.Tensor,
    offset_adu: torch.Tensor,
    read_noise_adu: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """y = g q + offset + N(0, read noise), q the multiplied charge of Poisson counts.

    Mean g m + offset; variance g^2 F^2 m + read_noise^2.

    Args:
        expected_e: (B, Y, X) expected photoelectrons m >= 0, dark counts among them.
        gain_adu_per_e, excess_noise, offset_adu, read_noise_adu: broadcast against it.
        generator: on its device.

    Returns:
        (B, Y, X) ADU, neither clipped nor rounded.
    """
    charge = multiply(torch.poisson(expected_e, generator=generator), excess_noise, generator)
    noise = torch.randn(charge.shape, generator=generator, device=charge.device, dtype=charge.dtype)
    return gain_adu_per_e * charge + offset_adu + read_noise_adu * noise


def digitise(signal_adu: torch.Tensor, ceiling_adu: int) -> torch.Tensor:
    """Whole grey values from 0 to the ceiling, ADU."""
    return signal_adu.round().clamp(0.0, float(ceiling_adu))
