"""How bright the emitters are: the mean frame, fitted on the support that the covariance gave.

    min_{x, b >= 0, x = 0 off the support}  1/2 |A x + b - ybar|^2 + mu/2 |grad x|^2 + 20/2 |grad b|^2

mu by the discrepancy principle: the fit shall miss the mean frame by as much as its noise does, |residual|^2 = target.
The residual grows with mu: the root of log(|residual|^2 / target) over log mu is fenced in and found by regula falsi.
Where the support cannot explain the mean frame to within its noise, mu is the one under which |residual|^2 falls slower
than mu^.2: with less, light gathers where the support ends, to make up for what it does not cover.

Source: Stergiopoulou et al. 2022 (COL0RME, Biological Imaging 2, e1), section on intensity estimation; there by
Newton on f(mu) = 1/2 |residual|^2 - 1/2 M sigma^2 from mu = .1, which has the same root.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fluosr.methods.base import Run
from fluosr.optics.kronecker import KroneckerSum, Pair, transposed
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.total_variation import roughness_gradient

BACKGROUND_SMOOTHNESS = 20.0
FIRST_SMOOTHNESS = 0.1
SMALLEST, LARGEST = 1e-8, 1e6  # mu
CLOSE_ENOUGH = 2e-2  # relative, of |residual|^2 to its target
WORTH_GOING_ON = 0.2  # d log |residual|^2 / d log mu, under which its target is taken to be out of reach
HARDLY_GROWS = 0.1  # relative, of |residual|^2 over a step to larger mu
SOLUTIONS = 14  # of the fit, at most
ITERATIONS, TOLERANCE = 1500, 1e-4  # of one fit, and the relative change over a stretch at which it ends
STRETCH = 50


class IntensityProblem:
    """The smooth part in the blocks [x, b] and its majoriser, as :class:`Fista` wants it.

    Args:
        pairs: factors of A.
        support: (ny, nx) bool.
        mean: (Y, X) float64 mean frame, photons.
    """

    def __init__(self, pairs: list[Pair], support: torch.Tensor, mean: torch.Tensor) -> None:
        self._forward = KroneckerSum(pairs, device=mean.device)
        self._back = KroneckerSum(transposed(pairs), device=mean.device)
        self._mean = mean
        self.support = support
        # Entries of [A, B] are not negative: D_j = ([A B]^T [A B] v)_j / v_j majorises, for any v > 0.
        light = self._forward(support.to(mean))
        balance = max(float(light.mean()), 1e-3)
        self._emitters = self._back(light + balance)
        self._emitters.clamp_(min=max(1e-3 * float(self._emitters.max()), 1e-12))
        # 8 bounds |grad|^2.
        self._background = (light + balance) / balance + 8.0 * BACKGROUND_SMOOTHNESS
        self.penalty: list[float | torch.Tensor] = [torch.where(support, 0.0, math.inf).to(mean), 0.0]
        self.smoothness = 0.0
        self.majoriser = [self._emitters, self._background]

    def smooth(self, smoothness: float) -> None:
        """Set mu."""
        self.smoothness = smoothness
        self.majoriser = [self._emitters + 8.0 * smoothness, self._background]

    def start(self) -> list[torch.Tensor]:
        """Nothing but an even background."""
        level = max(0.0, float(self._mean.mean()))
        return [torch.zeros_like(self._emitters), torch.full_like(self._mean, level)]

    def expected(self, blocks: list[torch.Tensor]) -> torch.Tensor:
        """(Y, X) A x + b."""
        return self._forward(blocks[0]) + blocks[1]

    def gradient(self, blocks: list[torch.Tensor]) -> list[torch.Tensor]:
        """Of everything but the constraints."""
        image, background = blocks
        residual = self.expected(blocks) - self._mean
        slope = self._back(residual)
        if self.smoothness:
            slope.add_(roughness_gradient(image), alpha=self.smoothness)
        residual.add_(roughness_gradient(background), alpha=BACKGROUND_SMOOTHNESS)
        return [slope, residual]

    def misfit(self, blocks: list[torch.Tensor]) -> float:
        """|A x + b - ybar|^2, photons squared."""
        return float((self.expected(blocks) - self._mean).square().sum())


@dataclass
class Discrepancy:
    """The search for mu: the fence around the root of log(misfit / target) over log mu.

    Attributes:
        place: log mu of the fit in hand.
        low, high: log mu and value on either side of the root; NaN where not found yet.
        solutions: fits done.
        going_back: the place in hand is the answer, once it is solved again.
        finished: ``place`` is the answer.
    """

    place: float = math.log(FIRST_SMOOTHNESS)
    low: tuple[float, float] = (math.nan, math.nan)
    high: tuple[float, float] = (math.nan, math.nan)
    solutions: int = 0
    going_back: bool = False
    finished: bool = False

    def learn(self, value: float) -> None:
        """Take log(misfit / target) at ``place`` and choose the next place."""
        self.solutions += 1
        before, last = self.high if value > 0 else self.low
        if value > 0:
            self.high = (self.place, value)
        else:
            self.low = (self.place, value)
        if abs(value) < CLOSE_ENOUGH or self.solutions >= SOLUTIONS or self.going_back:
            self.finished = True
            return
        if math.isnan(self.low[0]) or math.isnan(self.high[0]):
            # ``last`` is not a number at first, and then neither is smaller.
            if value > 0 and last - value < WORTH_GOING_ON * (before - self.place):
                self.place, self.going_back = before, True
                return
            if value <= 0 and value - last < HARDLY_GROWS:
                self.finished = True
                return
            # Where smoothing rules, the residual grows as mu and its square as mu^2.
            following = self.place - math.copysign(min(math.log(1e3), max(math.log(10.0), abs(value) / 2)), value)
            self.finished = not math.log(SMALLEST) <= following <= math.log(LARGEST)
            self.place = self.place if self.finished else following
            return
        (low, below), (high, above) = self.low, self.high
        share = -below / (above - below)
        self.place = low + (high - low) * min(0.9, max(0.1, share))  # never so close to an end that it creeps

    @property
    def reached(self) -> bool:
        """The target was reached, or at least passed on both sides."""
        values = [abs(value) for _, value in (self.low, self.high) if not math.isnan(value)]
        return len(values) == 2 or min(values, default=math.inf) < CLOSE_ENOUGH

    def numbers(self) -> list[float]:
        """For a checkpoint."""
        return [self.place, *self.low, *self.high, self.solutions, self.going_back, self.finished]

    @classmethod
    def from_numbers(cls, numbers: list[float]) -> Discrepancy:
        """Back from :meth:`numbers`."""
        place, a, b, c, d, solutions, going_back, finished = numbers
        return cls(place, (a, b), (c, d), int(solutions), bool(going_back), bool(finished))


def fit_intensity(
    problem: IntensityProblem, target: float, run: Run, stage: str
) -> tuple[list[torch.Tensor], Discrepancy]:
    """Image and background on a support, and how mu was found.

    Args:
        problem: the fit.
        target: |residual|^2 to be reached, photons squared.
        run: progress, stopping, checkpoints.
        stage: under which the state is kept.

    Returns:
        [(ny, nx) photons per fine pixel, (Y, X) photons per camera pixel], and the search for mu.

    Raises:
        StopRequested: the user asked to stop.
    """
    kept = run.recall(stage)
    state, search = FistaState.start(problem.start()), Discrepancy()
    if kept is not None:
        device = state.point[0].device
        search = Discrepancy.from_numbers(kept["search"].tolist())
        named = {key: value if key == "scalars" else value.to(device) for key, value in kept.items() if key != "search"}
        state = FistaState.from_tensors(named)
    total = SOLUTIONS * ITERATIONS
    while not search.finished:
        problem.smooth(math.exp(search.place))
        fista, before = Fista(problem), state.point
        for _ in range(STRETCH):
            fista.advance(state)
        moved = float(sum((new - old).square().sum() for new, old in zip(state.point, before, strict=True)))
        size = float(sum(new.square().sum() for new in state.point))
        if moved <= TOLERANCE**2 * size or state.iteration >= ITERATIONS:
            search.learn(math.log(max(problem.misfit(state.point), 1e-300) / max(target, 1e-12)))
            state = FistaState.start(state.point)
        done = total if search.finished else search.solutions * ITERATIONS + state.iteration
        run.progress(stage, done, total)
        run.keep(stage, state.tensors() | {"search": torch.tensor(search.numbers(), dtype=torch.float64)})
    return state.point, search
