"""Images of codes, a few at a time."""

from __future__ import annotations

import torch

from fluosr.networks.stylegan2_generator import StyleGAN2Generator

AT_ONCE = 4  # what a layer holds of so many images stays in a processor's cache


@torch.no_grad()
def images_of(network: StyleGAN2Generator, codes: torch.Tensor) -> torch.Tensor:
    """ws (N, L, d) -> (N, C, R, R) in the network's range, with its constant noise; without gradients."""
    return torch.cat([network.synthesis(part) for part in codes.split(AT_ONCE)])
