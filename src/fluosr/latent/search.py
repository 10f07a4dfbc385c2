"""Regularised latent search: the codes whose image, made coarse, is what was measured, among likely codes."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Degradation
from fluosr.latent.descent import Losses, Problem, descend_all
from fluosr.latent.flow import LatentFlow
from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.images import images_of
from fluosr.latent.parameters import ABLATIONS, SearchParameters
from fluosr.latent.result import PlausibleImages, checked_coarse, with_misfit
from fluosr.methods.base import Run, build_parameters


def cross_distance(codes: torch.Tensor) -> torch.Tensor:
    """sum over i < j of |w_i - w_j|^2, (N, L, d) -> (N,): L times the scatter about the mean of the layers."""
    return codes.shape[1] * (codes - codes.mean(1, keepdim=True)).square().sum((1, 2))


def search_losses(
    codes: torch.Tensor,
    made: TrainedGenerator,
    degradation: Degradation,
    observed: torch.Tensor,
    flow: LatentFlow,
    parameters: SearchParameters,
) -> Losses:
    """The terms of eqs. 3 and 5 and "loss", their weighted sum, each (N,).

        |y - D(G(w))|_1 - lambda_w (1/L) sum_i log p_F(w_i) + lambda_c sum_{i<j} |w_i - w_j|^2

    A term of weight 0 is not computed.

    Args:
        codes: (N, L, d).
        made: G.
        degradation: D.
        observed: y, (N, C, r, r) in the network's range.
        flow: F, fixed.
        parameters: weights, and how the misfit is summed.
    """
    difference = (observed - degradation(made.network.synthesis(codes))).abs().flatten(1)
    misfit = difference.mean(1) if parameters.misfit == "mean" else difference.sum(1)
    terms, loss = {"misfit": misfit}, misfit
    if parameters.weight_w:
        terms["log_density"] = flow.log_prob(codes).mean(1)
        loss = loss - parameters.weight_w * terms["log_density"]
    if parameters.weight_cross:
        terms["cross"] = cross_distance(codes)
        loss = loss + parameters.weight_cross * terms["cross"]
    return terms | {"loss": loss}


def search(
    made: TrainedGenerator,
    flow: LatentFlow,
    degradation: Degradation,
    coarse: np.ndarray,
    parameters: SearchParameters | None = None,
    run: Run | None = None,
) -> PlausibleImages:
    """A plausible sharp image for each coarse one: plausible, not measured.

    Args:
        made: the generator.
        flow: on its codes, from :meth:`TrainedFlow.of`.
        degradation: D, for the generator's resolution.
        coarse: y, (N, C, r, r) grey values.
        parameters: as the paper has them by default.
        run: seed of the codes whose mean is the start, device, progress, stopping.

    Raises:
        UsageError: coarse images that do not fit, or a search that diverges.
        StopRequested: the user asked to stop.
    """
    run, parameters = run or Run(), parameters or build_parameters("search", SearchParameters, {})
    observed = checked_coarse(made, degradation, coarse).to(made.network.mean_w)
    start, spread = start_of(made, parameters.start_codes, run)
    rate = parameters.learning_rate * (spread if parameters.relative_rate else 1.0)
    w, history = descend_all(
        observed,
        lambda y: Problem(
            start.expand(len(y), made.network.number_of_styles, -1),
            partial(search_losses, made=made, degradation=degradation, observed=y, flow=flow, parameters=parameters),
        ),
        parameters.batch,
        run,
        iterations=parameters.iterations,
        learning_rate=rate,
        schedule=parameters.schedule,
        keep_best=parameters.keep == "best",
    )
    with torch.no_grad():
        terms = {"log_density": flow.log_prob(w).mean(1).cpu().numpy(), "cross": cross_distance(w).cpu().numpy()}
    images = images_of(made.network, w)
    method = name_of(parameters)
    return with_misfit(method, made, degradation, coarse, images, codes=w, terms=terms, history=history)


def start_of(made: TrainedGenerator, count: int, run: Run) -> tuple[torch.Tensor, float]:
    """The mean (d,) of ``count`` codes, and the root mean square of their spread about it."""
    codes = drawn_codes(made.network, count, run.generator("start"))
    mean = codes.mean(0)
    return mean, float((codes - mean).square().mean().sqrt())


def name_of(parameters: SearchParameters) -> str:
    """Which of the paper's variants it is, by the terms that are left."""
    off = {name for name in ("weight_w", "weight_cross") if not getattr(parameters, name)}
    return next(name for name, changes in ABLATIONS.items() if changes.keys() == off)
