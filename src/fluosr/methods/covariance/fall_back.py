"""Whether the fluctuations of a movie carry anything that its mean frame does not; and what is done where they do not.

One emitter x among others: the mean tells of it with q = a^T Sigma^-1 a per frame, a its PSF, the covariance with
(kappa q)^2 / 2 more. The second over the first, kappa^2 q / 2, is what the covariance is worth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fluosr.corrections.fluctuation_estimate import estimate_fluctuations
from fluosr.errors import AcquisitionError, ReconstructionInterrupted
from fluosr.methods.base import Method, Run, StopRequested
from fluosr.methods.covariance.parameters import CovarianceParameters
from fluosr.methods.from_frames import NO_IMAGE_YET
from fluosr.statistics import gather

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.reconstruction import Reconstruction

LEAST_GAIN = 0.05  # of the mean's information, under which the covariance is not worth its noise
READING = "looking at the fluctuations"


def what_covariance_carries(acquisition: Acquisition, parameters: CovarianceParameters, run: Run) -> str | None:
    """Why the mean frame should be fitted alone, in plain words; None where the covariance carries something.

    Raises:
        AcquisitionError: NaN or infinite values.
        ReconstructionInterrupted: stopped.
    """
    read = 0

    def advance(frames: int) -> None:
        nonlocal read
        read += frames
        run.progress(READING, read, acquisition.n_frames)
        run.check()

    try:
        statistics = gather(acquisition, advance)
    except StopRequested:
        raise ReconstructionInterrupted(NO_IMAGE_YET) from None
    try:
        estimate = estimate_fluctuations(acquisition)
    except AcquisitionError as reason:
        return f"How the emitters fluctuate is not known: {reason}"
    kappa = estimate.fano_factor
    if estimate.carries_nothing and parameters.fano is None:
        return f"The Fano factor of the emitters may be 0: {kappa}."
    gain = covariance_gain(acquisition, statistics.mean, statistics.variance, parameters.fano or kappa.value)
    if gain < LEAST_GAIN:
        return (
            f"The Fano factor of the emitters is {kappa}; at this light the covariance adds {100 * gain:.1f} % to what "
            "the mean frame tells of an emitter."
        )
    return None


def covariance_gain(acquisition: Acquisition, mean: np.ndarray, variance: np.ndarray, fano_factor: float) -> float:
    """kappa^2 q / 2, averaged over the light; q from the frames' own variance, as if pixels varied by themselves.

    Args:
        acquisition: for its PSF.
        mean, variance: (Y, X) of a frame, photoelectrons.
        fano_factor: kappa.
    """
    from scipy.signal import fftconvolve

    kernel = acquisition.psf.kernel(acquisition.pixel_size_nm) ** 2
    weight = np.clip(mean - np.quantile(mean, 0.1), 0.0, None)
    typical = max(float(np.median(variance)), 1e-12)
    precision = np.pad(
        1.0 / np.maximum(variance, 1e-3 * typical), [(n // 2, n // 2) for n in kernel.shape], mode="edge"
    )
    seen = fftconvolve(precision, kernel, mode="valid")
    if not weight.any():
        return 0.0
    return float(0.5 * fano_factor**2 * (weight * seen).sum() / weight.sum())


def mean_instead(
    acquisition: Acquisition, parameters: CovarianceParameters, run: Run, why: str, method: Method
) -> Reconstruction:
    """FluoGAN's image of the mean frame, under this method's name, with the reason."""
    from fluosr.methods.fluogan import METHOD as FLUOGAN

    own = FLUOGAN.build(
        factor=parameters.factor,
        drift=parameters.drift,
        bad_pixels=parameters.bad_pixels,
        halves=parameters.halves,
    )
    made = FLUOGAN.load()(acquisition, own, run)
    warning = f"The covariance of this movie carries nothing: the image is FluoGAN's, of the mean frame. {why}"
    return replace(
        made,
        method=method.name,
        parameters=parameters.model_dump() | made.parameters,  # what both have is what FluoGAN took it to be
        warnings=[warning, *made.warnings],
        citations=[method.citation, *made.citations],
    )
