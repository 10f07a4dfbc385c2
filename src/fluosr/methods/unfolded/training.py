"""Learning the parameters of the unfolded algorithm: the outer problem, by scaled gradient projection or Adam.

The loss of every example is counted in that of an empty image, so that it is about 1 at worst and free of units. The
weights kept are those of the best round on the examples that were kept aside; without any, on all: the one with the
least error, or with the fewest places missed or made up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from fluosr.methods.base import Run
from fluosr.methods.unfolded.detection import best_level
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient
from fluosr.methods.unfolded.optimisers import ByAdam, ByProjection
from fluosr.methods.unfolded.outer_problem import OuterProblem
from fluosr.methods.unfolded.pairs import Example, units_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training_parameters import TrainingParameters

STAGE = "training"


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
    outer = OuterProblem(network, learning, parameters, run.device)
    optimiser: ByProjection | ByAdam
    optimiser = ByProjection(outer) if parameters.optimiser == "sgp" else ByAdam(outer, parameters, run)
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


def _note(progress: _Progress, outer: OuterProblem, optimiser: ByProjection | ByAdam, aside: list[Example]) -> None:
    """Write down the round that just ended, and its weights where they are the best so far."""
    judged = outer.judged_at(optimiser.point, aside or outer.examples)
    progress.losses.append(optimiser.value)
    progress.judged.append(judged)
    if judged < progress.best_loss:
        progress.best, progress.best_loss = optimiser.point.clone(), judged
        progress.best_round = len(progress.losses) - 1
