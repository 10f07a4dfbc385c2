"""Single molecules in small patches, by maximum likelihood: where, how bright, and how surely.

The model of a patch is a Gaussian integrated over the pixels, on an even background,

    mu_k = N e_k(x) e_k(y) + b,   e_k(x) = [erf((k + 1 - x) / (sqrt(2) s)) - erf((k - x) / (sqrt(2) s))] / 2.

Counts are Poisson (Smith et al. 2010). A pixel whose read noise has the variance v_k is taken for one with v_k photons
more, in the data as in the model: D_k = d_k + v_k is Poisson of mean M_k = mu_k + v_k (Huang et al. 2013). What is
minimised is the log-likelihood ratio against the data themselves,

    LLR = 2 sum_k [M_k - D_k + D_k log(D_k / M_k)]       (Laurence and Chromy 2010, eq. 3),

by Levenberg-Marquardt steps with the Fisher matrix I_ij = sum_k dM_k/di dM_k/dj / M_k in place of the Hessian. The
inverse of this matrix is the Cramér-Rao bound: its diagonal gives the standard errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from fluosr.solvers.spot_kernels import CHANCE, fit_all, write_profile

MOST_ITERATIONS = 50


@dataclass(frozen=True, eq=False)
class SpotFits:
    """What was fitted to n patches; lengths in pixels from a patch's outer corner, x along columns, y along rows.

    Attributes:
        x_px, y_px: (n,) the centre of pixel (0, 0) lies at (.5, .5).
        photons: (n,) of the whole spot, also of its parts outside the patch.
        background: (n,) photons per pixel.
        sigma_px: (n,) standard deviation of the Gaussian.
        x_error_px, y_error_px, photons_error, background_error, sigma_error_px: (n,) the Cramér-Rao bounds, as standard
            deviations; NaN where there is none, and of a width that was not fitted.
        misfit: (n,) log-likelihood ratio.
        misfit_mean, misfit_sd: (n,) what it is where the model is right: about the pixels used less the parameters
            fitted, and the square root of twice that, but for pixels of few photons.
        converged: (n,) bool.
        iterations: (n,) steps tried.
    """

    x_px: np.ndarray
    y_px: np.ndarray
    photons: np.ndarray
    background: np.ndarray
    sigma_px: np.ndarray
    x_error_px: np.ndarray
    y_error_px: np.ndarray
    photons_error: np.ndarray
    background_error: np.ndarray
    sigma_error_px: np.ndarray
    misfit: np.ndarray
    misfit_mean: np.ndarray
    misfit_sd: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray

    def __len__(self) -> int:
        return len(self.x_px)

    def where(self, mask: np.ndarray) -> SpotFits:
        """Those of an (n,) bool mask, or of numbers."""
        return SpotFits(**{item.name: getattr(self, item.name)[mask] for item in fields(self)})


def fit_spots(
    patches: np.ndarray,
    sigma_px: float,
    *,
    variance: np.ndarray | float = 0.0,
    start_px: np.ndarray | None = None,
    fit_width: bool = False,
    most_iterations: int = MOST_ITERATIONS,
) -> SpotFits:
    """The likeliest x, y, photons, background and, where wanted, width of one spot in each patch.

    Args:
        patches: (n, h, w) photoelectrons, offset taken off.
        sigma_px: standard deviation of the PSF, pixels; with ``fit_width`` where the width starts.
        variance: of the read noise, electrons squared; a number or (n, h, w). Pixels where it is infinite are left out.
        start_px: (n, 2) x and y to start from; the patches' middles where not given.
        fit_width: fit the width too.
        most_iterations: steps after which a fit counts as not converged.

    Raises:
        ValueError: shapes that do not fit each other, or a width that is none.
    """
    patches = np.ascontiguousarray(patches, np.float32)
    if patches.ndim != 3 or min(patches.shape[1:]) < 2:
        raise ValueError(f"patches are (n, h, w) with sides of 2 pixels or more, got {patches.shape}")
    if not (math.isfinite(sigma_px) and sigma_px > 0):
        raise ValueError(f"the width must be positive, got {sigma_px}")
    n, height, width = patches.shape
    # Copies: compiled code takes arrays that may not be written for another type.
    patches, start, noise = patches.copy(), np.empty((n, 2)), np.empty(patches.shape, np.float32)
    start[:] = (width / 2.0, height / 2.0) if start_px is None else start_px
    noise[:] = variance
    found = np.full((n, 14), np.nan)
    chance = misfit_of_chance()
    fit_all(patches, noise, start, float(sigma_px), 5 if fit_width else 4, most_iterations, *chance, found)
    names = [item.name for item in fields(SpotFits)][:13]
    values = {name: found[:, i].copy() for i, name in enumerate(names)}
    return SpotFits(**values, converged=~np.isnan(found[:, 5]), iterations=found[:, 13].astype(int))


def allowed_misfit(fits: SpotFits, probability: float) -> np.ndarray:
    """(n,) the misfit that a right model exceeds with this probability, above 0.

    Sums of squares are skewed: it is the quantile of the gamma law that has their mean and variance.
    """
    from scipy.special import gammainccinv

    scale = fits.misfit_sd**2 / fits.misfit_mean
    allowed: np.ndarray = scale * gammainccinv(fits.misfit_mean / scale, probability)
    return allowed


@lru_cache(maxsize=1)
def misfit_of_chance() -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a pixel's LLR when it is a Poisson count of mean M, at log M as in :data:`CHANCE`.

    They are 1 and 2 for many photons, more for about one, and vanish with M.
    """
    from scipy.special import gammaln, xlogy

    expected = np.exp(np.linspace(*CHANCE))[:, None]
    counted = np.arange(int(expected.max() + 12 * math.sqrt(expected.max())))
    chance = np.exp(xlogy(counted, expected) - expected - gammaln(counted + 1.0))
    ratio = 2.0 * (expected - counted + xlogy(counted, counted / expected))
    mean = (chance * ratio).sum(1)
    return mean, (chance * (ratio - mean[:, None]) ** 2).sum(1)


def profile(size: int, centre: float, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(size,) e_k, and its derivatives with respect to the centre and to sigma."""
    made = np.empty((3, size))
    write_profile(made, centre, sigma)
    return made[0], made[1], made[2]
