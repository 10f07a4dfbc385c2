"""Learning the parameters of the unfolded algorithm: the outer problem, by scaled gradient projection or Adam.

The loss of every example is counted in that of an empty image, so that it is about 1 at worst and free of units. The
weights kept are those of the best round on the examples that were kept aside; without any, on all: the one with the
least error, or with the fewest places missed or made up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.unfolded.detection import LEVELS, best_level, pixels_found
from fluosr.methods.unfolded.losses import loss_of, loss_of_nothing
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient
from fluosr.methods.unfolded.pairs import Example, batches_of, stacked, units_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.solvers.scaled_gradient_projection import ScaledGradientProjection, ScaledGradientState

STAGE, CHOOSING = "training", "choosing a start"
LEAST_VALUE = 1e-4  # of a weight, from which on its scale follows it
FIRST_CHANGE = 0.2  # of any weight, that the first step of the projection method makes at the most
ADAM_DECAY = (0.9, 0.999)
SPARSITIES = (0.003, 0.01, 0.03, 0.1, 0.3)  # lambda to start from, of its bound
FINER = ((0.55, 0.75, 1.35, 1.8), (0.87, 1.15))  # around the best of them, and around the best of these
THRESHOLDS = tuple(LEVELS.tolist())  # tau to start from, likewise
EVEN_STEPS = (1.3, 1.9)  # times the curvature, to start from, beside silver steps
STARTING_WIDTHS = (0.8, 0.9, 1.11, 1.25)  # of the PSF, over the stated, where it is learnt
FINER_WIDTHS = ((0.95, 1.05), (0.975, 1.025), (0.9875, 1.0125))  # around the best of them, and so on
STEP_SCALES = (1.0, 0.25, 0.06, 0.015)  # of the first steps where the curvature depends on the light


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Args:
        network: with the best weights.
        history: "loss" and what rounds are judged by, on the examples kept aside where there are any; from before the
            first round on.
        best_round: whose weights these are.
        learned: names of the weights that were learnt.
    """

    network: UnfoldedGradient
    history: dict[str, list[float]]
    best_round: int
    learned: tuple[str, ...]


@dataclass
class _Progress:
    """Where training stands, but for the optimiser."""

    best: torch.Tensor
    fixed: dict[str, torch.Tensor]
    best_loss: float = math.inf
    best_round: int = 0
    losses: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {
            **{f"fixed.{name}": value for name, value in self.fixed.items()},
            "best": self.best,
            "best_numbers": torch.tensor([self.best_loss, self.best_round], dtype=torch.float64),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "judged": torch.tensor(self.judged, dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor]) -> _Progress:
        loss, number = named["best_numbers"].tolist()
        fixed = {name.removeprefix("fixed."): value for name, value in named.items() if name.startswith("fixed.")}
        return cls(named["best"], fixed, loss, int(number), named["losses"].tolist(), named["judged"].tolist())


