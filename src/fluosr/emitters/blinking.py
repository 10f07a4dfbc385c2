"""Emitters that are molecules: they blink on and off, and bleach one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fluosr.emitters.model import checked_fano_factor
from fluosr.emitters.telegraph import Telegraph
from fluosr.errors import MemoryLimitError
from fluosr.machine import available_memory_bytes

BYTES_PER_MOLECULE = 64


@dataclass(frozen=True)
class BlinkingEmitters:
    """Whole molecules in every fine pixel, each a telegraph process of its own (:class:`Telegraph`).

    A molecule that lives gives mu = I p D photons per frame in the mean. A fine pixel of mean x holds x / mu molecules;
    where that is no whole number, the next one above or below, by chance, so that the mean over the draws is x. Given
    the molecules, their mean and covariance are exactly those of :class:`Telegraph` times their number. Molecules do
    not differ in brightness, but in :meth:`sample`. The camera adds shot noise to what they send.

    Args:
        on_time_s: mean time that a molecule stays on, seconds.
        off_time_s: mean time that it stays off, seconds.
        frame_interval_s: seconds; the camera sees all of it.
        photons_per_s: photons per second that a molecule sends to the camera while on.
        bleaching_time_s: mean life of a molecule, seconds; None for ever.

    Raises:
        UsageError: a time or brightness that cannot be.

    Source:
        the on-off model of the SOFI simulation tool: Girsault et al., PLoS ONE 11, e0161602 (2016).
    """

    on_time_s: float
    off_time_s: float
    frame_interval_s: float
    photons_per_s: float
    bleaching_time_s: float | None = None
    molecule: Telegraph = field(init=False, repr=False)

    def __post_init__(self) -> None:
        telegraph = Telegraph(
            self.on_time_s, self.off_time_s, self.frame_interval_s, self.photons_per_s, self.bleaching_time_s
        )
        object.__setattr__(self, "molecule", telegraph)

    @classmethod
    def of_fano_factor(
        cls,
        fano_factor: float,
        on_time_s: float,
        off_time_s: float,
        frame_interval_s: float,
        bleaching_time_s: float | None = None,
    ) -> BlinkingEmitters:
        """Molecules of such brightness that variance / mean of a frame's emission is ``fano_factor`` at the start.

        Raises:
            UsageError: a time or Fano factor that cannot be.
        """
        unit = Telegraph(on_time_s, off_time_s, frame_interval_s, 1.0, bleaching_time_s)
        brightness = checked_fano_factor(fano_factor) / unit.covariance_factor()
        return cls(on_time_s, off_time_s, frame_interval_s, brightness, bleaching_time_s)

    @property
    def fano_factor(self) -> float:
        """kappa = variance / mean of one fine pixel's emission in the first frame."""
        return self.molecule.covariance_factor()

    @property
    def bleaches(self) -> bool:
        """Whether molecules die."""
        return self.bleaching_time_s is not None

    def covariance_factor(self, lag: int = 0, frame: int = 0) -> float:
        """Cov(e_t, e_{t+k}) / E e_t, photons: that of one molecule, for any number of them."""
        return self.molecule.covariance_factor(lag, frame)

    def levels(self, n_frames: int) -> np.ndarray:
        """(T,) E e_t / x: the molecules that still live, averaged over each frame."""
        return np.array([self.molecule.level(t) for t in range(n_frames)])

    def place(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(ny, nx) x -> mu Poisson(x / mu): molecules strewn at random, as dyes on a structure are."""
        unit = self.molecule.photons_per_frame
        return unit * generator.poisson(np.asarray(emission, float) / unit)

    def sample(self, emission: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """One first frame, (ny, nx) float32, whose variance over the draws is kappa times its mean.

        Over draws the number of molecules must not vary, or it would add to kappa. A part w of a molecule, of mean m,
        is therefore a whole one with probability w / s, dimmed by s = (kappa + w m) / (kappa + m): of mean w m and
        variance kappa w m.

        Raises:
            MemoryLimitError: more molecules than there is memory for.
        """
        wanted = self._molecules_in(emission)
        whole = np.floor(wanted + 1e-9)
        part = np.clip(wanted - whole, 0.0, None)
        kappa, mean = self.fano_factor, self.molecule.photons_per_frame * self.molecule.level(0)
        dimmed = (kappa + part * mean) / (kappa + mean)
        parts = np.flatnonzero(generator.random(part.shape) < part / dimmed)
        pixel = np.concatenate([np.repeat(np.arange(wanted.size), whole.ravel().astype(np.int64)), parts])
        share = np.ones(len(pixel))
        share[len(pixel) - len(parts) :] = dimmed.ravel()[parts]
        seconds = share * _Molecules(self.molecule, len(pixel), generator).next_frame()
        drawn = self.photons_per_s * np.bincount(pixel, seconds, minlength=wanted.size)
        return drawn.reshape(wanted.shape).astype(np.float32)

    def frames(
        self, emission: np.ndarray, brightness: np.ndarray, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Successive frames of the same molecules, (ny, nx) float32.

        Args:
            emission: (ny, nx) x, photons per fine pixel and frame while all molecules live.
            brightness: (T,) brightness of the lamp in each frame.
            generator: source of randomness.

        Raises:
            MemoryLimitError: more molecules than there is memory for.
        """
        wanted = self._molecules_in(emission)
        whole = np.floor(wanted + 1e-9)
        count = (whole + (generator.random(wanted.shape) < wanted - whole)).astype(np.int64)
        pixel = np.repeat(np.arange(wanted.size), count.ravel())
        molecules = _Molecules(self.molecule, len(pixel), generator)
        photons_per_s = self.photons_per_s
        for lamp in brightness:
            seconds = np.bincount(pixel, molecules.next_frame(), minlength=wanted.size)
            yield (photons_per_s * float(lamp) * seconds).reshape(wanted.shape).astype(np.float32)

    def _molecules_in(self, emission: np.ndarray) -> np.ndarray:
        """(ny, nx) x -> x / mu molecules, if there is memory for them."""
        wanted: np.ndarray = np.asarray(emission, float) / self.molecule.photons_per_frame
        need = BYTES_PER_MOLECULE * float(wanted.sum())
        free = available_memory_bytes()
        if need > free:
            raise MemoryLimitError(
                f"{wanted.sum():.3g} blinking molecules take about {need / 2**30:.3g} GiB of memory, and "
                f"{free / 2**30:.3g} GiB are free. Give molecules more photons (a larger Fano factor), or less light."
            )
        return wanted

    def describe(self) -> dict[str, Any]:
        """Name, parameters and Fano factor."""
        values = asdict(self)
        del values["molecule"]
        return {"model": type(self).__name__, **values, "fano_factor": self.fano_factor}


class _Molecules:
    """n molecules in time: their state, when they switch next and when they die; from switch to switch, exactly."""

    def __init__(self, law: Telegraph, count: int, generator: np.random.Generator) -> None:
        self._law, self._generator, self._frame = law, generator, 0
        self._on = generator.random(count) < law.on_share
        # Exponential times forget: in equilibrium the rest of a stay is distributed as a whole one.
        self._until = generator.exponential(np.where(self._on, law.on_time_s, law.off_time_s))
        self._death = np.full(count, math.inf)
        if law.bleaching_time_s is not None:
            self._death = generator.exponential(law.bleaching_time_s, count)

    def next_frame(self) -> np.ndarray:
        """(n,) seconds that each molecule was on during the next frame."""
        start, stop = (self._law.frame_interval_s * n for n in (self._frame, self._frame + 1))
        self._frame += 1
        lit = np.where(self._on, np.clip(np.minimum(self._until, self._death), start, stop) - start, 0.0)
        active = np.flatnonzero((self._until < stop) & (self._death > start))
        while active.size:
            now = self._until[active]
            on = ~self._on[active]
            self._on[active] = on
            stay = self._generator.exponential(np.where(on, self._law.on_time_s, self._law.off_time_s))
            self._until[active] = now + stay
            end = np.minimum(np.minimum(now + stay, self._death[active]), stop)
            lit[active] += np.where(on, np.maximum(end - now, 0.0), 0.0)
            active = active[now + stay < stop]
        return lit
