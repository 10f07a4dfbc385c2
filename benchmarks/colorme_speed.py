"""COL0RME's support and intensity: CPU time and growth, one thread (tables of peers_speed.py).

The published program (MATLAB) writes matrices with as many rows and columns as the field has pairs of pixels: run in
Octave with CEL0, 16 x 16 pixels had not converged after 75 s, and one work matrix of 64 x 64 pixels takes 2.1 GB. What
is timed here is everything after the frames are in memory: back-projection, support, intensity.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import Table

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

FACTOR, FRAMES = 4, 500
SECONDS_ALLOWED = {"l1": 20.0, "cel0": 120.0}  # 64 x 64 pixels
LARGEST_GROWTH = 1.5  # exponent of the number of pixels


@dataclass(frozen=True)
class Timing:
    """What one reconstruction took.

    Attributes:
        side: of the field, camera pixels.
        penalty: of the support.
        cpu_s: all of it, process time, one thread.
        stretches: safe points of the support's solver, of at most 200 iterations each.
        support: share of the fine pixels that hold emitters.
    """

    side: int
    penalty: str
    cpu_s: float
    stretches: int
    support: float


def field(side: int, n_frames: int = FRAMES, seed: int = 0) -> Acquisition:
    """ARGO lines over a square field, doubly Poisson, 30 photons at the brightest; a camera that counts photons."""
    count = math.ceil(side / 27) + 1
    phantom = ArgoPhantom(separations_nm=tuple(120.0 + 60 * i for i in range(count)), line_length_nm=100.0 * side)
    camera = Camera(certainty=())
    movie = SimulatedMovie(phantom, factor=FACTOR, n_frames=n_frames, bleaching_time_s=None, camera=camera, seed=seed)
    height, width = phantom.field_shape
    top, left = (height - side) // 2, min(5, width - side)
    frames = np.stack([f[top : top + side, left : left + side].astype(np.uint16) for f in movie.frames()])
    return Acquisition(ArrayFrames(frames), phantom.pixel_size_nm, GaussianPSF(324.0), camera, name="simulated")


def measure(acquisition: Acquisition, penalty: str, **parameters: object) -> Timing:
    """Reconstruct once, converged by the method's own rule, without corrections and halves."""
    torch.set_num_threads(1)
    values = {"factor": FACTOR, "drift": False, "bleaching": False, "bad_pixels": False, "halves": False}
    began = time.process_time()
    made = fluosr.reconstruct(acquisition, "colorme", penalty=penalty, **(values | parameters))  # type: ignore[arg-type]
    seconds = time.process_time() - began
    stretches = len(made.history["objective of the support"])
    return Timing(acquisition.field_shape[0], penalty, seconds, stretches, float((made.maps["support"] > 0).mean()))


def speed(side: int = 64, penalties: tuple[str, ...] = ("l1", "cel0")) -> list[Timing]:
    """The two penalties of the published comparison."""
    acquisition = field(side)
    return [measure(acquisition, penalty) for penalty in penalties]


def growth(
    sides: tuple[int, ...] = (64, 128, 256), penalty: str = "l1", n_frames: int = 100
) -> tuple[list[Timing], float]:
    """Timings over the field's size, and the exponent of the number of pixels between the first and the last."""
    timings = [measure(field(side, n_frames), penalty) for side in sides]
    pixels = 2 * math.log(sides[-1] / sides[0])
    return timings, math.log(timings[-1].cpu_s / timings[0].cpu_s) / pixels


def tables() -> list[Table]:
    """Cost beside the bars, and growth; about ten minutes."""
    table = Table(
        "COL0RME",
        ("field, px", "fine px", "frames", "penalty", "CPU-s", "allowed, CPU-s", "safe points", "support"),
        "One thread, converged by the method's own rule, support and intensity. The published program (MATLAB) writes "
        "matrices of all pairs of pixels: in Octave, with CEL0, 16 x 16 px had not converged after 75 s.",
    )
    for timing in speed(penalties=("l1", "cel0", "tv")):
        allowed = SECONDS_ALLOWED.get(timing.penalty, "")
        table.rows.append(_row(timing, FRAMES, allowed))
    timings, exponent = growth()
    grown = Table(
        "COL0RME, growth with the field",
        table.columns,
        f"Time grows as the number of pixels to the power {exponent:.2f} (allowed: {LARGEST_GROWTH}).",
        [_row(timing, 100, "") for timing in timings],
    )
    return [table, grown]


def _row(timing: Timing, n_frames: int, allowed: float | str) -> list[object]:
    side, fine = timing.side, timing.side * FACTOR
    where = (f"{side} x {side}", f"{fine} x {fine}", n_frames)
    return [*where, timing.penalty, timing.cpu_s, allowed, timing.stretches, timing.support]
