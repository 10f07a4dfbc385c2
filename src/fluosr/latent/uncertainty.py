"""How far plausible images of one coarse image differ: codes drawn about those found, and what is measured on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Degradation
from fluosr.latent.descent import Losses, Problem, descend_all
from fluosr.latent.flow import LatentFlow
from fluosr.latent.images import images_of
from fluosr.latent.parameters import SearchParameters, UncertaintyParameters
from fluosr.latent.result import PlausibleImages, SeveralImages, checked_coarse, with_misfit
from fluosr.latent.search import search_losses
from fluosr.methods.base import Run, build_parameters

ROUNDING = 1e-9  # 10 times 0.9 is 9


@dataclass(frozen=True, eq=False)
class PlausibleSamples(SeveralImages):
    """Images of codes drawn about those that a search found.

    Args:
        sigma: (N,) spread of the codes about their mean.
        mean_codes: (N, L, d) mu.
    """

    sigma: np.ndarray
    mean_codes: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureIntervals:
    """A feature of each coarse image's cell, and between what it is expected.

    Args:
        centre, low, high: (N,), of the unit of the feature.
    """

    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def coverage(self, truth: np.ndarray) -> float:
        """Share of true values (N,) that lie inside."""
        return float(((truth >= self.low) & (truth <= self.high)).mean())


def draw_plausible(
    made: TrainedGenerator,
    flow: LatentFlow,
    degradation: Degradation,
    coarse: np.ndarray,
    found: PlausibleImages,
    searched: SearchParameters | None = None,
    parameters: UncertaintyParameters | None = None,
    run: Run | None = None,
) -> PlausibleSamples:
    """Fit w ~ N(mu, sigma^2) about the codes found, and draw images from it.

        max over mu, sigma of sum_i log p(w_i | y) - n log sigma - sum_i |w_i - mu|^2 / (2 sigma^2) + log p(sigma)

    w_i = mu + sigma e_i with fresh normal e_i in each step, so that the third term is a constant. log p(w | y) is minus
    the loss of the search, sigma one number an image, p(sigma) inverse gamma.

    Args:
        made, flow, degradation, coarse: as the search takes them.
        found: what it found for them; mu begins there.
        searched: the weights of log p(w | y).
        parameters: of the fit and the draws.
        run: seed, for each image its own stream whatever the batch; device, progress, stopping.

    Raises:
        UsageError: coarse images that do not fit, images found by a method without codes, or a fit that diverges.
        StopRequested: the user asked to stop.

    Source:
        The paper's section 4.5; R. Marinescu, D. Moyer, P. Golland (2021) for the prior of sigma.
    """
    run = run or Run()
    weights = searched or build_parameters("search", SearchParameters, {})
    given = parameters or build_parameters("uncertainty", UncertaintyParameters, {})
    observed = checked_coarse(made, degradation, coarse).to(made.network.mean_w)
    if found.codes is None or len(found.codes) != len(observed):
        raise UsageError(f"{found.method} found no codes for these {len(observed)} images: search for them first.")
    shape, n = found.codes.shape[1:], given.samples_a_step
    begin = torch.from_numpy(found.codes).to(observed)
    streams = [run.generator(f"image {number}") for number in range(len(observed))]
    sigma_alone = given.prior_scale / (n + given.prior_shape + 1)  # where it would end without data
    numbers = torch.arange(len(observed)).split(given.batch)
    batches = iter(numbers)

    def drawn(packed: torch.Tensor, own: list[torch.Generator], count: int) -> torch.Tensor:
        noise = torch.stack([torch.randn(count, *shape, generator=stream) for stream in own]).to(packed)
        mu = packed[:, :-1].view(-1, 1, *shape)
        return (mu + packed[:, -1].exp()[:, None, None, None] * noise).flatten(0, 1)

    def problem(y: torch.Tensor) -> Problem:
        places = next(batches)
        own, repeated = [streams[place] for place in places], y.repeat_interleave(n, 0)
        start = torch.cat([begin[places].flatten(1), begin.new_full((len(y), 1), math.log(sigma_alone))], 1)

        def losses(packed: torch.Tensor) -> Losses:
            codes = drawn(packed, own, n)
            likely = search_losses(codes, made, degradation, repeated, flow, weights)["loss"].view(-1, n).sum(1)
            log_sigma = packed[:, -1]
            prior = (given.prior_shape + 1) * log_sigma + given.prior_scale * (-log_sigma).exp()
            return {"likely": likely, "loss": given.data_weight * likely + n * log_sigma + prior}

        return Problem(start, losses)

    packed, _ = descend_all(
        observed, problem, given.batch, run, iterations=given.iterations, learning_rate=given.learning_rate
    )
    with torch.no_grad():
        codes = drawn(packed, streams, given.samples)
    images = images_of(made.network, codes)
    repeated = np.repeat(coarse, given.samples, 0)
    return PlausibleSamples(
        with_misfit(found.method, made, degradation, repeated, images, codes=codes),
        given.samples,
        packed[:, -1].exp().cpu().numpy(),
        packed[:, :-1].view(-1, *shape).cpu().numpy(),
    )


def feature_intervals(measured: np.ndarray, *, confidence: float = 0.9, widening: float = 1.0) -> FeatureIntervals:
    """Where a feature of one more plausible image is expected: mean +- widening t s sqrt(1 + 1/n).

    Args:
        measured: (N, n) of plausible images.
        confidence: share of values inside, were they Gaussian.
        widening: from :func:`widening_for`, on cells whose truth is known; 1 takes the samples at their word.

    Raises:
        UsageError: fewer than two samples, or a confidence outside 0 to 1.
    """
    from scipy import stats

    if measured.ndim != 2 or measured.shape[1] < 2 or not 0 < confidence < 1:
        raise UsageError("intervals need (N, n) measured values, n of at least 2, and a confidence between 0 and 1.")
    n = measured.shape[1]
    centre = measured.mean(1)
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * measured.std(1, ddof=1) * math.sqrt(1 + 1 / n)
    return FeatureIntervals(centre, centre - widening * half, centre + widening * half)


def widening_for(measured: np.ndarray, truth: np.ndarray, *, confidence: float = 0.9) -> float:
    """How much wider intervals must be to cover this share of *other* cells, by cells whose truth is known.

    The ceil((M + 1) confidence)-th smallest distance of a truth from its centre, in half widths: split conformal
    prediction, right for any distribution as long as both kinds of cells are exchangeable.

    Args:
        measured: (M, n) of plausible images of these cells.
        truth: (M,).
        confidence: share to cover.

    Raises:
        UsageError: too few cells for that share.

    Source:
        V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (2005).
    """
    plain = feature_intervals(measured, confidence=confidence)
    ratios = np.sort(np.abs(truth - plain.centre) / np.maximum(plain.high - plain.centre, np.finfo(float).tiny))
    rank = math.ceil((len(ratios) + 1) * confidence - ROUNDING)
    if rank > len(ratios):
        needed = math.ceil(confidence / (1 - confidence) - ROUNDING)
        raise UsageError(f"{len(ratios)} cells are too few for a share of {confidence:g}: {needed} are needed.")
    return float(ratios[rank - 1])
