"""The network of Deep-STORM (Nehme, Weiss, Michaeli, Shechtman, Optica 2018): a frame in, a map of molecules out."""

from __future__ import annotations

import torch
from torch import nn

STRIDE = 8  # fine pixels: sides are padded to multiples of it
# Fine pixels around one that its output depends on, rounded up: 1 + 2 + 4 + 8 of the encoder's convolutions, 4 + 2 + 1
# of the decoder's, and what lies on the far side of a pooled block.
REACH = 32


class DeepStorm(nn.Module):
    """Encoder and decoder of 3 x 3 convolutions, each with batch normalisation and ReLU; a last linear 1 x 1.

    Three times [convolution, 2 x 2 max pooling] with F, 2 F and 4 F channels, one convolution to 16 F, three times
    [repeat each pixel 2 x 2, convolution] back to F. 1.4 million weights with 32 filters, the paper's.

    Args:
        generator: draws the initial weights, orthogonal ones.
        filters: F.
    """

    def __init__(self, generator: torch.Generator, filters: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 1 * filters), (filters, 2 * filters), (2 * filters, 4 * filters)):
            layers += [*_block(before, after), nn.MaxPool2d(2)]
        layers += _block(4 * filters, 16 * filters)
        for before, after in ((16 * filters, 4 * filters), (4 * filters, 2 * filters), (2 * filters, filters)):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), *_block(before, after)]
        layers.append(nn.Conv2d(filters, 1, 1, bias=False))
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight, generator=generator)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, n, m) on the fine grid -> (B, n, m); sides are padded to multiples of 8 with their last row and column.

        Args:
            frames: each of mean 0 and standard deviation near 1.
        """
        height, width = frames.shape[-2:]
        pad = (0, -width % STRIDE, 0, -height % STRIDE)
        padded = nn.functional.pad(frames.unsqueeze(1), pad, mode="replicate")
        found: torch.Tensor = self.layers(padded).squeeze(1)
        return found[..., :height, :width]


def _block(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
