"""Where in a frame there may be a molecule: a matched filter in units of its own noise.

With the background b known, noise of variance V = b + v (photons and read noise) and a spot of the PSF's shape p, the
best linear test for a spot at a pixel is

    S = sum_k p_k (d_k - b_k) / V_k / sqrt(sum_k p_k^2 / V_k),

which has variance 1 where there is none and the place was left out of its own background, as those are that stand out;
elsewhere a little less. A noisy pixel counts little and a bad one not at all. Few photons are skewed:
the threshold is the quantile of a gamma law of S's skewness, in which a Poisson count's tail is nearly exact. It is set
by the false alarms wanted in a frame: smooth noise has, above a high level u,

    area * lambda * u exp(-u^2 / 2) / (2 pi)^(3/2)

maxima, lambda = 1 / (2 s^2) being the variance of the slope of S for a PSF of standard deviation s (Adler 1981).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.psf import gaussian_integrals
from fluosr.solvers.compiled import compiled

REACH = 3.0  # of the filter, standard deviations of the PSF
BACKGROUND_REACH = 5.0  # of the square that the background is the mean of
SHOWN = 0.8  # of the threshold, from which on a pixel and its neighbours are no background
TWICED = 4.0 - 4.0 * 0.75**2 + (2.0 / 3.0) ** 2  # variance of the background, over that of one mean over a square
COUNTED = 2.0  # variance under which whole numbers of photons have no median to speak of
LEAST_LEVEL = 2.0  # below, maxima are no longer rare
LEAST_CHANCE = 1e-290
SKEWNESS = np.geomspace(1e-3, 30.0, 200)


@dataclass(frozen=True, eq=False)
class Detections:
    """Maxima of one frame's test that are above its threshold.

    Attributes:
        rows, columns: (n,) pixels.
        height: (n,) of the test, standard deviations.
        skewness: (n,) of the test's law there.
    """

    rows: np.ndarray
    columns: np.ndarray
    height: np.ndarray
    skewness: np.ndarray


class Detector:
    """Finds spots in frames of one camera.

    Args:
        variance: (Y, X) of the read noise, electrons squared; infinite for bad pixels.
        sigma_px: standard deviation of the PSF, camera pixels.
        false_alarms: wanted per frame.

    Attributes:
        level: the threshold, standard deviations of a normal law; at least :data:`LEAST_LEVEL`.
        false_alarms: expected per frame at this level.
        places: number of places in a frame that differ.
        apart: pixels that maxima lie apart, at least.
    """

    def __init__(self, variance: np.ndarray, sigma_px: float, false_alarms: float) -> None:
        from scipy.special import gammainccinv, ndtr

        reach = max(1, math.ceil(REACH * sigma_px))
        profile = gaussian_integrals(np.arange(-reach, reach + 1) - 0.5, 1.0, 0.0, sigma_px)
        self._profile, self._squared = profile.astype(np.float32), (profile**2).astype(np.float32)
        self._energy = float((profile**2).sum() ** 2)
        self._skew = float((profile**3).sum() ** 2 / self._energy**1.5)
        self.apart = max(1, round(sigma_px))
        self._side = 2 * math.ceil(BACKGROUND_REACH * sigma_px) + 1
        self._usable = np.isfinite(variance)
        # What the background's own noise adds to that of S.
        pixels = np.maximum(self._side**2 * _square_mean(self._usable, self._side), 1.0)
        self._doubt = np.sqrt(1.0 + TWICED / (self._energy * pixels))
        self._variance = np.where(self._usable, variance, 0.0).astype(np.float32)
        self._steepness = 1.0 / (2.0 * (sigma_px**2 + 1.0 / 12.0))
        self.places = max(2.0, float(self._usable.sum()) / (4.0 * math.pi * sigma_px**2))
        self.level, self.false_alarms = self._level_of(false_alarms)
        # Quantiles of gamma laws of mean 0 and variance 1, by skewness.
        shape = 4.0 / SKEWNESS**2
        self._quantile = (gammainccinv(shape, ndtr(-self.level)) - shape) / np.sqrt(shape)

    def _level_of(self, false_alarms: float) -> tuple[float, float]:
        """u at which so many maxima are expected in a frame; and how many, which may be fewer."""
        from scipy.optimize import brentq

        area = float(self._usable.sum()) * self._steepness / (2.0 * math.pi) ** 1.5

        def excess(u: float) -> float:
            return math.log(max(area, 1e-12) * u / false_alarms) - u * u / 2.0

        short = excess(LEAST_LEVEL)
        if short > 0:
            return float(brentq(excess, LEAST_LEVEL, 40.0)), false_alarms
        return LEAST_LEVEL, false_alarms * math.exp(short)

    def find(self, frame: np.ndarray) -> Detections:
        """Spots in a (Y, X) frame of photoelectrons, row by row."""
        level = float(np.median(frame[self._usable])) if self._usable.any() else 0.0
        trust = np.where(self._usable, 1.0 / (max(level, 1.0 / self._side**2) + self._variance), 0.0).astype(np.float32)
        test, energy, photons = self._test(frame, trust)
        # Once more without the light of what was found.
        shown = _square_mean((test > SHOWN * self.level).astype(np.float32), 2 * self.apart + 1) > 1e-6
        if shown.any():
            test, energy, photons = self._test(frame, np.where(shown, np.float32(0.0), trust))
        scale = self._scatter(frame, photons)
        rows, columns = _maxima(test, scale * min(self.level, float(self._quantile.min())), self.apart)
        noise = self._energy / np.maximum(energy[rows, columns], 1e-30)  # V, averaged over the PSF
        # Multiplied electrons are more skewed too.
        skewness = scale**2 * self._skew * np.minimum(photons[rows, columns], noise) / noise**1.5
        height = test[rows, columns] / scale
        kept = height > np.interp(skewness, SKEWNESS, self._quantile)
        return Detections(rows[kept], columns[kept], height[kept], skewness[kept])

    def _scatter(self, frame: np.ndarray, photons: np.ndarray) -> float:
        """Standard deviation of the pixels' noise over what photons and read noise make; at least 1.

        Electron multiplication or a wrong gain make it more, and the threshold has to follow. It is read off second
        differences along both axes, to which light through the PSF adds little, as the median over the field.
        """
        across, power = frame.astype(np.float32), photons + self._variance
        near = ~self._usable
        for _ in range(2):
            across = (across[2:] - 2.0 * across[1:-1] + across[:-2]).T
            power = (power[2:] + 4.0 * power[1:-1] + power[:-2]).T
            near = (near[2:] | near[1:-1] | near[:-2]).T
        if near.all() or float(np.median(power[~near])) < 36.0 * COUNTED:
            return 1.0
        return max(1.0, float(np.median(np.abs(across[~near]) / np.sqrt(power[~near]))) / 0.6745)

    def _test(self, frame: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S, sum p^2 / V, and the part of V that photons make; (Y, X) each.

        The background is the mean over squares, weighted by ``trust``, and once more of what it leaves: a mean lies
        below a background that is bent like a hill, and to one side of its slope at the rim.
        """
        seen = np.maximum(_square_mean(trust, self._side), np.float32(1e-12))
        mean = _square_mean(frame * trust, self._side) / seen
        background = mean + _square_mean((frame - mean) * trust, self._side) / seen
        # A background that no photon was counted in is not known to be nothing.
        photons = np.maximum(mean, np.float32(1.0 / self._side**2))
        weight = np.where(self._usable, 1.0 / (photons + self._variance), 0.0).astype(np.float32)
        signal = _smooth((frame - background) * weight, self._profile)
        energy = _smooth(weight, self._squared)
        return signal / (self._doubt * np.sqrt(np.maximum(energy, 1e-30))), energy, photons


