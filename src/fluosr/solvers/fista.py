"""FISTA for smooth convex functions plus a linear penalty over the non-negative orthant, in a diagonal metric.

    minimise f(u) + sum_j p_j u_j   subject to   u >= 0

Beck & Teboulle 2009 with two changes: the step of each variable is its own (the diagonal majoriser D of the Hessian,
f(u + h) <= f(u) + <grad f, h> + 1/2 <h, D h>), and the momentum starts anew when it points uphill (O'Donoghue & Candes
2015, gradient scheme). What is returned is the proximal point, never the extrapolated one, so it is non-negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch

Blocks = list[torch.Tensor]
RESTART_CHECK = 25  # iterations between two looks at the momentum: each look costs three passes over the image


class SmoothProblem(Protocol):
    """The smooth part and its majoriser. Variables come in blocks, each a tensor of its own shape."""

    majoriser: Blocks
    penalty: list[float | torch.Tensor]

    def gradient(self, blocks: Blocks) -> Blocks:
        """Gradient of f at ``blocks``, one tensor a block; the tensors may be reused by the next call."""


@dataclass
class FistaState:
    """Where the iteration stands; everything needed to go on bit for bit.

    Attributes:
        point: the last proximal point, non-negative.
        extrapolated: the point the next gradient is taken at.
        momentum: t of FISTA.
        iteration: iterations done.
    """

    point: Blocks
    extrapolated: Blocks
    momentum: float = 1.0
    iteration: int = 0

    @classmethod
    def start(cls, point: Blocks) -> FistaState:
        """At rest at a non-negative point, which is copied."""
        return cls([p.clone() for p in point], [p.clone() for p in point])

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        named = {f"point.{i}": p for i, p in enumerate(self.point)}
        named |= {f"extrapolated.{i}": p for i, p in enumerate(self.extrapolated)}
        return named | {"scalars": torch.tensor([self.momentum, self.iteration], dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor]) -> FistaState:
        """Back from :meth:`tensors`."""
        count = sum(key.startswith("point.") for key in named)
        momentum, iteration = named["scalars"].tolist()
        return cls(
            [named[f"point.{i}"].clone() for i in range(count)],
            [named[f"extrapolated.{i}"].clone() for i in range(count)],
            momentum,
            int(iteration),
        )


class Fista:
    """Runs FISTA on one problem; steps are precomputed, buffers reused."""

    def __init__(self, problem: SmoothProblem) -> None:
        self._problem = problem
        self._steps = [1.0 / d for d in problem.majoriser]
        self._thresholds = [s * p for s, p in zip(self._steps, problem.penalty, strict=True)]

    def proximal_step(self, point: Blocks, gradient: Blocks) -> Blocks:
        """max(0, u - (g + p) / D), block by block: the proximal map of the penalty in the metric D."""
        new = []
        for u, g, step, threshold in zip(point, gradient, self._steps, self._thresholds, strict=True):
            new.append(torch.addcmul(u, g, step, value=-1.0).sub_(threshold).clamp_min_(0.0))
        return new

    def advance(self, state: FistaState, gradient: Blocks | None = None) -> None:
        """One iteration, in place.

        Args:
            state: where to start from; changed.
            gradient: gradient at ``state.extrapolated`` where the caller has one of its own (adversarial term).
        """
        if gradient is None:
            gradient = self._problem.gradient(state.extrapolated)
        new = self.proximal_step(state.extrapolated, gradient)
        state.iteration += 1
        if state.iteration % RESTART_CHECK == 0 and self._uphill(state, new):
            state.momentum = 1.0
        momentum = (1.0 + math.sqrt(1.0 + 4.0 * state.momentum**2)) / 2.0
        weight = (state.momentum - 1.0) / momentum
        state.extrapolated = [torch.lerp(old, u, 1.0 + weight) for old, u in zip(state.point, new, strict=True)]
        state.point = new
        state.momentum = momentum

    def _uphill(self, state: FistaState, new: Blocks) -> bool:
        total = 0.0
        for z, u, old, d in zip(state.extrapolated, new, state.point, self._problem.majoriser, strict=True):
            total += float(((z - u) * (u - old) * d).sum())
        return total > 0.0
