"""What the likelihood of mean and covariance lets the user set."""

from __future__ import annotations

from pydantic import Field

from fluosr.emitters.model import LARGEST_FANO_FACTOR, SMALLEST_FANO_FACTOR
from fluosr.methods.movie_parameters import MovieParameters


class CovarianceParameters(MovieParameters):
    """Fluctuations, prior, the solver's end, and what to do where the covariance carries nothing."""

    fano: float | None = Field(
        None,
        ge=SMALLEST_FANO_FACTOR,
        le=LARGEST_FANO_FACTOR,
        description="Fano factor of the emitters (kappa, photons); fitted with the image if not given",
    )
    sparsity: float | None = Field(
        None,
        ge=0,
        description="pull towards zero in units of the noise of the likelihood's gradient (scale-free); chosen by "
        "frames that were held out if not given",
    )
    grain_nm: float = Field(
        0.0, ge=0, description="FWHM of the grains that the image is made of, nm; 0: single fine pixels"
    )
    iterations: int = Field(
        400, ge=1, le=10_000_000, description="quasi-Newton iterations at most; it stops earlier at rest"
    )
    tolerance: float = Field(
        0.02,
        ge=0,
        description="rise of the log-likelihood over 25 iterations and per patch at which the fit is at rest",
    )
    fall_back: bool = Field(
        True, description="fit the mean frame alone, as FluoGAN does, where the covariance carries nothing beyond it"
    )
