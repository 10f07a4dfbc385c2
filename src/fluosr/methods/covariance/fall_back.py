"""Whether the fluctuations of a movie carry anything that its mean frame does not; and what is done where they do not.

One emitter x among others: the mean tells of it with q = a^T Sigma^-1 a per frame, a its PSF, the covariance with
(kappa q)^2 / 2 more. The second over the first, kappa^2 q / 2, is what the covariance is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fluosr.corrections.fluctuation_estimate import estimate_fluctuations
from fluosr.corrections.intervals import Interval
from fluosr.errors import AcquisitionError, ReconstructionInterrupted
from fluosr.methods.base import Method, Run, StopRequested
from fluosr.methods.covariance.parameters import CovarianceParameters
from fluosr.methods.from_frames import NO_IMAGE_YET
from fluosr.statistics import gather

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.reconstruction import Reconstruction

LEAST_GAIN = 0.05  # of the mean's information, under which the covariance is not worth its noise
DISAGREE = 1.5  # beyond the ends of the interval
READING = "looking at the fluctuations"
OF_THE_COVARIANCE = {"sparsity", "grain_nm", "iterations", "tolerance"}  # parameters of a fit that is not made


@dataclass(frozen=True)
class Fluctuations:
    """What a first look found.

    Attributes:
        fano_factor: kappa with its interval; None where it cannot be known.
        nothing: why the covariance carries nothing beyond the mean, in plain words; None where it does.
        doubts: what speaks against the gain, in plain words.
        memory_frames: after which molecules have forgotten whether they were on; None where none is seen.
    """

    fano_factor: Interval | None
    nothing: str | None
    doubts: tuple[str, ...] = ()
    memory_frames: float | None = None


def look_at(acquisition: Acquisition, parameters: CovarianceParameters, run: Run) -> Fluctuations:
    """What fluctuates, and why the mean frame had better be fitted alone, if so.

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
        return Fluctuations(None, f"How the emitters fluctuate is not known: {reason}")
    kappa = estimate.fano_factor_as_opened  # in the photons that the method sees
    doubt = estimate.gain_warning(acquisition.camera.gain_adu_per_e)
    memory = None if estimate.memory_frames is None else estimate.memory_frames.value
    found = Fluctuations(kappa, None, () if doubt is None else (doubt,), memory)
    if not kappa.low > 0 and parameters.fano is None:
        return replace(found, nothing=f"The Fano factor of the emitters may be 0: {kappa}.")
    gain = covariance_gain(acquisition, statistics.mean, statistics.variance, parameters.fano or kappa.value)
    if gain < LEAST_GAIN:
        factor = f"{kappa}" if parameters.fano is None else f"given as {parameters.fano:g}"
        words = f"at this light the covariance adds {100 * gain:.1f} % to what the mean frame tells of an emitter."
        return replace(found, nothing=f"The Fano factor of the emitters is {factor}; {words}")
    return found


def compared(made: Reconstruction, found: Fluctuations) -> Reconstruction:
    """The same with what neighbouring pixels tell of the Fano factor beside the fit; a warning where they differ."""
    kappa = found.fano_factor
    if kappa is None:
        return made
    choices = made.choices | {
        "fano_of_neighbours": {
            "value": kappa.value,
            "why": f"from what neighbouring pixels share, over the mean frame's structure; {kappa.ends()}",
        }
    }
    warnings = [*found.doubts, *made.warnings]
    left, there = "fell_back" in made.choices, made.parameters.get("fano")
    if not left and isinstance(there, float) and not kappa.low / DISAGREE < there < kappa.high * DISAGREE:
        fitted = "fano" in made.choices
        warnings.append(
            f"Mean and covariance disagree about the Fano factor: it is {there:.3g} here, neighbouring pixels {kappa}. "
            "Emitters that fluctuate differently, another PSF, or a wrong gain would do that; where light is follows "
            "the covariance, how much there is the mean frame."
            if fitted
            else f"The Fano factor was given as {there:g}, and neighbouring pixels say {kappa}: is it that of these "
            "molecules, and the gain the camera's?"
        )
    return replace(made, choices=choices, warnings=warnings)


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
    warnings = [f"The covariance of this movie carries nothing: the image is FluoGAN's, of the mean frame. {why}"]
    idle = sorted(parameters.model_fields_set & OF_THE_COVARIANCE)
    if idle:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        warnings.append(f"Without a covariance to fit {names} had no effect; FluoGAN's own values were taken.")
    asked = {name: value for name, value in parameters.model_dump().items() if name not in OF_THE_COVARIANCE}
    return replace(
        made,
        method=method.name,
        parameters=asked | made.parameters,  # what both have is what FluoGAN took it to be
        choices=made.choices | {"fell_back": {"value": True, "why": why}},
        warnings=[*warnings, *made.warnings],
        citations=[method.citation, *made.citations],
    )
