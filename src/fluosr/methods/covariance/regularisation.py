"""How much prior is right: what the fit of half of the frames foretells of the other half.

The prior is a pull towards zero: without it chance fluctuations are made light of. The likelihood of frames that the
fit has not seen knows how much is right. A few patches where the mean frame varies most are asked. Where candidates
foretell equally well, within the error of the comparison, the strongest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from fluosr.methods.covariance.fit import Fit, Light, coarse_light, refitted
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.patches import Patches
from fluosr.methods.held_out import sparsest_as_good_as_best
from fluosr.optics.background import BackgroundBasis

SPARSITIES = (4.0, 2.0, 1.0, 0.5, 0.25, 0.125)
ASKED = 9  # patches at most, three by three
TRIAL_ITERATIONS = 100


def penalty(likelihood: CompositeLikelihood, light: Light, sparsity: float) -> torch.Tensor:
    """(ny, nx) per photon: ``sparsity`` standard deviations of dQ/dx at a coarse image."""
    return sparsity * likelihood.gradient_sd(light.fine, light.background, light.fano_factor)


def choose(
    patches: Patches,
    moments: PatchMoments,
    noise: Noise,
    mean: torch.Tensor,
    *,
    memory: Memory,
    grain_fwhm: float,
    fano_factor: float | None,
    spacing: float,
    advance: Callable[[int, int], None],
) -> tuple[float, list[float]]:
    """The sparsity by held-out frames.

    Args:
        patches, moments, noise: of the movie.
        mean: (Y, X) mean frame.
        memory: of the emitters in the part that is fitted.
        grain_fwhm: fine pixels.
        fano_factor: kappa where it is known.
        spacing: of the background's knots, camera pixels.
        advance: told how many iterations of how many are done; may raise to stop.

    Returns:
        The choice, and for each of ``SPARSITIES`` that was tried minus the log-likelihood of held-out frames above the
        best's, nats. They are tried from the strongest on, until one foretells less than the one before.
    """
    members = _most_varied(patches, mean)
    part = patches.block(members)
    rows, columns = (slice(o, o + size) for o, size in zip(part.origin, part.grid.field_shape, strict=True))
    local = Noise(noise.slope, noise.floor[rows, columns])
    fitted, asked = (CompositeLikelihood(part, moments.moments(k).select(members), local, memory) for k in (0, 1))
    basis = BackgroundBasis(part.grid.field_shape, spacing, dtype=torch.float64, device=part.device)
    start = coarse_light(fitted, mean[rows, columns], fano_factor)
    scores = []
    for number, sparsity in enumerate(SPARSITIES):
        fit = Fit(
            fitted,
            basis,
            grain_fwhm=grain_fwhm,
            penalty=penalty(fitted, start, sparsity),
            fano_reference=start.fano_factor,
            fano_factor=fano_factor,
        )
        state = fit.start(start)
        for iteration in range(TRIAL_ITERATIONS):
            if not state.finished:
                fit.advance(state)
            advance(number * TRIAL_ITERATIONS + iteration + 1, len(SPARSITIES) * TRIAL_ITERATIONS)
        light = fit.light(state)
        if fano_factor is None:
            light = refitted(fitted, light)  # as the image's will be: a strong pull is not to be charged for its kappa
        by_patch = asked.by_patch(light.fine, light.background, light.fano_factor)
        scores.append(0.5 * asked.count * part.weight * by_patch)
        if number and float(scores[-1].sum()) > float(scores[-2].sum()):
            break
    best = min(float(score.sum()) for score in scores)
    return SPARSITIES[sparsest_as_good_as_best(scores)], [float(score.sum()) - best for score in scores]


def _most_varied(patches: Patches, mean: torch.Tensor) -> list[int]:
    """The three by three neighbouring patches that vary most in light."""
    rows, columns = sorted({y for y, _ in patches.corners}), sorted({x for _, x in patches.corners})
    contrast = patches.gather(mean).flatten(1).var(1).reshape(len(rows), len(columns))
    side = math.isqrt(ASKED)
    tall, wide = min(side, len(rows)), min(side, len(columns))
    sums = contrast.unfold(0, tall, 1).unfold(1, wide, 1).sum((-2, -1))
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return [(top + i) * len(columns) + left + j for i in range(tall) for j in range(wide)]
