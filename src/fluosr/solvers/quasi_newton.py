"""L-BFGS for smooth functions without constraints, in steps that can be stopped and taken up again bit for bit.

Liu & Nocedal 1989: the inverse Hessian is built from the last steps and the changes of the gradient (two loops). The
step is shortened until the function falls enough (Armijo) and lengthened never: the model's own step of 1 is right near
the minimum. A pair of changes that would spoil the model's definiteness is left out. What the pairs say nothing of has
the curvature of a diagonal metric that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

MEMORY = 12  # pairs of changes kept
FIRST_STEP = 0.1  # of the point's distance from the origin
ENOUGH = 1e-4  # of the fall that the gradient promises (Armijo)
SHORTEST = 1e-10  # step at which no descent is left
LEAST_CURVATURE = 1e-10  # of |s| |y|: pairs below it are left out

Function = Callable[[torch.Tensor], tuple[float, torch.Tensor]]


@dataclass
class QuasiNewtonState:
    """Where the iteration stands; everything needed to go on bit for bit.

    Attributes:
        point, gradient: (n,) the last iterate and the gradient there.
        value: the function there.
        steps, changes: the last changes of point and gradient, oldest first.
        iteration: iterations done.
        finished: no descent was found any more.
        metric: (n,) positive, in proportion to the inverse of each variable's curvature; None for all alike.
    """

    point: torch.Tensor
    gradient: torch.Tensor
    value: float
    steps: list[torch.Tensor] = field(default_factory=list)
    changes: list[torch.Tensor] = field(default_factory=list)
    iteration: int = 0
    finished: bool = False
    metric: torch.Tensor | None = None

    @classmethod
    def start(cls, function: Function, point: torch.Tensor) -> QuasiNewtonState:
        """At a point, which is copied."""
        value, gradient = function(point)
        return cls(point.clone(), gradient, value)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        named = {f"step.{i}": s for i, s in enumerate(self.steps)}
        named |= {f"change.{i}": y for i, y in enumerate(self.changes)}
        scalars = torch.tensor([self.value, self.iteration, self.finished], dtype=torch.float64)
        if self.metric is not None:
            named["metric"] = self.metric
        return named | {"point": self.point, "gradient": self.gradient, "scalars": scalars}

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor], device: torch.device | str = "cpu") -> QuasiNewtonState:
        """Back from :meth:`tensors`."""
        count = sum(key.startswith("step.") for key in named)
        value, iteration, finished = named["scalars"].tolist()
        return cls(
            named["point"].to(device),
            named["gradient"].to(device),
            value,
            [named[f"step.{i}"].to(device) for i in range(count)],
            [named[f"change.{i}"].to(device) for i in range(count)],
            int(iteration),
            bool(finished),
            named["metric"].to(device) if "metric" in named else None,
        )


def advance(function: Function, state: QuasiNewtonState) -> None:
    """One iteration, in place; :attr:`QuasiNewtonState.finished` is set where none is possible."""
    direction = _direction(state)
    slope = float(direction @ state.gradient)
    if not slope < 0:  # the model has gone wrong: begin a new one
        state.steps, state.changes = [], []
        direction = -_scaled(state, state.gradient)
        slope = float(direction @ state.gradient)
        if not slope < 0:
            state.finished = True
            return
    size = 1.0
    if not state.steps:  # nothing is known of the curvature: a tenth of the way from the origin, or 1 from there
        size = min(1.0, (FIRST_STEP * float(state.point.norm()) or 1.0) / max(float(direction.norm()), 1e-300))
    while size > SHORTEST:
        point = state.point + size * direction
        value, gradient = function(point)
        if value <= state.value + ENOUGH * size * slope:
            break
        size *= _shorter(state.value, value, slope, size)
    else:
        if not state.steps:
            state.finished = True
        state.steps, state.changes = [], []
        return
    step, change = point - state.point, gradient - state.gradient
    state.point, state.gradient, state.value = point, gradient, value
    state.iteration += 1
    if float(step @ change) > LEAST_CURVATURE * float(step.norm() * change.norm()):
        state.steps = [*state.steps, step][-MEMORY:]
        state.changes = [*state.changes, change][-MEMORY:]


def _shorter(before: float, after: float, slope: float, size: float) -> float:
    """By what to shorten a step: to the minimum of the parabola through what is known, within [0.1, 0.5]."""
    rise = after - before - slope * size
    if not rise > 0:  # not finite
        return 0.1
    return min(0.5, max(0.1, -slope * size / (2.0 * rise)))


def _direction(state: QuasiNewtonState) -> torch.Tensor:
    direction = -state.gradient
    weights = []
    for step, change in zip(reversed(state.steps), reversed(state.changes), strict=True):
        weight = (step @ direction) / (step @ change)
        direction = direction - weight * change
        weights.append(weight)
    direction = _scaled(state, direction)
    if state.steps:
        step, change = state.steps[-1], state.changes[-1]
        direction = direction * ((step @ change) / (change @ _scaled(state, change)))
    for step, change, weight in zip(state.steps, state.changes, reversed(weights), strict=True):
        direction = direction + step * (weight - (change @ direction) / (step @ change))
    return direction


def _scaled(state: QuasiNewtonState, vector: torch.Tensor) -> torch.Tensor:
    return vector if state.metric is None else state.metric * vector
