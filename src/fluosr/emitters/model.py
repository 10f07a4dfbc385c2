"""What every model of fluctuation can be asked for: mean, covariance over time, and frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from fluosr.errors import UsageError

SMALLEST_FANO_FACTOR = 1e-6  # photons: as steady as frames in single precision can show
LARGEST_FANO_FACTOR = 1e6  # photons: no dye emits more in one frame


class Emitters(Protocol):
    """A fluctuation model: emissions e_t of fine pixels in frames t, independent from pixel to pixel.

        E e_t = level_t x,    Cov(e_t, e_{t+k}) = covariance_factor(k, t) E e_t

    x is the mean emission of a fine pixel, photons per frame, before any bleaching of the model's own.
    """

    @property
    def fano_factor(self) -> float:
        """kappa = variance / mean of one fine pixel's emission in the first frame: ``covariance_factor(0)``."""

    @property
    def frame_interval_s(self) -> float | None:
        """Length of the frames that the model is for, seconds; None where frames of any length are alike."""

    @property
    def bleaches(self) -> bool:
        """Whether the model bleaches by itself."""

    def covariance_factor(self, lag: int = 0, frame: int = 0) -> float:
        """Cov(e_t, e_{t+k}) / E e_t, photons.

        Args:
            lag: k >= 0, frames.
            frame: t; it matters only where the model bleaches by itself.
        """

    def levels(self, n_frames: int) -> np.ndarray:
        """(T,) E e_t / x: ones, unless the model bleaches by itself."""

    def place(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(ny, nx) x -> x of a sample that this model can make: whole molecules, where it knows of molecules."""

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(ny, nx) mean photons per fine pixel and frame -> one frame's emission, float32."""

    def frames(
        self, emission: np.ndarray, brightness: np.ndarray, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Successive frames, (ny, nx) float32, one at a time; molecules remember what they did in the last.

        Args:
            emission: (ny, nx) x, photons per fine pixel and frame.
            brightness: (T,) factor on x in each frame, from outside the model: the lamp, bleaching as a curve.
            generator: source of randomness.
        """

    def describe(self) -> dict[str, Any]:
        """Name and parameters, for the record."""


def checked_fano_factor(value: float) -> float:
    """The Fano factor of a model that fluctuates.

    Raises:
        UsageError: zero, negative, or none that emitters can have.
    """
    if not (math.isfinite(value) and SMALLEST_FANO_FACTOR <= value <= LARGEST_FANO_FACTOR):
        raise UsageError(
            "a Fano factor (variance over mean of the emission, photons) lies above 0, between "
            f"{SMALLEST_FANO_FACTOR:g} and {LARGEST_FANO_FACTOR:g}, got {value:g}. For emitters that do not fluctuate "
            "take SteadyEmitters (--fluctuations poisson)."
        )
    return value
