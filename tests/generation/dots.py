"""A toy distribution: one bright dot a crop, anywhere, of any brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fluosr.generation.crops import TrainingCrops
from fluosr.generation.parameters import GeneratorTraining
from fluosr.generation.training import Training
from tests.restorers import seeded

TINY: dict[str, Any] = {"features": 4, "latent_features": 6, "batch": 4, "score_images": 0, "look": 1000}


def dots(count: int = 64, channels: int = 1, seed: int = 0, side: int = 32) -> np.ndarray:
    """(N, C, side, side) grey values, background 100; the dot's place is the same in all channels."""
    random = np.random.default_rng(seed)
    y, x = random.uniform(6, side - 6, (2, count, 1, 1, 1))
    bright = random.uniform(300, 900, (count, channels, 1, 1))
    rows, columns = np.mgrid[:side, :side] + 0.5
    shape = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.5**2))
    return (100 + bright * shape).astype(np.float32)


def dot_crops(count: int = 64, channels: int = 1, seed: int = 0) -> TrainingCrops:
    return TrainingCrops.checked(dots(count, channels, seed))


def tiny(**given: Any) -> GeneratorTraining:
    return GeneratorTraining(**(TINY | given))


def training(count: int = 64, **given: Any) -> Training:
    crops = dot_crops(count)
    return Training(torch.from_numpy(crops.levels.to_range(crops.crops)), tiny(**given), seeded(), 1)
