"""Pix2Pix's training on pairs, resumable bit for bit."""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from fluosr.errors import UsageError
from fluosr.generation.losses import discriminator_loss, generator_loss
from fluosr.latent.degradation import Degradation
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.networks.patch_discriminator import PatchDiscriminator
from fluosr.networks.pix2pix_generator import Pix2PixGenerator
from fluosr.networks.restorer import in_channels_last
from fluosr.networks.resumable import Weights, named_state, part, restore_state
from fluosr.restoration.baselines import enlarged

BETAS = (0.5, 0.999)
SYMMETRIES = 8  # of a square
LOSS_WINDOW = 0.05  # weight of a step in the losses' running means


def turned(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each of (N, C, R, R) flipped and turned by quarters, in one of the eight ways of a square, at random."""
    ways = torch.randint(SYMMETRIES, (len(images),), generator=generator, device=generator.device).tolist()
    return torch.stack(
        [
            torch.rot90(image.flip(2) if way >= 4 else image, way % 4, (1, 2))
            for image, way in zip(images, ways, strict=True)
        ]
    )


def input_of(coarse: torch.Tensor, factor: int) -> torch.Tensor:
    """What the network is given, (N, C, r, r) -> (N, C, R, R): the bicubic enlargement, which invents nothing."""
    return enlarged(coarse, factor)


def judging_loss(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Half of -log sigmoid(real) - log(1 - sigmoid(fake)), the mean over patches; the half is the paper's."""
    return discriminator_loss(fake, real) / 2


def making_losses(
    fake: torch.Tensor, made: torch.Tensor, sharp: torch.Tensor, l1_weight: float
) -> dict[str, torch.Tensor]:
    """-log sigmoid(fake), the mean over patches; |made - sharp|, the mean; and "loss", their weighted sum.

    Source:
        P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, CVPR (2017), eqs. 1, 3 and 4, and section 3.4.
    """
    adversarial, l1 = generator_loss(fake), (made - sharp).abs().mean()
    return {"generator": adversarial, "l1": l1, "loss": adversarial + l1_weight * l1}


class Pix2PixRun:
    """The networks, and all that is needed to go on bit for bit.

    A step: sharp crops, flipped and turned; the coarse images that the degradation makes of them; the discriminator's
    loss, then the generator's, on the same images.

    Args:
        crops: (N, C, R, R) sharp, in the networks' range.
        degradation: D, for this resolution.
        parameters: sizes, rates, weights.
        weights: draws the initial weights, the processor's.
        seed: of batches, turns and dropout, which are drawn where it computes.
        device: where to compute.
    """

    def __init__(
        self,
        crops: torch.Tensor,
        degradation: Degradation,
        parameters: Pix2PixTraining,
        weights: torch.Generator,
        seed: int,
        device: str = "cpu",
    ) -> None:
        given, self.parameters, self.degradation = parameters, parameters, degradation
        self.device = torch.device(device)
        self.crops = crops.to(self.device)
        shape: dict[str, int] = {"resolution": crops.shape[-1], "channels": crops.shape[1], "features": given.features}
        self.network = Pix2PixGenerator(weights, dropout=given.dropout, **shape).to(self.device)
        self.discriminator = PatchDiscriminator(weights, **shape).to(self.device)
        if self.device.type == "cpu":
            in_channels_last(self.network)
            in_channels_last(self.discriminator)
        self.adam, self.adam_of_discriminator = (
            torch.optim.Adam(network.parameters(), lr=given.learning_rate, betas=BETAS)
            for network in (self.network, self.discriminator)
        )
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.steps = 0
        self.means: dict[str, float] = {}
        self.log: list[dict[str, Any]] = []

    @property
    def seen(self) -> int:
        """Pairs shown so far."""
        return self.steps * self.parameters.batch

    @property
    def finished(self) -> bool:
        """All pairs were shown."""
        return self.seen >= self.parameters.images

    @property
    def look_due(self) -> bool:
        """Whether it has just begun or ended, or the last step passed one of the counts at which a look is due."""
        given = self.parameters
        return self.finished or self.seen // given.look != (self.seen - given.batch) // given.look

    def step(self) -> None:
        """One step of the discriminator, one of the generator.

        Raises:
            UsageError: a loss is not finite any more.
        """
        picks = torch.randint(len(self.crops), (self.parameters.batch,), generator=self.generator, device=self.device)
        sharp = turned(self.crops[picks], self.generator)
        with torch.no_grad():
            given = input_of(self.degradation(sharp), self.degradation.factor)
        made = self.network(given, self.network.noise(len(given), self.generator))
        self.discriminator.requires_grad_(True)
        fake, real = self.discriminator(given, made.detach()), self.discriminator(given, sharp)
        judged = judging_loss(fake, real)
        _descend(self.adam_of_discriminator, judged)
        self.discriminator.requires_grad_(False)
        losses = making_losses(self.discriminator(given, made), made, sharp, self.parameters.l1_weight)
        _descend(self.adam, losses.pop("loss"))
        self._follow(
            losses
            | {"discriminator": judged, "real": real.sigmoid().mean(), "fake": fake.sigmoid().mean()}
            | {"l1_of_bicubic": (given - sharp).abs().mean()}
        )
        self.steps += 1

    def note(self) -> dict[str, Any]:
        """Add an entry to the log: where the training stands."""
        entry: dict[str, Any] = {"step": self.steps, "images": self.seen, **dict(sorted(self.means.items()))}
        self.log.append(entry)
        return entry

    def _follow(self, losses: dict[str, torch.Tensor]) -> None:
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not all(map(math.isfinite, values.values())):
            raise UsageError(
                f"the training diverges (after {self.seen} pairs: "
                f"{', '.join(name for name, value in values.items() if not math.isfinite(value))} is no finite "
                "number any more): a smaller --learning-rate helps."
            )
        for name, value in values.items():
            mean = self.means.get(name, value)
            self.means[name] = mean + LOSS_WINDOW * (value - mean)

    def tensors(self) -> Weights:
        """Everything that changes, for a checkpoint."""
        named = named_state(self.network, {}, self.adam)
        judge = named_state(self.discriminator, {}, self.adam_of_discriminator)
        named |= {f"judge.{name}": value for name, value in judge.items()}
        named |= {f"mean.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.means.items()}
        log = json.dumps(self.log).encode()
        named["log"] = torch.frombuffer(bytearray(log), dtype=torch.uint8).clone()
        return named | {"steps": torch.tensor(self.steps), "generator": self.generator.get_state()}

    def restore(self, named: Weights) -> None:
        """Back from :meth:`tensors`."""
        restore_state(self.network, self.adam, named)
        restore_state(self.discriminator, self.adam_of_discriminator, part(named, "judge."))
        self.means = {name: float(value) for name, value in part(named, "mean.").items()}
        self.log = json.loads(bytes(named["log"].tolist()))
        self.steps = int(named["steps"])
        self.generator.set_state(named["generator"])


def _descend(adam: torch.optim.Adam, loss: torch.Tensor) -> None:
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
