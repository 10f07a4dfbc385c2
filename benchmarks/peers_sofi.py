"""SOFI beside pysofi 0.1.1a0: zero-lag auto-cumulants of orders 1 to 4.

Both read the same TIFF. pysofi casts moments to whole numbers: the movie is bright enough to survive that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from peer_environment import measure

REQUIREMENTS = ("pysofi==0.1.1a0", "numpy<2", "scipy", "tifffile", "matplotlib")
PEER = "pysofi 0.1.1a0"
ORDERS = (2, 3, 4)
LARGEST_DIFFERENCE = 1e-4  # between the two, relative
LEAST_SPEEDUP = 5.0


def bright_movie(n_frames: int = 500, side: int = 128, seed: int = 0) -> np.ndarray:
    """(T, Y, X) uint16: pixels that fluctuate by a gamma law, a thousand photons each, with shot noise."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(2.0, 500.0, (n_frames, side, side))).astype(np.uint16)


def speed_row(python: str | Path, frames: np.ndarray, repeats: int = 3) -> list[Any]:
    """Task, peer, CPU seconds of the peer and of fluosr, their ratio, and the memory of both, MB; medians."""
    pairs = [
        (
            measure(python, "pysofi_cumulants", frames, orders=ORDERS),
            measure(sys.executable, "fluosr_cumulants", frames, orders=ORDERS),
        )
        for _ in range(repeats)
    ]
    seconds = [float(np.median([pair[i].cpu_s for pair in pairs])) for i in (0, 1)]
    memory = [float(np.median([pair[i].memory_mb for pair in pairs])) for i in (0, 1)]
    ratio = float(np.median([peer.cpu_s / ours.cpu_s for peer, ours in pairs]))
    return [f"SOFI, orders 1-4, {' x '.join(map(str, frames.shape))}", PEER, *seconds, ratio, *memory]


def agreement_rows(python: str | Path) -> list[list[Any]]:
    """For each order: quantity, peer, the largest difference over the largest value, and the bar."""
    frames = bright_movie(side=64)
    theirs = measure(python, "pysofi_cumulants", frames, orders=ORDERS).image
    ours = measure(sys.executable, "fluosr_cumulants", frames, orders=ORDERS).image
    return [
        [f"auto-cumulant of order {order}", PEER, float(np.abs(a - b).max() / np.abs(a).max()), LARGEST_DIFFERENCE]
        for order, a, b in zip(ORDERS, theirs, ours, strict=True)
    ]
