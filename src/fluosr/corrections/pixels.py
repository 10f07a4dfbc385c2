"""Pixels that tell nothing of the sample: dead, hot, or saturated; a method gives them no weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.psf import FWHM_PER_SIGMA, gaussian_integrals

NARROWEST_FWHM_PX = 1.5  # taken where the PSF is not known: no microscope worth reconstructing samples coarser
SAFETY = 0.85  # the PSF may be this much narrower than stated without good pixels being called hot
SIGNIFICANCE = 6.0  # standard deviations
SENSITIVITY_MARGIN = 0.05  # pixels differ in sensitivity by this much without being hot
FEWEST_FOR_DEAD = 5  # frames
MINIMUM_SURPRISE = 15.0  # photons that a silent pixel must have missed: exp(-15) by chance


@dataclass(frozen=True, eq=False)
class BadPixels:
    """Which pixels to leave out, and why.

    Attributes:
        dead: (Y, X) bool, never changes although its neighbours do.
        hot: (Y, X) bool, brighter or noisier than any light through this PSF can make a single pixel.
        saturated: (Y, X) bool, at its ceiling too often for its mean to be believed.
    """

    dead: np.ndarray
    hot: np.ndarray
    saturated: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(Y, X) bool, True for pixels to leave out."""
        return self.dead | self.hot | self.saturated

    def warnings(self) -> list[str]:
        """One plain sentence for each kind found."""
        words = (
            (self.dead, "dead (no change in the whole movie)", ""),
            (self.hot, "hot (stand out as no light through this PSF can)", ""),
            (
                self.saturated,
                "saturated (at the ceiling of the camera)",
                " Their true brightness is unknown: expose less, or crop them away.",
            ),
        )
        return [
            f"{int(found.sum())} of {found.size} pixels are {what}; they were left out.{advice}"
            for found, what, advice in words
            if found.any()
        ]


def find_bad_pixels(
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    n_frames: int,
    saturated_fraction: np.ndarray | None = None,
    fwhm_px: float | None = None,
    tolerated_saturation: float = 0.01,
) -> BadPixels:
    """Find dead, hot and saturated pixels from a movie's statistics.

    The image of any sample is a sum of PSFs, and a PSF centred on a pixel lights the four pixels around it with at
    least a known part of its own light: no pixel can exceed the mean of its four neighbours by more than a factor R of
    the PSF. A pixel that does so by more than the noise is hot, whatever the sample. The same holds for the variance
    with R^2 (fluctuations of an emitter go with the square of the PSF). At the rim only the two neighbours along it
    are asked, and a corner is never called hot: light from outside the field may look like anything there.

    Args:
        mean: (Y, X) mean over the frames, photons.
        variance: (Y, X) variance over the frames, photons squared (of differences of frames over sqrt 2, or plain).
        n_frames: frames behind these.
        saturated_fraction: (Y, X) fraction of frames at the camera's ceiling; None where it has none.
        fwhm_px: FWHM of the PSF, camera pixels; None takes 1.5.
        tolerated_saturation: fraction of frames that may be at the ceiling.

    Returns:
        The three masks.

    Raises:
        ValueError: shapes differ, or fewer than two frames.
    """
    mean, variance = (np.asarray(a, float) for a in (mean, variance))
    if mean.ndim != 2 or mean.shape != variance.shape:
        raise ValueError(f"statistics of different shapes: {mean.shape} and {variance.shape}")
    if n_frames < 2:
        raise ValueError(f"bad pixels cannot be found in {n_frames} frame(s)")
    dead = _dead(variance, n_frames)
    saturated = np.zeros(mean.shape, bool)
    if saturated_fraction is not None:
        saturated = np.asarray(saturated_fraction) > tolerated_saturation
    # A pixel stuck at its ceiling never changes either: its name is saturated.
    dead &= ~saturated
    hot = _hot(mean, variance, dead | saturated, n_frames, fwhm_px or NARROWEST_FWHM_PX)
    return BadPixels(dead, hot, saturated)


