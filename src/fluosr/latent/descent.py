"""Adam on the codes of a batch of images, each by its own loss: an image's result does not depend on its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run

Losses = dict[str, torch.Tensor]  # name -> (N,); "loss" is what is minimised


@dataclass(frozen=True, eq=False)
class Descended:
    """Where a descent ended.

    Args:
        codes: (N, L, d).
        history: name -> (iterations, N), before each step.
    """

    codes: torch.Tensor
    history: Losses


def descend(
    start: torch.Tensor,
    losses: Callable[[torch.Tensor], Losses],
    *,
    iterations: int,
    learning_rate: float,
    schedule: str = "constant",
    keep_best: bool = False,
    project: Callable[[torch.Tensor], torch.Tensor] | None = None,
    after_step: Callable[[int], None] = lambda done: None,
) -> Descended:
    """Minimise the sum of the images' losses, which is each of them for itself, by Adam.

    Args:
        start: (N, ...), one block of numbers for each image.
        losses: of such numbers; "loss" among them.
        iterations: steps.
        learning_rate: of Adam.
        schedule: "constant", or "cosine".
        keep_best: for each image the numbers of the least loss met, those after the last step included.
        project: where to move the numbers after each step.
        after_step: is told how many are done; what it raises ends the descent.

    Raises:
        UsageError: a loss is not finite any more.
    """
    codes = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=learning_rate)
    best, least = start.detach().clone(), start.new_full((len(start),), math.inf)
    history: dict[str, list[torch.Tensor]] = {}
    for done in range(iterations):
        found = losses(codes)
        best, least = _better(codes, found["loss"], best, least)
        for name, values in found.items():
            history.setdefault(name, []).append(values.detach().cpu())
        if schedule == "cosine":
            adam.param_groups[0]["lr"] = learning_rate * (1 + math.cos(math.pi * done / iterations)) / 2
        adam.zero_grad(set_to_none=True)
        found["loss"].sum().backward()
        adam.step()
        if project is not None:
            with torch.no_grad():
                codes.copy_(project(codes))
        after_step(done + 1)
    with torch.no_grad():
        best, _ = _better(codes, losses(codes)["loss"], best, least)
    return Descended(
        best if keep_best else codes.detach(), {name: torch.stack(values) for name, values in history.items()}
    )


def _better(
    codes: torch.Tensor, loss: torch.Tensor, best: torch.Tensor, least: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    loss = loss.detach()
    if not bool(torch.isfinite(loss).all()):
        raise UsageError("the search diverges, its loss is no finite number any more: a smaller learning_rate helps.")
    gain = loss < least
    return torch.where(gain[:, None, None], codes.detach(), best), torch.where(gain, loss, least)


def in_batches(
    total: int, batch: int, iterations: int, stage: str, run: Run
) -> Iterator[tuple[slice, Callable[[int], None]]]:
    """The images of each batch, and what is to be called after each of its steps: it tells progress and may stop."""
    for first in range(0, total, batch):
        last = min(first + batch, total)

        def after_step(done: int, first: int = first, last: int = last) -> None:
            run.progress(stage, first * iterations + done * (last - first), total * iterations)
            run.check()

        yield slice(first, last), after_step
