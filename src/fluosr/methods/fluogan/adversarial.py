"""FluoGAN with its discriminator (paper, eqs. 14-15 with delta = 1).

Rounds of k_D Adam steps on the discriminator and k_G proximal steps on image and background. The data term keeps its
exact expectation; only the discriminator's part is sampled, from model (4) or with emitters that fluctuate, with the
gradient through the draws replaced by the gradient at the draw (eqs. 18-19).
"""

from __future__ import annotations

import time

import numpy as np
import torch

from fluosr.emitters import Emitters
from fluosr.forward import sample_photons
from fluosr.methods.base import Run
from fluosr.methods.fluogan.emission import FluctuatingLight, Light
from fluosr.methods.fluogan.setup import DEFAULT_SMOOTHNESS_PX, FIRST_SPARSITY, Setup
from fluosr.networks.discriminator import Discriminator, gradient_penalty
from fluosr.networks.resumable import named_state, part, restore_state
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.mean_frame import GeneratorProblem

STAGE = "image with discriminator"


class AdversarialFit:
    """The two players and everything needed to go on bit for bit.

    Args:
        setup: data, operator, parameters.
        problem: the generator's smooth part; its units are those of the mean frame.
        point: where to start, the solution at delta = 0.
        run: its seed makes the streams of weights, batches and simulated frames; it is asked for a stop before every
            frame that is drawn.
        emitters: how the generator's emitters fluctuate; None for model (4), where they do not.
    """

    def __init__(
        self,
        setup: Setup,
        problem: GeneratorProblem,
        point: list[torch.Tensor],
        run: Run,
        emitters: Emitters | None = None,
    ) -> None:
        self.setup, self.problem = setup, problem
        self.parameters = setup.parameters
        self.device = problem.mean.device
        self.generator = torch.Generator(device=self.device).manual_seed(run.stream_seed("simulated frames"))
        self.picker = torch.Generator().manual_seed(run.stream_seed("batches"))
        weights = torch.Generator().manual_seed(run.stream_seed("discriminator"))
        self.discriminator = Discriminator(setup.acquisition.field_shape, weights).to(self.device)
        self.adam = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=self.parameters.discriminator_rate,
            betas=(0.5, 0.9),
            capturable=self.device.type == "cuda",
        )
        self.state = FistaState.start(point)
        self.fista = Fista(problem)
        self.round = 0
        self._light = None if emitters is None else FluctuatingLight(setup, emitters, run.check)
        self._brightness = torch.as_tensor(setup.brightness).to(problem.mean)
        self._used = torch.as_tensor(setup.used).to(self.device)
        # Frames are judged as deviations from the mean frame, in units of a typical frame's distance from it. The slope
        # of 1 that the penalty asks for is then what a sigmoid can have between two frames, at any exposure and field;
        # per pixel's noise instead, the sigmoid would have to rise by the root of the number of pixels, and D dies.
        self._centre = setup.data(None)[0]
        inverse = setup.frame_weight[setup.frame_weight > 0]
        self._scale = (float(setup.used.sum()) / float(inverse.median())) ** 0.5 if inverse.numel() else 1.0
        counts = torch.as_tensor(setup.counts.sum(0)).to(self.device)
        self._frames_total = int(counts.sum())
        self.curves: dict[str, list[float]] = {
            "discriminator loss": [],
            "gradient penalty": [],
            "discriminator's slope": [],
        }

    def run_round(self) -> None:
        """k_D steps of the discriminator, then k_G steps of the generator.

        Raises:
            StopRequested: the user asked to stop; a round is then not whole, and its state is not to be kept.
        """
        for _ in range(self.parameters.discriminator_steps):
            self.train_discriminator()
        for _ in range(self.parameters.generator_steps):
            self.fista.advance(self.state, self.generator_gradient())
        self.round += 1

    def train_discriminator(self) -> None:
        """One Adam step on (15)."""
        real, groups = self.real_batch()
        with torch.no_grad():
            simulated = self.simulate(groups)
        share = torch.rand((len(groups), 1, 1), generator=self.generator, device=self.device)
        mixed = share * real + (1 - share) * simulated
        penalty = gradient_penalty(self.discriminator, mixed)
        distance = self.discriminator(simulated).mean() - self.discriminator(real).mean()
        loss = distance + self.parameters.gradient_penalty * penalty
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        self.curves["discriminator loss"].append(float(distance.detach()))
        self.curves["gradient penalty"].append(float(penalty.detach()))

    def generator_gradient(self) -> list[torch.Tensor]:
        """Gradient of (14) at the extrapolated point: the data term exactly, the discriminator's from one batch.

        The data term is counted per movie (weights hold the number of frames), the discriminator per frame: its part is
        multiplied by the number of frames, so that delta keeps the paper's meaning.
        """
        blocks = self.state.extrapolated
        expected = self.problem.expected(blocks)
        slope = self.problem.slope(expected)
        groups = self.pick_groups()
        frames, light = self._draw(groups, blocks, expected)
        judged = frames.requires_grad_(True)
        (pull,) = torch.autograd.grad(self.discriminator(judged).sum(), judged)
        pull = pull * self._used  # what is shown as 0 whatever the frame holds has no slope
        per_frame = pull / (len(groups) * self._scale)
        slope.index_add_(0, groups, per_frame, alpha=-self.parameters.discriminator_weight * self._frames_total)
        self.curves["discriminator's slope"].append(float(pull.flatten(1).norm(dim=1).mean()))
        gradient = self.problem.pull_back(slope, blocks[1])
        if self._light is not None and light is not None:
            more = self._light.beyond_straight_through(light, groups, per_frame)
            if more is not None:
                gradient[0] = gradient[0] - self.parameters.discriminator_weight * self._frames_total * more
        return gradient

    def pick_groups(self) -> torch.Tensor:
        """(B,) drift groups of randomly picked frames."""
        numbers = torch.randint(self._frames_total, (self.parameters.batch,), generator=self.picker)
        return torch.as_tensor(self.setup.group_of_frame[numbers.numpy()]).to(self.device)

    def real_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, Y, X) normalised frames picked at random from the movie, and their drift groups (B,)."""
        numbers = torch.randint(self._frames_total, (self.parameters.batch,), generator=self.picker).numpy()
        frames = self.setup.acquisition.photons([int(n) for n in numbers])
        groups = torch.as_tensor(self.setup.group_of_frame[numbers]).to(self.device)
        bleached = torch.as_tensor(np.ascontiguousarray(frames)).to(self.device)
        return self.normalise(bleached / self._brightness[groups], groups), groups

    def simulate(self, groups: torch.Tensor) -> torch.Tensor:
        """(B, Y, X) normalised frames of the generator for the current image, one for each group in ``groups``."""
        return self._draw(groups, self.state.point, self.problem.expected(self.state.point))[0]

    def _draw(
        self, groups: torch.Tensor, blocks: list[torch.Tensor], expected: torch.Tensor
    ) -> tuple[torch.Tensor, Light | None]:
        """Normalised frames at a point with its expected light, (K, Y, X); and the light of emitters that fluctuate."""
        level = self._brightness[groups]
        shown, light = expected[groups] * level, None
        if self._light is not None:
            light = self._light.sample(blocks[0], groups, level, self.generator)
            shown = light.expected + self.problem.basis.image(blocks[1]) * level
        frames = sample_photons(shown, self.setup.acquisition.camera, self.generator)
        return self.normalise(frames / level, groups), light

    def normalise(self, frames: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Deviation from the mean frame over a frame's typical distance from it; unused pixels show none."""
        return torch.where(self._used, (frames - self._centre[groups]) / self._scale, 0.0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes, for a checkpoint."""
        named = {f"fista.{key}": value.clone() for key, value in self.state.tensors().items()}
        named |= named_state(self.discriminator, {}, self.adam)
        named["generator"], named["picker"] = self.generator.get_state(), self.picker.get_state()
        named["round"] = torch.tensor([self.round])
        for key, curve in self.curves.items():
            named[f"curve.{key}"] = torch.tensor(curve, dtype=torch.float64)
        return named

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self.state = FistaState.from_tensors(
            {k: v.to(self.device) if k != "scalars" else v for k, v in part(named, "fista.").items()}
        )
        restore_state(self.discriminator, self.adam, named)
        self.generator.set_state(named["generator"])
        self.picker.set_state(named["picker"])
        self.round = int(named["round"])
        self.curves = {key: value.tolist() for key, value in part(named, "curve.").items()}


def adversarial_seconds(setup: Setup, emitters: Emitters | None, run: Run) -> float:
    """Time one round of a trial fit, which leaves the run as it was, and multiply.

    Raises:
        StopRequested: the user asked to stop.
    """
    problem = setup.problem(FIRST_SPARSITY, DEFAULT_SMOOTHNESS_PX)
    trial = AdversarialFit(setup, problem, problem.start(), run, emitters)
    started = time.perf_counter()
    trial.run_round()
    return (time.perf_counter() - started) * setup.parameters.adversarial_iterations


def fit_adversarial(
    setup: Setup, problem: GeneratorProblem, point: list[torch.Tensor], run: Run, emitters: Emitters | None
) -> tuple[list[torch.Tensor], dict[str, list[float]]]:
    """Run all rounds from a solution at delta = 0.

    Returns:
        [grains, background coefficients] at the last proximal point, and the curves.

    Raises:
        StopRequested: the user asked to stop; the state is kept.
    """
    fit = AdversarialFit(setup, problem, point, run, emitters)
    kept = run.recall(STAGE)
    if kept is not None:
        fit.restore(kept)
    total = setup.parameters.adversarial_iterations
    while fit.round < total:
        fit.run_round()
        if fit.round % 5 == 0 or fit.round == total:
            run.progress(STAGE, fit.round, total)
            run.keep(STAGE, fit.tensors())
    return fit.state.point, fit.curves
