"""The experiments of the unfolding tables: which model on which frames, and how these are simulated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from tables import DATA

from fluosr.emitters import BlinkingEmitters
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.pairs import Pair
from fluosr.methods.unfolded.physics import Physics
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.optics.sampling import Grid
from fluosr.simulate.filaments import FilamentPhantom

EDITION = 4  # of method and settings: cells of another one are run anew
POSITIONS = DATA / "smlm" / "SIMULATED_isbi2013_bundled_tubes_positions.csv.gz"
PIXEL_NM, FACTOR = 100.0, 4
BRIGHTEST, DIMMEST = 255.0, 50.0
SIMULATED_SIGMA = 2.5  # fine pixels
ISBI_FWHM_NM = 258.21
ISBI_TRAINING = 4  # frames, evenly over the movie
ISBI_TEST = 40  # frames of the others, evenly
BACKGROUNDS = {"2a": 0.0, "2b": 1.0, "2c": 20.0, "3": 5.0}
ISBI_NOISE = 1.0  # standard deviation of 2a's Gaussian noise
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
