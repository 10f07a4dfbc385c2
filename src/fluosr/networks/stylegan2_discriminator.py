"""The discriminator of StyleGAN2 (Karras et al., CVPR 2020, section 4.1): residual blocks, minibatch deviation."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.equalised import EqualisedConv2d, EqualisedLinear, leaky
from fluosr.networks.stylegan2_generator import FIRST_PX, channels_at, sides_to

GROUP = 4  # images whose deviation is taken together
TINY = 1e-8


def minibatch_deviation(features: torch.Tensor, group: int = GROUP) -> torch.Tensor:
    """(N, C, Y, X) -> (N, C + 1, Y, X): how much the images of a group differ, as a further channel.

    One image alone does not tell that a generator makes all alike; with this a discriminator sees it, and variety pays.
    Groups are small, so that what is learnt does not depend on the batch.

    The standard deviation over the group at each place, its mean over places and channels (Karras et al., ICLR 2018,
    section 3). Of g = ceil(N / group) groups, image i is in group i mod g: where the group does not divide N some have
    one image less. An image alone has deviation 0.
    """
    count = len(features)
    groups = -(-count // group)
    # Means over groups as products with a matrix: groups of two sizes are no further axis of an array.
    group_of = torch.arange(count, device=features.device) % groups
    member = nn.functional.one_hot(group_of, groups).to(features)
    average = (member / member.sum(0)).T
    flat = features.flatten(1)
    deviations = flat - member @ (average @ flat)
    # The root's slope at 0 is infinite, and images of a group may be equal, or an image alone.
    spread = (average @ deviations.square() + TINY).sqrt().mean(1)
    own = (member @ spread)[:, None, None, None]
    return torch.cat([features, own.expand(-1, 1, *features.shape[2:])], 1)


class ResidualBlock(nn.Module):
    """(two 3 x 3, the second down by two, + 1 x 1 down by two) x sqrt(1/2).

    Args:
        generator: draws the initial weights.
        inputs, outputs: channels.
    """

    def __init__(self, generator: torch.Generator, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(generator, inputs, inputs, 3)
        self.second = EqualisedConv2d(generator, inputs, outputs, 3, down=True)
        self.skip = EqualisedConv2d(generator, inputs, outputs, 1, bias=False, down=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, inputs, Y, X) -> (N, outputs, Y / 2, X / 2)."""
        through: torch.Tensor = leaky(self.second(leaky(self.first(features))))
        return (through + self.skip(features)) * math.sqrt(0.5)


class StyleGAN2Discriminator(nn.Module):
    """Image -> logit, above 0 for real ones.

    Args:
        generator: draws the initial weights.
        resolution: R, one of 32, 64, 128, 256 pixels.
        channels: C, of the image.
        features: channels of the layers at most, see :func:`fluosr.networks.stylegan2_generator.channels_at`.
        group: images whose deviation is taken together.

    Raises:
        UsageError: another resolution, a size below 1.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        resolution: int,
        channels: int,
        features: int = 512,
        group: int = GROUP,
    ) -> None:
        super().__init__()
        sides = sides_to(resolution)
        if min(channels, features, group) < 1:
            raise UsageError(
                f"discriminator: {channels} channels, {features} features, groups of {group}: each must be at least 1."
            )
        self.resolution, self.channels, self.group = resolution, channels, group
        widths = [channels_at(side, features) for side in reversed(sides)]
        self.first = EqualisedConv2d(generator, channels, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(generator, a, b) for a, b in pairwise(widths))
        last = widths[-1]
        self.last = EqualisedConv2d(generator, last + 1, last, 3)
        self.dense = EqualisedLinear(generator, last * FIRST_PX**2, last)
        self.logit = EqualisedLinear(generator, last, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, R, R) -> (N,); the images of a batch are judged together.

        Raises:
            UsageError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (self.channels, self.resolution, self.resolution):
            raise UsageError(
                f"the discriminator judges images (N, {self.channels}, {self.resolution}, {self.resolution}), got "
                f"{tuple(images.shape)}."
            )
        features = leaky(self.first(images))
        for block in self.blocks:
            features = block(features)
        features = leaky(self.last(minibatch_deviation(features, self.group)))
        logits: torch.Tensor = self.logit(leaky(self.dense(features.flatten(1))))
        return logits[:, 0]
