"""Small restoration networks whose weights carry far, so that what is cut off would be seen."""

from __future__ import annotations

from typing import Any

import torch

from fluosr.networks.restorer import Restorer
from fluosr.networks.restorers import build_restorer

SMALL: dict[str, dict[str, Any]] = {
    "rrdb-23": {"blocks": 2, "features": 4, "growth": 2},
    "rrdb-6": {"blocks": 1, "features": 4, "growth": 2},
    "nafnet": {"blocks": 2, "features": 4, "window_px": 5},
    "span": {"blocks": 2, "features": 4},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_restorer(name: str, scale: int, seed: int = 0) -> Restorer:
    """A network of a few channels with dense weights of gain 1 in every layer, in evaluation."""
    generator = seeded(seed)
    network = build_restorer(name, generator, scale, options=SMALL[name])
    with torch.no_grad():
        for key, weight in network.named_parameters():
            if weight.ndim == 4:
                weight.normal_(0.0, weight[0].numel() ** -0.5, generator=generator)
            elif not key.endswith(("norm1.weight", "norm2.weight")):
                weight.normal_(0.0, 0.5, generator=generator)
    return network.eval()
