"""The straight line of variance against mean of what the amplifier was given, and what it says of the dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.scan_lines import turned, without_lag
from fluosr.corrections.scan_moments import Moments, NoiseLine, band_sums, derivative, neighbours_mean
from fluosr.corrections.scan_result import root

OUTLIER = 12.0  # standard errors of a pixel's variance
FOURTH = 3.0  # fourth cumulant of the shot noise over (g F^2)^2 Var: (2 F^2 - 1) (3 F^2 - 2) / F^4, here F^2 = 2
DARK_PERCENT = 1.0
DARK_SIDE_PX = 5  # of the squares whose mean brightness is looked at

BY_THIRD = "where the third moment of the noise is 0"
BY_DARKEST = "the darkest pixels, taken to be without light; down to where the read noise would be none"

Line = Callable[[np.ndarray], tuple[float, float]]


def line_sums(moments: Moments, noise: NoiseLine, memory: float, return_parity: int | None) -> np.ndarray:
    """(bands, 2, 7) sums from which the line follows for any r: see :func:`line_from`.

    Weights and instruments are those of ``memory``: they need not be exact for the line to be right.
    """
    mean, variance = turned(moments.mean, return_parity), turned(moments.variance, return_parity)
    before = turned(moments.along, return_parity)  # [n - 1] is the product of pixel n and the one scanned before it
    kept, model, instrument = _kept(moments, noise, memory, return_parity)
    columns = (
        np.ones_like(model),
        mean[:, 1:],
        mean[:, :-1],
        variance[:, 1:],
        before,
        variance[:, :-1],
        _slopes_squared(moments, memory, return_parity),
    )
    return _by_instrument(kept / model**2, instrument, columns)


def _by_instrument(weight: np.ndarray, instrument: np.ndarray, columns: tuple[np.ndarray, ...]) -> np.ndarray:
    rows = (weight, weight * instrument)
    return np.stack([np.stack([band_sums(row * column) for column in columns], 1) for row in rows], axis=1)


def _slopes_squared(moments: Moments, memory: float, return_parity: int | None) -> np.ndarray:
    """m'^2 of each pixel but the first of its line, of the even and the odd frames, so that noise adds nothing."""
    first, second = (derivative(without_lag(half, memory, return_parity)) for half in moments.halves)
    return turned(first * second, return_parity)[:, 1:]


