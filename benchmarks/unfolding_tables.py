"""The tables of the unfolding paper: places or values learnt, on simulated and ISBI frames, and the semi-blind one.

Cells are run in the order of what they decide and kept in a file of their own, so that a run can be stopped and taken
up: the tables are made of what there is. ``--minutes 60`` stops after an hour.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import DATA, RESULTS, Table, store

import fluosr
from fluosr.emitters import BlinkingEmitters
from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.molecules import molecules_in
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.pairs import Pair, examples_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training import train
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.optics.sampling import Grid
from fluosr.quality.localisation import mean_psnr, pixel_jaccard
from fluosr.simulate.filaments import FilamentPhantom

CACHE = RESULTS / "unfolding_tables.cells.json"
EDITION = 4  # of method and settings: cells of another one are run anew
POSITIONS = DATA / "smlm" / "SIMULATED_isbi2013_bundled_tubes_positions.csv.gz"
PIXEL_NM, FACTOR = 100.0, 4
BRIGHTEST, DIMMEST = 255.0, 50.0
RADII = (0.0, 2.0, 4.0)  # fine pixels
SIMULATED_SIGMA = 2.5  # fine pixels
ISBI_FWHM_NM = 258.21
ISBI_TRAINING = 4  # frames, evenly over the movie
ISBI_TEST = 40  # frames of the others, evenly
BACKGROUNDS = {"2a": 0.0, "2b": 1.0, "2c": 20.0, "3": 5.0}
ISBI_NOISE = 1.0  # standard deviation of 2a's Gaussian noise
DENSITY_3 = 20  # active molecules of a frame of experiment 3
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8)  # over the least that leaves an empty image
SEMI_BLIND_SIGMA, SEMI_BLIND_GUESS = 2.5, 1.2  # fine pixels; of the truth, what training begins with
PATTERNS, PATTERNS_TRAINED, PATTERN_FRAMES, PATTERN_NOISE = 30, 20, 500, 5.0

Images = np.ndarray


@dataclass(frozen=True)
class Cell:
    """One model: experiment, loss and data term, and what the paper has for it.

    Args:
        experiment: as the paper counts them.
        loss, data_term: see :class:`TrainingParameters`.
        paper: J_0, J_2, J_4, their mean and PSNR of the paper's table; None where it has none.
        more: settings of the training.
        light: photons per grey value of the true images; noise and background stay.
    """

    experiment: str
    loss: str
    data_term: str = "least-squares"
    paper: tuple[float, ...] | None = None
    more: tuple[tuple[str, Any], ...] = ()
    light: float = 1.0

    @property
    def key(self) -> str:
        """What it is cached under."""
        return f"{EDITION} {self.experiment} {self.loss} {self.data_term} {self.light:g} {json.dumps(dict(self.more))}"


LONG = (("iterations", 255), ("rounds", 4), ("batch", 5), ("validation_share", 0.0))
SHORT = (("iterations", 1000), ("rounds", 1), ("batch", 2), ("validation_share", 0.0), ("first_step", 1.3))
POISSON = tuple((name, value) for name, value in SHORT if name != "first_step")
FAR = (("iterations", 3000), *SHORT[1:])  # where there is more noise, the algorithm's own optimum is nearer the truth
FAR_POISSON = (("iterations", 3000), *POISSON[1:])
KL, L2, STORM = "kullback-leibler", "reconstruction", "deep-storm"
PAPER_2B, PAPER_2C = (0.1287, 0.4494, 0.5358, 0.3713, 22.52), (0.0950, 0.3902, 0.5012, 0.3288, 25.74)
PAPER_2B_KL, PAPER_2C_KL = (0.0907, 0.4250, 0.5924, 0.3694, 22.66), (0.0982, 0.3684, 0.4771, 0.3146, 25.31)
CELLS = (
    Cell("2a", "localisation", paper=(0.1309, 0.4889, 0.5921, 0.4040, 22.45), more=SHORT),
    Cell("2b", "localisation", paper=PAPER_2B, more=FAR),
    Cell("2c", "localisation", paper=PAPER_2C, more=FAR),
    Cell("2b", "localisation", KL, PAPER_2B_KL, FAR_POISSON),
    Cell("2c", "localisation", KL, PAPER_2C_KL, FAR_POISSON),
    *(Cell("2b", "localisation", paper=PAPER_2B, more=FAR, light=light) for light in (2.0, 4.0, 8.0)),
    *(Cell("2c", "localisation", paper=PAPER_2C, more=FAR, light=light) for light in (2.0, 4.0, 8.0)),
    Cell("4", "localisation", more=(("iterations", 200), ("rounds", 10), ("batch", 20), ("validation_share", 0.0))),
    Cell("1", "localisation", paper=(0.7452, 0.8480, 0.8583, 0.8172, 33.09), more=LONG),
    Cell("1", L2, paper=(0.3878, 0.4179, 0.4179, 0.4079, 35.76), more=LONG),
    Cell("speed", ""),
    Cell("light", ""),
    Cell("empty", ""),
    Cell("2a", L2, paper=(0.1147, 0.2175, 0.2194, 0.1839, 34.27), more=SHORT),
    Cell("2b", L2, paper=(0.1057, 0.1205, 0.1211, 0.1158, 34.74), more=SHORT),
    Cell("2c", L2, paper=(0.0544, 0.0778, 0.0829, 0.0717, 34.36), more=SHORT),
    Cell("3", "localisation", KL, (0.0776, 0.3687, 0.4995, 0.3153, 27.39), POISSON),
    Cell("3", "localisation", paper=(0.0661, 0.2291, 0.3259, 0.2070, 28.00), more=SHORT),
    Cell("3", L2, KL, (0.0619, 0.1285, 0.1363, 0.1089, 39.88), POISSON),
    Cell("3", L2, paper=(0.0545, 0.0812, 0.0837, 0.0731, 39.97), more=SHORT),
    Cell("2b", L2, KL, (0.0921, 0.2633, 0.3159, 0.2238, 33.94), POISSON),
    Cell("2c", L2, KL, (0.0589, 0.0909, 0.0987, 0.0828, 34.35), POISSON),
    Cell("2a", STORM, paper=(0.0453, 0.4563, 0.5688, 0.3568, 20.10)),
    Cell("2b", STORM, paper=(0.0381, 0.4568, 0.5890, 0.3613, 19.52)),
    Cell("2c", STORM, paper=(0.0106, 0.1949, 0.3185, 0.1747, 17.56)),
)
TITLES = {
    "1": "Experiment 1: simulated frames, 75 to 150 active pixels, Gaussian noise",
    "2a": "Experiment 2a: ISBI 2013 positions, Gaussian noise",
    "2b": "Experiment 2b: ISBI 2013 positions, Poisson noise, low background",
    "2c": "Experiment 2c: ISBI 2013 positions, Poisson noise, high background",
    "3": "Experiment 3: about 20 active molecules a frame, Poisson noise",
}


@dataclass(frozen=True, eq=False)
class Data:
    """Frames and truths of an experiment, to learn from and to test on."""

    physics: Physics
    training: Pair
    test: Pair


def physics_of(cell: Cell) -> Physics:
    """Microscope and grid of an experiment; its noise is in the data term."""
    fwhm_nm = FWHM_PER_SIGMA * SIMULATED_SIGMA * PIXEL_NM / FACTOR if cell.experiment == "1" else ISBI_FWHM_NM
    background = BACKGROUNDS.get(cell.experiment, 0.0)
    return Physics(fwhm_nm, PIXEL_NM, FACTOR, cell.data_term, background)  # type: ignore[arg-type]


def scattered(random: np.random.Generator, count: int, least: int, most: int, low: float = DIMMEST) -> Images:
    """(count, 256, 256) truths with so many active pixels anywhere."""
    truth = np.zeros((count, 64 * FACTOR, 64 * FACTOR))
    for image in truth:
        active = random.choice(image.size, random.integers(least, most + 1), replace=False)
        image.flat[active] = random.uniform(low, BRIGHTEST, len(active))
    return truth


def positions() -> np.ndarray:
    """(N, 3) frame from 1, x and y in nm."""
    with gzip.open(POSITIONS, "rt") as file:
        return np.loadtxt(file, delimiter=",", skiprows=1)


@cache
def isbi() -> Images:
    """(361, 256, 256) true images: positions on the fine grid, each molecule and frame of a brightness of its own."""
    rows = positions()
    random = np.random.default_rng(2013)
    truth = np.zeros((361, 64 * FACTOR, 64 * FACTOR))
    frame, x, y = rows[:, 0].astype(int) - 1, *(np.floor(rows[:, i] / PIXEL_NM * FACTOR).astype(int) for i in (1, 2))
    inside = (x >= 0) & (x < truth.shape[2]) & (y >= 0) & (y < truth.shape[1])
    light = random.uniform(DIMMEST, BRIGHTEST, len(rows))
    np.add.at(truth, (frame[inside], y[inside], x[inside]), light[inside])
    return truth * (BRIGHTEST / truth.max((1, 2), keepdims=True))


def seen(physics: Physics, truth: Images, noise: Callable[[np.ndarray], np.ndarray]) -> Images:
    """(T, Y, X) noisy frames of (T, L Y, L X) truths."""
    grid = grid_for(physics, (truth.shape[1] // physics.factor, truth.shape[2] // physics.factor))
    operator = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float32)
    frames = [operator.forward(grid.embed(torch.as_tensor(image[None], dtype=torch.float32)))[0] for image in truth]
    return noise(torch.stack(frames).numpy().astype(float) + (physics.background_photons or 0.0))


def data_of(cell: Cell) -> Data:
    """The experiment's frames; the same for every loss and data term, but for what the paper's l2 learns from."""
    physics, random = physics_of(cell), np.random.default_rng(1)

    def gaussian(expected: np.ndarray) -> np.ndarray:
        return expected + random.normal(0.0, ISBI_NOISE, expected.shape)

    def poisson(expected: np.ndarray) -> np.ndarray:
        return random.poisson(expected).astype(float)

    if cell.experiment == "1":
        test, training = scattered(random, 25, 75, 150), scattered(random, 10, 75, 150)
        if cell.loss == L2:  # the paper's special images, without which l2 finds no sparsity
            training = scattered(random, 8, 4, 4)
    elif cell.experiment == "3":
        test, training = scattered(random, 100, 15, 25), scattered(random, ISBI_TRAINING, 15, 25)
    else:
        truth = isbi()
        learnt = np.linspace(0, len(truth) - 1, ISBI_TRAINING).round().astype(int)
        others = np.delete(truth, learnt, axis=0)
        training, test = truth[learnt], others[np.linspace(0, len(others) - 1, ISBI_TEST).round().astype(int)]
    training, test = cell.light * training, cell.light * test
    noise = gaussian if cell.experiment in ("1", "2a") else poisson
    made = [Pair(name, seen(physics, t, noise), t) for name, t in (("training", training), ("test", test))]
    return Data(physics, *made)


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


def patterns() -> list[Pair]:
    """Movies of filaments whose molecules blink, blurred, with Gaussian noise; truths are the emissions themselves."""
    emitters = BlinkingEmitters(on_time_s=0.02, off_time_s=0.08, frame_interval_s=0.02, photons_per_s=5e4)
    physics, field = semi_blind_physics(1.0), (48, 48)
    made = []
    for number in range(PATTERNS):
        random = np.random.default_rng((4, number))
        phantom = FilamentPhantom(field, count=3, width_nm=40.0, persistence_nm=2000.0, pixel_size_nm=40.0, seed=number)
        mean = emitters.molecule.photons_per_frame * phantom.render(Grid(field, 1)).clip(0.0, 1.0)
        emission = emitters.place(mean, random)
        truth = np.stack(list(emitters.frames(emission, np.ones(PATTERN_FRAMES), random)))
        frames = seen(physics, truth, lambda e, random=random: e + random.normal(0.0, PATTERN_NOISE, e.shape))
        made.append(Pair(f"pattern {number}", frames, truth))
    return made


def semi_blind_physics(guess: float, *, semi_blind: bool = False) -> Physics:
    """40-nm pixels and no finer grid: a deconvolution; the noise's variance is the background of variances."""
    fwhm_nm = guess * SEMI_BLIND_SIGMA * FWHM_PER_SIGMA * 40.0
    background = PATTERN_NOISE**2 if semi_blind else 0.0
    return Physics(fwhm_nm, 40.0, 1, background_photons=background, semi_blind=semi_blind)


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


