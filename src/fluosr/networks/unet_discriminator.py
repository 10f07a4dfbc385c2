"""The U-Net discriminator with spectral normalisation of Real-ESRGAN (Wang et al., ICCV workshops 2021, sec. 3.4)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize

from fluosr.errors import UsageError
from fluosr.networks.restorer import draw_kaiming

STRIDE = 8  # pixels per cell at the bottom: sides are multiples of it
SLOPE = 0.2
FIRST_ITERATIONS = 15  # of the power method, before the first image is judged
TINY = 1e-12


class SpectralNorm(nn.Module):
    """W / sigma, sigma the largest singular value by the power method, one step a call in training (Miyato 2018).

    Weights are seen as a matrix, outputs x the rest (Miyato et al., ICLR 2018, section 2.1 and algorithm 1).

    Args:
        weight: as it is at the beginning.
        generator: draws the first vector.
    """

    left: torch.Tensor
    right: torch.Tensor

    def __init__(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", _unit(torch.randn(len(matrix), generator=generator).to(matrix)))
        self.register_buffer("right", _unit(matrix.T @ self.left))
        for _ in range(FIRST_ITERATIONS):
            self._step(matrix)

    @torch.no_grad()
    def _step(self, matrix: torch.Tensor) -> None:
        self.left = _unit(matrix @ self.right)
        self.right = _unit(matrix.T @ self.left)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight over its norm; the gradient goes through both."""
        with torch.autocast(weight.device.type, enabled=False):  # a norm of half precision would drift
            matrix = weight.flatten(1)
            if self.training:
                self._step(matrix.detach())
            return weight / torch.dot(self.left, matrix @ self.right)


class UNetDiscriminator(nn.Module):
    """Real or restored, pixel by pixel: logits of the same sides as the image.

    A convolution to F channels; down by 4 x 4 convolutions of stride 2 to 2 F, 4 F, 8 F; up by bilinear x 2 and 3 x 3
    convolutions, what came down added at each size; three convolutions more. Leaky ReLU; spectral normalisation of
    all but the first and the last. 4,375,745 weights with one channel and F = 64.

    Args:
        generator: draws the initial weights.
        channels: of the image.
        features: F.

    Raises:
        UsageError: a size below 1.
    """

    def __init__(self, generator: torch.Generator, *, channels: int = 1, features: int = 64) -> None:
        super().__init__()
        if min(channels, features) < 1:
            raise UsageError(f"discriminator: {channels} channels, {features} features: each must be at least 1.")
        f = features
        self.first = nn.Conv2d(channels, f, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(n, 2 * n, 4, stride=2, padding=1, bias=False) for n in (f, 2 * f, 4 * f))
        self.up = nn.ModuleList(nn.Conv2d(n, n // 2, 3, padding=1, bias=False) for n in (8 * f, 4 * f, 2 * f))
        self.late = nn.ModuleList(nn.Conv2d(f, f, 3, padding=1, bias=False) for _ in range(2))
        self.last = nn.Conv2d(f, 1, 3, padding=1)
        draw_kaiming(self, generator, slope=SLOPE)
        for layer in (*self.down, *self.up, *self.late):
            weight = layer.weight
            assert isinstance(weight, torch.Tensor)
            parametrize.register_parametrization(layer, "weight", SpectralNorm(weight, generator))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, Y, X), sides multiples of 8 -> logits (B, 1, Y, X), above 0 for real ones.

        Raises:
            UsageError: sides that are no multiples of 8.
        """
        if images.shape[-2] % STRIDE or images.shape[-1] % STRIDE:
            raise UsageError(
                f"the discriminator judges images with sides that are multiples of {STRIDE}, got "
                f"{images.shape[-2]} x {images.shape[-1]}; choose another patch size."
            )
        features = _leaky(self.first(images))
        passed = []
        for layer in self.down:
            passed.append(features)
            features = _leaky(layer(features))
        for layer in self.up:
            larger = nn.functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = _leaky(layer(larger)) + passed.pop()
        for layer in self.late:
            features = _leaky(layer(features))
        logits: torch.Tensor = self.last(features)
        return logits


def _leaky(features: torch.Tensor) -> torch.Tensor:
    return nn.functional.leaky_relu(features, SLOPE)


def _unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm().clamp_min(TINY)
