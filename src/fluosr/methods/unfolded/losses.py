"""What training makes small: the error of the image, or of the places where it shows light."""

from __future__ import annotations

from typing import Literal

import torch

from fluosr.methods.unfolded.network import UnfoldedGradient
from fluosr.methods.unfolded.smoothing import huber

HUBER_WIDTH = 0.1  # delta, of what a found place counts

Loss = Literal["localisation", "reconstruction"]


def loss_of(network: UnfoldedGradient, made: torch.Tensor, truth: torch.Tensor, kind: Loss) -> torch.Tensor:
    """(B,) loss of each image.

    Reconstruction (13): 1/2 |x_K - x*|^2. Localisation (14): sum_i h_delta(B(x_K)_i - 1[x*_i > 0]).

    Args:
        network: whose binarisation it is.
        made: (B, L Y, L X) x_K, photons per fine pixel.
        truth: (B, L Y, L X) x*, photons per fine pixel.
        kind: which of the two.
    """
    if kind == "reconstruction":
        return 0.5 * (made - truth).square().sum((1, 2))
    return huber(network.support(made) - (truth > 0).to(made), HUBER_WIDTH).sum((1, 2))


def loss_of_nothing(truth: torch.Tensor, kind: Loss) -> torch.Tensor:
    """(B,) loss of an empty image: the unit that losses are told in."""
    if kind == "reconstruction":
        return 0.5 * truth.square().sum((1, 2))
    one = huber(torch.ones((), dtype=truth.dtype), HUBER_WIDTH)
    return one * (truth > 0).sum((1, 2))
