"""The training of an unfolded model, ready to begin."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch

from fluosr.methods.base import Run
from fluosr.methods.lesson import Lesson
from fluosr.methods.unfolded.model_file import KIND, contents
from fluosr.methods.unfolded.pairs import Example, Pair, examples_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training import STAGE, Trained, train
from fluosr.methods.unfolded.training_parameters import TrainingParameters


def lesson_of(pairs: list[Pair], physics: Physics, parameters: TrainingParameters) -> Lesson[Trained]:
    """Learning from pairs.

    Args:
        pairs: of frames and truth.
        physics: of the pairs.
        parameters: how to train.

    Raises:
        UsageError: pairs that do not fit each other or the physics.
    """
    examples = examples_of(pairs, physics)
    fingerprint = _fingerprint(examples)

    def learn(run: Run) -> Trained:
        return train(examples, physics, parameters, run)

    def files(made: Trained, record: dict[str, Any]) -> tuple[bytes, bytes]:
        return contents(made.network, record)

    def record(made: Trained) -> dict[str, Any]:
        return {
            "pairs": {"names": [pair.name for pair in pairs], "images": len(examples), "sha256": fingerprint},
            "history": {name: [v if math.isfinite(v) else None for v in curve] for name, curve in made.history.items()},
            "best_round": made.best_round,
            "learned": list(made.learned),
        }

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        done = len(states[STAGE]["losses"]) - 1 if STAGE in states else 0  # none while a start is being chosen
        return f"{done} rounds of training"

    facts = {"parameters": parameters.model_dump(), "physics": physics.describe(), "pairs": fingerprint}
    return Lesson(KIND, facts, learn, files, record, kept)


def _fingerprint(examples: list[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        for image in (example.frame, example.truth):
            digest.update(repr(tuple(image.shape)).encode() + image.contiguous().numpy().tobytes())
        digest.update(repr(example.background).encode())
    return digest.hexdigest()
