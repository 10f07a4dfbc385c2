"""A light network of NAFNet's blocks (Chen et al., Simple Baselines for Image Restoration, ECCV 2022)."""

from __future__ import annotations

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.restorer import Restorer, draw_kaiming

EPSILON = 1e-6  # beside the variance over channels
LAST_GAIN = 0.1  # of the first weights of the last layer: training begins near the image itself


class NAFBlock(nn.Module):
    """Two residual halves without activation functions, gated by products of channels (paper, section 4).

    x + beta conv(attention(gate(depthwise(conv(norm(x)))))), then the same without depthwise and attention:
    y + gamma conv(gate(conv(norm(y)))). ``gate`` multiplies one half of the channels with the other. beta and gamma
    begin at 0.

    The paper's simplified channel attention scales channels by a linear map of their means over the whole image. A
    tile has other means than its image, so that seams would show: here the means are over a window around each pixel,
    as Chu et al. (ECCV 2022) take them in use, but in training too.

    Args:
        features: channels between blocks.
        window_px: side of the attention's window, odd; 0 leaves attention out.
    """

    def __init__(self, features: int, window_px: int) -> None:
        super().__init__()
        self.window_px = window_px
        self.norm1, self.norm2 = ChannelNorm(features, EPSILON), ChannelNorm(features, EPSILON)
        self.widen1 = nn.Conv2d(features, 2 * features, 1)
        self.depthwise = nn.Conv2d(2 * features, 2 * features, 3, padding=1, groups=2 * features)
        self.attention = nn.Conv2d(features, features, 1) if window_px else None
        self.narrow1 = nn.Conv2d(features, features, 1)
        self.widen2 = nn.Conv2d(features, 2 * features, 1)
        self.narrow2 = nn.Conv2d(features, features, 1)
        self.beta = nn.Parameter(torch.zeros(features, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(features, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, Y, X) -> the same shape."""
        gated = _gate(self.depthwise(self.widen1(self.norm1(features))))
        if self.attention is not None:
            gated = gated * self.attention(window_mean(gated, self.window_px))
        features = features + self.beta * self.narrow1(gated)
        return features + self.gamma * self.narrow2(_gate(self.widen2(self.norm2(features))))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, Y, X) -> the same shape."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NAFNet(Restorer):
    """Convolution, NAF blocks at one resolution, convolution and pixel-shuffle, added to the image itself.

    Differs from the paper in having no U shape: everything runs on LR pixels, as in NAFSSR (Chu et al., CVPR workshops
    2022), so that its reach stays small; and in its attention, see :class:`NAFBlock`.

    Args:
        generator: draws the initial weights.
        scale: 1, 2 or 4.
        channels: of the image.
        blocks: how many.
        features: channels between blocks.
        window_px: side of the attention's window, LR pixels, odd; 0 leaves attention out.

    Raises:
        UsageError: another scale, a size below 1, or an even window.
    """

    def __init__(
        self,
        generator: torch.Generator,
        scale: int = 2,
        *,
        channels: int = 1,
        blocks: int = 8,
        features: int = 48,
        window_px: int = 7,
    ) -> None:
        super().__init__(scale, channels)
        if min(blocks, features) < 1:
            raise UsageError(f"NAFNet: {blocks} blocks, {features} features: each must be at least 1.")
        if window_px < 0 or (window_px and window_px % 2 == 0):
            raise UsageError(f"NAFNet: window_px must be odd, or 0 for no attention, got {window_px}.")
        self.first = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(NAFBlock(features, window_px) for _ in range(blocks)))
        self.last = nn.Conv2d(features, channels * scale**2, 3, padding=1)
        draw_kaiming(self, generator)
        with torch.no_grad():
            self.last.weight.mul_(LAST_GAIN)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X) -> (B, C, s Y, s X)."""
        features = self.blocks(self.first(images))
        added = nn.functional.pixel_shuffle(self.last(features), self.scale)
        return added + nn.functional.interpolate(images, scale_factor=self.scale, mode="nearest")


def _gate(features: torch.Tensor) -> torch.Tensor:
    one, other = features.chunk(2, dim=1)
    return one * other


def window_mean(features: torch.Tensor, window_px: int) -> torch.Tensor:
    """Means over the window, of the pixels inside the image only."""
    reach = window_px // 2
    for size, pad in (((window_px, 1), (reach, 0)), ((1, window_px), (0, reach))):
        features = nn.functional.avg_pool2d(features, size, stride=1, padding=pad, count_include_pad=False)
    return features