def tables(cells: dict[str, dict[str, Any]]) -> list[Table]:
    """One for each experiment of which there is anything."""
    made = [_places(name, title, cells) for name, title in TITLES.items()]
    made += [_light(cells), _semi_blind(cells), _speed(cells)]
    return [table for table in made if table.rows]


def _places(experiment: str, title: str, cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title,
        ("loss", "data term", "what is counted", "J_0", "J_2", "J_4", "Avg", "PSNR, dB", "the paper's Avg (J_0 / J_2 / "
         "J_4), PSNR", "lambda", "tau", "K", "rounds", "training, CPU-s"),
        _note(experiment) + _of_nothing(experiment, cells),
    )  # fmt: skip
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment != experiment or found is None or cell.paper is None or cell.light != 1.0:
            continue
        counted = {"pixels_all": "all light", "pixels": "pixels above tau", "molecules": "middles of patches"}
        if cell.loss == L2:
            counted["pixels"] = "pixels above the training frames' best level"
        if cell.loss == STORM:
            counted["molecules"] = "peaks of its map"
        for name, words in counted.items():
            if name not in found:
                continue
            first = name == next(n for n in counted if n in found)
            j0, j2, j4, average, decibel = cell.paper
            more = [f"{average:.3f} ({j0:.3f} / {j2:.3f} / {j4:.3f}), {decibel:.2f}"]
            if cell.loss == STORM:
                more += ["", "", "", "", f"{found['training_s']:.0f}"]
            else:
                numbers, rounds = found["numbers"], len(found["history"]["loss"]) - 1
                more += [f"{numbers['lambda']:.3g}", f"{found['threshold']:.3g}", dict(cell.more)["iterations"]]
                more += [rounds, f"{found['training_s']:.0f}"]
            values = [f"{v:.3f}" for v in found[name]]
            decibels = f"{found['psnr']:.2f}" if first and "psnr" in found else ""
            data_term = "" if cell.loss == STORM else cell.data_term
            shown = more if first else [""] * len(more)
            table.rows.append([cell.loss, data_term, words, *values, decibels, *shown])
    return table


