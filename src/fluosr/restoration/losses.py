"""What restored images are judged by while a network learns: absolute error, a discriminator, features of another."""

from __future__ import annotations

import torch
from torch.nn import functional


def absolute_error(restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean |restored - truth|."""
    return (restored - truth).abs().mean()


def restorer_loss(fake: torch.Tensor, real: torch.Tensor, *, relativistic: bool) -> torch.Tensor:
    """What the restorer is to make small: binary cross-entropy of its images being taken for real.

    Relativistic (Jolicoeur-Martineau 2019, the averaged form that ESRGAN has): of being more real than the real ones
    are on average, and these less real than they.

    Args:
        fake, real: logits of the discriminator, any shape; ``real`` matters only where relativistic.
    """
    if not relativistic:
        return _cross_entropy(fake, 1.0)
    real = real.detach()
    return 0.5 * (_cross_entropy(real - fake.mean(), 0.0) + _cross_entropy(fake - real.mean(), 1.0))


def discriminator_loss(fake: torch.Tensor, real: torch.Tensor, *, relativistic: bool) -> torch.Tensor:
    """What the discriminator is to make small; see :func:`restorer_loss`. The sum over real and restored images."""
    if not relativistic:
        return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)
    return 0.5 * (_cross_entropy(real - fake.mean(), 1.0) + _cross_entropy(fake - real.mean(), 0.0))


def _cross_entropy(logits: torch.Tensor, label: float) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
