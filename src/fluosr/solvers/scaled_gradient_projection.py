"""Scaled gradient projection for smooth functions within bounds, in steps that can be taken up again bit for bit.

    d_k = P(u_k - a_k D_k grad f(u_k)) - u_k,    u_{k+1} = u_k + s_k d_k

P projects onto the box, D_k is a positive diagonal, s_k = 1, .4, .16 ... is the first that lowers f by enough (Armijo).
The length a_k alternates between the two of Barzilai and Borwein: the long one, unless the short one is much shorter;
then the shortest of the last few short ones. Every iterate is feasible, and f never rises.

Source: Bonettini, Zanella & Zanni 2009, Inverse Problems 25, 015002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

ENOUGH = 1e-4  # of the fall that the gradient promises (Armijo)
SHORTER = 0.4  # what a step that does not fall enough is multiplied with
SHORTEST = 1e-6  # step at which no descent is left
LENGTHS = (1e-5, 1e3)  # that a may have
FIRST_LENGTH = 1.3
MEMORY = 3  # short lengths of which the shortest is taken
FIRST_RATIO = 0.5  # of the short to the long length, under which the short one is taken
RATIO_DOWN, RATIO_UP = 0.9, 1.1  # what the ratio is multiplied with after the short, the long length was taken
SCALES = (1e-10, 1e10)  # that the entries of D may have

Function = Callable[[torch.Tensor], tuple[float, torch.Tensor]]
Scaling = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class ScaledGradientState:
    """Where the iteration stands; everything needed to go on bit for bit.

    Attributes:
        point, gradient: (n,) the last iterate and the gradient there.
        value: the function there.
        length: a_k of the step to come.
        ratio: under which the short length is taken.
        short: the last short lengths, oldest first.
        iteration: iterations done.
        finished: no descent within the bounds was found any more.
    """

    point: torch.Tensor
    gradient: torch.Tensor
    value: float
    length: float = FIRST_LENGTH
    ratio: float = FIRST_RATIO
    short: list[float] = field(default_factory=list)
    iteration: int = 0
    finished: bool = False

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        numbers = [self.value, self.length, self.ratio, self.iteration, self.finished, *self.short]
        return {"point": self.point, "gradient": self.gradient, "numbers": torch.tensor(numbers, dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor]) -> ScaledGradientState:
        """Back from :meth:`tensors`."""
        value, length, ratio, iteration, finished, *short = named["numbers"].tolist()
        return cls(named["point"], named["gradient"], value, length, ratio, short, int(iteration), bool(finished))


class ScaledGradientProjection:
    """Minimises one function within a box.

    Args:
        function: (n,) -> value and (n,) gradient. What is not finite is taken for a step too far.
        value: (n,) -> the value alone, where that is cheaper: it is asked before the gradient is.
        lower, upper: (n,) bounds; infinite where there is none.
        scaling: (n,) point -> (n,) diagonal of D, clipped to [1e-10, 1e10]; by default ones. The square of each
            variable makes the method indifferent to the variables' units.
    """

    def __init__(
        self,
        function: Function,
        lower: torch.Tensor,
        upper: torch.Tensor,
        scaling: Scaling | None = None,
        value: Callable[[torch.Tensor], float] | None = None,
    ) -> None:
        self._function, self._value, self._lower, self._upper = function, value, lower, upper
        self._scaling = scaling or torch.ones_like

    def start(self, point: torch.Tensor) -> ScaledGradientState:
        """At the feasible point nearest to a given one."""
        feasible = self._within(point)
        value, gradient = self._function(feasible)
        return ScaledGradientState(feasible, gradient, value)

    def advance(self, state: ScaledGradientState) -> None:
        """One iteration, in place; :attr:`ScaledGradientState.finished` is set where none is possible."""
        scale = self._scaling(state.point).clamp(*SCALES)
        direction = self._within(state.point - state.length * scale * state.gradient) - state.point
        slope = float(direction @ state.gradient)
        if not slope < 0:
            state.finished = True
            return
        size = 1.0
        while size > SHORTEST:
            point = self._within(state.point + size * direction)  # rounding may step over a bound
            wanted = state.value + ENOUGH * size * slope
            if self._value is None or self._value(point) <= wanted:
                value, gradient = self._function(point)
                if value <= wanted and bool(gradient.isfinite().all()):
                    break
            size *= SHORTER
        else:
            state.finished = True
            return
        self._choose_length(state, point - state.point, gradient - state.gradient, scale)
        state.point, state.gradient, state.value = point, gradient, value
        state.iteration += 1

    def _within(self, point: torch.Tensor) -> torch.Tensor:
        return torch.minimum(torch.maximum(point, self._lower), self._upper)

    @staticmethod
    def _choose_length(
        state: ScaledGradientState, step: torch.Tensor, change: torch.Tensor, scale: torch.Tensor
    ) -> None:
        smallest, largest = LENGTHS
        bent, bent_scaled = float((step / scale) @ change), float((step * scale) @ change)
        long = float((step / scale) @ (step / scale)) / bent if bent > 0 else largest
        short = bent_scaled / float((scale * change) @ (scale * change)) if bent_scaled > 0 else largest
        long, short = (min(max(length, smallest), largest) for length in (long, short))
        state.short = [*state.short, short][-MEMORY:]
        if short <= state.ratio * long:
            state.length, state.ratio = min(state.short), state.ratio * RATIO_DOWN
        else:
            state.length, state.ratio = long, state.ratio * RATIO_UP
