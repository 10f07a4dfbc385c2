"""Trainings of DivNoising so small that a test can wait for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.corrections.movie import CorrectedMovie, correct
from fluosr.methods.divnoising.noise import CameraNoise
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import TrainingFrames, choose_frames
from fluosr.methods.divnoising.training import Training
from tests.movies import cross_movie

TINY = {"iterations": 12, "batch": 2, "patch_px": 16, "filters": 4, "frame_samples": 1, "samples": 3}
PLAIN = {"drift": False, "bleaching": False, "bad_pixels": False}


def corrected(movie: Acquisition | None = None) -> CorrectedMovie:
    return correct(cross_movie() if movie is None else movie, **PLAIN)


def frames_to_learn_from(movie: CorrectedMovie | None = None) -> TrainingFrames:
    return choose_frames(movie or corrected(), np.random.default_rng(0))


def training(**changes: Any) -> Training:
    return Training(frames_to_learn_from(), CameraNoise(0.5), DivnoisingParameters(**(TINY | changes)), seed=0)


def finish(made: Training) -> Training:
    while not made.finished:
        made.step()
    return made
