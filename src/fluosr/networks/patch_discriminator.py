"""PatchGAN, the discriminator of Pix2Pix: it judges overlapping patches of a pair, each by itself."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.pix2pix_generator import SLOPE, draw_weights, normalised, widths_of

MOST_HALVINGS = 3  # the paper's
LEAST_LOG2_PX = 4


def halvings_for(resolution: int) -> int:
    """Convolutions of stride 2: the paper's three from 128 pixels on, one fewer for each halving of the side below."""
    return max(1, min(MOST_HALVINGS, resolution.bit_length() - 1 - LEAST_LOG2_PX))


def patch_px(halvings: int) -> int:
    """Sides of the patch that one logit sees: 9 x 2^n - 2, thus 16, 34 and 70 pixels for n of 1, 2 and 3."""
    return 9 * 2**halvings - 2


class PatchDiscriminator(nn.Module):
    """Real or made, patch by patch, beside the image that it was made from.

    n 4 x 4 convolutions of stride 2 with F, 2 F, 4 F channels, one more of stride 1 and twice the channels, and one of
    stride 1 to the logits; leaky ReLU; instance normalisation (as :class:`Pix2PixGenerator` has it) but in the first
    and the last. With n = 3 this is the paper's 70 x 70 PatchGAN, and with n = 1 its 16 x 16 one; of smaller images n
    is smaller (:func:`halvings_for`), so that a patch is never much more than half of the side.

    A logit sees a patch of 9 x 2^n - 2 pixels, besides the mean and spread of features, which are the whole image's.

    Args:
        generator: draws the initial weights.
        resolution: R, pixels.
        channels: of an image; pairs have twice as many.
        features: F; the paper's is 64.

    Raises:
        UsageError: a size below 1.

    Source:
        P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, CVPR (2017), section 3.3 and appendix 6.1.2.
    """

    def __init__(self, generator: torch.Generator, *, resolution: int, channels: int, features: int = 64) -> None:
        super().__init__()
        if min(channels, features) < 1:
            raise UsageError(f"discriminator: {channels} channels, {features} features: each must be at least 1.")
        halvings = halvings_for(resolution)
        widths = widths_of(halvings + 1, features)
        self.first = nn.Conv2d(2 * channels, widths[0], 4, stride=2, padding=1)
        self.middle = nn.ModuleList(
            normalised(nn.Conv2d(before, after, 4, 2 if number < halvings else 1, 1, bias=False), after)
            for number, (before, after) in enumerate(pairwise(widths), 1)
        )
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=1)
        draw_weights(self, generator)

    def forward(self, given: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1, P, P) of images (N, C, R, R) beside those given, above 0 for real ones."""
        features = nn.functional.leaky_relu(self.first(torch.cat([given, images], 1)), SLOPE)
        for layer in self.middle:
            features = nn.functional.leaky_relu(layer(features), SLOPE)
        logits: torch.Tensor = self.last(features)
        return logits
