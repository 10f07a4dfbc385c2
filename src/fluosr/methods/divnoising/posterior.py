"""What may have been behind a frame: samples of the posterior, their mean (MMSE) and their spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.methods.divnoising.patches import padded
from fluosr.networks.variational import LATENT_CHANNELS, REACH_PX, STRIDE, VariationalAutoencoder, sample_latent

TILE_PX = 256  # side of what is computed at a time; with what it depends on around, tiles have no seams
BATCH_PIXELS = 2**18  # camera pixels decoded at a time


@dataclass(frozen=True, eq=False)
class Estimate:
    """A frame's posterior, as far as it was sampled.

    Attributes:
        mean: (Y, X) float64, mean of the samples: the estimate of least mean squared error (MMSE), photoelectrons.
        spread: (Y, X) float64, their standard deviation; zeros of one sample.
        examples: up to two samples, (Y, X) float32 each.
    """

    mean: np.ndarray
    spread: np.ndarray
    examples: tuple[np.ndarray, ...]


class Denoiser:
    """A trained network, in photoelectrons.

    Args:
        network: trained on (x - mean) / spread.
        mean, spread: photoelectrons. Frames are standardised with these once, on the way in.
    """

    def __init__(self, network: VariationalAutoencoder, mean: float, spread: float) -> None:
        self._network, self._mean, self._spread = network, mean, spread
        self._device = next(network.parameters()).device

    def samples(self, frame: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
        """Draws of p(s | x), of either sign as the network gives them.

        Args:
            frame: (Y, X) photoelectrons, of any size.
            count: how many.
            seed: of the draws; they do not depend on how many are drawn.

        Yields:
            (k, Y, X) float32, photoelectrons.
        """
        y, x = frame.shape
        image = padded((torch.as_tensor(np.ascontiguousarray(frame, np.float32))[None] - self._mean) / self._spread)
        shape = (LATENT_CHANNELS, image.shape[1] // STRIDE, image.shape[2] // STRIDE)
        generator = torch.Generator().manual_seed(seed)
        at_once = max(1, BATCH_PIXELS // image.numel())
        for first in range(0, count, at_once):
            drawn = [torch.randn(shape, generator=generator) for _ in range(min(at_once, count - first))]
            signal = self._decoded(image, torch.stack(drawn))
            yield (self._mean + self._spread * signal[:, :y, :x]).numpy()

    def estimate(self, frame: np.ndarray, count: int, seed: int) -> Estimate:
        """Mean, spread and two examples of ``count`` samples; see :meth:`samples`."""
        total, squares = np.zeros(frame.shape), np.zeros(frame.shape)
        examples: list[np.ndarray] = []
        centre = np.asarray(frame, float)  # squares of what is left lose fewer digits
        for drawn in self.samples(frame, count, seed):
            examples += list(drawn[: 2 - len(examples)]) if len(examples) < 2 else []
            left = drawn - centre
            total += left.sum(0)
            squares += (left**2).sum(0)
        variance = np.maximum(squares - total**2 / count, 0.0) / max(1, count - 1)
        return Estimate(centre + total / count, np.sqrt(variance), tuple(examples))

    @torch.no_grad()
    def _decoded(self, image: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """(k, Y', X') network's output for one frame (1, Y', X') and k latent draws, tile by tile."""
        made = torch.empty(len(normal), *image.shape[1:])
        height, width = image.shape[1:]
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                (above, below), (before, after) = _around(top, height), _around(left, width)
                tile = image[:, above:below, before:after].to(self._device)
                latent = normal[..., above // STRIDE : below // STRIDE, before // STRIDE : after // STRIDE]
                mean, log_variance = self._network.encode(tile)
                signal = self._network.decode(sample_latent(mean, log_variance, latent.to(self._device))).cpu()
                bottom, right = min(top + TILE_PX, height), min(left + TILE_PX, width)
                inside = signal[:, top - above : bottom - above, left - before : right - before]
                made[:, top:bottom, left:right] = inside
        return made


def _around(start: int, length: int) -> tuple[int, int]:
    """Of a tile that begins at ``start``: from where to where its values depend on the image."""
    return max(0, start - REACH_PX), min(length, start + TILE_PX + REACH_PX)
