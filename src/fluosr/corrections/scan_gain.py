"""The straight line of variance against mean of what the amplifier was given, and what it says of the dark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.scan_lines import turned, without_lag
from fluosr.corrections.scan_moments import Moments, NoiseLine, band_sums, derivative, neighbours_mean
from fluosr.corrections.scan_result import root

OUTLIER = 12.0  # standard errors of a pixel's variance
FOURTH = 3.0  # fourth cumulant of the shot noise over (g F^2)^2 Var: (2 F^2 - 1) (3 F^2 - 2) / F^4, here F^2 = 2
DARK_PERCENT = 1.0
DARK_SIDE_PX = 5  # of the squares whose mean brightness is looked at

Line = Callable[[np.ndarray], tuple[float, float]]


def line_sums(moments: Moments, noise: NoiseLine, memory: float, return_parity: int | None) -> np.ndarray:
    """(bands, 2, 7) sums from which the line follows for any r: see :func:`line_from`.

    Weights and instruments are those of ``memory``: they need not be exact for the line to be right.
    """
    lag = (memory, return_parity)
    usable = turned(moments.repeats.usable, return_parity)
    mean, variance = turned(moments.mean, return_parity), turned(moments.variance, return_parity)
    before = turned(moments.along, return_parity)  # [n - 1] is the product of pixel n and the one scanned before it
    first, second = (turned(derivative(without_lag(half, *lag)), return_parity) for half in moments.halves)
    beside = neighbours_mean(without_lag(moments.mean, *lag))
    instrument = turned(beside, return_parity)[:, 1:]
    unlagged = (1 + memory) / (1 - memory)
    model = turned(noise.doubt(beside), return_parity)[:, 1:] * unlagged
    found = (variance[:, 1:] - 2 * memory * before + memory**2 * variance[:, :-1]) / (1 - memory) ** 2
    # Few photons are no normal noise: a pixel's variance scatters by its fourth cumulant too, and a cut that did not
    # allow for it would take photons for outliers where it is dark.
    frames, photon = len(moments.residuals), noise.slope * unlagged
    spread = np.sqrt(2.0 * model**2 / (frames - 1) + FOURTH * photon**2 * model / frames)
    kept = usable[:, 1:] & usable[:, :-1] & (np.abs(found - model) < OUTLIER * spread)
    weight = kept / model**2
    columns = (
        np.ones_like(model),
        mean[:, 1:],
        mean[:, :-1],
        variance[:, 1:],
        before,
        variance[:, :-1],
        (first * second)[:, 1:],
    )
    rows = (weight, weight * instrument)
    return np.stack([np.stack([band_sums(row * column) for column in columns], 1) for row in rows], axis=1)


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


def offset_and_read_noise(
    line: Line, count: int, dark_adu: float, dark_error_adu: float, offset_adu: float | None
) -> tuple[Interval, Interval]:
    """Both with their intervals, from the line and from one more thing: the offset, or that something is dark.

    The line alone tells read_noise^2 - g F^2 offset. The offset is no higher than the darkest pixels, and no lower than
    where the variance would be 0. In between nothing tells, unless it is given.

    Args:
        line: from the groups that take part, slope and level.
        count: of groups.
        dark_adu: brightness of the darkest pixels.
        dark_error_adu: its standard error.
        offset_adu: where it is known.
    """
    if offset_adu is not None:
        known = Interval(offset_adu, offset_adu, offset_adu)
        return known, root(jackknife(lambda chosen: line(chosen)[1] + line(chosen)[0] * offset_adu, count))
    highest = dark_adu + 3 * dark_error_adu  # the darkest of many squares is darker than it would be without noise
    no_noise = jackknife(lambda chosen: -line(chosen)[1] / line(chosen)[0], count)
    # Where even the darkest pixels are below it, the line is not straight down to there, by so much.
    bent = max(no_noise.value - dark_adu, 0.0)
    offset = Interval(dark_adu, min(no_noise.low, dark_adu) - bent, highest + bent)
    read = root(jackknife(lambda chosen: line(chosen)[1] + line(chosen)[0] * dark_adu, count))
    most = root(jackknife(lambda chosen: line(chosen)[1] + line(chosen)[0] * offset.high, count))
    return offset, Interval(read.value, 0.0, max(read.high, most.high))
