"""Emitters without memory: every frame is drawn anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.emitters.model import checked_fano_factor


class IndependentFrames(ABC):
    """What models share whose frames are independent of each other: no covariance but at lag 0."""

    @property
    @abstractmethod
    def fano_factor(self) -> float:
        """kappa = variance / mean of one fine pixel's emission."""

    @abstractmethod
    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(ny, nx) mean photons per fine pixel and frame -> one frame's emission, float32."""

    def covariance_factor(self, lag: int = 0, frame: int = 0) -> float:
        """Kappa at lag 0, and 0 at any other; the same in every frame."""
        return self.fano_factor if lag == 0 else 0.0

    @property
    def frame_interval_s(self) -> None:
        """None: a frame is drawn whatever its length."""
        return None

    @property
    def bleaches(self) -> bool:
        """Never."""
        return False

    def levels(self, n_frames: int) -> np.ndarray:
        """Ones: nothing bleaches."""
        return np.ones(n_frames)

    def place(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The emission itself: any mean can be made."""
        return emission

    def frames(
        self, emission: np.ndarray, brightness: np.ndarray, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """One sample for each frame's brightness, (ny, nx) float32."""
        for level in brightness:
            yield self.sample(emission * level, generator)

    def describe(self) -> dict[str, Any]:
        """Name and Fano factor."""
        return {"model": type(self).__name__, "fano_factor": self.fano_factor}


@dataclass(frozen=True)
class SteadyEmitters(IndependentFrames):
    """No fluctuation of the emitters: the inner Poisson is left out (the paper's model 4)."""

    @property
    def fano_factor(self) -> float:
        """0."""
        return 0.0

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The mean itself."""
        return np.asarray(emission, np.float32)


@dataclass(frozen=True)
class PoissonEmitters(IndependentFrames):
    """Independent Poisson emission of every fine pixel in every frame (the paper's model 3)."""

    @property
    def fano_factor(self) -> float:
        """1."""
        return 1.0

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Poisson(x)."""
        return generator.poisson(emission).astype(np.float32)


@dataclass(frozen=True)
class CompoundPoissonEmitters(IndependentFrames):
    """Poisson numbers of bursts of kappa photons: e = kappa Poisson(x / kappa), of mean x and variance kappa x.

    Few molecules are on at a time, each for one frame. kappa = 1 is :class:`PoissonEmitters`.

    Args:
        fano_factor: kappa > 0, photons in a burst.

    Raises:
        UsageError: a Fano factor that cannot be.
    """

    fano_factor: float = 1.0

    def __post_init__(self) -> None:
        checked_fano_factor(self.fano_factor)

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Kappa Poisson(x / kappa)."""
        bursts = generator.poisson(np.asarray(emission) / self.fano_factor)
        return (self.fano_factor * bursts).astype(np.float32)


@dataclass(frozen=True)
class GammaEmitters(IndependentFrames):
    """A Gamma variable of mean x and variance kappa x: e ~ Gamma(shape x / kappa, scale kappa).

    Behind a camera that counts, each fine pixel's photons are then negative binomial. The density is smooth, so that
    its draws have derivatives with respect to x.

    Args:
        fano_factor: kappa > 0, photons.

    Raises:
        UsageError: a Fano factor that cannot be.
    """

    fano_factor: float = 1.0

    def __post_init__(self) -> None:
        checked_fano_factor(self.fano_factor)

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Gamma(x / kappa, kappa); 0 where x is 0."""
        shape = np.asarray(emission, float) / self.fano_factor
        return generator.gamma(shape, self.fano_factor).astype(np.float32)
