"""A light network after SPAN (Wan et al., Swift Parameter-free Attention Network, CVPR workshops 2024)."""

from __future__ import annotations

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.restorer import Restorer, draw_kaiming

LEAST_BLOCKS = 2  # the first and the last are told apart
ANSWER_GAIN = 0.5  # of the first weights of a block's last convolution: larger ones train less steadily
LAST_GAIN = 0.1  # of the first weights of the last layer: training begins near the image itself


class AttentionBlock(nn.Module):
    """H = conv3(silu(conv2(silu(conv1(x))))); out = x + (x + H) * (sigmoid(H) - 1/2) (paper, section 3).

    The attention has no weights of its own: a sigmoid made odd, so that a strong answer of either sign lets more
    through. The paper has no ``x +`` around it: features of range 1 then become smaller from block to block until
    nothing is left.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(features, features, 3, padding=1) for _ in range(3))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, F, Y, X) -> what leaves the block, and what left its first convolution."""
        early = self.conv1(features)
        answer = self.conv3(nn.functional.silu(self.conv2(nn.functional.silu(early))))
        return features + (features + answer) * (torch.sigmoid(answer) - 0.5), early


class SPAN(Restorer):
    """Convolution, six attention blocks, a 1 x 1 convolution that gathers early and late features, pixel-shuffle.

    Everything runs on LR pixels. Differs from the paper in that convolutions are plain 3 x 3 ones, as theirs are once
    re-parameterised; in a skip around each attention; and in one that repeats each pixel s x s, so that training begins
    near the image. Nothing in it sees the whole image.

    Args:
        generator: draws the initial weights.
        scale: 1, 2 or 4.
        channels: of the image.
        blocks: 6 in the paper.
        features: 48 or 52 in the paper.

    Raises:
        UsageError: another scale, under 2 blocks, or no feature.
    """

    def __init__(
        self, generator: torch.Generator, scale: int = 2, *, channels: int = 1, blocks: int = 6, features: int = 48
    ) -> None:
        super().__init__(scale, channels)
        if blocks < LEAST_BLOCKS or features < 1:
            raise UsageError(f"SPAN: {blocks} blocks, {features} features: at least {LEAST_BLOCKS} and 1 are needed.")
        self.first = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.ModuleList(AttentionBlock(features) for _ in range(blocks))
        self.late = nn.Conv2d(features, features, 3, padding=1)
        self.gather = nn.Conv2d(4 * features, features, 1)
        self.last = nn.Conv2d(features, channels * scale**2, 3, padding=1)
        draw_kaiming(self, generator)
        with torch.no_grad():
            self.last.weight.mul_(LAST_GAIN)
            for block in self.blocks:
                assert isinstance(block, AttentionBlock)
                block.conv3.weight.mul_(ANSWER_GAIN)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X) -> (B, C, s Y, s X)."""
        start = self.first(images)
        features, after = start, []
        for block in self.blocks:
            features, early = block(features)
            after.append(features)
        gathered = self.gather(torch.cat([start, self.late(features), after[0], early], dim=1))
        added = nn.functional.pixel_shuffle(self.last(gathered), self.scale)
        return added + nn.functional.interpolate(images, scale_factor=self.scale, mode="nearest")
