"""Convolutions whose input channels a style scales (Karras et al., CVPR 2020, section 2.2)."""

from __future__ import annotations

import torch
from torch import nn

from fluosr.networks.equalised import ACTIVATION_GAIN, SLOPE, EqualisedLinear, binomial, equalised_kernel, smoothed

TINY = 1e-8


class ModulatedConv2d(nn.Module):
    """The convolution with w'' of each image.

        w' = s_i w_oik        s = affine(code), affine's bias 1 at first      (eq. 1)
        w'' = w' / sqrt(sum_ik w'^2 + 1e-8)                                   (eq. 3)

    The images of a batch have different w''. Their input channels times s and output channels over the root give the
    same with one kernel for all: one convolution, not one for each image.

    Args:
        generator: draws the initial weights.
        inputs, outputs: channels.
        side: k, odd.
        latent_features: of the code.
        demodulate: whether w' is divided by its norm.
        up: the sides are doubled, by a transposed convolution of stride 2 and then [1, 3, 3, 1]; k = 3.
    """

    def __init__(
        self,
        generator: torch.Generator,
        inputs: int,
        outputs: int,
        side: int,
        latent_features: int,
        *,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.affine = EqualisedLinear(generator, latent_features, inputs, bias=1.0)
        self.weight, self.scale = equalised_kernel(generator, inputs, outputs, side)
        self.side, self.demodulate, self.up = side, demodulate, up

    def forward(self, images: torch.Tensor, code: torch.Tensor, *, gain: float = 1.0) -> torch.Tensor:
        """(N, inputs, Y, X) and codes (N, d) -> gain times (N, outputs, Y, X), or twice the sides.

        With demodulation the gain costs no further pass over the images.
        """
        style: torch.Tensor = self.affine(code)
        weight = self.weight * self.scale
        images = images * style[:, :, None, None]
        if self.up:
            # Zeros between the pixels take three quarters of the light: the 4 gives it back.
            turned = 4.0 * weight.flip(2, 3).transpose(0, 1)
            images = smoothed(nn.functional.conv_transpose2d(images, turned, stride=2), 1)
        else:
            images = nn.functional.conv2d(images, weight, padding=self.side // 2)
        if not self.demodulate:
            return gain * images
        squares = style.square() @ weight.square().sum((2, 3)).T
        factor: torch.Tensor = gain * torch.rsqrt(squares + TINY)
        return images * factor[:, :, None, None]


class StyledLayer(nn.Module):
    """A modulated convolution, then noise of a learned strength (0 at first), bias and leaky ReLU.

    Args:
        generator, inputs, outputs, latent_features, up: as :class:`ModulatedConv2d`, with k = 3.
        side_px: of what comes out; the constant noise has this side.
    """

    constant_noise: torch.Tensor

    def __init__(
        self, generator: torch.Generator, inputs: int, outputs: int, latent_features: int, side_px: int, *, up: bool
    ) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(generator, inputs, outputs, 3, latent_features, up=up)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("constant_noise", torch.randn(side_px, side_px, generator=generator))

    def forward(self, images: torch.Tensor, code: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """(N, inputs, y, x) and codes (N, d) -> (N, outputs, Y, X).

        Args:
            images: features of the layer before.
            code: w of this layer.
            noise: what is added, times the strength; broadcasts to (N, 1, Y, X); None: nothing.
        """
        # The activation's gain goes before it, where it is a factor on small tensors.
        images = self.convolution(images, code, gain=ACTIVATION_GAIN)
        if noise is not None:
            images = images + noise * (ACTIVATION_GAIN * self.noise_strength)
        images = images + (ACTIVATION_GAIN * self.bias)[:, None, None]
        return nn.functional.leaky_relu(images, SLOPE)


class ToImage(nn.Module):
    """A 1 x 1 modulated convolution without demodulation, and a bias: features to an image.

    Args:
        generator, inputs, latent_features: as :class:`ModulatedConv2d`.
        channels: of the image.
    """

    def __init__(self, generator: torch.Generator, inputs: int, channels: int, latent_features: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(generator, inputs, channels, 1, latent_features, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """(N, inputs, Y, X) and codes (N, d) -> (N, C, Y, X)."""
        image: torch.Tensor = self.convolution(images, code) + self.bias[:, None, None]
        return image


def enlarged(images: torch.Tensor) -> torch.Tensor:
    """(N, C, Y, X) -> (N, C, 2 Y, 2 X) by zeros between pixels and [1, 3, 3, 1]; bilinear, away from the border."""
    channels = images.shape[1]
    kernel = (4.0 * binomial(images)).expand(channels, 1, 4, 4)
    return nn.functional.conv_transpose2d(images, kernel, stride=2, padding=1, groups=channels)
