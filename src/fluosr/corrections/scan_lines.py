"""Along the scan lines: the amplifier's lag and its direction, lines displaced against each other, and their jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.scan_moments import (
    DERIVATIVE_REACH,
    Moments,
    NoiseLine,
    band_sums,
    derivative,
    grouped,
    over_bands,
)

JITTER_APART_PX = 2 * DERIVATIVE_REACH  # pixels further apart share neither noise nor slope, only the line's shift
LARGEST_PHASE_PX = 4.0
PHASE_STEP_PX = 0.25
SMOOTHING_PX = 1.0  # along the lines, before they are compared
PHASE_ROUNDS = 8
PHASE_TRIAL_PX = 0.2
LIKE_LINES = np.array([1.0, 0.0, 2.0, 0.0, 1.0]) / 4.0  # lines of the same parity
# Variance of a slope so smoothed over that of a pixel: 1 / (4 sqrt(pi) s^3) along the line, 6 / 16 over the lines.
SLOPE_NOISE = 0.141 * 0.375
SURE_DIRECTION = 4.0  # standard errors


def turned(image: np.ndarray, return_parity: int | None) -> np.ndarray:
    """(..., Y, X) with return lines reversed: as they were scanned."""
    if return_parity is None:
        return image
    copy = np.array(image)
    copy[..., return_parity::2, :] = image[..., return_parity::2, ::-1]
    return copy


def without_lag(image: np.ndarray, memory: float, return_parity: int | None) -> np.ndarray:
    """x_n = (y_n - r y_{n-1}) / (1 - r) along the scan: what the amplifier was given; the first pixel stays."""
    scanned = turned(image, return_parity)
    given = np.array(scanned)
    given[..., 1:] = (scanned[..., 1:] - memory * scanned[..., :-1]) / (1.0 - memory)
    return turned(given, return_parity)


def lag_sums(moments: Moments, noise: NoiseLine, smooth: np.ndarray) -> np.ndarray:
    """(bands, 5) sums from which r follows: see :func:`memory_from`."""
    usable = moments.repeats.usable
    model = noise.doubt(smooth)
    slopes = [derivative(half) for half in moments.halves]
    pair = (usable[:, 1:] & usable[:, :-1]) / (model[:, 1:] * model[:, :-1])
    column = (usable[1:] & usable[:-1]) / (model[1:] * model[:-1])
    along = pair * moments.along
    own = pair * (moments.variance[:, 1:] + moments.variance[:, :-1]) / 2
    both = slopes[0] * slopes[1]
    tilt_along = pair * (slopes[0][:, 1:] * slopes[1][:, :-1] + slopes[1][:, 1:] * slopes[0][:, :-1]) / 2
    tilt_own = pair * (both[:, 1:] + both[:, :-1]) / 2
    # Brought to the scale of the pairs along the lines, so that the two covariances can be subtracted.
    ratio = float((pair * model[:, 1:]).sum()) / max(float((column * model[1:]).sum()), 1e-300)
    across = band_sums(np.vstack([column * moments.across, np.zeros((1, usable.shape[1]))])) * ratio
    return np.stack([band_sums(along), band_sums(own), across, band_sums(tilt_along), band_sums(tilt_own)], axis=1)


def memory_from(sums: np.ndarray, jitter_variance: float) -> float:
    """r = (C_along - C_across - s_j^2 G) / (V - C_across - s_j^2 G'), of summed :func:`lag_sums`.

    What a pixel shares with the one above it is the sample's own fluctuation, which goes both ways alike; what the
    line's jitter adds goes with the slopes. The rest of what neighbours along a line share is the amplifier's.
    """
    along, own, across, tilt_along, tilt_own = sums
    return float((along - across - jitter_variance * tilt_along) / (own - across - jitter_variance * tilt_own))


def jitter_sums(moments: Moments, noise: NoiseLine, smooth: np.ndarray) -> np.ndarray:
    """(bands, 2) numerator and denominator of the variance of the lines' shifts, px^2, free of bias by noise:

        s_j^2 = sum_t sum_{|x - x'| > 6} w a_x d_tx  w b_x' d_tx'  /  (T - 1) sum_{...} w a_x b'_x  w b_x' a'_x'

    with d differences of successive frames, a', b' the slopes of the even and of the odd frames' mean, and a, b
    smoothed slopes of the same, which look where there is structure: a line's shift moves all of it, noise does not.
    """
    model = noise.variance(smooth)
    weight = moments.repeats.usable / model
    slopes = [derivative(half) for half in moments.halves]
    looks = [weight * _clear_slope(half, model, len(moments.residuals) / 2) for half in moments.halves]
    differences = moments.differences()
    top = np.zeros(len(weight))
    for difference in differences:
        top += _pairs_apart(looks[0] * difference, looks[1] * difference)
    bottom = len(differences) * _pairs_apart(looks[0] * slopes[1], looks[1] * slopes[0])
    return over_bands(np.stack([top, bottom], axis=1))


def _clear_slope(mean: np.ndarray, variance: np.ndarray, frames: float) -> np.ndarray:
    """Slope along the lines, smoothed over lines of the same parity, and shrunk where it does not exceed its noise."""
    from scipy.ndimage import correlate1d, gaussian_filter1d

    over_lines = correlate1d(mean, LIKE_LINES, axis=0, mode="nearest")
    slope = gaussian_filter1d(over_lines, SMOOTHING_PX, axis=1, order=1, truncate=4.0)
    squared = slope**2
    return slope * squared / (squared + SLOPE_NOISE * variance / frames)


def _pairs_apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(Y,) sum over pixels of a line more than ``JITTER_APART_PX`` apart of left_x right_x'."""
    total = left.sum(1) * right.sum(1) - (left * right).sum(1)
    for step in range(1, JITTER_APART_PX + 1):
        total -= (left[:, step:] * right[:, :-step]).sum(1) + (left[:, :-step] * right[:, step:]).sum(1)
    return np.asarray(total)


def direction_sums(moments: Moments, noise: NoiseLine, smooth: np.ndarray, memory: float) -> np.ndarray:
    """(bands, 2, 2): for even and odd lines two sums, each positive in the mean where the scan goes to the right.

    The correlation of the noise has no direction; its third moment has (counts are skewed, and a pixel keeps its own
    excess and hands on r of it), and so has the covariance where brightness rises or falls (it is r times the variance
    of the pixel that came first).
    """
    usable = moments.repeats.usable
    model = noise.variance(smooth)
    pair = usable[:, 1:] & usable[:, :-1]
    middle = (model[:, 1:] + model[:, :-1]) / 2
    fall = model[:, :-1] - model[:, 1:]
    skew = np.where(pair, (moments.third_along[0] - moments.third_along[1]) / middle**1.5, 0.0)
    slope = np.where(pair, fall * (moments.along - memory * middle) / middle**2, 0.0)
    parity = np.arange(len(usable)) % 2
    return np.stack(
        [np.stack([band_sums(part * (parity == p)[:, None]) for part in (skew, slope)], 1) for p in (0, 1)], axis=1
    )


@dataclass(frozen=True)
class Direction:
    """Which lines are scanned backwards, as the noise tells.

    Args:
        rightwards: standard errors by which even and odd lines are scanned to the right; negative: to the left.
    """

    rightwards: tuple[float, float]

    @property
    def sure(self) -> bool:
        """Whether the noise tells."""
        even, odd = self.rightwards
        return max(abs(even + odd), abs(even - odd)) / 2**0.5 > SURE_DIRECTION

    @property
    def bidirectional(self) -> bool:
        """Whether even and odd lines go opposite ways."""
        even, odd = self.rightwards
        return abs(even - odd) > abs(even + odd)

    @property
    def even_lines_return(self) -> bool:
        """Whether it is the even ones that go to the left."""
        return self.rightwards[0] < self.rightwards[1]


def direction_from(groups: np.ndarray) -> Direction:
    """Of (groups, 2, 2) sums: their sum over their scatter, of both kinds together where both tell."""
    mean, error = groups.mean(0), groups.std(0, ddof=1) / len(groups) ** 0.5
    each = np.where(error > 0, mean / np.where(error > 0, error, 1.0), 0.0)
    even, odd = each.sum(1) / np.sqrt(np.maximum((error > 0).sum(1), 1))
    return Direction((float(even), float(odd)))


def find_phase(means: list[np.ndarray], weights: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """d, by which even lines lie to the right and odd ones to the left: the one that makes them alike.

    Each line is compared with the mean of the lines above and below, both moved back to where they belong: a search
    over +-4 pixels, then Gauss-Newton steps

        d <- d - sum p w m' (A_y - (A_{y-1} + A_{y+1}) / 2) / (2 sum w m'^2),    p = 1 on even lines, -1 on odd ones

    Args:
        means: (Y, X) mean frames, without lag, one a field.
        weights: (Y, X), 0 where a pixel is not to be used.

    Returns:
        d in pixels, and for each field (Y, 2) numerator and denominator of a further step, line by line.
    """
    from scipy.ndimage import gaussian_filter1d

    smooth = [gaussian_filter1d(mean, SMOOTHING_PX, axis=1) for mean in means]
    tries = np.arange(-LARGEST_PHASE_PX, LARGEST_PHASE_PX + PHASE_STEP_PX / 2, PHASE_STEP_PX)
    costs = [sum(_unlike(image, weight, d) for image, weight in zip(smooth, weights, strict=True)) for d in tries]
    phase = float(tries[int(np.argmin(costs))])
    for _ in range(PHASE_ROUNDS):
        sums = [_phase_step(image, weight, phase) for image, weight in zip(smooth, weights, strict=True)]
        top, bottom = np.concatenate(sums).sum(0)
        step = float(np.clip(top / max(bottom, 1e-300), -PHASE_STEP_PX, PHASE_STEP_PX))
        phase = float(np.clip(phase + step, -LARGEST_PHASE_PX, LARGEST_PHASE_PX))
        if abs(step) < 1e-5:
            break
    found = [_phase_step(image, weight, phase) for image, weight in zip(smooth, weights, strict=True)]
    # Noise makes sum w m'^2 larger than it is: how far the numerator really moves with d is what counts for the error.
    beside = [
        sum(_phase_step(image, weight, phase + h)[:, 0].sum() for image, weight in zip(smooth, weights, strict=True))
        for h in (-PHASE_TRIAL_PX, PHASE_TRIAL_PX)
    ]
    moved = (beside[0] - beside[1]) / (2 * PHASE_TRIAL_PX)
    scale = moved / max(sum(sums[:, 1].sum() for sums in found), 1e-300)
    return phase, [sums * np.array([1.0, scale]) for sums in found]


def displacement(means: list[np.ndarray], weights: list[np.ndarray]) -> Interval:
    """d of mean frames as they are, with its interval; see :func:`find_phase`."""
    phase, steps = find_phase(means, weights)
    groups = grouped([over_bands(step) for step in steps])

    def displaced(chosen: np.ndarray) -> float:
        top, bottom = groups[chosen].sum(0)
        return phase + float(top / max(bottom, 1e-300))

    return jackknife(displaced, len(groups))


def _aligned(image: np.ndarray, phase: float) -> np.ndarray:
    """Even lines moved to the left by d, odd ones to the right: by cubic splines, all lines blurred alike."""
    from scipy.ndimage import shift

    moved = np.empty_like(image)
    for parity, sign in ((0, 1.0), (1, -1.0)):
        moved[parity::2] = shift(image[parity::2], (0.0, -sign * phase), order=3, mode="nearest")
    return moved


def _against_neighbours(image: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """(Y - 2, X) each line less the mean of its neighbours; and what the three have in common."""
    lines = _aligned(image, phase)
    beside = (lines[:-2] + lines[2:]) / 2
    return lines[1:-1] - beside, (lines[1:-1] + beside) / 2


def _unlike(image: np.ndarray, weight: np.ndarray, phase: float) -> float:
    difference, _ = _against_neighbours(image, phase)
    return float((weight[1:-1] * difference**2).sum())


def _phase_step(image: np.ndarray, weight: np.ndarray, phase: float) -> np.ndarray:
    difference, common = _against_neighbours(image, phase)
    slope = derivative(common)
    sign = np.where(np.arange(1, len(image) - 1) % 2 == 0, 1.0, -1.0)[:, None]
    inside = weight[1:-1]
    parts = (-sign * inside * slope * difference / 2, inside * slope**2)
    # The first and the last line have one neighbour only and say nothing.
    return np.stack([np.pad(part.sum(1), 1) for part in parts], axis=1)
