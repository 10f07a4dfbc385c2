"""Layers with an equalised learning rate (Karras et al., ICLR 2018, section 4.1): He's constant acts at every call."""

from __future__ import annotations

import math

import torch
from torch import nn

SLOPE = 0.2
ACTIVATION_GAIN = math.sqrt(2.0)  # what a leaky ReLU takes from the second moment, about


def leaky(features: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of slope 0.2, times the square root of 2."""
    return nn.functional.leaky_relu(features, SLOPE) * ACTIVATION_GAIN


class EqualisedLinear(nn.Module):
    """y = x (c W)' + m b, with W from N(0, 1) / m at first, c = m / sqrt(inputs).

    Adam moves every stored number by about its rate, however large the number is. Stored with He's spread, wide
    layers, whose weights are small, would change by a larger share of themselves than narrow ones; stored with the
    spread 1, and brought to He's by c at each call, all change by the same share, and learn at one speed. With m below
    1 the stored numbers are larger, and the same step is a share of them m times smaller.

    Args:
        generator: draws the initial weights.
        inputs, outputs: features.
        bias: what it adds at first.
        multiplier: m, of the learning rate.
    """

    def __init__(
        self, generator: torch.Generator, inputs: int, outputs: int, *, bias: float = 0.0, multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, generator=generator) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / multiplier))
        self.multiplier, self.scale = multiplier, multiplier / math.sqrt(inputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        return nn.functional.linear(features, self.weight * self.scale, self.bias * self.multiplier)


def equalised_kernel(generator: torch.Generator, inputs: int, outputs: int, side: int) -> tuple[nn.Parameter, float]:
    """W (outputs, inputs, k, k) from N(0, 1) to be stored, and c = 1 / sqrt(inputs k^2), which acts at every call."""
    weight = torch.randn(outputs, inputs, side, side, generator=generator)
    return nn.Parameter(weight), 1.0 / math.sqrt(inputs * side**2)


class EqualisedConv2d(nn.Module):
    """y = (c W) * x + b, W and c of :func:`equalised_kernel`; zeros around the border.

    Args:
        generator: draws the initial weights.
        inputs, outputs: channels.
        side: k, odd.
        bias: whether there is a b.
        down: by two afterwards; the kernel is then applied to an image that was smoothed by [1, 3, 3, 1].
    """

    def __init__(
        self,
        generator: torch.Generator,
        inputs: int,
        outputs: int,
        side: int,
        *,
        bias: bool = True,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.weight, self.scale = equalised_kernel(generator, inputs, outputs, side)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.side, self.down = side, down

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, inputs, Y, X) -> (N, outputs, Y, X), or half the sides."""
        weight, padding, stride = self.weight * self.scale, self.side // 2, 1
        if self.down:
            # Smoothed with as much border as the kernel takes, so that the sides come out halved; for k = 1 only the
            # pixels that stay need be smoothed.
            alone = self.side == 1
            images = smoothed(images, self.side // 2 + 1, stride=2 if alone else 1)
            padding, stride = 0, 1 if alone else 2
        return nn.functional.conv2d(images, weight, self.bias, stride=stride, padding=padding)


def smoothed(images: torch.Tensor, padding: int, *, stride: int = 1) -> torch.Tensor:
    """(N, C, Y, X) through [1, 3, 3, 1] x [1, 3, 3, 1] of sum 1, zeros around; grows by 2 padding - 3 pixels."""
    channels = images.shape[1]
    kernel = binomial(images).expand(channels, 1, 4, 4)
    return nn.functional.conv2d(images, kernel, padding=padding, stride=stride, groups=channels)


def binomial(like: torch.Tensor) -> torch.Tensor:
    """The kernel [1, 3, 3, 1] x [1, 3, 3, 1] of sum 1, (4, 4), of the same type and device."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device) / 8.0
    return line[:, None] * line
