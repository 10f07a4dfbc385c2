"""Where emitters are: sparse non-negative variances that explain a covariance, by FISTA, one penalty after the other.

    l1          f(r) + sum_i t_i r_i
    cel0        the continuous exact relaxation of l0, as a series of l1 problems with the weights
                w_i = (t_i - n_i^2 r_i)_+, t_i = sqrt(2 lambda_i) n_i, n_i the norm of column i (COL0RME);
    reweighted  four l1 problems, w_i = t_i / (r_i / max r + eps) from the second on (SPARCOM);
    tv          f(r) + lambda TV(r).

The thresholds t are those of the first l1 problem for all of them. Where they come from: ``threshold``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.methods.base import Run
from fluosr.methods.second_order.parameters import Penalty
from fluosr.methods.second_order.problem import SecondOrderProblem
from fluosr.solvers.total_variation import proximal, total_variation

LOOK = 10  # iterations between two looks at whether r stands still
SAFE_POINT = 200  # iterations between two safe points
CEL0_ROUNDS, CEL0_TOLERANCE = 500, 1e-4  # l1 problems at most, and the change of r over one at which they end
REWEIGHTED_ROUNDS, REWEIGHTED_EPS = 4, 0.1
DUAL_STEPS = 10  # on the dual of TV for each step on r
TV_ITERATIONS = 1000  # at most: its map is not exact, so that r never comes quite to rest
TV_FLOOR = 0.05  # of the maximum, under which TV's r is no support


def thresholds(
    problem: SecondOrderProblem, penalty: Penalty, sparsity: float | None, of_maximum: float | None
) -> torch.Tensor:
    """(ny, nx) t, the weights of the first l1 problem.

    Args:
        problem: the fit.
        penalty: the published factors mean t = factor x max v for l1, and lambda = factor x max v^2 / (2 n^2),
            t = sqrt(2 lambda) n for CEL0.
        sparsity: t in standard deviations of the data term's noise, which is each fine pixel's own.
        of_maximum: the published factor; wins.
    """
    if of_maximum is None:
        assert sparsity is not None
        return sparsity * problem.scatter
    if penalty != "cel0":
        return torch.full_like(problem.data, of_maximum * max(float(problem.data.max()), 0.0))
    seen = problem.columns > 1e-3 * problem.columns.max()
    ratio = torch.where(seen, problem.data.clamp_min(0.0) / problem.columns.clamp_min(1e-300), 0.0)
    return math.sqrt(of_maximum) * float(ratio.max()) * problem.columns


@dataclass
class SupportState:
    """Where the search stands; everything needed to go on bit for bit.

    Attributes:
        point, product: r and W r.
        ahead, ahead_product: the extrapolated point and W of it.
        start: r at the beginning of this round.
        dual: (2, ny, nx), of total variation; empty without.
        union: (ny, nx) supports found before the last restart, as 0 and 1; empty without restarts.
        momentum: FISTA's t.
        iteration, total: iterations in this round, and in all.
        rounds, restart: rounds done since the restart, restarts done.
        finished: nothing is left to do.
    """

    point: torch.Tensor
    product: torch.Tensor
    ahead: torch.Tensor
    ahead_product: torch.Tensor
    start: torch.Tensor
    dual: torch.Tensor
    union: torch.Tensor
    momentum: float = 1.0
    iteration: int = 0
    total: int = 0
    rounds: int = 0
    restart: int = 0
    finished: bool = False

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        # Copies: a checkpoint refuses tensors that share memory, as these do at the beginning of a round.
        named = {key: value.clone() for key, value in vars(self).items() if isinstance(value, torch.Tensor)}
        scalars = [self.momentum, self.iteration, self.total, self.rounds, self.restart, self.finished]
        return named | {"scalars": torch.tensor(scalars, dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor], device: torch.device) -> SupportState:
        """Back from :meth:`tensors`."""
        momentum, *counts, finished = named["scalars"].tolist()
        point, product, ahead, ahead_product, start, dual, union = (
            named[key].to(device) for key in ("point", "product", "ahead", "ahead_product", "start", "dual", "union")
        )
        state = cls(point, product, ahead, ahead_product, start, dual, union, momentum, finished=bool(finished))
        state.iteration, state.total, state.rounds, state.restart = (int(count) for count in counts)
        return state


class SupportSearch:
    """Runs one penalty on one problem.

    Args:
        problem: the fit.
        penalty: which.
        threshold: (ny, nx) t; for ``tv`` its maximum times ``width`` is lambda.
        width: standard deviation of the PSF, fine pixels. Of noise with patches of that size, a field of height t has
            as much sum as t x width / 2 has total variation.
        iterations: at most, for each l1 or TV problem.
        tolerance: relative change of objective and of r, from one iteration to the next, at which r stands still.
        restarts: of CEL0, from the midpoints between each point found and its nearest neighbour.
    """

    def __init__(
        self,
        problem: SecondOrderProblem,
        penalty: Penalty,
        threshold: torch.Tensor,
        *,
        width: float,
        iterations: int,
        tolerance: float = 2e-5,
        restarts: int = 0,
    ) -> None:
        self._tolerance = tolerance
        self._problem, self._penalty, self._threshold = problem, penalty, threshold
        self._iterations, self._restarts = iterations, restarts if penalty == "cel0" else 0
        self._weights = threshold
        self._step = 1.0 / problem.majoriser
        self._variation = 0.0
        if penalty == "tv":  # the map of TV needs one step for all
            self._step = torch.full_like(threshold, 1.0 / float(problem.majoriser.max()))
            self._variation = 0.5 * width * float(threshold.max())
            self._weights = torch.zeros_like(threshold)
            self._iterations = min(iterations, TV_ITERATIONS)
        self._rounds = {"cel0": CEL0_ROUNDS, "reweighted": REWEIGHTED_ROUNDS}.get(penalty, 1)
        self.objective: list[float] = []

    def begin(self) -> SupportState:
        """At rest at r = 0."""
        zero = torch.zeros_like(self._problem.data)
        empty = zero.new_zeros(0)
        dual = zero.new_zeros((2, *zero.shape)) if self._penalty == "tv" else empty
        return SupportState(zero, zero, zero, zero, zero, dual, torch.zeros_like(zero) if self._restarts else empty)

    def run(self, run: Run, stage: str) -> SupportState:
        """To the end, from where an earlier run stopped.

        Raises:
            StopRequested: the user asked to stop; the state is kept under ``stage``.
        """
        kept = run.recall(stage)
        state = self.begin()
        if kept is not None:
            self.objective = kept["objective"].tolist()
            kept = {key: value for key, value in kept.items() if key != "objective"}
            state = SupportState.from_tensors(kept, self._problem.data.device)
        total = (1 + self._restarts) * self._rounds if self._rounds > 1 else self._iterations
        while not state.finished:
            self._reweight(state)
            self._advance(state)
            done = state.rounds + state.restart * self._rounds if self._rounds > 1 else state.iteration
            run.progress(stage, total if state.finished else min(done, total - 1), total)
            run.keep(stage, state.tensors() | {"objective": torch.tensor(self.objective, dtype=torch.float64)})
        return state

    def support(self, state: SupportState) -> torch.Tensor:
        """(ny, nx) bool."""
        found = state.point > 0.0
        if self._penalty == "tv":  # which gives hardly any zeros, and lets an even r be: it must stand above its noise
            noise = self._problem.scatter / self._problem.majoriser
            found = state.point > noise.clamp_min(TV_FLOOR * state.point.max())
        return found | (state.union > 0) if state.union.numel() else found

    def _advance(self, state: SupportState) -> None:
        """A stretch of iterations of this round, and what follows from standing still."""
        still = False
        for _ in range(SAFE_POINT):
            before, before_product = state.point, state.product
            self._iterate(state)
            if state.iteration % LOOK == 0 and self._stands_still(state, before, before_product):
                still = True
                break
            if state.iteration >= self._iterations:
                break
        self.objective.append(self._value(state.point, state.product))
        if still or state.iteration >= self._iterations:
            self._end_round(state)

    def _iterate(self, state: SupportState) -> None:
        """One step of FISTA; the momentum starts anew where it points uphill (O'Donoghue & Candes 2015)."""
        slope = self._problem.gradient(state.ahead, state.ahead_product)
        new = slope.add_(self._weights).mul_(self._step).neg_().add_(state.ahead)
        if self._penalty == "tv":
            new, state.dual = proximal(new, self._variation * float(self._step[0, 0]), state.dual, DUAL_STEPS)
        else:
            new.clamp_min_(0.0)
        product = self._problem.normal(new)
        move = new - state.point
        back = state.ahead - new
        if float(torch.dot(back.view(-1), move.view(-1))) > 0.0:
            state.momentum = 1.0
        momentum = (1.0 + math.sqrt(1.0 + 4.0 * state.momentum**2)) / 2.0
        weight = (state.momentum - 1.0) / momentum
        # W is linear: W of the extrapolated point needs no product of its own.
        state.ahead = torch.add(new, move, alpha=weight)
        state.ahead_product = torch.lerp(state.product, product, 1.0 + weight)
        state.point, state.product, state.momentum = new, product, momentum
        state.iteration += 1
        state.total += 1

    def _value(self, point: torch.Tensor, product: torch.Tensor) -> float:
        value = self._problem.value(point, product)
        value += float(torch.dot(self._weights.view(-1), point.view(-1)))
        return value + self._variation * total_variation(point) if self._variation else value

    def _stands_still(self, state: SupportState, point: torch.Tensor, product: torch.Tensor) -> bool:
        moved = float((state.point - point).norm())
        if moved > self._tolerance * float(state.point.norm()):
            return False
        value = self._value(state.point, state.product)
        return abs(value - self._value(point, product)) <= self._tolerance * abs(value)

    def _reweight(self, state: SupportState) -> None:
        """The weights of this round, from r at its beginning."""
        if self._penalty == "cel0":
            self._weights = (self._threshold - self._problem.columns**2 * state.start).clamp_min_(0.0)
        elif self._penalty == "reweighted" and state.rounds:
            peak = max(float(state.start.max()), 1e-300)
            self._weights = self._threshold / (state.start / peak + REWEIGHTED_EPS)

    def _end_round(self, state: SupportState) -> None:
        state.rounds += 1
        change = float((state.point - state.start).norm())
        settled = self._penalty == "cel0" and change <= CEL0_TOLERANCE * float(state.point.norm())
        state.iteration, state.momentum = 0, 1.0
        state.start, state.ahead, state.ahead_product = state.point, state.point, state.product
        if state.rounds < self._rounds and not settled:
            return
        if state.restart >= self._restarts or not self._start_between(state):
            state.finished = True

    def _start_between(self, state: SupportState) -> bool:
        """Begin again from midpoints between each point and its nearest neighbour; False where there are none."""
        from scipy.spatial import cKDTree

        state.union = torch.maximum(state.union, (state.point > 0).to(state.union))
        points = np.argwhere(state.point.cpu().numpy() > 0)
        if len(points) < 2:
            return False
        _, nearest = cKDTree(points).query(points, k=2)
        middle = (points + points[nearest[:, 1]]) // 2
        level = float(state.point.sum()) / len(points)
        start = torch.zeros_like(state.point)
        start[torch.as_tensor(middle[:, 0]), torch.as_tensor(middle[:, 1])] = level
        state.point = state.ahead = state.start = start
        state.product = state.ahead_product = self._problem.normal(start)
        state.restart, state.rounds = state.restart + 1, 0
        return True
