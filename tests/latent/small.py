"""A tiny generator of varied images, and a flow fitted to its codes in no time."""

from __future__ import annotations

import functools

from fluosr.generation.model import Knowledge, TrainedGenerator
from fluosr.latent.flow_lesson import LearntFlow, lesson_of
from fluosr.latent.flow_parameters import FlowFitting
from fluosr.methods.base import Run
from tests.restorers import seeded

KNOWN = Knowledge(32, ["DNA", "GFP"], [[100.0, 900.0], [50.0, 250.0]], 6, 2, 8, 645.0, 64, 1000)
QUICK = FlowFitting(codes=3000, transforms=3, hidden=32, batch=128, epochs=10, learning_rate=5e-3)


def made_generator(seed: int = 0) -> TrainedGenerator:
    """Untrained."""
    network = KNOWN.build(seeded(seed))
    return TrainedGenerator(network.eval().requires_grad_(False), KNOWN)


@functools.cache
def quick_flow(seed: int = 0) -> LearntFlow:
    return lesson_of(made_generator(seed), QUICK).learn(Run())
