"""Measuring a pair: the estimators whose spread the bounds foretell."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fluosr.errors import UsageError
from fluosr.limits.information import Scores, best_weights, inverse_of
from fluosr.limits.moments import Moments, PairModel

Use = Literal["mean", "gaussian", "weighted"]
MOST_STEPS = 25
LOWEST_FANO = -1.0  # fluctuations below those of photon counts: none of our emitters
LONGEST_STEP_FWHM = 0.1  # of a place, in widths of the PSF
CONVERGED = 1e-4  # of a standard deviation


def fit_pair(
    model: PairModel, mean: np.ndarray, covariance: np.ndarray, start: np.ndarray, *, use: Use = "weighted"
) -> np.ndarray | None:
    """Parameters of a pair from a movie's mean frame and covariance, by Fisher scoring.

    Args:
        model: the pair and the experiment; its number of frames is the movie's.
        mean: (m,) mean frame, photoelectrons.
        covariance: (m, m) of the frames about it, divided by T.
        start: (K,) parameters to begin with.
        use: "mean": the mean frame by its true covariance, kappa taken from ``start``; "gaussian": the likelihood of
            Gaussian frames; "weighted": mean and covariance with the weights that suit bursts.

    Returns:
        (K,) parameters; None where the steps do not settle, where there is no light above its noise, or where one of
        the two vanishes.
    """
    parameters = np.array(start, float)
    free = len(parameters) - (use == "mean")
    positive = _positive(model)
    photons = model.names.index("photons")
    reach = LONGEST_STEP_FWHM * model.experiment.psf.fwhm_nm
    for _ in range(MOST_STEPS):
        moments = model.moments(parameters)
        try:
            step, inverse = _step(moments, mean, covariance, free, use)
        except UsageError:  # it has left what can be
            return None
        spread = np.sqrt(np.diagonal(inverse) / model.experiment.frames)
        if (np.abs(step[:free]) < CONVERGED * spread).all():
            return parameters if parameters[photons] > spread[photons] else None
        step *= min(1.0, reach / max(float(np.abs(step[:2]).max()), 1e-12))
        there, change = positive @ parameters, positive @ step
        falling = change < -0.5 * there
        if falling.any():  # at most by half at a time
            step *= float((0.5 * there[falling] / -change[falling]).min())
        parameters = parameters + step
        if parameters[-1] < LOWEST_FANO:
            return None
    return None


def _positive(model: PairModel) -> np.ndarray:
    """(3, K) to what must stay above zero: the brightness of either, and the background."""
    weights = np.zeros((3, len(model.names)))
    weights[:2, model.names.index("photons")] = 0.5
    if not model.equal:
        weights[:2, model.names.index("imbalance")] = -0.5, 0.5
    weights[2, model.names.index("background")] = 1.0
    return weights


def _step(
    moments: Moments, mean: np.ndarray, covariance: np.ndarray, free: int, use: Use
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) Fisher scoring's step, zero behind the first ``free`` parameters; inverse of their information."""
    scores = Scores.gaussian(moments)
    count = len(moments.mean_slopes)
    if use == "weighted":
        scores = scores.split()
        weights, information = best_weights(scores, moments)
    else:
        one = np.eye(count)
        weights = np.hstack([one, one if use == "gaussian" else 0.0 * one])
        information = weights @ scores.sensitivity(moments)
    inverse = inverse_of(information[:free, :free])
    step = np.zeros(count)
    step[:free] = inverse @ (weights @ scores.values(moments, mean, covariance))[:free]
    return step, inverse
