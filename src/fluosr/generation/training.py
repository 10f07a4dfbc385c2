"""StyleGAN2's training, resumable bit for bit: both networks, the average of the weights, lazy regularisation, ADA."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import torch

from fluosr.errors import UsageError
from fluosr.generation.augmentation import augmented
from fluosr.generation.losses import (
    average_decay,
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_lengths,
    path_penalty,
    squared_slope,
)
from fluosr.generation.parameters import GeneratorTraining
from fluosr.generation.probability import LEAKS_ABOVE, AdaptiveProbability
from fluosr.networks.restorer import in_channels_last
from fluosr.networks.resumable import Weights, named_state, part, restore_state, weights_of
from fluosr.networks.stylegan2_discriminator import StyleGAN2Discriminator
from fluosr.networks.stylegan2_generator import StyleGAN2Generator, mixed_styles

BETAS, EPSILON = (0.0, 0.99), 1e-8
LOSS_WINDOW = 0.05  # weight of a step in the losses' running means


class Training:
    """The networks, and all that is needed to go on bit for bit.

    A step: the generator's loss, now and then its path length regularisation on half a batch; the discriminator's loss,
    now and then R1. R1 is the slope at the crops as the discriminator sees them, augmented, along their pixels.

    Args:
        crops: (N, C, R, R) in the networks' range.
        parameters: sizes, rates, regularisation.
        weights: draws the initial weights, the processor's.
        seed: of codes, noise, batches and augmentation, which are drawn where it computes.
        device: where to compute.
    """

    def __init__(
        self,
        crops: torch.Tensor,
        parameters: GeneratorTraining,
        weights: torch.Generator,
        seed: int,
        device: str = "cpu",
    ) -> None:
        given, self.parameters = parameters, parameters
        self.device = torch.device(device)
        self.crops = crops.to(self.device)
        shape: dict[str, int] = {"resolution": crops.shape[-1], "channels": crops.shape[1], "features": given.features}
        self.network = StyleGAN2Generator(
            weights, latent_features=given.latent_features, mapping_depth=given.mapping_depth, **shape
        ).to(self.device)
        self.discriminator = StyleGAN2Discriminator(weights, **shape).to(self.device)
        if self.device.type == "cpu":
            in_channels_last(self.network)
            in_channels_last(self.discriminator)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.r1_gamma = given.r1_gamma(crops.shape[-1])
        self.adam = self._adam(self.network, given.path_interval if given.path_weight else None)
        self.adam_of_discriminator = self._adam(self.discriminator, given.r1_interval if self.r1_gamma else None)
        self.ada = AdaptiveProbability(given.augment_target, given.augment_interval, given.augment_images)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.path_mean = torch.zeros((), device=self.device)
        self.steps = 0
        self.means: dict[str, float] = {}
        self.log: list[dict[str, Any]] = []

    @property
    def seen(self) -> int:
        """Crops shown to the discriminator so far."""
        return self.steps * self.parameters.batch

    @property
    def finished(self) -> bool:
        """All crops were shown."""
        return self.seen >= self.parameters.images

    @property
    def look_due(self) -> bool:
        """Whether it has just begun or ended, or the last step passed one of the counts at which a look is due."""
        given = self.parameters
        return self.finished or self.seen // given.look != (self.seen - given.batch) // given.look

    def step(self) -> None:
        """One step of both networks.

        Raises:
            UsageError: a loss is not finite any more.
        """
        given = self.parameters
        losses = {"generator": self._teach_generator()}
        if given.path_weight and self.steps % given.path_interval == 0:
            losses["path_penalty"] = self._regularise_paths()
        losses |= self._teach_discriminator()
        if self.r1_gamma and self.steps % given.r1_interval == 0:
            losses["r1"] = self._regularise_slope()
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not all(map(math.isfinite, values.values())):
            raise UsageError(
                f"the training diverges (after {self.seen} crops: "
                f"{', '.join(name for name, value in values.items() if not math.isfinite(value))} is no finite "
                "number any more): a smaller --learning-rate or a larger --r1-weight helps."
            )
        for name, value in values.items():
            mean = self.means.get(name, value)
            self.means[name] = mean + LOSS_WINDOW * (value - mean)
        self.steps += 1
        self._follow()

    def note(self, scores: dict[str, float]) -> dict[str, Any]:
        """Add an entry to the log: where the training stands, with these scores."""
        entry: dict[str, Any] = {"step": self.steps, "images": self.seen, **dict(sorted(self.means.items()))}
        # What was not measured, or not yet, is left out.
        if not math.isnan(self.ada.last):
            entry["real_sign"] = self.ada.last
        if self.parameters.path_weight and self.steps:
            entry["path_length"] = float(self.path_mean)
        entry |= {"augmentation": self.ada.probability, **scores}
        if self.ada.probability > LEAKS_ABOVE:
            entry["warning"] = f"augmentation above {LEAKS_ABOVE:g} leaks into what is made"
        self.log.append(entry)
        return entry

    def _adam(self, network: torch.nn.Module, interval: int | None) -> torch.optim.Adam:
        rate, betas = lazy_adam(self.parameters.learning_rate, BETAS, interval)
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, eps=EPSILON)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def _codes(self, count: int, *, follow: bool = False) -> torch.Tensor:
        """ws (count, L, d), from two codes each where it so happens."""
        network, given = self.network, self.parameters
        w = network.mapping(self._normal(2 * count, given.latent_features))
        first, second = w[:, None].expand(-1, network.number_of_styles, -1).chunk(2)
        if follow:
            network.follow_mean(w.detach()[:count])
        layers = network.number_of_styles
        crossings = torch.randint(1, layers, (count,), generator=self.generator, device=self.device)
        mixed = torch.rand(count, generator=self.generator, device=self.device) < given.mixing
        return mixed_styles(first, second, torch.where(mixed, crossings, layers))

    def _made(self, ws: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.network.synthesis(ws, noise="random", generator=self.generator)
        return images

    def _seen_by_discriminator(self, images: torch.Tensor) -> torch.Tensor:
        return augmented(images, self.ada.probability, self.generator) if self.parameters.augment else images

    def _drawn_crops(self) -> torch.Tensor:
        picks = torch.randint(len(self.crops), (self.parameters.batch,), generator=self.generator, device=self.device)
        return self._seen_by_discriminator(self.crops[picks])

    def _teach_generator(self) -> torch.Tensor:
        self.discriminator.requires_grad_(False)
        images = self._made(self._codes(self.parameters.batch, follow=True))
        loss = generator_loss(self.discriminator(self._seen_by_discriminator(images)))
        _descend(self.adam, loss)
        return loss

    def _regularise_paths(self) -> torch.Tensor:
        given = self.parameters
        ws = self._codes(max(1, given.batch // 2))
        images = self._made(ws)
        direction = self._normal(*images.shape) / images.shape[-1]
        lengths = path_lengths(images, ws, direction)
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), given.path_decay)
        loss = path_penalty(lengths, self.path_mean)
        _descend(self.adam, given.path_weight * given.path_interval * loss)
        return loss

    def _teach_discriminator(self) -> dict[str, torch.Tensor]:
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            made = self._seen_by_discriminator(self._made(self._codes(self.parameters.batch)))
        fake, real = self.discriminator(made), self.discriminator(self._drawn_crops())
        loss = discriminator_loss(fake, real)
        _descend(self.adam_of_discriminator, loss)
        if self.parameters.augment:
            self.ada.see(real)
        return {"discriminator": loss, "real": real.sigmoid().mean(), "fake": fake.sigmoid().mean()}

    def _regularise_slope(self) -> torch.Tensor:
        crops = self._drawn_crops().detach().requires_grad_()
        penalty = self.r1_gamma / 2 * squared_slope(self.discriminator(crops), crops)
        _descend(self.adam_of_discriminator, self.parameters.r1_interval * penalty)
        return penalty

    @torch.no_grad()
    def _follow(self) -> None:
        given = self.parameters
        decay = average_decay(given.batch, self.seen, given.average_half_life, given.ema_ramp)
        for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(now, 1.0 - decay)
        self.average.mean_w.copy_(self.network.mean_w)

    def tensors(self) -> Weights:
        """Everything that changes, for a checkpoint."""
        named = named_state(self.network, weights_of(self.average), self.adam)
        judge = named_state(self.discriminator, {}, self.adam_of_discriminator)
        named |= {f"judge.{name}": value for name, value in judge.items()}
        named |= {f"mean.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.means.items()}
        log = json.dumps(self.log).encode()
        named["log"] = torch.frombuffer(bytearray(log), dtype=torch.uint8).clone()
        named |= {"ada": self.ada.tensor(), "path_mean": self.path_mean.clone(), "steps": torch.tensor(self.steps)}
        return named | {"generator": self.generator.get_state()}

    def restore(self, named: Weights) -> None:
        """Back from :meth:`tensors`."""
        self.average.load_state_dict(restore_state(self.network, self.adam, named))
        restore_state(self.discriminator, self.adam_of_discriminator, part(named, "judge."))
        self.means = {name: float(value) for name, value in part(named, "mean.").items()}
        self.log = json.loads(bytes(named["log"].tolist()))
        self.ada.restore(named["ada"])
        self.path_mean, self.steps = named["path_mean"].to(self.device), int(named["steps"])
        self.generator.set_state(named["generator"])


def _descend(adam: torch.optim.Adam, loss: torch.Tensor) -> None:
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
