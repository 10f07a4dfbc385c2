"""PULSE, a baseline: codes that are whitened element by element and kept on a sphere."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Degradation
from fluosr.latent.descent import Losses, Problem, descend_all
from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.gaussianisation import ElementwiseGaussian
from fluosr.latent.images import images_of
from fluosr.latent.parameters import PulseParameters
from fluosr.latent.result import PlausibleImages, checked_coarse, with_misfit
from fluosr.methods.base import Run, build_parameters

NAME = "PULSE"
TINY = 1e-12


def squared_angles(v: torch.Tensor) -> torch.Tensor:
    """sum over i < j of the squared angle between v_i and v_j, (N, L, d) -> (N,)."""
    unit = v / v.norm(dim=2, keepdim=True)
    i, j = torch.triu_indices(v.shape[1], v.shape[1], 1)
    apart, together = (
        (part.square().sum(2) + TINY).sqrt() for part in (unit[:, i] - unit[:, j], unit[:, i] + unit[:, j])
    )
    return (2 * torch.atan2(apart, together)).square().sum(1)


def pulse(
    made: TrainedGenerator,
    degradation: Degradation,
    coarse: np.ndarray,
    parameters: PulseParameters | None = None,
    run: Run | None = None,
) -> PlausibleImages:
    """Images by 100 |y - D(G(w))|^2 + .05 sum of squared angles, w the code of v, v of the length it begins with.

    Args:
        made: the generator.
        degradation: D, for its resolution.
        coarse: y, (N, C, r, r) grey values.
        parameters: the published ones by default.
        run: seed of the start, a draw of its own for each image whatever the batch; device, progress, stopping.

    Raises:
        UsageError: coarse images that do not fit, or a search that diverges.
        StopRequested: the user asked to stop.

    Source:
        S. Menon et al., PULSE, CVPR (2020). Its rate's schedule and its noise inputs, which it searches too, are left
        out: the noise is the generator's constant one, as for the regularised search.
    """
    run = run or Run()
    given = parameters or build_parameters(NAME, PulseParameters, {})
    observed = checked_coarse(made, degradation, coarse).to(made.network.mean_w)
    whitened = ElementwiseGaussian.fitted(drawn_codes(made.network, given.fit_codes, run.generator("whitening")))
    starts = run.generator("start")
    shape = (made.network.number_of_styles, made.network.latent_features)

    def problem(y: torch.Tensor) -> Problem:
        start = torch.stack([torch.randn(shape, generator=starts) for _ in y]).to(y)
        radii = start.norm(dim=2, keepdim=True)

        def losses(v: torch.Tensor) -> Losses:
            difference = (y - degradation(made.network.synthesis(whitened.inverse(v)))) / 2
            pixel, cross = difference.square().flatten(1).mean(1), squared_angles(v)
            return {"pixel": pixel, "cross": cross, "loss": given.weight_pixel * pixel + given.weight_cross * cross}

        return Problem(start, losses, lambda v: v * (radii / v.norm(dim=2, keepdim=True)))

    v, history = descend_all(
        observed, problem, given.batch, run, iterations=given.iterations, learning_rate=given.learning_rate
    )
    codes = whitened.inverse(v)
    images = images_of(made.network, codes)
    return with_misfit(NAME, made, degradation, coarse, images, codes=codes, history=history)
