"""BRGM (pixel), a baseline: codes near their mean whose layers point the same way; without its perceptual term."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Degradation
from fluosr.latent.descent import Losses, Problem, descend_all
from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.images import images_of
from fluosr.latent.parameters import BrgmParameters
from fluosr.latent.result import PlausibleImages, checked_coarse, with_misfit
from fluosr.methods.base import Run, build_parameters

NAME = "BRGM (pixel)"
STRONGER_ABOVE = 16  # factor from which on layers are held together more
TINY = 1e-12


def cosine_distance(codes: torch.Tensor) -> torch.Tensor:
    """sum over i < j of 1 - cosine of the angle between w_i and w_j, (N, L, d) -> (N,)."""
    unit = codes / (codes.square().sum(2, keepdim=True) + TINY).sqrt()
    layers = codes.shape[1]
    return (layers**2 - unit.sum(1).square().sum(1)) / 2 - (layers - unit.square().sum((1, 2))) / 2


def brgm_pixel(
    made: TrainedGenerator,
    degradation: Degradation,
    coarse: np.ndarray,
    parameters: BrgmParameters | None = None,
    run: Run | None = None,
) -> PlausibleImages:
    """Images by .001 |y - D(G(w))|^2 + 100 |(w - mean) / spread|^2 + the cosine term, from the mean code on.

    Args:
        made: the generator.
        degradation: D, for its resolution.
        coarse: y, (N, C, r, r) grey values.
        parameters: the published ones by default; how sums and means are taken is said there.
        run: seed of the codes whose mean is the start, device, progress, stopping.

    Raises:
        UsageError: coarse images that do not fit, or a search that diverges.
        StopRequested: the user asked to stop.

    Source:
        R. Marinescu, D. Moyer, P. Golland, NeurIPS Workshop on Deep Generative Models (2021).
    """
    run = run or Run()
    given = parameters or build_parameters(NAME, BrgmParameters, {})
    observed = checked_coarse(made, degradation, coarse).to(made.network.mean_w)
    likely = drawn_codes(made.network, given.fit_codes, run.generator("start"))
    mean, spread = likely.mean(0), likely.std(0)
    together = given.weight_cosine
    if together is None:
        together = 1.0 if degradation.factor > STRONGER_ABOVE else 0.1

    def problem(y: torch.Tensor) -> Problem:
        def losses(w: torch.Tensor) -> Losses:
            difference = (y - degradation(made.network.synthesis(w))) * (255 / 2)
            terms = {
                "pixel": difference.square().flatten(1).sum(1),
                "w": ((w - mean) / spread).square().flatten(1).mean(1),
                "cosine": cosine_distance(w),
            }
            weights = {"pixel": given.weight_pixel, "w": given.weight_w, "cosine": together}
            return terms | {"loss": torch.stack([weights[name] * value for name, value in terms.items()]).sum(0)}

        return Problem(mean.expand(len(y), made.network.number_of_styles, -1), losses)

    codes, history = descend_all(
        observed, problem, given.batch, run, iterations=given.iterations, learning_rate=given.learning_rate
    )
    images = images_of(made.network, codes)
    return with_misfit(NAME, made, degradation, coarse, images, codes=codes, history=history)
