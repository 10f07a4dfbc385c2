"""A small convolutional variational autoencoder of images (Prakash, Krull, Jug, ICLR 2021)."""

from __future__ import annotations

import torch
from torch import nn

DEPTH = 2
STRIDE = 2**DEPTH  # pixels per latent pixel: sides are multiples of it
LATENT_CHANNELS = 64
# Pixels around one that its output depends on, rounded up to whole latent pixels: 2 + 4 of the encoder, 4 of the
# heads, 6 of the decoder, and what lies on the far side of a pooled or an upsampled block.
REACH_PX = 24
FIRST_LOG_VARIANCE = -3.0  # of the posterior, so that the first draws do not hide what the decoder is to learn from
LOG_VARIANCE_RANGE = (-20.0, 10.0)  # beyond, single precision overflows


class VariationalAutoencoder(nn.Module):
    """Encoder to a normal posterior over latent pixels, decoder back to an image.

    Twice [3 x 3 convolution, ReLU, 3 x 3 convolution, ReLU, 2 x 2 max pooling] with ``filters`` and 2 ``filters``
    channels; a head each for mean and log-variance of 64 latent channels at a quarter of the resolution; the mirrored
    decoder, upsampling by transposed 2 x 2 convolutions. .26 million weights with 32 filters.

    Args:
        generator: draws the initial weights.
        filters: channels of the first convolutions.
    """

    def __init__(self, generator: torch.Generator, filters: int = 32) -> None:
        super().__init__()
        wide = 2 * filters
        self.encoder = nn.Sequential(*_twice(1, filters), nn.MaxPool2d(2), *_twice(filters, wide), nn.MaxPool2d(2))
        self.mean_head = nn.Conv2d(wide, LATENT_CHANNELS, 3, padding=1)
        self.log_variance_head = nn.Conv2d(wide, LATENT_CHANNELS, 3, padding=1)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(LATENT_CHANNELS, wide, 2, stride=2),
            *_twice(wide, wide),
            nn.ConvTranspose2d(wide, filters, 2, stride=2),
            *_twice(filters, filters),
            nn.Conv2d(filters, 1, 1),
        )
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.modules():
            if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                continue
            # A transposed convolution by its own stride feeds each pixel from one: its kernel's side adds nothing.
            side = 1 if isinstance(layer, nn.ConvTranspose2d) else layer.kernel_size[0]
            # Variance 1 / inputs: what began larger learnt several times more slowly.
            bound = (3.0 / (layer.in_channels * side**2)) ** 0.5
            with torch.no_grad():
                layer.weight.copy_((torch.rand(layer.weight.shape, generator=generator) * 2 - 1) * bound)
                if layer.bias is not None:
                    layer.bias.zero_()
        with torch.no_grad():
            self.log_variance_head.weight.mul_(0.1)
            assert self.log_variance_head.bias is not None
            self.log_variance_head.bias.fill_(FIRST_LOG_VARIANCE)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, Y, X), sides multiples of 4 -> mean and log-variance of z, each (B, 64, Y / 4, X / 4)."""
        features = self.encoder(images.unsqueeze(1))
        return self.mean_head(features), self.log_variance_head(features).clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """(B, 64, Y / 4, X / 4) -> (B, Y, X)."""
        image: torch.Tensor = self.decoder(latent).squeeze(1)
        return image


def _twice(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(),
    ]


def sample_latent(mean: torch.Tensor, log_variance: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """z = mean + sd n: a draw whose gradient reaches mean and variance (Kingma & Welling 2014, section 2.4).

    Args:
        mean, log_variance: of the posterior, any shape.
        normal: standard normal draws of that shape.
    """
    return mean + torch.exp(0.5 * log_variance) * normal


def divergence_from_prior(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) || N(0, 1)), nats, element by element (Kingma & Welling 2014, appendix B):

    (mean^2 + variance - 1 - log variance) / 2.
    """
    # expm1: near the prior, 1 is taken from almost 1.
    return 0.5 * (mean**2 + torch.expm1(log_variance) - log_variance)
