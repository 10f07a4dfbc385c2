"""Between molecules and the network's map: what is learnt, what it costs, and where the map's peaks are."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from fluosr.localisations import Localisations

HEIGHT = 100.0  # of one molecule in the map: far above the noise of an untrained network
SPREAD_PX = 1.0  # standard deviation of G, fine pixels
KERNEL_PX = 7


def loss(found: torch.Tensor, molecules: torch.Tensor) -> torch.Tensor:
    """|G * (x_hat - x)|^2 + |x_hat|_1, means over pixels (Nehme et al. 2018, eq. 1).

    Args:
        found: (B, n, m) x_hat.
        molecules: (B, n, m) molecules in each fine pixel; x is 100 times as high.
    """
    kernel = _kernel().to(found)
    wrong = functional.conv2d((found - HEIGHT * molecules).unsqueeze(1), kernel, padding=KERNEL_PX // 2)
    return wrong.square().mean() + found.abs().mean()


def prepared(frames: torch.Tensor, factor: int) -> torch.Tensor:
    """(B, Y, X) -> (B, L Y, L X): pixels repeated, each frame brought to mean 0 and standard deviation 1.

    The paper scales a frame to 0 ... 1 by its darkest and brightest pixel, which one hot pixel upsets.
    """
    spread = frames.std((-2, -1), keepdim=True).clamp_min(1e-6)
    level = frames.mean((-2, -1), keepdim=True)
    scaled = (frames - level) / spread
    return scaled.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def peaks(heatmaps: torch.Tensor, threshold: float, fine_nm: float, first_frame: int = 0) -> Localisations:
    """Local maxima of 3 x 3 fine pixels whose light, summed, reaches a threshold; each at its centre of mass.

    Args:
        heatmaps: (B, n, m), of B frames in a row.
        threshold: of the sum over 3 x 3 fine pixels; one molecule has 100.
        fine_nm: of a fine pixel.
        first_frame: number of the first.
    """
    light = heatmaps.clamp_min(0.0).unsqueeze(1)
    highest = functional.max_pool2d(light, 3, stride=1, padding=1)
    total = 9.0 * functional.avg_pool2d(light, 3, stride=1, padding=1)
    frame, _, row, column = torch.nonzero((light == highest) & (light > 0) & (total >= threshold), as_tuple=True)
    padded = functional.pad(light[:, 0], (1, 1, 1, 1))
    around = [(dy, dx) for dy in range(3) for dx in range(3)]
    weights = torch.stack([padded[frame, row + dy, column + dx] for dy, dx in around], dim=1).double()
    offsets = torch.tensor(around, dtype=torch.float64, device=light.device) - 1.0
    centre = weights @ offsets / weights.sum(1, keepdim=True)
    return Localisations(
        frame=frame.cpu().numpy() + first_frame,
        x_nm=((column + 0.5 + centre[:, 1]) * fine_nm).cpu().numpy(),
        y_nm=((row + 0.5 + centre[:, 0]) * fine_nm).cpu().numpy(),
    )


def places(molecules: torch.Tensor, fine_nm: float) -> Localisations:
    """The true molecules of (B, n, m) examples, one row each."""
    frame, row, column = np.repeat(
        np.argwhere(molecules.numpy() > 0), molecules[molecules > 0].long().numpy(), axis=0
    ).T
    return Localisations(frame, (column + 0.5) * fine_nm, (row + 0.5) * fine_nm)


def _kernel() -> torch.Tensor:
    at = torch.arange(KERNEL_PX, dtype=torch.float32) - KERNEL_PX // 2
    profile = torch.exp(-0.5 * (at / SPREAD_PX) ** 2)
    profile /= profile.sum()
    return (profile[:, None] * profile[None, :])[None, None]