def _dead(variance: np.ndarray, n_frames: int) -> np.ndarray:
    """Silent pixels whose living neighbours would have shown ``MINIMUM_SURPRISE`` photons.

    None in very few frames: whole numbers repeat by chance there.
    """
    silent = variance <= 0
    if n_frames < FEWEST_FOR_DEAD or not silent.any() or silent.all():
        return np.zeros_like(silent)
    living = np.where(silent, np.nan, variance)
    overall = float(np.nanmedian(living))
    expected = np.zeros_like(living)
    for y, x in np.argwhere(silent):
        around = living[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        expected[y, x] = overall if np.isnan(around).all() else np.nanmedian(around)
    # Half: structure may end between a pixel and its neighbours.
    return silent & (n_frames * expected / 2.0 > MINIMUM_SURPRISE)


def _hot(mean: np.ndarray, variance: np.ndarray, left_out: np.ndarray, n_frames: int, fwhm_px: float) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt, median_filter, minimum_filter

    ratio = _largest_ratio(fwhm_px)
    reach = 2 * (math.ceil(1.5 * fwhm_px) + 1) + 1
    hot = np.zeros(mean.shape, bool)
    if left_out.any() and not left_out.all():
        # The nearest good pixel stands in for those already known to be bad.
        nearest = distance_transform_edt(left_out, return_distances=False, return_indices=True)
        mean, variance = mean[tuple(nearest)], variance[tuple(nearest)]
    # Twice: the first finds may have hidden others beside them.
    for _ in range(2):
        around_mean, around_variance = _neighbours(mean), _neighbours(variance)
        # A uniform background belongs to no PSF: what is the same everywhere within reach is taken off both sides.
        base = np.minimum(minimum_filter(median_filter(mean, 3), reach), around_mean)
        shot = np.maximum(around_variance, 1.0 / n_frames)
        noise = np.sqrt((ratio * shot + ratio**2 * shot / 2.0) / n_frames)
        bound = base + ratio * (around_mean - base) + SENSITIVITY_MARGIN * np.abs(around_mean)
        # Few photons are skewed: (k^2 - 1) / 6 counts more at k standard deviations.
        bound += SIGNIFICANCE * noise + SIGNIFICANCE**2 / 6.0 / n_frames
        too_bright = mean > bound
        base = np.minimum(minimum_filter(median_filter(variance, 3), reach), around_variance)
        allowed = np.maximum(base + ratio**2 * (around_variance - base), 2.0 * shot)
        too_noisy = variance > allowed * _variance_quantile(shot, n_frames)
        found = (too_bright | too_noisy) & ~hot & ~left_out
        found[:: max(mean.shape[0] - 1, 1), :: max(mean.shape[1] - 1, 1)] = False
        if not found.any():
            break
        hot |= found
        mean = np.where(found, np.minimum(mean, around_mean), mean)
        variance = np.where(found, np.minimum(variance, around_variance), variance)
    return hot


def _largest_ratio(fwhm_px: float) -> float:
    """R: most that a pixel can receive over the mean of its two neighbours along a line, for a Gaussian PSF.

    It is reached for a source at the pixel's centre, alike for two and for four neighbours.
    """
    sigma = SAFETY * fwhm_px / FWHM_PER_SIGMA
    own, next_one = gaussian_integrals(np.array([-0.5, 0.5]), 1.0, 0.0, sigma)
    return float(own / max(next_one, 1e-12))


def _neighbours(image: np.ndarray) -> np.ndarray:
    """(Y, X) mean of the four neighbours; at the rim of the two along it."""
    padded = np.pad(image, 1, mode="edge")
    vertical = (padded[:-2, 1:-1] + padded[2:, 1:-1]) / 2.0
    horizontal = (padded[1:-1, :-2] + padded[1:-1, 2:]) / 2.0
    around = (vertical + horizontal) / 2.0
    for edge in (0, -1):
        around[edge, :] = horizontal[edge, :]
        around[:, edge] = vertical[:, edge]
    return around


def _variance_quantile(shot: np.ndarray, n_frames: int) -> np.ndarray:
    """Factor that a sample variance exceeds with the probability of ``SIGNIFICANCE`` (Wilson and Hilferty, 1931).

    Poisson counts of mean ``shot`` scatter more than normal ones: their excess kurtosis lowers the degrees of freedom.
    """
    freedom = 2.0 / (2.0 / (n_frames - 1) + 1.0 / (n_frames * shot))
    spread = 2.0 / (9.0 * freedom)
    return (1.0 - spread + SIGNIFICANCE * np.sqrt(spread)) ** 3
