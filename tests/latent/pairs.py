"""A toy that pairs can teach and enlargement cannot know: discs of one size and any brightness, with sharp edges."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fluosr.generation.crops import TrainingCrops
from fluosr.latent.degradation import Bicubic
from fluosr.latent.pix2pix_lesson import LearntPix2Pix, lesson_of
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.methods.base import Run
from fluosr.phenotypes.levels import Levels

EIGHT = Bicubic(32, 8)
TINY: dict[str, Any] = {"features": 8, "batch": 4, "learning_rate": 2e-3, "look": 1000}


def discs(count: int, seed: int = 0) -> np.ndarray:
    """(N, 2, 32, 32) grey values."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32] - 15.5
    light = random.uniform(300, 900, (count, 2, 1, 1)) * (np.hypot(rows, columns) < 9)
    return (light + np.array([100, 50])[:, None, None]).astype(np.float32)


def disc_crops(count: int = 64, seed: int = 0) -> TrainingCrops:
    levels = Levels(np.array([100.0, 50.0]), np.array([1000.0, 950.0]))
    return TrainingCrops.checked(discs(count, seed), ("DNA", "GFP"), levels, 645.0)


def tiny(**given: Any) -> Pix2PixTraining:
    return Pix2PixTraining(**(TINY | given))


@functools.cache
def quick_pix2pix(steps: int = 100, dropout: float = 0.5) -> LearntPix2Pix:
    """Fitted to discs that are 8 times coarser."""
    return lesson_of(disc_crops(), EIGHT, tiny(images=4 * steps, dropout=dropout)).learn(Run())
