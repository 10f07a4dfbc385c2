"""Training on the movie's own frames: the evidence lower bound, plateaus, early stopping, posterior collapse."""

from __future__ import annotations

import math

import torch

from fluosr.methods.base import Run
from fluosr.methods.divnoising.noise import Noise, negative_log_likelihood
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import TrainingFrames, TrainingPatches
from fluosr.networks.resumable import named_state, part, restore_state, weights_of
from fluosr.networks.variational import (
    LATENT_CHANNELS,
    STRIDE,
    VariationalAutoencoder,
    divergence_from_prior,
    sample_latent,
)

SAFE_POINT, EVALUATION = 10, 50  # training steps from one to the next
HELD_OUT_PATCHES = 32
PLATEAU, LAST_PLATEAU = 4, 3  # evaluations without a better bound until the rate is halved; plateaus until the end
COLLAPSED = 1e-7  # nats per pixel of KL under which the posterior tells frames apart no more
RESTARTS = 2  # the last of them with an annealed KL
ANNEALED_SHARE = 0.5  # of the steps over which the KL's weight then rises from 0 to 1


def bound_terms(
    network: VariationalAutoencoder,
    patches: TrainingPatches,
    frames: TrainingFrames,
    noise: Noise,
    normal: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of the negative evidence lower bound, nats per pixel seen (Prakash et al. 2021, eq. 5):

        E_q(z|x)[-log p(x | s(z))],   KL(q(z | x) || N(0, 1)).

    Args:
        network: in units of (x - mean) / spread; its output is brought back to photoelectrons here.
        patches: B of them.
        frames: where the patches come from, for their mean and spread.
        noise: of the camera.
        normal: (B, 64, P / 4, P / 4) standard normal draws: one sample of z each.
    """
    mean, log_variance = network.encode((patches.values - frames.mean) / frames.spread)
    signal = frames.mean + frames.spread * network.decode(sample_latent(mean, log_variance, normal))
    pixels = patches.used.sum().clamp_min(1.0)
    unlikely = (patches.used * negative_log_likelihood(patches.values, signal, patches.scale, noise)).sum() / pixels
    return unlikely, divergence_from_prior(mean, log_variance).sum() / pixels


class Training:
    """The network, its optimiser, and everything needed to go on bit for bit.

    Args:
        frames: to learn from.
        noise: of the camera.
        parameters: the method's.
        seed: of weights, patches and samples.
        device: where to compute.
    """

    def __init__(
        self, frames: TrainingFrames, noise: Noise, parameters: DivnoisingParameters, seed: int, device: str = "cpu"
    ) -> None:
        self.frames, self.noise, self.parameters = frames, noise, parameters
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        longest = STRIDE * math.ceil(parameters.patch_px / STRIDE)
        self.side = min(longest, *frames.used.shape)
        self.restarts = 0
        self.curves: dict[str, list[float]] = {}
        # The bound is always asked of the same patches and draws: a change of it is the network's.
        picked = frames.held_out[torch.arange(min(HELD_OUT_PATCHES, 4 * len(frames.held_out))) % len(frames.held_out)]
        self._asked = self._placed(frames.draw(picked, self.side, self.generator))
        self._asked_normal = self._normal(len(picked))
        self._begin()

    def _begin(self) -> None:
        """Fresh weights."""
        network = VariationalAutoencoder(self.generator, self.parameters.filters)
        # Channels last: the few channels of a small network are then read in one go.
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adam = torch.optim.Adam(self.network.parameters(), lr=self.parameters.learning_rate)
        self.iteration, self.waited, self.best = 0, 0, math.inf
        self.best_weights = weights_of(self.network)
        self.finished = False
        self.curves = {"held-out loss, nats per pixel": [], "KL, nats per pixel": []}

    @property
    def annealed(self) -> bool:
        """The last restart begins without the KL, whose pull makes a posterior collapse."""
        return self.restarts >= RESTARTS

    @property
    def divergence_weight(self) -> float:
        """What the KL is multiplied with in this step."""
        if not self.annealed:
            return 1.0
        return min(1.0, self.iteration / (ANNEALED_SHARE * self.parameters.iterations))

    def step(self) -> None:
        """One step of Adam, and at its time the held-out bound."""
        frames = self.frames
        picks = torch.randint(len(frames.learnt), (self.parameters.batch,), generator=self.generator)
        patches = self._placed(frames.draw(frames.learnt[picks], self.side, self.generator))
        unlikely, divergence = bound_terms(self.network, patches, frames, self.noise, self._normal(len(picks)))
        self.adam.zero_grad(set_to_none=True)
        (unlikely + self.divergence_weight * divergence).backward()
        self.adam.step()
        self.iteration += 1
        if self.iteration % EVALUATION == 0 or self.iteration == self.parameters.iterations:
            self._evaluate()

    def _evaluate(self) -> None:
        with torch.no_grad():
            terms = bound_terms(self.network, self._asked, self.frames, self.noise, self._asked_normal)
        unlikely, divergence = (float(term) for term in terms)
        loss = unlikely + divergence
        if not (math.isfinite(loss) and divergence >= COLLAPSED) and not self.annealed:
            self.restarts += 1
            self._begin()
            return
        self.curves["held-out loss, nats per pixel"].append(loss)
        self.curves["KL, nats per pixel"].append(divergence)
        settled = self.divergence_weight == 1.0  # before, the bound is not what is minimised
        if loss < self.best or not settled:
            self.best, self.best_weights, self.waited = loss if settled else math.inf, weights_of(self.network), 0
        else:
            self.waited += 1
            if self.waited % PLATEAU == 0:
                for group in self.adam.param_groups:
                    group["lr"] *= 0.5
        self.finished = self.iteration >= self.parameters.iterations or self.waited >= PLATEAU * LAST_PLATEAU

    @property
    def collapsed(self) -> bool:
        """The posterior is the prior whatever the frame shows, even after the last restart."""
        curve = self.curves["KL, nats per pixel"]
        return bool(curve) and not curve[-1] >= COLLAPSED

    def best_network(self) -> VariationalAutoencoder:
        """The network with the weights of the best held-out bound."""
        self.network.load_state_dict(self.best_weights)
        return self.network

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes, for a checkpoint."""
        named = named_state(self.network, self.best_weights, self.adam)
        named["generator"] = self.generator.get_state()
        named["counts"] = torch.tensor([self.iteration, self.waited, self.restarts, int(self.finished)])
        named["rate"] = torch.tensor([self.adam.param_groups[0]["lr"], self.best], dtype=torch.float64)
        return named | {f"curve.{key}": torch.tensor(c, dtype=torch.float64) for key, c in self.curves.items()}

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self.best_weights = restore_state(self.network, self.adam, named)
        self.generator.set_state(named["generator"])
        self.iteration, self.waited, self.restarts, finished = (int(n) for n in named["counts"])
        self.finished = bool(finished)
        rate, self.best = named["rate"].tolist()
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.curves = {key: value.tolist() for key, value in part(named, "curve.").items()}

    def _normal(self, count: int) -> torch.Tensor:
        shape = (count, LATENT_CHANNELS, self.side // STRIDE, self.side // STRIDE)
        return torch.randn(shape, generator=self.generator).to(self.device)

    def _placed(self, patches: TrainingPatches) -> TrainingPatches:
        return TrainingPatches(*(tensor.to(self.device) for tensor in (patches.values, patches.used, patches.scale)))


def train(training: Training, run: Run, stage: str) -> None:
    """All steps, with progress and safe points, from where an earlier run stopped.

    Args:
        training: fresh.
        run: progress and stopping.
        stage: under which the state is kept.

    Raises:
        StopRequested: the user asked to stop; the state is kept.
    """
    kept = run.recall(stage)
    if kept is not None:
        training.restore(kept)
    total = training.parameters.iterations
    while not training.finished:
        training.step()
        if training.finished or training.iteration % SAFE_POINT == 0:
            run.progress(stage, training.iteration, total)
            run.keep(stage, training.tensors())