def significance(height: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """(n,) standard deviations of a normal law that are as hard to reach by chance as these heights of the test.

    The upper tail is that of the gamma law of mean 0, variance 1 and this skewness.

    Args:
        height: (n,) values of the test, standard deviations; below 0 they count as 0.
        skewness: (n,) of its law; clipped to :data:`SKEWNESS`.
    """
    from scipy.special import gammaincc, gammaln, ndtri_exp

    shape = 4.0 / np.clip(skewness, SKEWNESS[0], SKEWNESS[-1]).astype(float) ** 2
    place = shape + np.maximum(height, 0.0) * np.sqrt(shape)
    chance = gammaincc(shape, place)
    # Where that is too small for a number, the first term of its continued fraction is as good.
    far = shape * np.log(place) - place - gammaln(shape) - np.log(place + 1.0 - shape)
    made: np.ndarray = -ndtri_exp(np.where(chance > LEAST_CHANCE, np.log(np.maximum(chance, LEAST_CHANCE)), far))
    return made


def _square_mean(image: np.ndarray, side: int) -> np.ndarray:
    """(Y, X) float32, mean over squares, with zeros beyond the field."""
    from scipy.ndimage import uniform_filter

    made: np.ndarray = uniform_filter(image.astype(np.float32), side, mode="constant")
    return np.maximum(made, 0.0) if image.min() >= 0.0 else made


def _smooth(image: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """(Y, X) float32, filtered by a symmetric profile along both axes, nothing beyond the field."""
    made = np.empty(image.shape, np.float32)
    _separable(np.ascontiguousarray(image, np.float32), profile, made)
    return made


@compiled(nogil=True, fastmath={"contract", "nsz"})
def _separable(image: np.ndarray, profile: np.ndarray, made: np.ndarray) -> None:
    height, width = image.shape
    reach = len(profile) // 2
    line = np.zeros(width + 2 * reach, np.float32)
    for y in range(height):
        line[:] = np.float32(0.0)
        for k in range(max(-reach, -y), min(reach, height - 1 - y) + 1):
            weight = profile[reach + k]
            for x in range(width):
                line[reach + x] += weight * image[y + k, x]
        made[y, :] = np.float32(0.0)
        for k in range(2 * reach + 1):
            weight = profile[k]
            for x in range(width):
                made[y, x] += weight * line[x + k]


@compiled(nogil=True)
def _maxima(image: np.ndarray, level: float, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels above a level and all others within ``apart``; of equal ones the first."""
    height, width = image.shape
    rows, columns = np.empty(image.size, np.int64), np.empty(image.size, np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            value = image[y, x]
            highest = value > level
            for i in range(max(0, y - apart), min(height, y + apart + 1)):
                if not highest:
                    break
                for j in range(max(0, x - apart), min(width, x + apart + 1)):
                    before = i < y or (i == y and j < x)
                    if image[i, j] > value or (before and image[i, j] == value):
                        highest = False
                        break
            if highest:
                rows[count], columns[count] = y, x
                count += 1
    return rows[:count].copy(), columns[:count].copy()
