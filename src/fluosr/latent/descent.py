"""Adam on the codes of a batch of images, each by its own loss: an image's result does not depend on its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.machine import freed_memory_kept
from fluosr.methods.base import Run

STAGE = "search"
Losses = dict[str, torch.Tensor]  # name -> (N,); "loss" is what is minimised


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimised for a batch of images.

    Args:
        start: (N, ...), one block of numbers for each image.
        losses: of such numbers, name -> (N,); "loss" among them.
        project: where to move the numbers after each step.
    """

    start: torch.Tensor
    losses: Callable[[torch.Tensor], Losses]
    project: Callable[[torch.Tensor], torch.Tensor] | None = None


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
    problem: Problem,
    *,
    iterations: int,
    learning_rate: float,
    schedule: str = "constant",
    keep_best: bool = False,
    after_step: Callable[[int], None] = lambda done: None,
) -> Descended:
    """Minimise the sum of the images' losses, which is each of them for itself, by Adam.

    Args:
        problem: where it starts, and what is minimised.
        iterations: steps.
        learning_rate: of Adam.
        schedule: "constant", or "cosine".
        keep_best: for each image the numbers of the least loss met, those after the last step included.
        after_step: is told how many are done; what it raises ends the descent.

    Raises:
        UsageError: a loss is not finite any more.
    """
    start, losses, project = problem.start, problem.losses, problem.project
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
    gained = gain.view(-1, *[1] * (codes.ndim - 1))
    return torch.where(gained, codes.detach(), best), torch.where(gain, loss, least)


def descend_all(
    observed: torch.Tensor,
    problem: Callable[[torch.Tensor], Problem],
    batch: int,
    run: Run,
    *,
    iterations: int,
    **options: Any,
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """:func:`descend` for batch after batch of images.

    Args:
        observed: (N, C, r, r) in the network's range.
        problem: of a batch of them.
        batch: how many at once.
        run: is told progress, and may stop it after each step.
        iterations, options: as :func:`descend` takes them.

    Returns:
        Codes (N, L, d), and history: name -> (iterations, N).

    Raises:
        UsageError: a loss is not finite any more.
        StopRequested: the user asked to stop.
    """
    codes, history, before = [], [], 0
    for part in observed.split(batch):

        def after_step(done: int, before: int = before, now: int = len(part)) -> None:
            run.progress(STAGE, before * iterations + done * now, len(observed) * iterations)
            run.check()

        with freed_memory_kept():
            found = descend(problem(part), iterations=iterations, after_step=after_step, **options)
        codes.append(found.codes)
        history.append(found.history)
        before += len(part)
    return torch.cat(codes), {name: torch.cat([part[name] for part in history], 1).numpy() for name in history[0]}