def _light(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        "How much light experiments 2b and 2c need, localisation loss, least squares",
        ("experiment", "photons per grey value", "photons of a molecule, mean", "J_0", "J_2", "J_4", "Avg",
         "the paper's Avg (J_0 / J_2 / J_4)"),
        "The paper does not say how bright its molecules are. The tables above take grey values for photons; here they "
        "are so many photons each, background and all else as above." + _own_light(cells),
    )  # fmt: skip
    true = isbi()
    for cell in CELLS:
        found = cells.get(cell.key)
        asked = cell.experiment in ("2b", "2c") and cell.loss == "localisation" and cell.data_term == "least-squares"
        if found is not None and asked and cell.paper is not None:
            j0, j2, j4, average, _ = cell.paper
            values = [f"{v:.3f}" for v in found["pixels"]]
            photons = f"{cell.light * true[true > 0].mean():.0f}"
            shown = [cell.experiment, f"{cell.light:g}", photons, *values]
            table.rows.append([*shown, f"{average:.3f} ({j0:.3f} / {j2:.3f} / {j4:.3f})"])
    table.rows.sort(key=lambda row: (row[0], float(row[1])))
    return table


def _of_nothing(experiment: str, cells: dict[str, dict[str, Any]]) -> str:
    found = cells.get(Cell("empty", "").key)
    if found is None or experiment not in found:
        return ""
    return (
        f" l2 with least squares stays at a nearly empty image: whatever the penalty, its loss on the training frames "
        f"is {found[experiment]:.3f} times that of empty images or more."
    )


