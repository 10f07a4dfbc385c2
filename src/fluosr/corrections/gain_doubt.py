"""What is said of frames that vary less than photons and camera must make them: gain, read noise, or averaging."""

from __future__ import annotations

import numpy as np

from fluosr.camera import Camera
from fluosr.statistics import LEAST_EXCESS, MovieStatistics

LEAST_NOISE = 0.8  # of what photons and camera make, below which the gain is doubted
BRIGHT = 0.5  # of the light that one pixel in a hundred has, from which on a pixel shows the photons' noise


def gain_doubted(share: float, of: str, gain_adu_per_e: float, suggested: str) -> str:
    """In plain words. Next to no noise tells nothing of the gain but that it does not explain it: none is suggested.

    Args:
        share: the noise found over the noise expected.
        of: what was expected.
        gain_adu_per_e: the gain that the movie was opened with.
        suggested: the gain that the noise speaks for, ADU per photoelectron.
    """
    here = f"of {of} at a gain of {gain_adu_per_e:.4g} ADU per photoelectron"
    if share <= LEAST_EXCESS:
        return (
            f"The frames vary less than their photons must: at most {100 * LEAST_EXCESS:.0f} % {here}. They were "
            "averaged or denoised, or gain or read noise are wrong by far; so little noise suggests no gain. Give the "
            "movie as the camera took it."
        )
    return (
        f"The frames vary less than their photons must: {100 * share:.0f} % {here}. The gain is wrong, or frames were "
        f"averaged or denoised; the noise suggests --gain {suggested}."
    )


def noise_doubts(statistics: MovieStatistics, camera: Camera, *, gain: bool = True) -> list[str]:
    """A sentence on frames that vary too little, or none.

    Where the read noise alone is more than the frames vary, and the photons' noise is there, the gain fits and the read
    noise is too large.

    Args:
        statistics: of the movie, in photoelectrons.
        camera: that the movie was opened with.
        gain: whether the gain may be doubted here.
    """
    share = statistics.excess_noise(camera.read_variance, drifting=True)
    if share >= LEAST_NOISE:
        return []
    found_e2 = float(np.median(statistics.variance))
    read_e2 = float(np.median(camera.read_variance))
    if read_e2 > found_e2 and _photon_noise(statistics) >= LEAST_NOISE:
        return [
            "The frames vary less than the camera's read noise alone would make them: by "
            f"{found_e2**0.5:.3g} electrons rms, and the read noise is said to be {read_e2**0.5:.3g}. The photons' "
            "noise agrees with the gain: check --read-noise (electrons rms, not ADU)."
        ]
    given = camera.gain_adu_per_e
    return [gain_doubted(share, "the shot and read noise", given, f"{given * share:.3g} (roughly)")] if gain else []


def _photon_noise(statistics: MovieStatistics) -> float:
    """Variance over light of bright pixels, which read noise adds least to; infinite without any light."""
    bright = statistics.mean >= BRIGHT * np.quantile(statistics.mean, 0.99)
    light, variance = statistics.mean[bright], statistics.variance[bright]
    return float(np.median(variance / light)) if (light > 0).all() else float("inf")
