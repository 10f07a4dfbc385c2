"""Measuring a pair: the estimators whose spread the bounds foretell."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fluosr.limits.information import Scores, best_weights, inverse_of
from fluosr.limits.moments import PairModel

Use = Literal["mean", "gaussian", "weighted"]
MOST_STEPS = 40
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
        (K,) parameters; None where the steps do not settle, or leave what can be (a brightness below 0).
    """
    parameters = np.array(start, float)
    free = len(parameters) - (use == "mean")
    names = model.names
    positive = [i for i, name in enumerate(names) if name in ("photons", "background", "fano_factor")]
    reach = LONGEST_STEP_FWHM * model.experiment.psf.fwhm_nm
    for _ in range(MOST_STEPS):
        moments = model.moments(parameters)
        scores = Scores.gaussian(moments)
        if use == "weighted":
            scores = scores.split()
            weights, information = best_weights(scores, moments)
        else:
            one = np.eye(len(parameters))
            weights = np.hstack([one, one if use == "gaussian" else 0.0 * one])
            information = weights @ scores.sensitivity(moments)
        step = np.zeros_like(parameters)
        inverse = inverse_of(information[:free, :free])
        step[:free] = inverse @ (weights @ scores.values(moments, mean, covariance))[:free]
        step *= min(1.0, reach / max(float(np.abs(step[:2]).max()), 1e-12))
        while (parameters + step)[positive].min() <= 0 and parameters[positive].min() > 0:
            step /= 2.0
        parameters = parameters + step
        spread = np.sqrt(np.diagonal(inverse) / model.experiment.frames)
        if np.abs(step[:free]).max(initial=0.0) == 0 or (np.abs(step[:free]) < CONVERGED * spread).all():
            return parameters
    return None
