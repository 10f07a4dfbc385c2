"""Random numbers for a batch: each image its own, all from one torch generator and on its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def uniform(count: int, low_high: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """(count,) float64, each value between low and high as likely as any."""
    low, high = low_high
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def happens(count: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    """(count,) bool, true with this probability."""
    return uniform(count, (0.0, 1.0), generator) < probability


def chosen(count: int, probabilities: Sequence[float], generator: torch.Generator) -> torch.Tensor:
    """(count,) int64, the number k with the k-th probability, which sum to 1."""
    weights = torch.tensor(probabilities, dtype=torch.float64, device=generator.device)
    return torch.multinomial(weights, count, replacement=True, generator=generator)
