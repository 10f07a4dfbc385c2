"""RRDBNet (Wang et al., ESRGAN, ECCV workshops 2018; Real-ESRGAN, ICCV workshops 2021), under its published names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.restorer import StagedRestorer, draw_kaiming

SLOPE = 0.2  # of the leaky ReLU below 0
RESIDUAL = 0.2  # what a block adds is scaled by it (ESRGAN, section 3.1)
UNSHUFFLED = {1: 4, 2: 2, 4: 1}  # by scale: the tail enlarges 4 times whatever comes in
OUTER_GAIN = 6**-0.5  # of the first weights outside the trunk: variance 1 / (3 inputs)
DENSE_GAIN = 0.1  # of the dense blocks' first weights: deep residual trunks diverge otherwise (ESRGAN, section 3.1)

Weights = dict[str, torch.Tensor]


class DenseBlock(nn.Module):
    """Five 3 x 3 convolutions, each of everything before it: x + .2 conv5(x, c1, c2, c3, c4)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        before = list(accumulate([growth] * 4, initial=features))
        self.conv1, self.conv2, self.conv3, self.conv4 = (nn.Conv2d(n, growth, 3, padding=1) for n in before[:4])
        self.conv5 = nn.Conv2d(before[4], features, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, Y, X) -> the same shape."""
        known = features
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = torch.cat([known, _leaky(layer(known))], dim=1)
        return torch.add(features, self.conv5(known), alpha=RESIDUAL)


class ResidualInResidual(nn.Module):
    """Three dense blocks and a skip over them: x + .2 rdb3(rdb2(rdb1(x)))."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, Y, X) -> the same shape."""
        return torch.add(features, self.rdb3(self.rdb2(self.rdb1(features))), alpha=RESIDUAL)


class RRDBNet(StagedRestorer):
    """Convolution, ``blocks`` residual-in-residual dense blocks with a long skip, two nearest x 2 with convolutions.

    Scales 2 and 1 put 2 x 2 or 4 x 4 pixels into channels first, so that the trunk always runs at a quarter of the
    output's side. 16,697,409 weights at scale 2 with one channel. State-dict names are those of the published
    RealESRGAN_x2plus model.

    As published, the dense blocks' weights begin at a tenth of Kaiming's, the others as torch begins them; biases at 0.

    Args:
        generator: draws the initial weights.
        scale: 1, 2 or 4.
        channels: of the image.
        blocks: 23 in the papers, 6 in the light one.
        features: between blocks.
        growth: channels that each convolution of a dense block adds.

    Raises:
        UsageError: another scale, or a size below 1.
    """

    def __init__(
        self,
        generator: torch.Generator,
        scale: int = 2,
        *,
        channels: int = 1,
        blocks: int = 23,
        features: int = 64,
        growth: int = 32,
    ) -> None:
        super().__init__(scale, channels, UNSHUFFLED.get(scale, 1), features)
        if min(blocks, features, growth) < 1:
            raise UsageError(
                f"RRDBNet: {blocks} blocks, {features} features, growth {growth}: each must be at least 1."
            )
        self.conv_first = nn.Conv2d(channels * self.multiple**2, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up2 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        for part in self.children():
            draw_kaiming(part, generator, gain=DENSE_GAIN if part is self.body else OUTER_GAIN)

    def head(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X) -> (B, features, Y / multiple, X / multiple)."""
        features: torch.Tensor = self.conv_first(nn.functional.pixel_unshuffle(images, self.multiple))
        return features

    def trunk(self) -> Sequence[nn.Module]:
        """The residual-in-residual blocks."""
        return list(self.body)

    def tail(self, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """The long skip, twice [nearest x 2, convolution], and two convolutions more."""
        features = first + self.conv_body(last)
        for layer in (self.conv_up1, self.conv_up2):
            features = _leaky(layer(nn.functional.interpolate(features, scale_factor=2, mode="nearest")))
        images: torch.Tensor = self.conv_last(_leaky(self.conv_hr(features)))
        return images


def one_channel(weights: Weights) -> Weights:
    """Weights of a colour RRDBNet -> those of the grey one that does the same to an image given in every colour.

    The first convolution is summed over the colours, the last one averaged. Pixel-unshuffle puts the pixels of one
    colour side by side: its channel is colour x multiple^2 + row x multiple + column.

    Args:
        weights: under the published names, of any number of channels.

    Returns:
        New tensors for what changed, the given ones for the rest.
    """
    colours = weights["conv_last.weight"].shape[0]
    first = weights["conv_first.weight"]
    return weights | {
        "conv_first.weight": first.unflatten(1, (colours, -1)).sum(dim=1),
        "conv_last.weight": weights["conv_last.weight"].mean(dim=0, keepdim=True),
        "conv_last.bias": weights["conv_last.bias"].mean(dim=0, keepdim=True),
    }


def _leaky(features: torch.Tensor) -> torch.Tensor:
    return nn.functional.leaky_relu(features, SLOPE)
