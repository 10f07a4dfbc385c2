"""The outer problem: the loss over examples as a function of the weights that are learnt, and a start for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.unfolded.detection import LEVELS, pixels_found
from fluosr.methods.unfolded.losses import loss_of, loss_of_nothing
from fluosr.methods.unfolded.network import UnfoldedGradient
from fluosr.methods.unfolded.pairs import Example, batches_of, stacked
from fluosr.methods.unfolded.training_parameters import TrainingParameters

CHOOSING = "choosing a start"
LEAST_VALUE = 1e-4  # of a weight, from which on its scale follows it
SPARSITIES = (0.003, 0.01, 0.03, 0.1, 0.3)  # lambda to start from, of its bound
FINER = ((0.55, 0.75, 1.35, 1.8), (0.87, 1.15))  # around the best of them, and around the best of these
THRESHOLDS = tuple(LEVELS.tolist())  # tau to start from, likewise
EVEN_STEPS = (1.3, 1.9)  # times the curvature, to start from, beside silver steps
STARTING_WIDTHS = (0.8, 0.9, 1.11, 1.25)  # of the PSF, over the stated, where it is learnt
FINER_WIDTHS = ((0.95, 1.05), (0.975, 1.025), (0.9875, 1.0125))  # around the best of them, and so on
STEP_SCALES = (1.0, 0.25, 0.06, 0.015)  # of the first steps where the curvature depends on the light


def silver_steps(count: int) -> torch.Tensor:
    """(K,) float64 steps 1 + rho^(nu(k) - 1), k = 1 ... K: rho = 1 + sqrt(2), and 2^nu(k) is what divides k.

    Most are short and few are very long: what the long ones amplify the short ones take away. 2^n - 1 of them go best
    together.

    Source: Altschuler and Parrilo 2024, Acceleration by stepsize hedging II, Mathematical Programming.
    """
    nu = [(k & -k).bit_length() - 1 for k in range(1, count + 1)]
    powers: torch.Tensor = (1.0 + math.sqrt(2.0)) ** (torch.tensor(nu, dtype=torch.float64) - 1.0)
    return 1.0 + powers


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


class OuterProblem:
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
