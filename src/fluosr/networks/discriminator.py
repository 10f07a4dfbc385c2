"""FluoGAN's discriminator (paper, section 4.3, Fig. 3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from fluosr.errors import OpticsError

SMALLEST_FIELD = 8


def check_field(field_shape: tuple[int, int]) -> None:
    """Refuse a field of camera pixels that the discriminator cannot judge.

    Raises:
        OpticsError: a field under 8 pixels leaves nothing after three poolings.
    """
    if min(field_shape) < SMALLEST_FIELD:
        raise OpticsError(
            f"the discriminator needs a field of at least {SMALLEST_FIELD} x {SMALLEST_FIELD} pixels, "
            f"got {field_shape[0]} x {field_shape[1]}; use --no-discriminator or a larger --crop."
        )


class Discriminator(nn.Module):
    """Three 5 x 5 convolutions (32, 64, 128 channels), each with 2 x 2 max pooling and LeakyReLU; 10 features; sigmoid.

    Differs from the paper in padding the convolutions, so that fields of 8 pixels and up can be judged.

    Args:
        field_shape: (Y, X), camera pixels.
        generator: draws the initial weights.

    Raises:
        OpticsError: as :func:`check_field`.
    """

    def __init__(self, field_shape: tuple[int, int], generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_field(field_shape)
        channels = (1, 32, 64, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.MaxPool2d(2), nn.LeakyReLU(0.2)]
        size = channels[-1] * (field_shape[0] // 8) * (field_shape[1] // 8)
        layers += [nn.Flatten(), nn.Linear(size, 10), nn.LeakyReLU(0.2), nn.Linear(10, 1), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)
        if generator is not None:
            self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else parameter.numel()
            bound = fan_in**-0.5 if parameter.dim() > 1 else 0.0
            with torch.no_grad():
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, Y, X) normalised frames -> (B,) in (0, 1), towards 1 for real ones."""
        score: torch.Tensor = self.layers(frames.unsqueeze(1)).squeeze(1)
        return score


def gradient_penalty(discriminator: nn.Module, mixed: torch.Tensor) -> torch.Tensor:
    """Mean over frames of (|grad_y D(y)| - 1)^2 (paper, eq. 15; Gulrajani et al. 2017), differentiable in D's weights.

    Args:
        discriminator: maps (B, Y, X) to (B,).
        mixed: (B, Y, X) frames between real and simulated ones.
    """
    mixed = mixed.detach().requires_grad_(True)
    # create_graph: without it the penalty is a constant and never moves D.
    (slope,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
