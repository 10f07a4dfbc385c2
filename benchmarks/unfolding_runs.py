"""The cells of the unfolding tables, run: models trained, judged and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from unfolding_data import (
    BRIGHTEST,
    DIMMEST,
    FACTOR,
    ISBI_FWHM_NM,
    ISBI_NOISE,
    L2,
    PATTERNS_TRAINED,
    PIXEL_NM,
    SEMI_BLIND_GUESS,
    SHORT,
    STORM,
    Cell,
    Data,
    Images,
    data_of,
    isbi,
    patterns,
    physics_of,
    positions,
    seen,
    semi_blind_physics,
)

from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.molecules import molecules_in
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.pairs import Pair, examples_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training import train
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.quality.localisation import mean_psnr, pixel_jaccard

RADII = (0.0, 2.0, 4.0)  # fine pixels
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8)  # over the least that leaves an empty image


def jaccards(found: Images, truth: Images) -> list[float]:
    """J_0, J_2, J_4 and their mean, over the frames."""
    values = [float(np.nanmean(pixel_jaccard(found, truth, radius))) for radius in RADII]
    return [*values, float(np.mean(values))]


def pixels(images: Images, threshold: float) -> Images:
    """The pixels above a threshold."""
    return images > threshold


def marked(places: Localisations, shape: tuple[int, ...]) -> Images:
    """(T, L Y, L X) the pixels that molecules lie in; coordinates are in fine pixels."""
    made = np.zeros(shape, bool)
    made[places.frame, np.floor(places.y_nm).astype(int), np.floor(places.x_nm).astype(int)] = True
    return made


def molecules(images: Images, threshold: float) -> Images:
    """The pixels that the middles of connected patches lie in."""
    table = molecules_in(images, np.arange(len(images)), np.zeros(len(images)), threshold, 1.0)
    return marked(table, images.shape)


@torch.no_grad()
def images_of(network: UnfoldedGradient, pair: Pair) -> Images:
    """(T, L Y, L X) x_K of all frames."""
    made = []
    for start in range(0, len(pair.frames), 8):
        frames = torch.as_tensor(pair.frames[start : start + 8], dtype=torch.float32)
        made.append(network(frames, torch.full((len(frames),), network.physics.background_photons or 0.0)).numpy())
    return np.concatenate(made)


def learn(cell: Cell, physics: Physics, pairs: list[Pair]) -> tuple[UnfoldedGradient, dict[str, Any]]:
    """Train a cell's model, and what is to be told of it."""
    facts = {"loss": cell.loss, "data_term": cell.data_term, "semi_blind": physics.semi_blind}
    parameters = TrainingParameters(**facts, **dict(cell.more))
    started = time.process_time()
    made = train(examples_of(pairs, physics), physics, parameters, Run(seed=0))
    told = {
        "training_s": time.process_time() - started,
        "history": made.history,
        "best_round": made.best_round,
        "numbers": made.network.in_the_papers_numbers(),
    }
    return made.network, told


def run(cell: Cell) -> dict[str, Any]:
    """Whatever a cell asks for."""
    if cell.experiment == "speed":
        return speed()
    if cell.experiment == "light":
        from unfolding_isbi_light import light_of_the_movie

        return light_of_the_movie(positions(), PIXEL_NM, ISBI_FWHM_NM)
    if cell.experiment == "empty":
        return {name: against_nothing(name) for name in ("2b", "2c")}
    if cell.experiment == "4":
        return semi_blind(cell)
    data = data_of(cell)
    if cell.loss == STORM:
        return deep_storm(cell, data)
    network, told = learn(cell, data.physics, [data.training])
    started = time.process_time()
    images = images_of(network, data.test)
    told["inference_s_per_frame"] = (time.process_time() - started) / len(images)
    if cell.loss == L2:  # no threshold was learnt: all light, and the level that suits the training frames
        own = images_of(network, data.training)
        levels = cell.light * np.geomspace(0.5, 200.0, 25)
        best = max(levels, key=lambda level: jaccards(pixels(own, level), data.training.truth)[3])
        told["pixels_all"] = jaccards(pixels(images, 1e-6), data.test.truth)
    else:
        best = float(network.tau.detach())
    told["pixels"] = jaccards(pixels(images, best), data.test.truth)
    told["molecules"] = jaccards(molecules(images, network.detection_photons), data.test.truth)
    return told | {"threshold": float(best), "psnr": mean_psnr(images, data.test.truth, cell.light * BRIGHTEST)}