def train(examples: list[Example], physics: Physics, parameters: TrainingParameters, run: Run) -> Trained:
    """Learn from examples.

    Args:
        examples: at least one.
        physics: of the examples.
        parameters: how.
        run: progress, stopping, checkpoints; its seed chooses what is kept aside and the order of batches.

    Raises:
        UsageError: see :func:`units_of`; or the algorithm diverges, from every start or later on.
        StopRequested: the user asked to stop; ``run`` has kept the state.
    """
    learning, aside = _split(examples, parameters.validation_share, run)
    network = _first_network(physics, parameters, examples).to(run.device)
    outer = _OuterProblem(network, learning, parameters, run.device)
    optimiser: _ByProjection | _ByAdam
    optimiser = _ByProjection(outer) if parameters.optimiser == "sgp" else _ByAdam(outer, parameters, run)
    kept = run.recall(STAGE)
    if kept is None:
        outer.choose_start(parameters, run)
        optimiser.start()
        progress = _Progress(optimiser.point, outer.fixed())
        _note(progress, outer, optimiser, aside)
    else:
        progress = _Progress.from_tensors(kept)
        outer.fix(progress.fixed)
        optimiser.restore({name[4:]: value for name, value in kept.items() if name.startswith("opt.")})
    while len(progress.losses) <= parameters.rounds and not optimiser.finished:
        if aside and len(progress.losses) - 1 - progress.best_round >= parameters.patience:
            break
        run.progress(STAGE, len(progress.losses) - 1, parameters.rounds)
        optimiser.advance(len(progress.losses))
        _note(progress, outer, optimiser, aside)
        state = {f"opt.{name}": value for name, value in optimiser.tensors().items()}
        run.keep(STAGE, progress.tensors() | state)
    run.progress(STAGE, parameters.rounds, parameters.rounds)
    outer.set(progress.best)
    with torch.no_grad():
        network.detection.fill_(best_level(network, [outer.images(batch) for batch in outer.batches()]))
    judged = "loss judged by" if outer.by_loss else "places missed or made up"
    history = {"loss": progress.losses, judged: progress.judged}
    return Trained(network.cpu(), history, progress.best_round, tuple(outer.names))


def _split(examples: list[Example], share: float, run: Run) -> tuple[list[Example], list[Example]]:
    """Those to learn from and those kept aside; at least one of the former, and none aside of fewer than four."""
    count = min(len(examples) - 1, round(share * len(examples))) if len(examples) >= 4 else 0
    order = np.random.default_rng(run.stream_seed("validation")).permutation(len(examples))
    aside = set(order[:count].tolist())
    return (
        [e for i, e in enumerate(examples) if i not in aside],
        [e for i, e in enumerate(examples) if i in aside],
    )


def _first_network(physics: Physics, parameters: TrainingParameters, examples: list[Example]) -> UnfoldedGradient:
    architecture = Architecture(parameters.iterations, parameters.projection_width, parameters.transition)
    network = UnfoldedGradient(physics, architecture, units_of(examples, physics))
    with torch.no_grad():
        if parameters.first_step is not None:
            network.steps.fill_(parameters.first_step)
    fwhm = parameters.semi_blind if parameters.learn_fwhm is None else parameters.learn_fwhm
    network.steps.requires_grad_(parameters.learn_steps)
    network.threshold.requires_grad_(parameters.loss == "localisation")
    network.width.requires_grad_(fwhm)
    network.detection.requires_grad_(False)
    return network


def silver_steps(count: int) -> torch.Tensor:
    """(K,) float64 steps 1 + rho^(nu(k) - 1), k = 1 ... K: rho = 1 + sqrt(2), and 2^nu(k) is what divides k.

    Most are short and few are very long: what the long ones amplify the short ones take away. 2^n - 1 of them go best
    together.

    Source: Altschuler and Parrilo 2024, Acceleration by stepsize hedging II, Mathematical Programming.
    """
    nu = [(k & -k).bit_length() - 1 for k in range(1, count + 1)]
    powers: torch.Tensor = (1.0 + math.sqrt(2.0)) ** (torch.tensor(nu, dtype=torch.float64) - 1.0)
    return 1.0 + powers


def _note(progress: _Progress, outer: _OuterProblem, optimiser: _ByProjection | _ByAdam, aside: list[Example]) -> None:
    """Write down the round that just ended, and its weights where they are the best so far."""
    judged = outer.judged_at(optimiser.point, aside or outer.examples)
    progress.losses.append(optimiser.value)
    progress.judged.append(judged)
    if judged < progress.best_loss:
        progress.best, progress.best_loss = optimiser.point.clone(), judged
        progress.best_round = len(progress.losses) - 1


@dataclass(frozen=True, eq=False)
class _Start:
    """Weights to begin with, and what they are judged by, less being better."""

    worse: float
    sparsity: float
    threshold: float
    steps: torch.Tensor
    width: float


