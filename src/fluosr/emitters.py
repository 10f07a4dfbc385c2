"""Emitters: how the fluorescence of the fine image fluctuates from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Emitters(Protocol):
    """A fluctuation model: draws one frame's emission from the mean emission."""

    @property
    def fano_factor(self) -> float:
        """kappa = variance / mean of one fine pixel's emission."""

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(ny, nx) mean photons per fine pixel and frame -> one frame's emission, float32."""


@dataclass(frozen=True)
class SteadyEmitters:
    """No fluctuation of the emitters: the inner Poisson is left out (the paper's model 4)."""

    @property
    def fano_factor(self) -> float:
        """0."""
        return 0.0

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The mean itself."""
        return np.asarray(emission, np.float32)


@dataclass(frozen=True)
class PoissonEmitters:
    """Independent Poisson emission of every fine pixel in every frame (the paper's model 3)."""

    @property
    def fano_factor(self) -> float:
        """1."""
        return 1.0

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Poisson(x)."""
        return generator.poisson(emission).astype(np.float32)


def bleaching_curve(n_frames: int, frame_interval_s: float, bleaching_time_s: float | None) -> np.ndarray:
    """(T,) relative emission exp(-t / tau), scaled to mean 1 over the movie; ones where tau is None.

    Args:
        n_frames: T.
        frame_interval_s: seconds.
        bleaching_time_s: tau, the mean time an emitter stays bright, seconds.
    """
    if bleaching_time_s is None:
        return np.ones(n_frames)
    curve = np.exp(-np.arange(n_frames) * frame_interval_s / bleaching_time_s)
    return curve / curve.mean()
