"""How often the 95 % intervals of a movie's fluctuations hold the truth, on simulated movies."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import Table, mean_sd, store

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.corrections.fluctuation_estimate import FluctuationEstimate, estimate_fluctuations
from fluosr.corrections.intervals import Interval
from fluosr.emitters import BlinkingEmitters, CompoundPoissonEmitters, Emitters, SteadyEmitters
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie

SHAPE, FRAMES, PHOTONS = (40, 40), 500, 30.0
FACTOR = 6  # finer than the places in a pixel that the estimate looks at: they must stand for all
BLEACHING_S, INTERVAL_S = 20.0, 0.01
BLINKING = BlinkingEmitters.of_fano_factor(30.0, 0.02, 0.08, INTERVAL_S)
EMITTERS: dict[str, Emitters] = {
    "steady": SteadyEmitters(),
    **{f"bursts of {kappa:g}": CompoundPoissonEmitters(kappa) for kappa in (1.0, 10.0, 30.0, 100.0)},
    "blinking, 20 ms on, 80 ms off": BLINKING,
}
SHORT = (60, 120, 200)  # frames of shorter movies of the last kind


def film(emitters: Emitters, seed: int, n_frames: int = FRAMES) -> Acquisition:
    """A network of filaments, another one for each seed; the camera is known."""
    movie = SimulatedMovie(
        FilamentPhantom(SHAPE, seed=seed),
        factor=FACTOR,
        n_frames=n_frames,
        peak_photons=PHOTONS,
        frame_interval_s=INTERVAL_S,
        bleaching_time_s=BLEACHING_S,
        emitters=emitters,
        seed=seed,
    )
    frames = np.stack([np.clip(np.rint(frame), 0, 65535).astype(np.uint16) for frame in movie.frames()])
    return Acquisition(ArrayFrames(frames), 100.0, movie.psf, movie.camera, frame_interval_s=INTERVAL_S)


def held(intervals: list[Interval | None], truth: float) -> str:
    """How many of all movies have an interval that holds the truth."""
    return f"{sum(i is not None and i.holds(truth) for i in intervals)}/{len(intervals)}"


def row(name: str, emitters: Emitters, found: list[FluctuationEstimate], seconds: list[float]) -> list[object]:
    """Figures of one kind of emitters."""

    def intervals(of: Callable[[FluctuationEstimate], Interval | None]) -> list[Interval | None]:
        return [of(estimate) for estimate in found]

    halves = [(estimate.fano_factor.high - estimate.fano_factor.low) / 2 for estimate in found]
    seen = sum(estimate.memory_frames is not None for estimate in found)
    memory = f"seen in {seen}/{len(found)}"
    if isinstance(emitters, BlinkingEmitters):
        memory = held(intervals(lambda e: e.memory_s), 1.0 / emitters.molecule.switching_rate)
    return [
        name,
        emitters.fano_factor,
        held(intervals(lambda e: e.fano_factor), emitters.fano_factor),
        mean_sd([estimate.fano_factor.value for estimate in found]),
        float(np.median(halves)),
        held(intervals(lambda e: e.gain_ratio), 1.0),
        held(intervals(lambda e: e.bleaching_s), BLEACHING_S),
        memory,
        float(np.median(seconds)),
    ]


def main() -> None:
    """About ten minutes on one core with the default settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(
        "Intervals that hold the truth",
        ("emitters", "kappa", "kappa held", "kappa found", "half the interval, median", "gain held", "bleaching held",
         "memory held", "CPU, s (median)"),
        f"Filaments in {SHAPE[0]} x {SHAPE[1]} pixels, {FRAMES} frames of {INTERVAL_S * 1000:g} ms, {PHOTONS:g} "
        f"photons at the peak, bleaching in {BLEACHING_S:g} s, camera and PSF known, {options.seeds} seeds. 'Held': "
        f"movies whose 95 % interval holds the truth, {0.95 * options.seeds:g} of {options.seeds} if it is right, with "
        f"a sampling error of {math.sqrt(0.95 * 0.05 * options.seeds):.1f}; where no molecule blinks, in how many a "
        "memory was seen. Mean ± sd over seeds.",
    )  # fmt: skip
    kinds = [(name, emitters, FRAMES) for name, emitters in EMITTERS.items()]
    kinds += [(f"the same, {n_frames} frames", BLINKING, n_frames) for n_frames in SHORT]
    for name, emitters, n_frames in kinds:
        found, seconds = [], []
        for seed in range(options.seeds):
            movie = film(emitters, seed, n_frames)
            started = time.process_time()
            found.append(estimate_fluctuations(movie))
            seconds.append(time.process_time() - started)
        table.rows.append(row(name, emitters, found, seconds))
        print(table.rows[-1], flush=True)
    store("fluctuation_coverage", "What movies tell of their own fluctuations", [table], version=fluosr.__version__)


if __name__ == "__main__":
    main()
