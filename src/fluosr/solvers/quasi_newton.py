"""L-BFGS for smooth functions above lower bounds, in steps that can be stopped and taken up again bit for bit.

Liu & Nocedal 1989: the inverse Hessian is built from the last steps and the changes of the gradient (two loops). The
step is shortened until the function falls enough (Armijo) and lengthened never: the model's own step of 1 is right near
the minimum. A pair of changes that would spoil the model's definiteness is left out. What the pairs say nothing of has
the curvature of a diagonal metric that the caller gives.

Variables that lie at their bound and are pulled against it take no part in an iteration: the inverse Hessian is that of
the others, built from what the pairs say of these, and the step is cut off at the bounds (two-metric projection:
Bertsekas 1982; with a quasi-Newton model: Kim, Sra & Dhillon 2010). Without bounds it is plain L-BFGS.
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
        lower: (n,) bounds, minus infinity where there is none; None for none at all.
    """

    point: torch.Tensor
    gradient: torch.Tensor
    value: float
    steps: list[torch.Tensor] = field(default_factory=list)
    changes: list[torch.Tensor] = field(default_factory=list)
    iteration: int = 0
    finished: bool = False
    metric: torch.Tensor | None = None
    lower: torch.Tensor | None = None

    @classmethod
    def start(
        cls,
        function: Function,
        point: torch.Tensor,
        *,
        metric: torch.Tensor | None = None,
        lower: torch.Tensor | None = None,
    ) -> QuasiNewtonState:
        """At a point, which is copied, or at the bounds where it lies below them."""
        point = point.clone() if lower is None else torch.maximum(point, lower)
        value, gradient = function(point)
        return cls(point, gradient, value, metric=metric, lower=lower)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        named = {f"step.{i}": s for i, s in enumerate(self.steps)}
        named |= {f"change.{i}": y for i, y in enumerate(self.changes)}
        scalars = torch.tensor([self.value, self.iteration, self.finished], dtype=torch.float64)
        named |= {key: t for key, t in (("metric", self.metric), ("lower", self.lower)) if t is not None}
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
            *(named[key].to(device) if key in named else None for key in ("metric", "lower")),
        )


def advance(function: Function, state: QuasiNewtonState) -> None:
    """One iteration, in place; :attr:`QuasiNewtonState.finished` is set where none is possible."""
    free = _free(state)
    gradient = _among(free, state.gradient)
    direction, known = _direction(state, gradient, free)
    slope = float(direction @ gradient)
    if not slope < 0:  # the model has gone wrong: begin a new one
        state.steps, state.changes = [], []
        direction, known = -_scaled(state, gradient), False
        slope = float(direction @ gradient)
        if not slope < 0:
            state.finished = True
            return
    size = 1.0
    if not known:  # nothing is known of the curvature: a tenth of the way from the origin, or 1 from there
        size = min(1.0, (FIRST_STEP * float(state.point.norm()) or 1.0) / max(float(direction.norm()), 1e-300))
    while size > SHORTEST:
        point = _above(state.lower, state.point + size * direction)
        promised = float(state.gradient @ (point - state.point))
        value, gradient = function(point)
        if value <= state.value + ENOUGH * promised and promised < 0:
            break
        size *= _shorter(state.value, value, promised)
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


def _shorter(before: float, after: float, promised: float) -> float:
    """By what to shorten a step: to the minimum of the parabola through what is known, within [0.1, 0.5]."""
    rise = after - before - promised
    if not rise > 0:  # not finite
        return 0.1
    return min(0.5, max(0.1, -promised / (2.0 * rise)))


def _direction(state: QuasiNewtonState, gradient: torch.Tensor, free: torch.Tensor | None) -> tuple[torch.Tensor, bool]:
    """Minus the model's inverse Hessian among the free times their gradient; whether it knows of any curvature.

    All vectors stay nil where variables are held, so that every product is one among the free.
    """
    pairs = []
    for step, change in zip(state.steps, state.changes, strict=True):
        moved = _among(free, step)
        curvature = float(moved @ change)
        # Among the free alone the function may curve down where it does not along the whole step.
        if free is None or curvature > LEAST_CURVATURE * float(moved.norm() * _among(free, change).norm()):
            pairs.append((moved, change, curvature))
    direction = -gradient
    weights = []
    for step, change, curvature in reversed(pairs):
        weight = float(step @ direction) / curvature
        direction = _among(free, direction - weight * change)
        weights.append(weight)
    direction = _scaled(state, direction)
    if pairs:
        _, change, curvature = pairs[-1]
        direction *= curvature / float(change @ _among(free, _scaled(state, change)))
    for (step, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + step * (weight - float(change @ direction) / curvature)
    return direction, bool(pairs)


def _free(state: QuasiNewtonState) -> torch.Tensor | None:
    """(n,) 1 where a variable may move, 0 where it is held at its bound; None where all may."""
    if state.lower is None:
        return None
    return ((state.point > state.lower) | (state.gradient < 0)).to(state.point.dtype)


def _among(free: torch.Tensor | None, vector: torch.Tensor) -> torch.Tensor:
    return vector if free is None else vector * free


def _above(lower: torch.Tensor | None, point: torch.Tensor) -> torch.Tensor:
    return point if lower is None else torch.maximum(point, lower)


def _scaled(state: QuasiNewtonState, vector: torch.Tensor) -> torch.Tensor:
    return vector if state.metric is None else state.metric * vector
