"""Training in two stages, each resumable bit for bit: the absolute error alone, then with a discriminator."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from fluosr.errors import UsageError
from fluosr.networks.restorer import Restorer
from fluosr.networks.resumable import Weights, named_state, part, restore_state, weights_of
from fluosr.networks.unet_discriminator import UNetDiscriminator
from fluosr.restoration.examples import Examples, Pair
from fluosr.restoration.losses import absolute_error, discriminator_loss, restorer_loss
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.perceptual import PerceptualLoss

ERROR_STAGE, GAN_STAGE = "absolute error", "adversarial"
LAST_RATE = 0.01  # of the first learning rate, at a stage's end
WARM_UP = 10.0  # of the moving average: early weights are forgotten sooner
LOSS_WINDOW = 0.05  # weight of a step in the losses' running mean
GAN_MOMENTS = (0.9, 0.99)


@dataclass
class Log:
    """What is told of a training: one entry a look at the validation fields.

    Args:
        entries: step, stage and figures, as plain values.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)

    def tensors(self) -> Weights:
        """As named tensors, for a checkpoint."""
        names = sorted({name for entry in self.entries for name in entry if name != "stage"})
        stages = [float(entry["stage"] == GAN_STAGE) for entry in self.entries]
        columns = {f"log.{n}": [float(e.get(n, math.nan)) for e in self.entries] for n in names}
        return {n: torch.tensor(v, dtype=torch.float64) for n, v in (columns | {"log.stage": stages}).items()}

    @classmethod
    def from_tensors(cls, named: Weights) -> Log:
        """Back from :meth:`tensors`."""
        columns = {name: values.tolist() for name, values in part(named, "log.").items()}
        stages = columns.pop("stage", [])
        made = []
        for number, stage in enumerate(stages):
            entry: dict[str, Any] = {"step": 0, "stage": GAN_STAGE if stage else ERROR_STAGE}
            entry |= {n: v[number] for n, v in sorted(columns.items()) if not math.isnan(v[number])}
            made.append(entry | {"step": int(entry["step"])})
        return cls(made)


