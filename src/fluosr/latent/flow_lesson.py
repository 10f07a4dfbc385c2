"""Fitting a flow to the codes of one generator, ready to begin; resumable after each pass."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from fluosr.errors import UsageError
from fluosr.generation.model import TrainedGenerator
from fluosr.latent.flow import LatentFlow
from fluosr.latent.flow_model import KIND, FlowKnowledge, TrainedFlow, hash_of
from fluosr.latent.flow_parameters import FlowFitting
from fluosr.methods.base import Estimate, Run
from fluosr.methods.lesson import Lesson
from fluosr.networks.resumable import named_state, restore_state, weights_of
from fluosr.networks.stylegan2_generator import StyleGAN2Generator

STAGE = "fitting"
AT_ONCE = 4096  # codes mapped or judged together


@dataclass(frozen=True, eq=False)
class LearntFlow:
    """A fitted flow and the mean log density of the held-out codes after each pass; the first is before."""

    model: TrainedFlow
    curve: list[float]


@torch.no_grad()
def drawn_codes(network: StyleGAN2Generator, count: int, generator: torch.Generator) -> torch.Tensor:
    """w (count, d) of z from the normal distribution, drawn on the generator's device, the processor's."""
    z = torch.randn(count, network.latent_features, generator=generator)
    return torch.cat([network.mapping(part.to(network.mean_w)) for part in z.split(AT_ONCE)])


def lesson_of(made: TrainedGenerator, parameters: FlowFitting) -> Lesson[LearntFlow]:
    """Fitting a flow by the likelihood of the codes; the weights kept are those with the best held-out likelihood.

    Args:
        made: whose mapping gives the codes.
        parameters: how.

    Raises:
        UsageError: the fitting diverges, or too few codes are held out.
    """
    owner = hash_of(made.network)

    def learn(run: Run) -> LearntFlow:
        codes = drawn_codes(made.network.to(run.device), parameters.codes, run.generator("codes"))
        made.network.cpu()
        n_held_out = max(1, round(parameters.held_out * len(codes)))
        held_out, learnt = codes[:n_held_out], codes[n_held_out:]
        flow = LatentFlow(
            run.generator("weights"),
            made.network.latent_features,
            transforms=parameters.transforms,
            hidden=parameters.hidden,
        )
        flow.standardise(learnt.cpu())
        flow.to(run.device)
        adam = torch.optim.Adam(flow.parameters(), lr=parameters.learning_rate)
        best, curve, order = weights_of(flow), [_mean_log_density(flow, held_out)], run.generator("order")
        if (kept := run.recall(STAGE)) is not None:
            best = restore_state(flow, adam, kept)
            curve = kept["curve"].tolist()
            order.set_state(kept["order"])
        started = time.perf_counter()
        while len(curve) <= parameters.epochs and len(curve) - 1 - curve.index(max(curve)) < parameters.patience:
            done = len(curve) - 1
            run.progress(STAGE, done, parameters.epochs)
            state = named_state(flow, best, adam) | {"order": order.get_state()}
            run.keep(STAGE, state | {"curve": torch.tensor(curve, dtype=torch.float64)})
            for group in adam.param_groups:
                group["lr"] = parameters.learning_rate * (1 + math.cos(math.pi * done / parameters.epochs)) / 2
            _pass_through(flow, adam, learnt, parameters.batch, order)
            curve.append(_mean_log_density(flow, held_out))
            if not math.isfinite(curve[-1]):
                raise UsageError(f"the fitting diverges in pass {len(curve) - 1}: a smaller learning_rate helps.")
            if curve[-1] == max(curve):
                best = weights_of(flow)
            if done == 0:
                n_bytes = codes.nbytes + 8 * sum(value.nbytes for value in best.values())
                run.estimate(Estimate((time.perf_counter() - started) * parameters.epochs, n_bytes))
        flow.load_state_dict(best)
        known = FlowKnowledge(
            made.network.latent_features, parameters.transforms, parameters.hidden, owner, parameters.codes
        )
        return LearntFlow(TrainedFlow(flow.cpu().eval().requires_grad_(False), known), curve)

    def files(learnt: LearntFlow, record: dict[str, object]) -> tuple[bytes, bytes]:
        return learnt.model.packed(record)

    def record(learnt: LearntFlow) -> dict[str, object]:
        return {"held_out_log_density": learnt.curve}

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        return f"{len(states[STAGE]['curve']) - 1 if STAGE in states else 0} passes of fitting"

    facts = {"parameters": parameters.model_dump(mode="json"), "generator": owner}
    return Lesson(KIND, facts, learn, files, record, kept)


def _pass_through(
    flow: LatentFlow, adam: torch.optim.Adam, codes: torch.Tensor, batch: int, order: torch.Generator
) -> None:
    for picks in torch.randperm(len(codes), generator=order).split(batch):
        adam.zero_grad(set_to_none=True)
        loss = -flow.log_prob(codes[picks.to(codes.device)]).mean()
        loss.backward()
        adam.step()


@torch.no_grad()
def _mean_log_density(flow: LatentFlow, codes: torch.Tensor) -> float:
    return sum(float(flow.log_prob(part).sum()) for part in codes.split(AT_ONCE)) / len(codes)