@dataclass
class _Search:
    """How far the search for a start is.

    Args:
        run: is told.
        total: sparsities to try, with all steps and widths.
        done: those that were tried.
    """

    run: Run
    total: int
    done: int = 0

    def tell(self) -> None:
        """One more was tried; a safe point.

        Raises:
            StopRequested: the user asked to stop.
        """
        self.done += 1
        self.run.progress(CHOOSING, self.done, self.total)
        self.run.check()


class _OuterProblem:
    """Mean loss over examples as a function of the weights that are learnt, as one vector, float64."""

    def __init__(
        self, network: UnfoldedGradient, examples: list[Example], parameters: TrainingParameters, device: str
    ) -> None:
        self._network, self.examples, self._device = network, examples, device
        self._kind, self.batch = parameters.loss, parameters.batch
        self.by_loss = parameters.loss == "reconstruction" or network.width.requires_grad
        weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        self.names, self._weights = list(weights), list(weights.values())
        ends = network.bounds()
        self.lower, self.upper = (
            torch.cat([torch.full((w.numel(),), ends[name][side], dtype=torch.float64) for name, w in weights.items()])
            for side in (0, 1)
        )

        # A change of all K steps is felt K times.
        self._shares = torch.cat(
            [torch.full((w.numel(),), 1.0 / w.numel(), dtype=torch.float64) for w in self._weights]
        )

    def sizes(self, point: torch.Tensor) -> torch.Tensor:
        """(n,) by what weights should change together: relative to each, whose sizes differ by orders of magnitude."""
        return self._shares * (point.abs() + LEAST_VALUE)

    @property
    def point(self) -> torch.Tensor:
        """(n,) the weights."""
        return torch.cat([weight.detach().reshape(-1) for weight in self._weights]).cpu()

    def fixed(self) -> dict[str, torch.Tensor]:
        """The weights that are not learnt: the start may have chosen them."""
        found = self._network.named_parameters()
        return {name: weight.detach().cpu().clone() for name, weight in found if not weight.requires_grad}

    def fix(self, weights: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`fixed`."""
        for name, weight in weights.items():
            getattr(self._network, name).data.copy_(weight)

    def batches(self) -> list[list[Example]]:
        """All examples, as they are computed."""
        return batches_of(self.examples, self.batch)

    def images(self, batch: list[Example]) -> tuple[np.ndarray, np.ndarray]:
        """(B, L Y, L X) x_K and truths of a batch."""
        frames, background, truth = stacked(batch, self._device)
        return self._network(frames, background).cpu().numpy(), truth.cpu().numpy()

    def set(self, point: torch.Tensor) -> None:
        """Put a vector into the network."""
        parts = point.split([weight.numel() for weight in self._weights])
        for weight, part in zip(self._weights, parts, strict=True):
            weight.data.copy_(part.view(weight.shape))

    def choose_start(self, parameters: TrainingParameters, run: Run) -> None:
        """Give lambda, tau and, where not given, steps and a width to be learnt their first values: the best of a few.

        See :meth:`judged` for what is best. Of a search that is stopped nothing is kept.

        Raises:
            UsageError: every start diverges.
            StopRequested: the user asked to stop.
        """
        network = self._network
        sparsities = SPARSITIES if parameters.first_sparsity is None else (parameters.first_sparsity,)
        steps = [network.steps.detach().clone()]
        if parameters.first_step is None:
            count = parameters.iterations
            steps = [torch.full((count,), value, dtype=torch.float64) for value in EVEN_STEPS] + [silver_steps(count)]
        if parameters.first_step is None and network.physics.data_term == "kullback-leibler":
            steps = [scale * some for scale in STEP_SCALES for some in steps]
        widths = STARTING_WIDTHS if network.width.requires_grad else ()
        finer = FINER if parameters.first_sparsity is None else ()
        finer_widths = FINER_WIDTHS if network.width.requires_grad else ()
        highest = network.bounds()["sparsity"][1]
        total = len(sparsities) * (len(steps) + len(widths)) + sum(map(len, (*finer, *finer_widths)))
        search = _Search(run, total)
        with torch.no_grad():
            found = [start for some in steps for start in self._starts(search, parameters, sparsities, some, 1.0)]
            best = self._best(found)
            if widths:
                found += [s for w in widths for s in self._starts(search, parameters, sparsities, best.steps, w)]
                best = self._best(found)
            for factors in finer:
                closer = [min(best.sparsity * factor, highest) for factor in factors]
                found += self._starts(search, parameters, closer, best.steps, best.width)
                best = self._best(found)
            for factors in finer_widths:
                for width in [best.width * factor for factor in factors]:
                    found += self._starts(search, parameters, [best.sparsity], best.steps, width)
                best = self._best(found)
            network.sparsity.fill_(best.sparsity)
            network.threshold.fill_(best.threshold)
            network.width.fill_(best.width)
            network.steps.copy_(best.steps)

    def _starts(
        self,
        search: _Search,
        parameters: TrainingParameters,
        sparsities: Sequence[float],
        steps: torch.Tensor,
        width: float,
    ) -> list[_Start]:
        """Every combination with the thresholds, and what it leads to; those that diverge are left out."""
        network = self._network
        network.steps.copy_(steps)
        network.width.fill_(width)
        thresholds = THRESHOLDS if parameters.first_threshold is None else (parameters.first_threshold,)
        made: list[_Start] = []
        for sparsity in sparsities:
            network.sparsity.fill_(sparsity)
            worse = np.zeros(len(thresholds))
            for batch in batches_of(self.examples, self.batch):
                frames, background, truth = stacked(batch, self._device)
                images = network(frames, background)
                if not bool(images.isfinite().all()):
                    worse[:] = math.inf
                    break
                for number, threshold in enumerate(thresholds):
                    network.threshold.fill_(threshold)
                    worse[number] += self.judged(images, truth)
                search.run.check()
            search.tell()
            made += [
                _Start(float(value), sparsity, threshold, steps, width)
                for value, threshold in zip(worse, thresholds, strict=True)
                if math.isfinite(value)
            ]
        return made

    def _best(self, starts: list[_Start]) -> _Start:
        if not starts:
            raise UsageError("the algorithm diverges from every start; give a smaller --first-step.")
        return min(starts, key=lambda start: start.worse)

    def judged(self, images: torch.Tensor, truth: torch.Tensor) -> float:
        """What a batch's images are judged by, summed, less being better: places missed or made up, or the loss.

        The loss of places counts a pixel beside a true one as much as one anywhere: in crowded frames its minimum is
        near an empty image. A Jaccard index has no slope, but can choose between candidates: that of
        :func:`pixels_found`. It forgives places that are near, and with them a wrong width of the PSF: where that is
        learnt the loss judges.
        """
        if self.by_loss:
            return float(loss_of(self._network, images, truth, self._kind).double().sum())
        tau = float(self._network.tau.detach())
        return len(images) - pixels_found(images.cpu().numpy(), truth.cpu().numpy(), tau)

    def judged_at(self, point: torch.Tensor, examples: list[Example]) -> float:
        """The mean over examples of what they are judged by, at some weights."""
        self.set(point)
        total = 0.0
        with torch.no_grad():
            for batch in batches_of(examples, self.batch):
                frames, background, truth = stacked(batch, self._device)
                images = self._network(frames, background)
                total += self.judged(images, truth) if bool(images.isfinite().all()) else math.inf
        return total / len(examples)

    def value_and_gradient(
        self, point: torch.Tensor, examples: list[Example] | None = None
    ) -> tuple[float, torch.Tensor]:
        """Mean loss and its (n,) gradient."""
        self.set(point)
        self._network.zero_grad()
        total, used = 0.0, self.examples if examples is None else examples
        nothing = self._of_nothing(used)
        for batch in batches_of(used, self.batch):
            loss = self._loss(batch) / nothing
            loss.backward()
            total += float(loss.detach())
        slopes = [torch.zeros_like(w) if w.grad is None else w.grad for w in self._weights]
        return total, torch.cat([slope.reshape(-1) for slope in slopes]).cpu()

    def value(self, point: torch.Tensor, examples: list[Example] | None = None) -> float:
        """Mean loss."""
        self.set(point)
        examples = self.examples if examples is None else examples
        with torch.no_grad():
            total = sum(float(self._loss(batch)) for batch in batches_of(examples, self.batch))
        return total / self._of_nothing(examples)

    def _loss(self, batch: list[Example]) -> torch.Tensor:
        frames, background, truth = stacked(batch, self._device)
        return loss_of(self._network, self._network(frames, background), truth, self._kind).double().sum()

    def _of_nothing(self, examples: list[Example]) -> float:
        # Examples may all be empty: an image's peak (or a place) too much is then the unit.
        least = float(loss_of_nothing(torch.tensor([[[self._network.units.peak]]]), self._kind))
        return max(least, sum(float(loss_of_nothing(e.truth[None], self._kind)) for e in examples))


def _check_finite(gradient: torch.Tensor) -> None:
    if not bool(gradient.isfinite().all()):
        raise UsageError(
            "training has come to steps with which the algorithm diverges: the loss has no gradient there. Give a "
            "smaller --first-step; with Adam a smaller --learning-rate, or --optimiser sgp, which goes back by itself."
        )


class _ByProjection:
    """All examples at once, deterministic."""

    def __init__(self, outer: _OuterProblem) -> None:
        self._solver = ScaledGradientProjection(
            outer.value_and_gradient, outer.lower, outer.upper, self._scaling, outer.value
        )
        self._outer = outer
        self._state: Any = None

    def start(self) -> None:
        self._state = self._solver.start(self._outer.point)
        _check_finite(self._state.gradient)
        moved = (self._outer.sizes(self._state.point) * self._state.gradient).abs().max()
        self._state.length = FIRST_CHANGE / max(float(moved), FIRST_CHANGE)

    def _scaling(self, point: torch.Tensor) -> torch.Tensor:
        return self._outer.sizes(point).square()

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        self._state = ScaledGradientState.from_tensors(named)

    def advance(self, number: int) -> None:
        self._solver.advance(self._state)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self._state.tensors().items()}

    @property
    def point(self) -> torch.Tensor:
        return self._state.point

    @property
    def value(self) -> float:
        return float(self._state.value)

    @property
    def finished(self) -> bool:
        return bool(self._state.finished)


class _ByAdam:
    """One batch at a time in random order (Kingma and Ba 2015), each weight in its own scale, within the bounds."""

    finished = False

    def __init__(self, outer: _OuterProblem, parameters: TrainingParameters, run: Run) -> None:
        self._outer, self._rate, self._seed = outer, parameters.learning_rate, run.stream_seed("batches")
        self.point = outer.point
        self._mean, self._square = torch.zeros_like(self.point), torch.zeros_like(self.point)
        self._count = 0
        self.value = math.inf

    def start(self) -> None:
        self.point = torch.minimum(torch.maximum(self._outer.point, self._outer.lower), self._outer.upper)
        self.value = self._outer.value(self.point, self._outer.examples)

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        self.point, self._mean, self._square = (named[name] for name in ("point", "mean", "square"))
        self.value, count = named["numbers"].tolist()
        self._count = int(count)

    def tensors(self) -> dict[str, torch.Tensor]:
        numbers = torch.tensor([self.value, self._count], dtype=torch.float64)
        return {"point": self.point, "mean": self._mean, "square": self._square, "numbers": numbers}

    def advance(self, number: int) -> None:
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