@torch.no_grad()
def against_nothing(experiment: str) -> float:
    """The least l2 loss over all penalties on the training frames, over that of empty images; even steps, K = 1000."""
    data = data_of(Cell(experiment, L2))
    physics, truth = data.physics, data.training.truth
    frames = torch.as_tensor(data.training.frames, dtype=torch.float32)
    background = torch.full((len(frames),), physics.background_photons or 0.0)
    operator = operator_for(physics, grid_for(physics, (64, 64)), torch.ones((), dtype=torch.float64), torch.float32)
    penalty = float(operator.adjoint(frames - background[:, None, None]).max())
    units = Units(float(truth.max()), penalty, float(frames.mean()))
    network = UnfoldedGradient(physics, Architecture(1000, 1e-3, 0.7), units)
    network.steps.data.fill_(dict(SHORT)["first_step"])
    losses = []
    for sparsity in PENALTIES:
        network.sparsity.data.fill_(sparsity)
        losses.append(float(((network(frames, background).numpy() - truth) ** 2).sum()))
    return min(losses) / float((truth**2).sum())


def deep_storm(cell: Cell, data: Data) -> dict[str, Any]:
    """Deep-STORM on the same test frames, trained on examples of the same light, background and noise."""
    from unfolding_deep_storm import drawer, places_of, trained

    def noisy(expected: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if cell.experiment == "2a":
            return expected + ISBI_NOISE * torch.randn(expected.shape, generator=generator)
        return torch.poisson(expected, generator=generator)

    network, told = trained(drawer(data.physics, (DIMMEST, BRIGHTEST), noisy), FACTOR, seed=0)
    started = time.process_time()
    found = places_of(network, data.test.frames, FACTOR)
    told["inference_s_per_frame"] = (time.process_time() - started) / len(data.test.frames)
    return told | {"molecules": jaccards(marked(found, data.test.truth.shape), data.test.truth)}


def semi_blind(cell: Cell) -> dict[str, Any]:
    """Experiment 4: 20 patterns to learn from, 10 to test on, the PSF's width learnt from a wrong first guess."""
    pairs, physics = patterns(), semi_blind_physics(SEMI_BLIND_GUESS, semi_blind=True)
    network, told = learn(cell, physics, pairs[:PATTERNS_TRAINED])
    test = examples_of(pairs[PATTERNS_TRAINED:], physics)
    with torch.no_grad():
        frames = torch.stack([example.frame for example in test])
        images = network(frames, torch.full((len(frames),), physics.background_photons)).numpy()
    truth = np.stack([example.truth.numpy() for example in test])
    tau = float(network.tau.detach())
    return told | {
        "before": jaccards(pixels(images, 1e-6), truth),
        "after": jaccards(pixels(images, tau), truth),
        "sigma": told["numbers"]["sigma_fine_pixels"],
    }


def speed() -> dict[str, Any]:
    """CPU seconds of an iteration on 16 x 256 x 256 fine pixels, beside dense convolutions; of the ISBI movie."""
    torch.set_num_threads(1)
    cell = Cell("2a", "localisation")
    physics = physics_of(cell)
    data = data_of(cell)
    examples = examples_of([data.training], physics)
    made = train(examples, physics, TrainingParameters(**dict(SHORT)), Run(seed=0))
    network, frames = made.network, torch.as_tensor(data.test.frames[:16], dtype=torch.float32)
    steps = network.architecture.iterations

    def own() -> None:
        with torch.no_grad():
            network(frames, torch.zeros(16))

    side = 2 * int(np.ceil(3 * physics.sigma_fine)) + 1
    profile = np.exp(-0.5 * ((np.arange(side) - side // 2) / physics.sigma_fine) ** 2)
    kernel = torch.as_tensor(np.outer(profile, profile) / profile.sum() ** 2, dtype=torch.float32)[None, None]
    fine = torch.rand(16, 1, 64 * FACTOR, 64 * FACTOR)

    def dense() -> None:
        with torch.no_grad():
            blurred = torch.nn.functional.conv2d(fine, kernel, padding=side // 2)
            residual = torch.nn.functional.avg_pool2d(blurred, FACTOR) * FACTOR**2 - frames[:, None]
            spread = residual.repeat_interleave(FACTOR, -1).repeat_interleave(FACTOR, -2)
            torch.nn.functional.conv2d(spread, kernel, padding=side // 2)

    own_s, dense_s = cpu_seconds(own) / steps, cpu_seconds(dense)
    random = np.random.default_rng(2)
    noisy = seen(physics, isbi(), lambda expected: expected + random.normal(0.0, ISBI_NOISE, expected.shape))
    everything = Pair("isbi", noisy, np.zeros(0))

    def movie() -> None:
        molecules(images_of(network, everything), network.detection_photons)

    return {
        "own_s": own_s,
        "dense_s": dense_s,
        "movie_s": cpu_seconds(movie, 1),
        "frames": len(everything.frames),
        "iterations": steps,
    }


def cpu_seconds(work: Callable[[], None], repeats: int = 3) -> float:
    """The least of a few."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)
