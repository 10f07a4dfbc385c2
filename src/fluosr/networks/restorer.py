"""What every restoration network is: an image in, one of 1, 2 or 4 times its sides out, and how it may be cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from fluosr.errors import UsageError

SCALES = (1, 2, 4)

Network = TypeVar("Network", bound=nn.Module)


class Restorer(nn.Module):
    """Maps (B, C, Y, X) to (B, C, s Y, s X); HR pixel (i, j) lies inside LR pixel (i // s, j // s).

    Nothing in it may look farther than a fixed number of pixels, so that an image can be restored in tiles.

    Args:
        scale: s, one of 1, 2, 4.
        channels: C.
        multiple: sides Y and X must be multiples of it.

    Raises:
        UsageError: another scale, or no channel.
    """

    def __init__(self, scale: int, channels: int, multiple: int = 1) -> None:
        super().__init__()
        if scale not in SCALES:
            raise UsageError(f"scale: a restoration network enlarges 1, 2 or 4 times, not {scale}.")
        if channels < 1:
            raise UsageError(f"channels: at least 1 is needed, got {channels}.")
        self.scale, self.channels, self.multiple = scale, channels, multiple


class StagedRestorer(Restorer, ABC):
    """One that sees so far that tiles are cut anew between its parts: head, trunk of equal-sized blocks, tail.

    Features lie on a grid of one cell per ``multiple`` x ``multiple`` pixels.

    Args:
        scale, channels, multiple: as :class:`Restorer`.
        features: channels between the parts.
    """

    def __init__(self, scale: int, channels: int, multiple: int, features: int) -> None:
        super().__init__(scale, channels, multiple)
        self.features = features

    @abstractmethod
    def head(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X) -> features (B, F, Y / multiple, X / multiple)."""

    @abstractmethod
    def trunk(self) -> Sequence[nn.Module]:
        """Blocks from features to features of the same shape, in their order."""

    @abstractmethod
    def tail(self, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Features that left the head, and those that left the trunk -> (B, C, s Y, s X)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X) -> (B, C, s Y, s X); sides are multiples of ``multiple``."""
        first = last = self.head(images)
        for block in self.trunk():
            last = block(last)
        return self.tail(first, last)


def in_channels_last(network: Network) -> Network:
    """The same network, its weights laid out channels last: a sixth to a third less time on a CPU, the same result."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own types lack it
    return network


def draw_kaiming(layers: nn.Module, generator: torch.Generator, gain: float = 1.0, slope: float = 0.0) -> None:
    """Weights of all convolutions from N(0, gain^2 2 / ((1 + slope^2) inputs)) (He et al. 2015, eq. 15); biases 0.

    Args:
        layers: convolutions below it are drawn in their order.
        generator: of the draws.
        gain: a factor on the standard deviation.
        slope: of the leaky ReLU that the inputs came through.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.weight[0].numel()
            with torch.no_grad():
                layer.weight.normal_(0.0, gain * (2.0 / ((1.0 + slope**2) * inputs)) ** 0.5, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
