"""Training on examples that are drawn anew at every step; the weights kept are those that place molecules best."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fluosr.methods.deep_storm.heatmap import loss, prepared
from fluosr.networks.deep_storm import DeepStorm
from fluosr.networks.resumable import named_state, restore_state, weights_of

SAFE_POINT, EVALUATION = 10, 50  # training steps from one to the next
HELD_OUT = 32  # examples that the loss is always asked of

# Measured: what is kept for the gradient, for each filter and fine pixel, with what convolutions borrow; and weights,
# their gradients, Adam's two moments and the best weights.
BYTES_PER_FILTER_AND_PIXEL, BYTES_PER_WEIGHT = 150, 30
WEIGHTS_PER_FILTER_SQUARED = 1332  # 9 (2 + 8 + 64 + 64 + 8 + 2), of the 3 x 3 convolutions

Draw = Callable[[int, int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Args:
        iterations: training steps.
        batch: examples per step.
        side_px: of an example, camera pixels.
        learning_rate: of Adam at the beginning; it falls to a hundredth of it along a cosine.
        filters: channels of the network's first layer; the paper has 32.
    """

    iterations: int = 2000
    batch: int = 8
    side_px: int = 26
    learning_rate: float = 1e-3
    filters: int = 32


def bytes_needed(factor: int, schedule: Schedule) -> int:
    """Memory of a training at its peak, about.

    Args:
        factor: L.
        schedule: batch, side of the examples, and filters.
    """
    pixels = schedule.batch * (schedule.side_px * factor) ** 2
    weights = WEIGHTS_PER_FILTER_SQUARED * schedule.filters**2
    return BYTES_PER_FILTER_AND_PIXEL * schedule.filters * pixels + BYTES_PER_WEIGHT * weights


class Training:
    """The network, its optimiser, and everything needed to go on bit for bit.

    Args:
        draw: makes the examples: of how many, their side and a generator, (B, S, S) frames and (B, L S, L S) molecules;
            see :func:`~fluosr.methods.deep_storm.examples.draw_examples`.
        factor: L.
        schedule: how long and how fast.
        seed: of weights and examples.
        device: where to compute.
    """

    def __init__(self, draw: Draw, factor: int, schedule: Schedule, seed: int, device: str = "cpu") -> None:
        self.factor, self.schedule, self.device = factor, schedule, torch.device(device)
        self._draw = draw
        self.generator = torch.Generator().manual_seed(seed)
        network = DeepStorm(self.generator, schedule.filters)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adam = torch.optim.Adam(self.network.parameters(), lr=schedule.learning_rate)
        held_out = draw(HELD_OUT, schedule.side_px, self.generator)
        self._frames, self._molecules = (tensor.to(self.device) for tensor in held_out)
        self.iteration, self.best = 0, math.inf
        self.best_weights = weights_of(self.network)
        self.curve: list[float] = []

    @property
    def finished(self) -> bool:
        """All steps are done."""
        return self.iteration >= self.schedule.iterations

    def step(self) -> None:
        """One step of Adam on fresh examples, and at its time the loss of those that are held out."""
        given = self.schedule
        for group in self.adam.param_groups:
            fall = 0.5 * (1.0 + math.cos(math.pi * self.iteration / given.iterations))
            group["lr"] = given.learning_rate * (0.01 + 0.99 * fall)
        frames, molecules = self._draw(given.batch, given.side_px, self.generator)
        self.network.train()
        found = self.network(prepared(frames.to(self.device), self.factor))
        self.adam.zero_grad(set_to_none=True)
        loss(found, molecules.to(self.device)).backward()
        self.adam.step()
        self.iteration += 1
        if self.iteration % EVALUATION == 0 or self.finished:
            self._evaluate()

    def _evaluate(self) -> None:
        self.network.eval()
        with torch.no_grad():
            found = self.network(prepared(self._frames, self.factor))
            value = float(loss(found, self._molecules))
        self.curve.append(value)
        if value < self.best:
            self.best, self.best_weights = value, weights_of(self.network)

    def best_network(self) -> DeepStorm:
        """The network with the weights of the lowest held-out loss, ready to be asked."""
        self.network.load_state_dict(self.best_weights)
        return self.network.eval()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that changes, for a checkpoint."""
        named = named_state(self.network, self.best_weights, self.adam)
        named["generator"] = self.generator.get_state()
        named["iteration"] = torch.tensor(self.iteration)
        return named | {"curve": torch.tensor([self.best, *self.curve], dtype=torch.float64)}

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self.best_weights = restore_state(self.network, self.adam, named)
        self.generator.set_state(named["generator"])
        self.iteration = int(named["iteration"])
        self.best, *self.curve = named["curve"].tolist()
