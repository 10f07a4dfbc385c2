"""Who moves the weights: scaled gradient projection on all examples at once, or Adam on a batch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.unfolded.outer_problem import OuterProblem
from fluosr.methods.unfolded.pairs import batches_of
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.solvers.scaled_gradient_projection import ScaledGradientProjection, ScaledGradientState

FIRST_CHANGE = 0.2  # of any weight, that the first step of the projection method makes at the most
ADAM_DECAY = (0.9, 0.999)


def _check_finite(gradient: torch.Tensor) -> None:
    if not bool(gradient.isfinite().all()):
        raise UsageError(
            "training has come to steps with which the algorithm diverges: the loss has no gradient there. Give a "
            "smaller --first-step; with Adam a smaller --learning-rate, or --optimiser sgp, which goes back by itself."
        )


class ByProjection:
    """All examples at once, deterministic."""

    def __init__(self, outer: OuterProblem) -> None:
        self._solver = ScaledGradientProjection(
            outer.value_and_gradient, outer.lower, outer.upper, self._scaling, outer.value
        )
        self._outer = outer
        self._state: Any = None

    def start(self) -> None:
        """Begin at the weights that the network has.

        Raises:
            UsageError: the loss has no gradient there.
        """
        self._state = self._solver.start(self._outer.point)
        _check_finite(self._state.gradient)
        moved = (self._outer.sizes(self._state.point) * self._state.gradient).abs().max()
        self._state.length = FIRST_CHANGE / max(float(moved), FIRST_CHANGE)

    def _scaling(self, point: torch.Tensor) -> torch.Tensor:
        return self._outer.sizes(point).square()

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self._state = ScaledGradientState.from_tensors(named)

    def advance(self, number: int) -> None:
        """One round; ``number`` counts them from 1."""
        self._solver.advance(self._state)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes, for a checkpoint."""
        return {name: value.clone() for name, value in self._state.tensors().items()}

    @property
    def point(self) -> torch.Tensor:
        """(n,) where the weights are."""
        return self._state.point

    @property
    def value(self) -> float:
        """Mean loss there."""
        return float(self._state.value)

    @property
    def finished(self) -> bool:
        """No step makes the loss less."""
        return bool(self._state.finished)


class ByAdam:
    """One batch at a time in random order (Kingma and Ba 2015), each weight in its own scale, within the bounds."""

    finished = False

    def __init__(self, outer: OuterProblem, parameters: TrainingParameters, run: Run) -> None:
        self._outer, self._rate, self._seed = outer, parameters.learning_rate, run.stream_seed("batches")
        self.point = outer.point
        self._mean, self._square = torch.zeros_like(self.point), torch.zeros_like(self.point)
        self._count = 0
        self.value = math.inf

    def start(self) -> None:
        """Begin at the weights that the network has, within the bounds."""
        self.point = torch.minimum(torch.maximum(self._outer.point, self._outer.lower), self._outer.upper)
        self.value = self._outer.value(self.point, self._outer.examples)

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self.point, self._mean, self._square = (named[name] for name in ("point", "mean", "square"))
        self.value, count = named["numbers"].tolist()
        self._count = int(count)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes, for a checkpoint."""
        numbers = torch.tensor([self.value, self._count], dtype=torch.float64)
        return {"point": self.point, "mean": self._mean, "square": self._square, "numbers": numbers}

    def advance(self, number: int) -> None:
        """One round; ``number`` counts them from 1."""
        order = np.random.default_rng([self._seed, number]).permutation(len(self._outer.examples))
        shuffled = [self._outer.examples[int(i)] for i in order]
        total = 0.0
        for batch in batches_of(shuffled, self._outer.batch):
            value, gradient = self._outer.value_and_gradient(self.point, batch)
            _check_finite(gradient)
            total += value * len(batch) / len(shuffled)
            scale = self._outer.sizes(self.point)
            slope = scale * gradient
            self._count += 1
            keep_mean, keep_square = ADAM_DECAY
            self._mean = keep_mean * self._mean + (1 - keep_mean) * slope
            self._square = keep_square * self._square + (1 - keep_square) * slope.square()
            mean = self._mean / (1 - keep_mean**self._count)
            spread = (self._square / (1 - keep_square**self._count)).sqrt() + 1e-12
            moved = self.point - self._rate * scale * mean / spread
            self.point = torch.minimum(torch.maximum(moved, self._outer.lower), self._outer.upper)
        self.value = total