class Training:
    """The network, its moving average, where needed its discriminator, and all that is needed to go on bit for bit.

    The first stage ends early where the validation fields' absolute error has not fallen for ``patience`` looks; the
    second begins with the first's best weights. What is kept is the moving average: the best of the first stage, the
    last of the second, whose images are not meant to have the least error.

    Args:
        network: with the weights to begin with.
        examples: to learn from.
        validation: pairs that are only looked at; without them the last weights are the best.
        parameters: losses, lengths, rates.
        generator: of patches and of the discriminator's weights.
        device: where to compute.
        perceptual: a further loss of the second stage.
    """

    def __init__(
        self,
        network: Restorer,
        examples: Examples,
        validation: list[Pair],
        parameters: RestorationTraining,
        generator: torch.Generator,
        device: str = "cpu",
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        self.parameters, self.examples, self.generator = parameters, examples, generator
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.validation = [self._fitting(low, high) for low, high in validation]
        self.discriminator: UNetDiscriminator | None = None
        self.perceptual = None if perceptual is None else perceptual.to(self.device)
        if parameters.gan_iterations:
            judge = UNetDiscriminator(generator, features=parameters.discriminator_features)
            self.discriminator = judge.to(self.device)
        self.steps, self.step_in_stage, self.stage = 0, 0, ERROR_STAGE
        self.best, self.waited = math.inf, 0
        self.best_weights = weights_of(self.average)
        self.means: dict[str, float] = {}
        self.log = Log()
        self._begin()
        self._look()

    @property
    def finished(self) -> bool:
        """All steps of the last stage are done."""
        return self._stage_done and (self.stage == GAN_STAGE or not self.parameters.gan_iterations)

    @property
    def _length(self) -> int:
        return self.parameters.iterations if self.stage == ERROR_STAGE else self.parameters.gan_iterations

    @property
    def _stage_done(self) -> bool:
        given_up = self.stage == ERROR_STAGE and bool(self.validation) and self.waited >= self.parameters.patience
        return self.step_in_stage >= self._length or given_up

    def step(self) -> None:
        """One step of the stage there is, of the next where it is done; at its time a look at the validation fields.

        Raises:
            UsageError: the loss is not finite any more.
        """
        if self._stage_done:
            self._next_stage()
        given = self.parameters
        low, high = (t.to(self.device) for t in self.examples.draw(given.batch, given.patch, self.generator))
        losses = self._learn(low, high)
        if not all(map(math.isfinite, losses.values())):
            raise UsageError(
                f"the training diverges (step {self.step_in_stage} of the stage {self.stage!r}): a smaller "
                "--learning-rate or --gan-learning-rate helps."
            )
        for name, value in losses.items():
            mean = self.means.get(name, value)
            self.means[name] = mean + LOSS_WINDOW * (value - mean)
        self.steps += 1
        self.step_in_stage += 1
        self._follow()
        if self.step_in_stage % given.evaluation == 0 or self.step_in_stage == self._length:
            self._look()

    def result(self) -> Restorer:
        """The network that is kept, ready to be asked."""
        made = copy.deepcopy(self.average)
        if self.stage == ERROR_STAGE:
            made.load_state_dict(self.best_weights)
        return made.eval()

    def _begin(self) -> None:
        given = self.parameters
        if self.stage == ERROR_STAGE:
            self.adam = torch.optim.Adam(self.network.parameters(), lr=given.learning_rate)
            return
        assert self.discriminator is not None
        rate = given.gan_learning_rate
        self.adam = torch.optim.Adam(self.network.parameters(), lr=rate, betas=GAN_MOMENTS)
        self.adam_of_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=GAN_MOMENTS)

    def _next_stage(self) -> None:
        self.network.load_state_dict(self.best_weights)
        self.average.load_state_dict(self.best_weights)
        self.stage, self.step_in_stage, self.means = GAN_STAGE, 0, {}
        self._begin()

    def _learn(self, low: torch.Tensor, high: torch.Tensor) -> dict[str, float]:
        given = self.parameters
        first = given.learning_rate if self.stage == ERROR_STAGE else given.gan_learning_rate
        rate = first * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.step_in_stage / self._length)))
        self.network.train()
        with self._precision():
            restored = self.network(low)
        restored = restored.float()
        losses = {"absolute_error": absolute_error(restored, high)}
        total = losses["absolute_error"]
        if self.stage == GAN_STAGE:
            losses |= self._adversarial(restored, high)
            total = total + given.gan_weight * losses["restorer"]
            if self.perceptual is not None:
                losses["perceptual"] = self.perceptual(restored, high)
                total = total + given.perceptual_weight * losses["perceptual"]
        self._descend(self.network, self.adam, total, rate)
        if self.stage == GAN_STAGE:
            losses |= self._judge(restored.detach(), high, rate)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _adversarial(self, restored: torch.Tensor, high: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self.discriminator is not None
        self.discriminator.train().requires_grad_(False)
        with self._precision():
            fake = self.discriminator(restored)
            real = self.discriminator(high) if self.parameters.relativistic else fake
        return {"restorer": restorer_loss(fake.float(), real.float(), relativistic=self.parameters.relativistic)}

    def _judge(self, restored: torch.Tensor, high: torch.Tensor, rate: float) -> dict[str, torch.Tensor]:
        assert self.discriminator is not None
        self.discriminator.requires_grad_(True)
        with self._precision():
            fake, real = self.discriminator(restored), self.discriminator(high)
        loss = discriminator_loss(fake.float(), real.float(), relativistic=self.parameters.relativistic)
        self._descend(self.discriminator, self.adam_of_discriminator, loss, rate)
        return {"discriminator": loss, "real": real.float().sigmoid().mean(), "fake": fake.float().sigmoid().mean()}

    def _descend(self, network: nn.Module, adam: torch.optim.Adam, loss: torch.Tensor, rate: float) -> None:
        for group in adam.param_groups:
            group["lr"] = rate
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.parameters.clip)
        adam.step()

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.parameters.ema, (1.0 + self.step_in_stage) / (WARM_UP + self.step_in_stage))
        for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(now, 1.0 - decay)

    @torch.no_grad()
    def _look(self) -> None:
        entry: dict[str, Any] = {"step": self.steps, "stage": self.stage, **dict(sorted(self.means.items()))}
        if self.validation:
            self.average.eval()
            wrong = [self.average(low) - high for low, high in self.validation]
            entry["validation_error"] = float(torch.stack([e.abs().mean() for e in wrong]).mean())
            entry["validation_rms"] = float(torch.stack([e.square().mean() for e in wrong]).mean().sqrt())
        self.log.entries.append(entry)
        value = entry.get("validation_error", -float(self.steps))  # without validation the last is the best
        if self.stage == ERROR_STAGE:
            self.waited = 0 if value < self.best else self.waited + 1
            if value < self.best:
                self.best, self.best_weights = value, weights_of(self.average)

    def _fitting(self, low: torch.Tensor, high: torch.Tensor) -> Pair:
        """A pair without the last rows and columns that the network cannot take."""
        multiple, scale = self.network.multiple, self.network.scale
        height, width = (side // multiple * multiple for side in low.shape[-2:])
        return (
            low[..., :height, :width].to(self.device),
            high[..., : scale * height, : scale * width].to(self.device),
        )

    def _precision(self) -> AbstractContextManager[Any]:
        if self.parameters.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def tensors(self) -> Weights:
        """Everything that changes, for a checkpoint."""
        named = named_state(self.network, self.best_weights, self.adam)
        named |= {f"average.{name}": value for name, value in weights_of(self.average).items()}
        if self.discriminator is not None:
            named |= {f"judge.{name}": value for name, value in weights_of(self.discriminator).items()}
        if self.stage == GAN_STAGE:
            assert self.discriminator is not None
            moments = named_state(self.discriminator, {}, self.adam_of_discriminator)
            named |= {f"judging.{name}": value for name, value in moments.items() if name.startswith("adam.")}
        named |= {f"mean.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.means.items()}
        counts = [self.steps, self.step_in_stage, self.stage == GAN_STAGE, self.waited, self.best]
        named["counts"] = torch.tensor(counts, dtype=torch.float64)
        named["generator"] = self.generator.get_state()
        return named | self.log.tensors()

    def restore(self, named: Weights) -> None:
        """Back from :meth:`tensors`."""
        steps, in_stage, adversarial, waited, self.best = named["counts"].tolist()
        self.steps, self.step_in_stage, self.waited = int(steps), int(in_stage), int(waited)
        self.stage = GAN_STAGE if adversarial else ERROR_STAGE
        self._begin()
        self.best_weights = restore_state(self.network, self.adam, named)
        self.average.load_state_dict(part(named, "average."))
        if self.discriminator is not None:
            judge = {f"net.{name}": value for name, value in part(named, "judge.").items()}
            if self.stage == GAN_STAGE:
                restore_state(self.discriminator, self.adam_of_discriminator, judge | part(named, "judging."))
            else:
                self.discriminator.load_state_dict(part(named, "judge."))
        self.means = {name: float(value) for name, value in part(named, "mean.").items()}
        self.generator.set_state(named["generator"])
        self.log = Log.from_tensors(named)
