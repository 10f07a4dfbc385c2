"""What the likelihood of mean and covariance costs: CPU time over the field's size, and where it goes."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
import platform
import resource

import numpy as np
import torch
from tables import Table, mean_sd, store

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.corrections.movie import correct
from fluosr.emitters import CompoundPoissonEmitters
from fluosr.methods.covariance.fit import Fit, coarse_light
from fluosr.methods.covariance.likelihood import CompositeLikelihood
from fluosr.methods.covariance.maker import CovarianceMaker
from fluosr.methods.covariance.parameters import CovarianceParameters
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie
from fluosr.solvers import quasi_newton

FRAMES, FACTOR, KAPPA, PHOTONS = 500, 6, 100.0, 5.0
SECONDS_ALLOWED = 60.0  # 64 x 64 pixels, one core


def movie(side: int, device: str) -> Acquisition:
    """Filaments as dense at every size; a camera that counts photons."""
    phantom = FilamentPhantom(shape=(side, side), count=max(1, round(12 * (side / 64) ** 2)), width_nm=20.0)
    camera = Camera(certainty=())
    emitters = CompoundPoissonEmitters(KAPPA)
    made = SimulatedMovie(
        phantom, FACTOR, GaussianPSF(324.0), FRAMES, PHOTONS, bleaching_time_s=None, camera=camera, emitters=emitters
    )
    frames = np.stack([frame.astype(np.uint16) for frame in made.frames()])
    return Acquisition(ArrayFrames(frames), phantom.pixel_size_nm, GaussianPSF(324.0), camera, name="simulated")


def seconds(device: str) -> float:
    """CPU time of this process; on a GPU time as such, after all is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def whole(sides: list[int], device: str) -> Table:
    """Everything after the frames are in memory, at the defaults, with and without halves."""
    table = Table(
        "The whole method",
        ("field", "halves", "CPU, s" if device == "cpu" else "s", "iterations", "at rest", "sparsity", "kappa"),
        f"{FRAMES} frames, L = {FACTOR}, 20-nm filaments, kappa {KAPPA:g}, {PHOTONS:g} photons; all defaults, the "
        f"choice of the sparsity included. Allowed: {SECONDS_ALLOWED:g} s at 64 x 64 px.",
    )
    for side in sides:
        acquisition = movie(side, device)
        for halves in (False, True) if side == 64 else (False,):
            began = seconds(device)
            made = fluosr.reconstruct(acquisition, "covariance", factor=FACTOR, halves=halves, device=device)
            took = seconds(device) - began
            curve = next(iter(made.history.values()))
            rest = not any("come to rest" in warning for warning in made.warnings)
            table.rows.append(
                [
                    f"{side} x {side}",
                    halves,
                    f"{took:.1f}",
                    len(curve),
                    rest,
                    made.choices["sparsity"]["value"],
                    f"{made.choices['fano']['value']:.0f}",
                ]
            )
    return table


def growth(sides: list[int], device: str) -> Table:
    """One evaluation of likelihood and gradient, and one iteration."""
    table = Table(
        "One evaluation, one iteration",
        ("field", "patches", "evaluation, ms", "iteration, ms", "exponent of pixels"),
        "Median ± sd of 5. The exponent is that of the iteration's time against the field above.",
    )
    before: tuple[int, float] | None = None
    for side in sides:
        acquisition = movie(side, device)
        corrected = correct(acquisition)
        maker = CovarianceMaker(corrected, FACTOR, CovarianceParameters(), device)
        for numbers, frames in corrected.chunks():
            maker.add(numbers, frames)
        likelihood = CompositeLikelihood(maker.patches, maker.moments.moments(), maker.noise())
        start = coarse_light(likelihood, maker.mean(), None)
        fit = Fit(likelihood, maker.basis())
        state = fit.start(start)
        for _ in range(quasi_newton.MEMORY):
            fit.advance(state)
        evaluations, iterations = [], []
        for _ in range(5):
            began = seconds(device)
            fit.value_and_gradient(state.point)
            evaluations.append(1e3 * (seconds(device) - began))
            began = seconds(device)
            fit.advance(state)
            iterations.append(1e3 * (seconds(device) - began))
        middle = float(np.median(iterations))
        exponent = "" if before is None else f"{math.log(middle / before[1]) / (2 * math.log(side / before[0])):.2f}"
        table.rows.append(
            [f"{side} x {side}", len(maker.patches), mean_sd(evaluations, 1), mean_sd(iterations, 1), exponent]
        )
        before = side, middle
    return table


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--whole", default="64", help="sides of the fields that are reconstructed")
    parser.add_argument("--growth", default="48,64,96,128,192", help="sides of the fields that are timed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sides = [[int(side) for side in text.split(",")] for text in (arguments.whole, arguments.growth)]
    made = [whole(sides[0], arguments.device), growth(sides[1], arguments.device)]
    peak = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB"
    where = platform.processor() or platform.machine()
    name = "covariance_cost" if arguments.device == "cpu" else "covariance_cost_gpu"
    store(name, "The cost of mean and covariance", made, device=f"{arguments.device} ({where})", peak_memory=peak)


if __name__ == "__main__":
    main()
