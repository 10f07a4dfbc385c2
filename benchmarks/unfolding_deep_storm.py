"""Deep-STORM on the frames of the unfolding paper's experiments, trained on examples of their own noise and light."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from fluosr.localisations import Localisations
from fluosr.methods.deep_storm.heatmap import HEIGHT, peaks, prepared
from fluosr.methods.deep_storm.training import Schedule, Training
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.physics import Physics
from fluosr.networks.deep_storm import DeepStorm

DENSITIES_PER_UM2 = (0.5, 10.0)
SCHEDULE = Schedule(iterations=2000, batch=8, side_px=16)
THRESHOLD = 0.2  # the method's default


def drawer(
    physics: Physics, light: tuple[float, float], noise: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
) -> Callable[[int, int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]:
    """Makes examples: molecules anywhere, of one even light between two ends, seen by the experiment's microscope."""
    fine_um = physics.pixel_size_nm / physics.factor / 1000.0

    def draw(count: int, side: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        grid = grid_for(physics, (side, side))
        operator = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float32)
        least, most = (density * fine_um**2 for density in DENSITIES_PER_UM2)
        density = least + (most - least) * torch.rand(count, 1, 1, generator=generator)
        molecules = torch.poisson(density.expand(count, *grid.shape).contiguous(), generator=generator)
        brightness = light[0] + (light[1] - light[0]) * torch.rand(molecules.shape, generator=generator)
        expected = operator.forward(molecules * brightness) + float(physics.background_photons or 0.0)
        return noise(expected, generator), grid.crop(molecules)

    return draw


def trained(draw: Callable[..., Any], factor: int, seed: int) -> tuple[DeepStorm, dict[str, Any]]:
    """The network, and what is to be told of its training."""
    started = time.process_time()
    training = Training(draw, factor, SCHEDULE, seed)
    while not training.finished:
        training.step()
    told = {"training_s": time.process_time() - started, "held_out_loss": training.curve}
    return training.best_network(), told


@torch.no_grad()
def places_of(network: DeepStorm, frames: np.ndarray, factor: int) -> Localisations:
    """The molecules of (T, Y, X) frames; coordinates in fine pixels."""
    found = []
    for number, frame in enumerate(frames):
        maps = network(prepared(torch.as_tensor(frame[None], dtype=torch.float32), factor))
        found.append(peaks(maps, HEIGHT * THRESHOLD, 1.0, first_frame=number))
    return Localisations.joined(found)
