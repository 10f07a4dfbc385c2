"""The Cramér-Rao bound for telling two lines or two points apart, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fluosr.errors import UsageError
from fluosr.limits.information import (
    Scores,
    TooCloseError,
    best_weights,
    gaussian_information,
    inverse_of,
    mean_information,
    sandwich,
)
from fluosr.limits.moments import Moments, PairModel
from fluosr.limits.scene import LARGEST, Experiment, Pair

TOLD_APART = 2.0  # how many standard deviations of the separation it must be
LEAST_DEMAND, MOST_DEMAND = 1e-3, 1e3  # how many they may be; any number of frames is finite
BALANCED = 0.5  # largest standard deviation of the balance with which both of a pair are there for certain
FALSE_SPLITS = 0.05
WIDEST_FWHM, CLOSEST_FWHM = 2.0, 0.02  # separations that are searched, in widths of the PSF
SINGULAR_EXCESS = 100.0  # the logarithm of a demand that no experiment meets, and that root finding can calculate with
# Places of the pair on the pixels, in pixels along and across. With their mirror images they are a grid of 4 x 4; along
# lines it hardly matters, and two stand for all.
PHASES_LINES = ((1 / 8, 1 / 8), (3 / 8, 3 / 8))
PHASES_POINTS = ((1 / 8, 1 / 8), (1 / 8, 3 / 8), (3 / 8, 1 / 8), (3 / 8, 3 / 8))

VariancesOf = Callable[[PairModel, np.ndarray, Moments], list[float]]


@dataclass(frozen=True)
class SeparationBound:
    """Least standard deviations of what is measured of a pair, for all frames of the movie.

    Each is the root mean square over where the pair lies on the pixels. The balance is the difference of the two
    brightnesses over their sum, between -1 and 1: where its bound is near 1, one of the two might not be there.

    Attributes:
        separation_nm: d.
        mean_nm: of d, from the mean frame alone, whose noise is that of the frames, fluctuations included.
        covariance_nm: of d, from mean and covariance of frames with bursts, each given the weight it deserves.
        mean_balance, covariance_balance: of the balance, likewise.
        mean_steady_nm: of d, from the mean frame, if the emitters did not fluctuate.
        gaussian_nm: of d, from mean and covariance, if frames were Gaussian.
        gaussian_fit_nm: of d, what a fit reaches that takes frames with bursts for Gaussian.
    """

    separation_nm: float
    mean_nm: float
    covariance_nm: float
    mean_balance: float
    covariance_balance: float
    mean_steady_nm: float
    gaussian_nm: float
    gaussian_fit_nm: float


@dataclass(frozen=True)
class Criterion:
    """When a pair counts as told apart.

    Args:
        told_apart: how many standard deviations the separation must be.
        balanced: largest standard deviation of the balance; infinite where both are known to be equally bright.

    Raises:
        UsageError: they do not lie between 1e-3 and 1e3; the balance may also lie above.
    """

    told_apart: float = TOLD_APART
    balanced: float = BALANCED

    def __post_init__(self) -> None:
        if not LEAST_DEMAND <= self.told_apart <= MOST_DEMAND:
            raise UsageError(
                f"told apart means {LEAST_DEMAND:g} to {MOST_DEMAND:g} standard deviations, 2 as a rule; got "
                f"{self.told_apart:g}."
            )
        if not self.balanced >= LEAST_DEMAND:
            raise UsageError(
                f"the balance is known to a standard deviation of {LEAST_DEMAND:g} or more, got {self.balanced:g}."
            )

    def demand(self, separation_nm: float, spread_nm: float, balance: float) -> float:
        """By how much the bounds are too large; at most 1 where the pair is told apart."""
        return max(self.told_apart * spread_nm / separation_nm, balance / self.balanced)

    def frames_needed(self, separation_nm: float, spread_nm: float, balance: float, frames: int) -> int:
        """How many frames tell the pair apart, the bounds falling with the square root of their number.

        Args:
            separation_nm: d.
            spread_nm, balance: standard deviations of separation and balance for ``frames`` frames.
            frames: T of these.
        """
        return max(2, math.ceil(frames * self.demand(separation_nm, spread_nm, balance) ** 2))


@dataclass(frozen=True)
class SmallestSeparation:
    """The smallest separation told apart, nm; infinite where none is up to twice the PSF's width.

    Attributes:
        mean_nm: from the mean frame alone.
        covariance_nm: from mean and covariance.
        mean_or_less, covariance_or_less: it is where the search ends, and closer ones may be told apart too.
    """

    mean_nm: float
    covariance_nm: float
    mean_or_less: bool = False
    covariance_or_less: bool = False


def separation_bound(
    experiment: Experiment,
    pair: Pair,
    separation_nm: float,
    *,
    window: tuple[int, int] | None = None,
    slope: bool = False,
) -> SeparationBound:
    """How exactly the separation of a pair can be known from a movie: Cramér-Rao bounds.

    Not known beforehand are both places, both brightnesses, the background and, where the covariance is used, kappa.

    Args:
        experiment: the microscope, the camera and the movie.
        pair: two lines or two points.
        separation_nm: d, from middle to middle.
        window: (Y, X) camera pixels around the pair; as many as it needs with the light around it.
        slope: the background may also be inclined.

    Raises:
        UsageError: a separation that is not positive, leaves the window, or is too small for the arithmetic.
    """
    window = checked_window(experiment, pair, separation_nm, window)
    variances = _average(_all_variances, experiment, pair, separation_nm, window, slope)
    return SeparationBound(separation_nm, *(float(value) for value in np.sqrt(variances)))


def chance_of_two(bound_nm: float, separation_nm: float, false_splits: float = FALSE_SPLITS) -> float:
    """Chance that a test proves two lines where there are two, for a share of single lines that it splits.

    A close pair differs from a line by terms of d^2: this is what is normally distributed, and d / (2 bound) is how
    many of its standard deviations it is. The test succeeds with Phi(d / (2 bound) - z).

    Args:
        bound_nm: standard deviation of the separation.
        separation_nm: d, below the PSF's width.
        false_splits: share of single lines taken for two.
    """
    normal = NormalDist()
    return normal.cdf(separation_nm / (2 * bound_nm) - normal.inv_cdf(1 - false_splits))


def smallest_separation(
    experiment: Experiment, pair: Pair, *, criterion: Criterion | None = None, slope: bool = False
) -> SmallestSeparation:
    """The smallest separation that is told apart.

    It is searched between a fiftieth and twice the PSF's width; where even the closest is told apart, that is it. A
    pair too close for the arithmetic is not told apart.

    Args:
        experiment: the microscope, the camera and the movie.
        pair: two lines or two points.
        criterion: when it counts as told apart.
        slope: the background may also be inclined.

    Raises:
        UsageError: the pair fills more pixels than are computed with.
    """
    from scipy.optimize import brentq

    wanted = criterion or Criterion()
    low, high = (share * experiment.psf.fwhm_nm for share in (CLOSEST_FWHM, WIDEST_FWHM))
    window = pair.window(experiment, high)

    def search(variances_of: VariancesOf) -> float:
        def excess(logarithm: float) -> float:
            separation = math.exp(logarithm)
            try:
                spread, balance = np.sqrt(_average(variances_of, experiment, pair, separation, window, slope))
            except TooCloseError:
                return SINGULAR_EXCESS
            return math.log(wanted.demand(separation, float(spread), float(balance)))

        if excess(math.log(high)) > 0:
            return math.inf
        if excess(math.log(low)) <= 0:
            return low
        return math.exp(brentq(excess, math.log(low), math.log(high), xtol=1e-3))

    mean = search(_mean_variances)
    both = min(mean, search(_both_variances))  # whose arithmetic gives way first, and which never tells less
    return SmallestSeparation(mean, both, mean == low, both == low)


def checked_window(
    experiment: Experiment, pair: Pair, separation_nm: float, window: tuple[int, int] | None
) -> tuple[int, int]:
    """The window that is computed with, (Y, X) camera pixels: the one given, or as many as the pair needs.

    Raises:
        UsageError: a separation that is not positive, leaves the window, or needs more pixels than are computed with.
    """
    if not 0 < separation_nm <= LARGEST:
        raise UsageError(f"a separation lies above 0 nm and not above {LARGEST:g} nm, got {separation_nm:g}.")
    if window is None:
        return pair.window(experiment, max(separation_nm, WIDEST_FWHM * experiment.psf.fwhm_nm))
    reach = experiment.pixel_size_nm * float(np.abs(pair.normal) @ np.array(window))
    if separation_nm + experiment.psf.fwhm_nm > reach:
        raise UsageError(
            f"two {pair.shape} {separation_nm:g} nm apart leave the window of {window[0]} x {window[1]} pixels; take a "
            "larger window or smaller separations."
        )
    return window


def _average(
    variances_of: VariancesOf,
    experiment: Experiment,
    pair: Pair,
    separation_nm: float,
    window: tuple[int, int],
    slope: bool,
) -> np.ndarray:
    """Mean over the pair's places on the pixels, for all frames."""
    pixel, found = experiment.pixel_size_nm, []
    for along, across in PHASES_LINES if pair.shape == "lines" else PHASES_POINTS:
        model = PairModel(experiment, pair, window, along * pixel, slope)
        parameters = model.parameters(separation_nm, across * pixel)
        found.append(variances_of(model, parameters, model.moments(parameters)))
    return np.mean(found, axis=0) / experiment.frames


