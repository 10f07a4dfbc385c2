"""What generator and discriminator are after: the logistic loss, R1, path lengths, and how seldom they are asked."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import softplus


def generator_loss(fake: torch.Tensor) -> torch.Tensor:
    """-log sigmoid of the logits of made images: the non-saturating loss (Goodfellow et al., NeurIPS 27, 2014)."""
    return softplus(-fake).mean()


def discriminator_loss(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """-log sigmoid(real) - log(1 - sigmoid(fake)), of logits."""
    return softplus(fake).mean() + softplus(-real).mean()


def squared_slope(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean over images of |dD / dimage|^2; R1 is gamma / 2 times it (Mescheder et al., ICML 2018, eq. 9).

    Args:
        logits: (N,), of the images.
        images: (N, C, R, R), which require gradients.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def path_lengths(images: torch.Tensor, ws: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """sqrt(mean over layers of |J' y|^2), (N,): how far images move along y for a step of w.

    Args:
        images: (N, C, R, R), made from ws.
        ws: (N, L, d), which require gradients.
        direction: y, of the images' shape; normal draws over the root of the number of pixels.

    Source:
        T. Karras et al., CVPR (2020), section 3.2, eq. 4.
    """
    (slope,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    return slope.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Mean squared deviation of the lengths (N,) from their running mean."""
    return (lengths - mean).square().mean()


def lazy_adam(rate: float, betas: tuple[float, float], interval: int | None) -> tuple[float, tuple[float, float]]:
    """Rate and betas of an optimiser that steps i + 1 times where it would step i times.

        c = i / (i + 1):  rate c,  beta^c

    Args:
        rate, betas: as if there were no regularisation.
        interval: i, steps of the loss from one step of the regularisation to the next; None where there is none.

    Source:
        T. Karras et al., CVPR (2020), appendix B, "Lazy regularization".
    """
    c = 1.0 if interval is None else interval / (interval + 1)
    return rate * c, (betas[0] ** c, betas[1] ** c)


def average_decay(batch: int, seen: int, half_life: float, ramp: float) -> float:
    """What is kept of the average weights at a step: 0.5^(batch / images), images = min(half-life, ramp x seen).

    Args:
        batch: images of the step.
        seen: real images seen so far, this step's among them.
        half_life: images.
        ramp: share of what was seen that the half-life may have; 0 for no limit.
    """
    images = min(half_life, ramp * seen) if ramp else half_life
    return math.pow(0.5, batch / images) if images > 0 else 0.0
