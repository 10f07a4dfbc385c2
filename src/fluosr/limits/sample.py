"""Movies of a pair whose emitters burst: what the bounds are checked on."""

from __future__ import annotations

import numpy as np

from fluosr.limits.moments import PairModel
from fluosr.limits.response import pixel_response

BURSTS_AT_ONCE = 4096


def sample_frames(model: PairModel, parameters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A simulated movie of the pair: frames whose bursts of kappa photons begin anywhere on the lines, at random.

    Args:
        model: the pair and the experiment, whose number of frames is taken.
        parameters: (K,); kappa = 0 gives steady lines.
        generator: source of randomness.

    Returns:
        (T, m) photoelectrons.
    """
    experiment, pair = model.experiment, model.pair
    moments = model.moments(parameters)
    kappa, glow = moments.fano_factor, moments.response @ moments.emission
    light = np.tile(moments.mean if kappa == 0 else moments.mean - glow, (experiment.frames, 1))
    for line in model.lines(parameters) if kappa > 0 else ():
        owner = np.repeat(np.arange(experiment.frames), generator.poisson(line.photons / kappa, experiment.frames))
        size = (pair.length_nm, pair.width_nm) if pair.shape == "lines" else (0.0, 0.0)
        for start in range(0, len(owner), BURSTS_AT_ONCE):
            part = owner[start : start + BURSTS_AT_ONCE]
            nodes = generator.uniform(-0.5, 0.5, (len(part), 2)) * size
            share, _, _ = pixel_response(
                experiment.psf, model.window, experiment.pixel_size_nm, model.places(line, nodes)
            )
            np.add.at(light, part, kappa * share.T)
    counts = generator.poisson(np.clip(light, 0.0, None))
    return counts + experiment.read_noise_e * generator.standard_normal(light.shape)


def sample_moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m,) mean frame of (T, m) frames, and (m, m) covariance about it, divided by T."""
    mean = frames.mean(0)
    rest = frames - mean
    return mean, rest.T @ rest / len(frames)
