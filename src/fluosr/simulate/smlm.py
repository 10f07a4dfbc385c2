"""A movie of single molecules that switch on at random, and where each of them was."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.camera import Camera
from fluosr.errors import MemoryLimitError, UsageError
from fluosr.localisations import Localisations
from fluosr.machine import available_memory_bytes
from fluosr.optics.psf import GaussianPSF, gaussian_integrals
from fluosr.optics.spots import light_of_points
from fluosr.simulate.movie import slow_wave
from fluosr.simulate.structures import Structure

NOISE, MOLECULES = 0, 1  # streams of random numbers
BYTES_PER_MOLECULE = 400
BYTES_PER_PIXEL = 64
TRIED = 2000  # molecules that are drawn to know how long that takes
SECONDS_PER_ROW = 5e-6  # to switch molecules on and off, and to write one of them to the truth


@dataclass(frozen=True, eq=False)
class Emission:
    """What shines in one frame.

    Args:
        table: its molecules; ``photons`` are those that each emits in this frame, before any noise.
        molecule: (N,) which molecule each row is, from 0; the same in all frames in which it shines.
    """

    table: Localisations
    molecule: np.ndarray


@dataclass(frozen=True, eq=False)
class SimulatedMolecules:
    """Molecules on a structure, each of which is on once, for a time of its own.

    Molecules switch on at any moment, at a constant rate, at random places of the structure, and stay on for an
    exponential time. Their light is integrated over the frames: in the first and the last of its frames a molecule is
    on for a part of the exposure only. The movie begins in the middle of things: as many are on in its first frame as
    in any other. All of this is a Poisson process, so that the mean number of molecules in a frame is

        active = rate (on_time + 1),

    in frames, and the mean number that are on at a moment is rate x on_time.

    Args:
        structure: where molecules are, with field and pixel size.
        psf: Gaussian; its integral over each pixel is exact.
        n_frames: T.
        active: mean number of molecules that shine in a frame, for however small a part of it.
        on_time_frames: mean time that a molecule is on, frames.
        photons: mean over the molecules of the photons that one emits in a whole frame.
        photon_spread: standard deviation of these over their mean; their distribution is lognormal. 0: all alike.
        background: mean, photons per camera pixel and frame.
        background_variation: how much it varies over the field, of its mean, from 0 to 1: one slow wave.
        frame_interval_s: seconds.
        camera: gain, offset, read noise; numbers or maps.
        seed: of every random draw.

    Raises:
        UsageError: a number that cannot be, a field below 4 x 4 pixels, or camera maps of another size.
        MemoryLimitError: more molecules at a time than memory.
    """

    structure: Structure
    psf: GaussianPSF = GaussianPSF(260.0)
    n_frames: int = 500
    active: float = 40.0
    on_time_frames: float = 3.0
    photons: float = 1000.0
    photon_spread: float = 0.3
    background: float = 10.0
    background_variation: float = 0.0
    frame_interval_s: float = 0.01
    camera: Camera = Camera(gain_adu_per_e=4.0, offset_adu=100.0, read_noise_e=0.5)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_frames", "active", "on_time_frames", "photons", "frame_interval_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"a movie of single molecules needs a positive {name}, got {value}.")
        for name in ("photon_spread", "background"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} of single molecules is a number and must not be negative, got {value}.")
        if not 0 <= self.background_variation <= 1:
            raise UsageError(f"the background varies by 0 to 1 of its mean, got {self.background_variation}.")
        if not isinstance(self.psf, GaussianPSF):
            raise UsageError(
                "single molecules are simulated with a Gaussian PSF, whose integral over a pixel is exact."
            )
        height, width = self.structure.field_shape
        if min(height, width) < 4:
            raise UsageError(f"the field is {height} x {width} pixels; at least 4 x 4 are needed.")
        if self.camera.maps.shape not in (None, (height, width)):
            raise UsageError(
                f"the camera's maps are {self.camera.maps.shape} pixels and the field ({height}, {width}): both must "
                "be the same."
            )
        need, free = self.active * BYTES_PER_MOLECULE + height * width * BYTES_PER_PIXEL, available_memory_bytes()
        if need > free:
            raise MemoryLimitError(
                f"{self.active:.4g} molecules at a time on {height:,} x {width:,} pixels take about "
                f"{need / 2**30:.4g} GiB of memory, and {free / 2**30:.4g} GiB are free: take fewer, or a smaller "
                "field."
            )

    @property
    def rate(self) -> float:
        """Molecules that switch on per frame."""
        return self.active / (self.on_time_frames + 1.0)

    @property
    def background_image(self) -> np.ndarray:
        """(Y, X) float64, photons per camera pixel and frame."""
        return self.background * slow_wave(self.structure.field_shape, self.background_variation)

    @property
    def brightest_adu(self) -> float:
        """What the camera makes of the brightest pixels on average, ADU.

        That is a mean molecule in the middle of a pixel, or all that shine, spread evenly over the field.
        """
        sigma_px = self.psf.sigma_nm / self.structure.pixel_size_nm
        share = float(gaussian_integrals(np.array(-0.5), 1.0, 0.0, sigma_px)) ** 2
        evenly = self.rate * self.on_time_frames / math.prod(self.structure.field_shape)
        return float(self.camera.to_adu(self.background_image + max(share, evenly) * self.photons).max())

    def seconds_needed(self) -> float:
        """How long frames and truth will take, about: a few molecules and one frame are tried."""
        generator = np.random.default_rng(self.seed)
        y, x = self.structure.places(TRIED, generator).T
        table = Localisations(np.zeros(TRIED), x, y, photons=np.ones(TRIED))
        field, pixel = self.structure.field_shape, self.structure.pixel_size_nm
        expected_light(table.where(np.arange(1)), field, pixel, self.psf)  # the first call takes longer
        started = time.perf_counter()
        expected_light(table, field, pixel, self.psf)
        drawn = time.perf_counter()
        self.camera.expose(self.background_image, generator)
        exposed = time.perf_counter()
        per_molecule = (drawn - started) / TRIED + SECONDS_PER_ROW
        return self.n_frames * (exposed - drawn + self.active * per_molecule)

    def emissions(self) -> Iterator[Emission]:
        """T frames, one at a time; the same ones at each call."""
        generator = np.random.default_rng((self.seed, MOLECULES))
        background, pixel = self.background_image, self.structure.pixel_size_nm
        variance = math.log1p(self.photon_spread**2)
        seen = 0
        # Of the molecules that are on: number, y and x (nm), photons in a whole frame, begin and end (frames).
        state = np.zeros((0, 6))
        for number in range(self.n_frames):
            # Those on at the beginning have as long a time before them as new ones: it is exponential.
            begun = generator.poisson(self.rate * self.on_time_frames) if number == 0 else 0
            begin = np.concatenate([np.zeros(begun), number + generator.uniform(size=generator.poisson(self.rate))])
            end = begin + generator.exponential(self.on_time_frames, len(begin))
            bright = self.photons * generator.lognormal(-variance / 2, math.sqrt(variance), len(begin))
            places = self.structure.places(len(begin), generator)
            names = np.arange(seen, seen + len(begin), dtype=float)
            seen += len(begin)
            state = np.concatenate([state, np.column_stack([names, places, bright, begin, end])])
            on = np.minimum(state[:, 5], number + 1.0) - np.maximum(state[:, 4], number)
            y, x = state[:, 1], state[:, 2]
            under = background[(y / pixel).astype(int), (x / pixel).astype(int)]
            table = Localisations(np.full(len(state), number), x, y, photons=state[:, 3] * on, background=under)
            yield Emission(table, state[:, 0].astype(np.int64))
            state = state[state[:, 5] > number + 1.0]

    def expected_frames(self) -> Iterator[np.ndarray]:
        """T frames of (Y, X) float64, what the camera would count on average of these molecules, photons."""
        background = self.background_image
        for emission in self.emissions():
            light = expected_light(emission.table, self.structure.field_shape, self.structure.pixel_size_nm, self.psf)
            yield background + light

    def frames(self) -> Iterator[np.ndarray]:
        """T frames of (Y, X), float32 ADU, one at a time."""
        generator = np.random.default_rng((self.seed, NOISE))
        for expected in self.expected_frames():
            yield self.camera.expose(expected, generator)

    def truth(self) -> Localisations:
        """All emissions in one table."""
        return Localisations.joined([emission.table for emission in self.emissions()])

    def describe(self) -> dict[str, Any]:
        """Everything that was simulated, for the record beside the movie."""
        plain = ("n_frames", "active", "on_time_frames", "photons", "photon_spread", "background")
        more = ("background_variation", "frame_interval_s", "seed")
        return {
            "structure": self.structure.describe(),
            "psf": self.psf.describe(),
            "camera": self.camera.describe(),
            **{name: getattr(self, name) for name in (*plain, *more)},
        }


def expected_light(
    table: Localisations, field_shape: tuple[int, int], pixel_size_nm: float, psf: GaussianPSF
) -> np.ndarray:
    """What the pixels collect on average of a table's molecules, all of its frames together, without background.

    Args:
        table: with photons; those of one frame give that frame.
        field_shape: (Y, X), camera pixels.
        pixel_size_nm: camera pixel, nm.
        psf: Gaussian.

    Returns:
        (Y, X) float64, photons.

    Raises:
        UsageError: the photons of some are not known.
    """
    if not np.isfinite(table.photons).all():
        raise UsageError("the light of molecules needs their photons, which are not known of all.")
    y_px, x_px = table.y_nm / pixel_size_nm, table.x_nm / pixel_size_nm
    return light_of_points(field_shape, y_px, x_px, table.photons, psf.sigma_nm / pixel_size_nm)
