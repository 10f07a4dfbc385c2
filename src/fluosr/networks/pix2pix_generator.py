"""The U-Net of Pix2Pix: an image down to a single pixel and up again, what came down joined in at each size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.stylegan2_generator import RESOLUTIONS_PX

WIDEST = 8  # times the features of the first layer
SLOPE = 0.2
DROPPED_LAYERS = 3  # the first on the way up, of 2, 4 and 8 pixels
WEIGHT_SPREAD = 0.02  # of the initial weights


def widths_of(layers: int, features: int) -> list[int]:
    """Channels of layers that halve the sides: doubled from one to the next, up to 8 times the first."""
    return [features * min(2**number, WIDEST) for number in range(layers)]


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Weights of all convolutions from N(0, 0.02^2), in their order; biases 0 (Isola et al. 2017, section 6.2)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            with torch.no_grad():
                layer.weight.normal_(0.0, WEIGHT_SPREAD, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()


def normalised(inner: nn.Module, width: int) -> nn.Sequential:
    """A convolution without bias, then instance normalisation with a learnt scale and offset for each channel."""
    return nn.Sequential(inner, nn.InstanceNorm2d(width, affine=True))


class Pix2PixGenerator(nn.Module):
    """Image to image, both of R x R pixels; 54.4 million weights with one channel, R = 256 and F = 64.

    Down: 4 x 4 convolutions of stride 2 to 1 x 1 pixel, of F, 2 F, 4 F, 8 F, 8 F, ... channels, leaky ReLU. Up: their
    transposes, ReLU, each given what came down at its size. Dropout of the first three layers upwards is the only
    noise, in training as later.

    Instance normalisation: the paper's batch normalisation by the statistics of a batch of one, whatever the batch; not
    in the first and the last layer, nor at 1 x 1 pixel, where it would leave nothing. Differs from the paper: no tanh
    at the end, which would cut off what lies beyond the levels of grey.

    Args:
        generator: draws the initial weights.
        resolution: R, 32, 64, 128 or 256.
        channels: of the image, in and out.
        features: F; the paper's is 64.
        dropout: probability; the paper's is 0.5.

    Raises:
        UsageError: another resolution, no channels, no features, no such probability.

    Source:
        P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, CVPR (2017), section 3.2 and appendix 6.1.1.
    """

    def __init__(
        self, generator: torch.Generator, *, resolution: int, channels: int, features: int = 64, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if resolution not in RESOLUTIONS_PX or min(channels, features) < 1 or not 0 <= dropout < 1:
            raise UsageError(
                f"Pix2Pix: {resolution} pixels, {channels} channels, {features} features, dropout {dropout}: it knows "
                "32, 64, 128 and 256 pixels, needs a channel and a feature, and drops less than all."
            )
        self.resolution, self.channels, self.features, self.dropout = resolution, channels, features, dropout
        widths = widths_of(resolution.bit_length() - 1, features)
        down: list[nn.Module] = [_halving(channels, widths[0], bias=True)]
        down += [normalised(_halving(before, width), width) for before, width in pairwise(widths[:-1])]
        self.down = nn.ModuleList([*down, _halving(widths[-2], widths[-1], bias=True)])
        self.outputs = widths[-2::-1]  # channels of the layers upwards but the last
        came = [widths[-1], *(2 * width for width in self.outputs)]
        self.up = nn.ModuleList(
            normalised(_doubling(before, width), width) for before, width in zip(came, self.outputs, strict=False)
        )
        self.last = _doubling(came[-1], channels, bias=True)
        draw_weights(self, generator)

    def noise(self, count: int, generator: torch.Generator) -> list[torch.Tensor]:
        """What the features of ``count`` images are multiplied by, drawn on the generator's device.

            0 with probability p, else 1 / (1 - p)

        Returns:
            (count, channels, side, side) for each layer with dropout; nothing where p is 0.
        """
        if not self.dropout:
            return []
        shapes = [(count, width, 2**n, 2**n) for n, width in enumerate(self.outputs[:DROPPED_LAYERS], 1)]
        draws = [torch.rand(shape, generator=generator, device=generator.device) for shape in shapes]
        return [(draw >= self.dropout).to(draw) / (1 - self.dropout) for draw in draws]

    def forward(self, images: torch.Tensor, noise: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """(N, C, R, R) -> (N, C, R, R); without ``noise``, from :meth:`noise`, nothing is dropped.

        Raises:
            UsageError: images of another shape.
        """
        if images.shape[1:] != (self.channels, self.resolution, self.resolution):
            raise UsageError(
                f"this network takes (N, {self.channels}, {self.resolution}, {self.resolution}), got "
                f"{tuple(images.shape)}."
            )
        features, passed = images, []
        for layer in self.down:
            features = nn.functional.leaky_relu(layer(features), SLOPE)
            passed.append(features)
        features = passed.pop()
        for number, layer in enumerate(self.up):
            features = layer(features)
            if number < len(noise):
                features = features * noise[number]
            features = torch.cat([nn.functional.relu(features), passed.pop()], 1)
        made: torch.Tensor = self.last(features)
        return made


def _halving(before: int, after: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias)


def _doubling(before: int, after: int, *, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)
