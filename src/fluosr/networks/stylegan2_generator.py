"""The generator of StyleGAN2 (Karras et al., CVPR 2020), written from the papers: a mapping z to w, and a synthesis."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.equalised import EqualisedLinear, leaky
from fluosr.networks.modulated import StyledLayer, ToImage, enlarged

Noise = Literal["constant", "random", "zero"]

FIRST_PX = 4  # side of the learned constant
RESOLUTIONS_PX = (32, 64, 128, 256)
MAPPING_RATE = 0.01  # of the mapping's layers, relative to the others
WIDEST = 16384  # channels x side at most, where the cap on channels allows it


def channels_at(side_px: int, features: int) -> int:
    """Channels of the layers of a side: ``features``, at most 16384 / side (512 to 32 px, 256 at 64, 128 at 128)."""
    return min(features, WIDEST // side_px)


def sides_to(resolution: int) -> list[int]:
    """4, 8, ..., resolution.

    Raises:
        UsageError: not one of 32, 64, 128, 256.
    """
    if not isinstance(resolution, int) or resolution not in RESOLUTIONS_PX:  # 32.0 == 32, and has no bits to count
        raise UsageError(f"resolution: a generator makes images of 32, 64, 128 or 256 pixels a side, not {resolution}.")
    return [FIRST_PX * 2**power for power in range((resolution // FIRST_PX).bit_length())]


class Mapping(nn.Module):
    """z -> w: z to unit second moment, then equalised layers that learn a hundred times slower than the others.

    Args:
        generator: draws the initial weights.
        latent_features: d, of z and w.
        depth: layers.
    """

    def __init__(self, generator: torch.Generator, latent_features: int, depth: int) -> None:
        super().__init__()
        d = latent_features
        self.layers = nn.ModuleList(EqualisedLinear(generator, d, d, multiplier=MAPPING_RATE) for _ in range(depth))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(N, d) -> (N, d)."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = leaky(layer(w))
        return w


class Synthesis(nn.Module):
    """ws -> image: a learned constant of 4 x 4; at each side two styled layers (at 4 one) and a layer to the image.

    The images of all sides are enlarged and summed ("skip" of section 4.1). The layer to the image takes the w of the
    layer that follows it, so that there are L = 2 log2(R) - 2 codes.

    Args:
        generator: draws weights and constant noise.
        resolution: R, pixels.
        channels: C, of the image.
        latent_features: d.
        features: channels of the layers, see :func:`channels_at`.
    """

    def __init__(
        self, generator: torch.Generator, resolution: int, channels: int, latent_features: int, features: int
    ) -> None:
        super().__init__()
        sides = sides_to(resolution)
        before = channels_at(FIRST_PX, features)
        self.constant = nn.Parameter(torch.randn(before, FIRST_PX, FIRST_PX, generator=generator))
        layers, to_image = [], []
        for side in sides:
            after = channels_at(side, features)
            if side > FIRST_PX:
                layers.append(StyledLayer(generator, before, after, latent_features, side, up=True))
            layers.append(StyledLayer(generator, after, after, latent_features, side, up=False))
            to_image.append(ToImage(generator, after, channels, latent_features))
            before = after
        self.layers, self.to_image = nn.ModuleList(layers), nn.ModuleList(to_image)
        self.number_of_styles, self.latent_features = len(layers) + 1, latent_features

    def forward(
        self, ws: torch.Tensor, *, noise: Noise = "constant", generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """(N, L, d) -> (N, C, R, R), background about -1, the brightest about +1.

        Args:
            ws: one code for each layer.
            noise: the inputs that are the model's own, fresh ones, or none.
            generator: of fresh noise, on the device of the codes.

        Raises:
            UsageError: codes of another shape, no such noise, fresh noise without a generator.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.number_of_styles, self.latent_features):
            raise UsageError(
                f"ws: this generator takes codes (N, {self.number_of_styles}, {self.latent_features}), got "
                f"{tuple(ws.shape)}."
            )
        if noise not in get_args(Noise) or (noise == "random") != (generator is not None):
            raise UsageError(f"noise: constant, zero, or random with a generator; got {noise!r}.")
        features = self.constant.expand(len(ws), -1, -1, -1)
        image: torch.Tensor | None = None
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, StyledLayer)
            features = layer(features, ws[:, number], _drawn(layer.constant_noise, noise, len(ws), generator))
            if number % 2 == 0:  # the last layer of its side
                own = self.to_image[number // 2](features, ws[:, number + 1])
                image = own if image is None else enlarged(image) + own
        assert image is not None
        return image


class StyleGAN2Generator(nn.Module):
    """z -> w -> image.

    ``mean_w`` (d,) is the running mean of w that training keeps; truncation draws codes towards it.

    Args:
        generator: draws the initial weights and the constant noise.
        resolution: R, one of 32, 64, 128, 256 pixels.
        channels: C, of the image, any number.
        latent_features: d, of z and w.
        mapping_depth: layers from z to w.
        features: channels of the layers at most; 512 is the papers' plan, 64 gives 64 channels up to 256 pixels.

    Raises:
        UsageError: another resolution, a size below 1.

    Source:
        T. Karras et al., CVPR (2019), sections 2 and 3; CVPR (2020), sections 2 to 4; NeurIPS 33 (2020), appendix C.
    """

    mean_w: torch.Tensor

    def __init__(
        self,
        generator: torch.Generator,
        *,
        resolution: int,
        channels: int,
        latent_features: int = 512,
        mapping_depth: int = 2,
        features: int = 512,
    ) -> None:
        super().__init__()
        if min(channels, latent_features, mapping_depth, features) < 1:
            raise UsageError(
                f"generator: {channels} channels, codes of {latent_features}, {mapping_depth} mapping layers, "
                f"{features} features: each must be at least 1."
            )
        self.resolution, self.channels, self.latent_features = resolution, channels, latent_features
        self.synthesis = Synthesis(generator, resolution, channels, latent_features, features)
        self.mapping = Mapping(generator, latent_features, mapping_depth)
        self.number_of_styles = self.synthesis.number_of_styles
        self.register_buffer("mean_w", torch.zeros(latent_features))

    def styles(self, z: torch.Tensor, *, truncation: float = 1.0) -> torch.Tensor:
        """z (N, d) -> ws (N, L, d), the same code in every layer: mean_w + truncation (w - mean_w)."""
        w = self.mapping(z)
        if truncation != 1.0:
            w = self.mean_w + truncation * (w - self.mean_w)
        return w[:, None].expand(-1, self.number_of_styles, -1)

    def forward(
        self,
        z: torch.Tensor,
        *,
        truncation: float = 1.0,
        noise: Noise = "constant",
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """z (N, d) from the normal distribution -> images (N, C, R, R).

        Args:
            z: one for each image.
            truncation: 1 for all the variety that was learnt, 0 for the mean image.
            noise, generator: as :class:`Synthesis`.
        """
        image: torch.Tensor = self.synthesis(self.styles(z, truncation=truncation), noise=noise, generator=generator)
        return image

    @torch.no_grad()
    def follow_mean(self, w: torch.Tensor, decay: float = 0.995) -> None:
        """Move ``mean_w`` towards the mean of w (N, d)."""
        self.mean_w.lerp_(w.mean(0), 1.0 - decay)


def mixed_styles(first: torch.Tensor, second: torch.Tensor, crossings: torch.Tensor) -> torch.Tensor:
    """Codes of the first before, of the second from a layer on: style mixing (Karras et al. 2019, section 3.1).

    Args:
        first, second: (N, L, d).
        crossings: (N,), the first layer that takes the second; L for none.
    """
    layers = torch.arange(first.shape[1], device=first.device)
    return torch.where((layers < crossings.to(first.device)[:, None])[:, :, None], first, second)


def _drawn(constant: torch.Tensor, noise: Noise, images: int, generator: torch.Generator | None) -> torch.Tensor | None:
    if noise == "zero":
        return None
    if noise == "constant":
        return constant
    shape = (images, 1, *constant.shape)
    return torch.randn(shape, generator=generator, dtype=constant.dtype, device=constant.device)
