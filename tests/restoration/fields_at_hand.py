"""Fields so small that a test can wait for what is learnt from them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from fluosr.restoration.fields import Field


def field(number: int, side: int = 48, factor: int = 2, repeats: int = 2) -> Field:
    """Blobs of a seed of their own, and noisy frames of their block means on another scale of grey values."""
    random = np.random.default_rng(number)
    high = np.zeros((side, side))
    high[random.integers(0, side, 12), random.integers(0, side, 12)] = random.uniform(50, 100, 12)
    high = gaussian_filter(high, 1.5) * 20.0
    small = high.reshape(side // factor, factor, side // factor, factor).mean((1, 3))
    low = 100.0 + 3.0 * random.poisson(np.broadcast_to(small + 1.0, (repeats, *small.shape)))
    return Field(f"field {number}", high.astype(np.float32), low.astype(np.float32))


def halved(high: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A degradation: block means and a little noise."""
    low = torch.nn.functional.avg_pool2d(high, 2)
    return low + torch.randn(low.shape, generator=generator), high