def _mean_variances(model: PairModel, parameters: np.ndarray, moments: Moments) -> list[float]:
    """Of separation and balance, for one frame, from the mean."""
    return _of_pair(model, parameters, _without_fano(mean_information(moments)))


def _both_variances(model: PairModel, parameters: np.ndarray, moments: Moments) -> list[float]:
    """Of separation and balance, for one frame, from mean and covariance."""
    return _of_pair(model, parameters, best_weights(Scores.gaussian(moments).split(), moments)[1])


def _of_pair(model: PairModel, parameters: np.ndarray, information: np.ndarray) -> list[float]:
    """Least variances of separation and balance for this information."""
    variances = np.diagonal(inverse_of(information))
    d, imbalance, photons = (model.names.index(name) for name in ("separation_nm", "imbalance", "photons"))
    return [float(variances[d]), float(variances[imbalance] / parameters[photons] ** 2)]


def _all_variances(model: PairModel, parameters: np.ndarray, moments: Moments) -> list[float]:
    """For one frame, in the order of :class:`SeparationBound`."""
    mean, both = (find(model, parameters, moments) for find in (_mean_variances, _both_variances))
    scores = Scores.gaussian(moments)
    steady = np.diag(moments.mean + model.experiment.read_noise_e**2)
    d = model.names.index("separation_nm")
    more = (
        inverse_of(_without_fano(mean_information(moments, steady))),
        inverse_of(gaussian_information(scores, moments)),
        sandwich(scores, moments),
    )
    return [mean[0], both[0], mean[1], both[1], *(float(v[d, d]) for v in more)]


def _without_fano(information: np.ndarray) -> np.ndarray:
    return information[:-1, :-1]  # the mean says nothing about kappa, which is last