def _kept(
    moments: Moments, noise: NoiseLine, memory: float, return_parity: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel but the first of its line, as scanned: is it used; its variance, roughly; its instrument."""
    usable = turned(moments.repeats.usable, return_parity)
    variance, before = turned(moments.variance, return_parity), turned(moments.along, return_parity)
    beside = neighbours_mean(without_lag(moments.mean, memory, return_parity))
    instrument = turned(beside, return_parity)[:, 1:]
    unlagged = (1 + memory) / (1 - memory)
    model = turned(noise.doubt(beside), return_parity)[:, 1:] * unlagged
    found = (variance[:, 1:] - 2 * memory * before + memory**2 * variance[:, :-1]) / (1 - memory) ** 2
    # Few photons are no normal noise: a pixel's variance scatters by its fourth cumulant too, and a cut that did not
    # allow for it would take photons for outliers where it is dark.
    frames, photon = len(moments.residuals), noise.slope * unlagged
    spread = np.sqrt(2.0 * model**2 / (frames - 1) + FOURTH * photon**2 * model / frames)
    return usable[:, 1:] & usable[:, :-1] & (np.abs(found - model) < OUTLIER * spread), model, instrument


def third_sums(moments: Moments, noise: NoiseLine, memory: float, return_parity: int | None) -> np.ndarray:
    """(bands, 2, 8) sums from which the offset follows: see :func:`offset_from`."""
    mean, third = turned(moments.mean, return_parity), turned(moments.third, return_parity)
    left, right = moments.third_along
    # Where a line runs backwards, the left of two pixels is the later one.
    earlier, later = np.array(left), np.array(right)
    if return_parity is not None:
        earlier[return_parity::2], later[return_parity::2] = right[return_parity::2], left[return_parity::2]
    kept, model, instrument = _kept(moments, noise, memory, return_parity)
    columns = (
        np.ones_like(model),
        mean[:, 1:],
        mean[:, :-1],
        third[:, 1:],
        turned(later, return_parity),
        turned(earlier, return_parity),
        third[:, :-1],
        _slopes_squared(moments, memory, return_parity),
    )
    return _by_instrument(kept / model**3, instrument, columns)


def offset_from(sums: np.ndarray, memory: float, jitter_variance: float, slope: float) -> float:
    """Where the third cumulant of x is 0, of summed :func:`third_sums`: there is no light.

    Counts multiplied by any gain have a third cumulant in proportion to their mean, and normal read noise has none.
    Lines that jitter add 3 s_j^2 m'^2 times the slope of the variance.
    """
    ones, now, before, cube, later, earlier, cube_before, slopes = sums.T
    means = (now - memory * before) / (1 - memory)
    cubes = cube - 3 * memory * later + 3 * memory**2 * earlier - memory**3 * cube_before
    cubes = cubes / (1 - memory) ** 3 - 3 * slope * jitter_variance * slopes
    level, rise = np.linalg.lstsq(np.stack([ones, means], 1), cubes, rcond=None)[0]
    return float(-level / rise) if rise > 0 else float("nan")


def line_from(sums: np.ndarray, memory: float, jitter_variance: float) -> tuple[float, float]:
    """(slope, level) of Var x = slope E x + level, by instrumental variables, of summed :func:`line_sums`.

    With x_n = (y_n - r y_{n-1}) / (1 - r) mean and variance of x are polynomials in r of sums over y:

        E x = (E y_n - r E y_{n-1}) / (1 - r)
        Var x = (Var y_n - 2 r Cov(y_n, y_{n-1}) + r^2 Var y_{n-1}) / (1 - r)^2 - s_j^2 m'^2
    """
    ones, now, before, var_now, both, var_before, slopes = sums.T
    means = (now - memory * before) / (1 - memory)
    variances = (var_now - 2 * memory * both + memory**2 * var_before) / (1 - memory) ** 2
    variances = variances - jitter_variance * slopes
    level, slope = np.linalg.lstsq(np.stack([ones, means], 1), variances, rcond=None)[0]
    return float(slope), float(level)


def darkest(image: np.ndarray, usable: np.ndarray) -> float:
    """Brightness of the darkest hundredth of the squares of 5 x 5 pixels, ADU."""
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(image, DARK_SIDE_PX, mode="nearest")
    return float(np.percentile(smooth[usable], DARK_PERCENT))


@dataclass(frozen=True)
class Dark:
    """Offset and read noise.

    Args:
        offset_adu, read_noise_adu: with their intervals.
        how: where the offset is from, in words.
    """

    offset_adu: Interval
    read_noise_adu: Interval
    how: str


def offset_and_read_noise(
    line: Line,
    count: int,
    dark_adu: float,
    dark_error_adu: float,
    *,
    offset_adu: float | None = None,
    no_light: Callable[[np.ndarray], float] | None = None,
) -> Dark:
    """Both with their intervals, from the line and from one more thing.

    The line alone tells read_noise^2 - g F^2 offset. The offset is no higher than the darkest pixels, and no lower than
    where the variance would be 0. In between the third cumulant of the noise tells, where it is known well enough.

    Args:
        line: from the groups that take part, slope and level.
        count: of groups.
        dark_adu: brightness of the darkest pixels.
        dark_error_adu: its standard error.
        offset_adu: where it is known.
        no_light: from the groups that take part, where the third cumulant is 0, ADU; NaN where it does not tell.
    """

    def variance_at(level_adu: float) -> Interval:
        return root(jackknife(lambda chosen: line(chosen)[1] + line(chosen)[0] * level_adu, count))

    if offset_adu is not None:
        return Dark(Interval(offset_adu, offset_adu, offset_adu), variance_at(offset_adu), "given")
    highest = dark_adu + 3 * dark_error_adu  # the darkest of many squares is darker than it would be without noise
    no_noise = jackknife(lambda chosen: -line(chosen)[1] / line(chosen)[0], count)
    # Where even the darkest pixels are below it, the line is not straight down to there, by so much.
    bent = max(no_noise.value - dark_adu, 0.0)
    low, high = min(no_noise.low, dark_adu) - bent, highest + bent
    if no_light is not None:
        zero = jackknife(no_light, count)
        if low <= zero.high and zero.low <= high and zero.high - zero.low < high - low:
            value = min(max(zero.value, low), high)
            read = root(jackknife(lambda chosen: line(chosen)[1] + line(chosen)[0] * no_light(chosen), count))
            return Dark(Interval(value, max(zero.low, low), min(zero.high, high)), read, BY_THIRD)
    read, most = variance_at(dark_adu), variance_at(high)
    return Dark(Interval(dark_adu, low, high), Interval(read.value, 0.0, max(read.high, most.high)), BY_DARKEST)