def _own_light(cells: dict[str, dict[str, Any]]) -> str:
    found = cells.get(Cell("light", "").key)
    if found is None:
        return ""
    return (
        f" The movie's own molecules have {found['photons_mean']:.0f} photons on average (median "
        f"{found['photons_median']:.0f}) above {found['background']:.1f} of background in a pixel: its grey values at "
        f"the true places, over the gain of {found['gain']:.2f} ADU that its noise shows ({found['frames']} frames)."
    )


def _note(experiment: str) -> str:
    where = {
        "1": "10 frames to learn from, 25 to test on; l2 learns from 8 frames with 4 active pixels, as in the paper; "
        f"sigma of the PSF {SIMULATED_SIGMA} fine pixels, noise of standard deviation {ISBI_NOISE:g}. ",
        "3": "100 test frames of random places (the paper's own positions are not at hand). ",
    }.get(
        experiment,
        f"{ISBI_TRAINING} frames to learn from, {ISBI_TEST} of the other {361 - ISBI_TRAINING} to test on; FWHM "
        f"{ISBI_FWHM_NM} nm" + (f", noise of standard deviation {ISBI_NOISE:g}. " if experiment == "2a" else ". "),
    )
    background = f"Background {BACKGROUNDS[experiment]:g} photons. " if experiment in ("2b", "2c", "3") else ""
    return (
        f"64 x 64 camera pixels, L = {FACTOR}. {where}{background}True values between {DIMMEST:g} and {BRIGHTEST:g}. "
        "Chosen here, the paper's being unknown: K, noise, these values, eps = .001 of the brightest pixel, "
        "delta = .1, w = .7 tau, x_0 = 0, and the steps' start: the best of even and of silver steps, for least "
        "squares in experiments 2 and 3 even ones of 1.3 / |A|^2. Jaccard index per frame, one to one, the closest "
        "first, within 0, 2 and 4 fine pixels. The paper counts pixels; what the "
        "method calls molecules are the middles of touching pixels above a level that suits the training frames. "
        "Deep-STORM: this project's, trained for 2000 steps on simulated frames of the same light, background and "
        "noise, with .5 to 10 molecules per um2 spread evenly; its maps are no light, so they have no PSNR."
    )


