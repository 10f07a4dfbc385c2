"""The convolutions of VGG19 (Simonyan and Zisserman 2015), whose features a perceptual loss compares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

CHANNELS = (2 * [64], 2 * [128], 4 * [256], 4 * [512], 4 * [512])  # of the five groups; pooled between them
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that published weights were made on


class VGG19(nn.Module):
    """Features of images at named convolutions, before their ReLU.

    State-dict names are ``features.N.weight`` and ``features.N.bias``, as published: N counts convolutions, ReLUs and
    pools. Names of the layers: conv1_2 is the second convolution of the first group.

    Args:
        layers: the names wanted, in any order; what lies beyond the last of them is not built.
    """

    means: torch.Tensor
    deviations: torch.Tensor

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        places = layer_places()
        self.wanted = {places[name]: name for name in layers}
        built: list[nn.Module] = []
        before = 3
        for group in CHANNELS:
            for after in group:
                built += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
                before = after
            built.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*built[: max(self.wanted) + 1])
        for name, values in (("means", MEANS), ("deviations", DEVIATIONS)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 1 or 3, Y, X) in [0, 1] -> name of a layer: its (B, C, y, x)."""
        at = (images.expand(-1, 3, -1, -1) - self.means) / self.deviations
        found = {}
        for place, layer in enumerate(self.features):
            at = layer(at)
            if place in self.wanted:
                found[self.wanted[place]] = at
        return found


def layer_places() -> dict[str, int]:
    """Name of each convolution -> its number among the layers."""
    places, place = {}, 0
    for group, channels in enumerate(CHANNELS, 1):
        for number in range(1, len(channels) + 1):
            places[f"conv{group}_{number}"] = place
            place += 2
        place += 1
    return places
