"""What repeats of one field say of its noise, pixel by pixel, and sums of it over bands of lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fluosr.corrections.repeats import Repeats

BAND_LINES = 8  # whose sums are one piece of evidence: lines are compared with those beside them, and bands must not be
MOST_GROUPS = 40
MANY_FIELDS = 8  # so many are enough to leave out one after the other: they also differ as fields do
SLICES = 10
DERIVATIVE = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60.0  # of sixth order: within 1 % for structure the PSF lets pass
DERIVATIVE_REACH = 3
LIKELY_JITTER_PX = 0.3


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one field, from T >= 2 repeats. Variances and covariances are those of one frame, from successive frames:

        d_t = (e_{t+1} - e_t) / sqrt 2,    e_t the frame less the mean, at the mean's brightness

    so that bleaching and slow drift hardly enter. All (Y, X), float64, ADU and ADU^2; what belongs to a pixel and its
    right or lower neighbour has one column or row less.

    Attributes:
        repeats: the frames.
        mean: of all frames.
        halves: means of the even and of the odd frames.
        residuals: (T, Y, X) float32, e_t.
        variance: mean of d^2, less that of rounding.
        along: mean of d times that of the right neighbour.
        across: mean of d times that of the lower neighbour.
        third: mean of e^3, ADU^3, without the bias of few frames; 0 of two frames, which cannot tell.
        third_along: means of e_n^2 e_{n+1} and of e_n e_{n+1}^2, likewise.
    """

    repeats: Repeats
    mean: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    residuals: np.ndarray
    variance: np.ndarray
    along: np.ndarray
    across: np.ndarray
    third: np.ndarray
    third_along: tuple[np.ndarray, np.ndarray]

    def differences(self) -> np.ndarray:
        """(T - 1, Y, X) float32, d_t."""
        return (self.residuals[1:] - self.residuals[:-1]) * np.float32(0.5**0.5)


def moments_of(repeats: Repeats) -> Moments:
    """All of them; T >= 2."""
    frames = repeats.frames
    mean = frames.mean(0, dtype=np.float64)
    residuals = np.stack([_at_brightness_of(frame, mean, repeats.usable) for frame in frames])
    differences = (residuals[1:] - residuals[:-1]) * np.float32(0.5**0.5)

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.einsum("tyx,tyx->yx", left, right, dtype=np.float64) / len(left)

    left, right = residuals[..., :-1], residuals[..., 1:]
    count = len(frames)
    unbiased = count**2 / ((count - 1) * (count - 2)) if count > 2 else 0.0
    return Moments(
        repeats,
        mean,
        (frames[0::2].mean(0, dtype=np.float64), frames[1::2].mean(0, dtype=np.float64)),
        residuals,
        product(differences, differences) - repeats.rounding_variance,
        product(differences[..., :-1], differences[..., 1:]),
        product(differences[:, :-1], differences[:, 1:]),
        unbiased * product(residuals * residuals, residuals),
        (unbiased * product(left * left, right), unbiased * product(left, right * right)),
    )


def _at_brightness_of(frame: np.ndarray, mean: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """The frame less a + b mean, a and b fitted: lamps flicker and dyes bleach, all pixels alike."""
    known = mean[usable] - mean[usable].mean()
    level = float(frame[usable].mean(dtype=np.float64))
    slope = float(known @ (frame[usable] - level)) / max(float(known @ known), 1e-300)
    return (frame - (level + slope * (mean - mean[usable].mean()))).astype(np.float32)


def neighbours_mean(mean: np.ndarray) -> np.ndarray:
    """Brightness at each pixel as the lines above and below have it, whose noise is their own."""
    lines = np.pad(mean, ((2, 2), (0, 0)), mode="reflect")
    height = len(mean)
    above = lines[1 : height + 1] + lines[3 : height + 3] + lines[:height] + lines[4 : height + 4]
    wide = np.pad(above / 4, ((0, 0), (1, 1)), mode="edge")
    return (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4


def derivative(image: np.ndarray) -> np.ndarray:
    """Slope along the line, per pixel, without the pixel itself."""
    from scipy.ndimage import correlate1d

    return correlate1d(image, DERIVATIVE, axis=-1, mode="nearest")


@dataclass(frozen=True)
class NoiseLine:
    """A first idea of the noise, for weights: variance = slope * mean + level, at least ``floor``; ADU."""

    slope: float
    level: float
    floor: float

    def variance(self, mean: np.ndarray) -> np.ndarray:
        """ADU^2."""
        return np.maximum(self.slope * mean + self.level, self.floor)

    def doubt(self, mean: np.ndarray) -> np.ndarray:
        """What to weigh a pixel's variance by, ADU^2: steep places count less, where lines that jitter add to it."""
        return self.variance(mean) + LIKELY_JITTER_PX**2 * derivative(mean) ** 2

    @classmethod
    def through(
        cls, mean: np.ndarray, variance: np.ndarray, typical: Callable[[np.ndarray], float] = np.mean
    ) -> NoiseLine:
        """Through slices of equal count, by brightness: mean brightness against typical variance."""
        order = np.array_split(np.argsort(mean), SLICES)
        xs = np.array([mean[chosen].mean() for chosen in order])
        ys = np.array([typical(variance[chosen]) for chosen in order])
        floor = max(0.2 * float(ys.min()), 0.02 * float(ys.mean()), 1e-12)
        weights = 1.0 / np.maximum(ys, floor)
        slope, level = np.polyfit(xs, ys, 1, w=weights) if np.ptp(xs) > 0 else (0.0, float(ys.mean()))
        return cls(float(slope), float(level), floor)


def band_sums(image: np.ndarray) -> np.ndarray:
    """(Y, X) -> (bands,) sums over bands of lines; the last band takes the rest."""
    return over_bands(image.sum(1))


def over_bands(lines: np.ndarray, band_lines: int = BAND_LINES) -> np.ndarray:
    """(Y, ...) sums of each line -> (bands, ...)."""
    starts = np.arange(0, max(1, len(lines) // band_lines) * band_lines, band_lines)
    return np.add.reduceat(lines, starts)


def grouped(per_field: list[np.ndarray]) -> np.ndarray:
    """(groups, ...) sums of independent evidence: whole fields where there are many, else neighbouring bands.

    Args:
        per_field: for each field (bands, ...).
    """
    if len(per_field) >= MANY_FIELDS:
        every = np.stack([sums.sum(0) for sums in per_field])
    else:
        every = np.concatenate(per_field)
    pieces = np.array_split(np.arange(len(every)), min(MOST_GROUPS, len(every)))
    return np.stack([every[chosen].sum(0) for chosen in pieces])
