"""A movie of a known sample: the forward model run on it, frame by frame, with its truth kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fluosr.camera import Camera
from fluosr.emitters import Emitters, PoissonEmitters, bleaching_curve
from fluosr.errors import MemoryLimitError, UsageError
from fluosr.forward import ForwardModel
from fluosr.machine import available_memory_bytes
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import GaussianPSF, PointSpreadFunction
from fluosr.simulate.phantom import Phantom

# What the phantom's rendering and one frame hold at a time, and the few numbers kept for each frame of the movie.
BYTES_PER_FINE_PIXEL = 64
BYTES_PER_ENTRY = 32  # of the matrices that blur an axis, (n, L n) for each shift
BYTES_PER_FRAME = 64
PLACES = 1  # stream of random numbers that molecules are placed with, beside that of the frames


@dataclass(frozen=True, eq=False)
class SimulatedMovie:
    """A sample and the microscope that films it (paper, section 5.1).

    Args:
        phantom: what lies under the microscope.
        factor: L, fine pixels per camera pixel along each axis.
        psf: point spread function.
        n_frames: T.
        peak_photons: brightest expected photons per camera pixel and frame of the lines alone.
        background_fraction: mean background relative to the peak; it varies smoothly over the field by half of itself.
        frame_interval_s: seconds.
        bleaching_time_s: mean time an emitter stays bright, seconds; None for no bleaching. All emitters follow one
            curve; blinking molecules that are given a bleaching time of their own die one by one instead.
        camera: gain, offset, read noise.
        emitters: how the emitters fluctuate. Blinking ones are strewn at random over the phantom, and are the truth.
        drift_px: (T, 2) (y, x) shift of the sample per frame, camera pixels; None for none. Each different shift takes
            an operator of its own.
        seed: of every random draw.

    Raises:
        UsageError: a number that is not finite or not positive where it must be, a drift of another length, bleaching
            told twice, emitters with frames of another length, camera maps of another size, or an empty field.
        MemoryLimitError: more than the machine has free; said before anything is taken.
    """

    phantom: Phantom
    factor: int = 6
    psf: PointSpreadFunction = GaussianPSF(324.0)
    n_frames: int = 500
    peak_photons: float = 30.0
    background_fraction: float = 0.1
    frame_interval_s: float = 0.01
    bleaching_time_s: float | None = 20.0
    camera: Camera = Camera(gain_adu_per_e=4.0, offset_adu=100.0, read_noise_e=0.5)
    emitters: Emitters = PoissonEmitters()
    drift_px: np.ndarray | None = None
    seed: int = 0
    _model: ForwardModel = field(init=False, repr=False)
    _groups: np.ndarray = field(init=False, repr=False)  # (T,) drift group of each frame
    _emission: torch.Tensor = field(init=False, repr=False)  # on the extended fine grid, before bleaching
    _kept: float = field(init=False, repr=False)  # of the emission over the movie, where emitters bleach by themselves

    def __post_init__(self) -> None:
        self._check_numbers()
        shifts = [(0.0, 0.0)]
        if self.drift_px is not None:
            unique, groups = np.unique(np.asarray(self.drift_px, float), axis=0, return_inverse=True)
            shifts = [(float(dy), float(dx)) for dy, dx in unique]
        self._check_memory(len(shifts))
        if self.drift_px is None:
            groups = np.zeros(self.n_frames, int)
        operator = imaging_operator(
            self.phantom.field_shape, self.factor, self.psf, self.phantom.pixel_size_nm, shifts=shifts
        )
        emission = torch.as_tensor(self.phantom.render(operator.grid), dtype=operator.dtype)
        still = operator.forward(emission)
        if not float(still.max()) > 0:
            raise UsageError("nothing of the phantom lies in the field: more filaments, or another seed.")
        # The peak is a mean over the movie: emitters that bleach by themselves begin brighter.
        kept = float(self.emitters.levels(self.n_frames).mean())
        emission = emission * (self.peak_photons / float(still.max()) / kept)
        placed = self.emitters.place(emission.numpy(), np.random.default_rng((self.seed, PLACES)))
        object.__setattr__(self, "_model", ForwardModel(operator, self.camera, self.emitters))
        object.__setattr__(self, "_groups", groups.reshape(-1))
        object.__setattr__(self, "_emission", torch.as_tensor(placed, dtype=operator.dtype))
        object.__setattr__(self, "_kept", kept)

    def _check_numbers(self) -> None:
        positive = {
            "factor": self.factor,
            "n_frames": self.n_frames,
            "peak_photons": self.peak_photons,
            "frame_interval_s": self.frame_interval_s,
            "bleaching_time_s": 1.0 if self.bleaching_time_s is None else self.bleaching_time_s,
        }
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"a simulated movie needs a positive {name}, got {value}.")
        if not (math.isfinite(self.background_fraction) and self.background_fraction >= 0):
            raise UsageError(
                f"the background is a finite number of 0 or more, got {self.background_fraction:g} of the peak."
            )
        if self.emitters.bleaches and self.bleaching_time_s is not None:
            raise UsageError(
                "bleaching is told twice: by the movie (bleaching_time_s) and by its emitters. Give it to one of them."
            )
        interval = self.emitters.frame_interval_s
        if interval is not None and not math.isclose(interval, self.frame_interval_s):
            raise UsageError(
                f"the emitters blink in frames of {interval:g} s, and the movie has frames of {self.frame_interval_s:g}"
                " s: give both the same."
            )
        if self.camera.maps.shape not in (None, tuple(self.phantom.field_shape)):
            raise UsageError(
                f"the camera's maps are {self.camera.maps.shape} pixels and the phantom's field "
                f"{tuple(self.phantom.field_shape)}: both must be the same."
            )
        if self.drift_px is not None and np.shape(self.drift_px) != (self.n_frames, 2):
            raise UsageError(f"drift_px is (T, 2), here ({self.n_frames}, 2), got shape {np.shape(self.drift_px)}.")

    def _check_memory(self, n_shifts: int) -> None:
        fine = math.prod(self.phantom.field_shape) * self.factor**2
        entries = n_shifts * self.factor * sum(n**2 for n in self.phantom.field_shape)
        need = BYTES_PER_FINE_PIXEL * fine + BYTES_PER_ENTRY * entries + BYTES_PER_FRAME * self.n_frames
        free = available_memory_bytes()
        if need > free:
            height, width = self.phantom.field_shape
            raise MemoryLimitError(
                f"simulating {self.n_frames:,} frames of {height:,} x {width:,} pixels at factor {self.factor} takes "
                f"about {need / 2**30:.4g} GiB of memory, and {free / 2**30:.4g} GiB are free. Take fewer or shorter "
                "lines, larger pixels, a smaller factor or fewer frames."
            )

    def describe(self) -> dict[str, Any]:
        """Everything that was simulated, for the record beside the movie."""
        return {
            "phantom": self.phantom.describe(),
            "factor": self.factor,
            "psf": self.psf.describe(),
            "n_frames": self.n_frames,
            "peak_photons": self.peak_photons,
            "background_fraction": self.background_fraction,
            "frame_interval_s": self.frame_interval_s,
            "bleaching_time_s": self.bleaching_time_s,
            "camera": self.camera.describe(),
            "emitters": self.emitters.describe(),
            "drift_px": None if self.drift_px is None else np.asarray(self.drift_px, float).tolist(),
            "seed": self.seed,
        }

    @property
    def truth(self) -> np.ndarray:
        """(L Y, L X) float32, mean emission over the movie, photons per fine pixel and frame."""
        return self._model.operator.grid.crop(self._emission * self._kept).numpy()

    @property
    def background(self) -> np.ndarray:
        """(Y, X) float32, mean background over the movie, photons per camera pixel and frame: one slow wave."""
        wave = slow_wave(self.phantom.field_shape, 0.5)
        return (self.background_fraction * self.peak_photons * wave).astype(np.float32)

    def frames(self) -> Iterator[np.ndarray]:
        """T frames of (Y, X), float32 ADU, one at a time."""
        return self._model.frames(
            self._emission,
            torch.as_tensor(self.background / self._kept),
            groups=self._groups,
            brightness=bleaching_curve(self.n_frames, self.frame_interval_s, self.bleaching_time_s),
            generator=np.random.default_rng(self.seed),
        )


def slow_wave(field_shape: tuple[int, int], variation: float) -> np.ndarray:
    """(Y, X) float64 about 1: one slow wave along each axis, which together lift and lower it by ``variation``."""
    height, width = field_shape
    y = (np.arange(height) + 0.5)[:, None] / height
    x = (np.arange(width) + 0.5)[None, :] / max(width, 1)
    half = variation / 2
    return np.asarray(1.0 + half * np.cos(np.pi * y) + half * np.sin(2 * np.pi * x * max(1.0, width / height / 4)))