def _semi_blind(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        "Experiment 4: semi-blind deconvolution of variances, 10 test patterns of filaments",
        ("what is counted", "J_0", "J_2", "J_4", "Avg", "sigma found, pixels", "true sigma", "first guess"),
        f"{PATTERNS} movies of {PATTERN_FRAMES} frames, 48 x 48 pixels of 40 nm; blinking molecules on filaments; "
        f"Gaussian noise of standard deviation {PATTERN_NOISE:g}, whose variance is taken as known. A pixel is true "
        "where the variance of the emission is above 0.",
    )
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment == "4" and found is not None:
            first, true = SEMI_BLIND_GUESS * SEMI_BLIND_SIGMA, SEMI_BLIND_SIGMA
            for name, words in (("before", "all light"), ("after", "pixels above tau")):
                sigma = [f"{found['sigma']:.3f}", f"{true:g}", f"{first:g}"] if name == "after" else [""] * 3
                table.rows.append([words, *(f"{v:.3f}" for v in found[name]), *sigma])
    return table


def _speed(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table("Speed, one CPU thread", ("what", "CPU-s"), "Each the least of three runs; the movie once.")
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment == "speed" and found is not None:
            ratio = found["dense_s"] / found["own_s"]
            table.rows += [
                ["one iteration, 16 images of 256 x 256 fine pixels and their margin", f"{found['own_s']:.4f}"],
                ["two dense convolutions of them (conv2d), no margin", f"{found['dense_s']:.4f} ({ratio:.0f} times)"],
                [
                    f"{found['frames']} frames of 64 x 64 pixels, K = {found['iterations']}, molecules included",
                    f"{found['movie_s']:.1f}",
                ],
            ]
    return table


def main() -> None:
    """Run what is missing, then store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    parser.add_argument("--only", default="", help="experiments, with commas; 'none': only make the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells: dict[str, dict[str, Any]] = json.loads(CACHE.read_text()) if CACHE.exists() else {}
    end = time.monotonic() + 60 * arguments.minutes if arguments.minutes else np.inf
    only = arguments.only.split(",") if arguments.only else [cell.experiment for cell in CELLS]
    for cell in CELLS:
        if cell.key in cells or cell.experiment not in only or time.monotonic() > end:
            continue
        cells[cell.key] = run(cell)
        print(cell.key, {k: v for k, v in cells[cell.key].items() if k not in ("history", "numbers")}, flush=True)
        CACHE.parent.mkdir(exist_ok=True)
        part = Path(f"{CACHE}.part")
        part.write_text(json.dumps(cells))
        part.replace(CACHE)
    store("unfolding_tables", "Unfolded projected gradient descent", tables(cells), version=fluosr.__version__)


if __name__ == "__main__":
    main()
