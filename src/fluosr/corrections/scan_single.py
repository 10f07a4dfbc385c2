"""A scanning microscope calibrated on single frames: less is known, and the intervals say so."""

from __future__ import annotations

import math

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.repeats import Repeats
from fluosr.corrections.scan_gain import darkest, offset_and_read_noise
from fluosr.corrections.scan_lines import displacement, find_phase, without_lag
from fluosr.corrections.scan_moments import BAND_LINES, MANY_FIELDS, NoiseLine, grouped, over_bands
from fluosr.corrections.scan_result import (
    LARGEST_MEMORY,
    NO_GROWTH,
    ONE_WAY,
    ScanCalibration,
    delay_px,
    looks_one_way,
    measured,
    odd_noise,
    root,
    time_constant,
)
from fluosr.errors import AcquisitionError

# Differences of fifth and of third order over lines of one parity, which are not displaced against each other: they
# leave noise and little of the sample; what they disagree in is the sample's.
FINE = np.array([1.0, -5.0, 10.0, -10.0, 5.0, -1.0]) / math.sqrt(252.0)
COARSE = np.array([1.0, -3.0, 3.0, -1.0]) / math.sqrt(20.0)
LINES = 6  # that take part
BESIDE_PX = ((-4, -3), (4, 5))  # columns whose brightness stands for that of columns 0 and 1
SMOOTHING = (1.0, 1.5)  # lines of one parity, pixels: of the image that tells what of the sample the differences leave
AROUND_PX = 2.0  # smoothing of the brightness by which lines are weighed
NOISE_PX = 0.7  # smoothing before the brightest are looked for: noise would double dim ones, more would blur fine ones
LARGEST_REST = 0.02  # square of that, over the noise's variance
LEAST_SMOOTH, SMOOTH_SHARE = 0.05, 0.2
SINGLE_BAND = 2 * BAND_LINES  # differences over six lines of one parity reach over eleven
SMALLEST_SINGLE_PX = 64
LEAST_PLACES = 500
TOO_SPOILT = (
    "hardly any pixels have none beside them that is saturated or cut off at zero, and one frame tells its noise only "
    "where they have none: give repeats, or frames with less light and a higher offset."
)
MEDIAN_OF_SQUARE = 0.4549  # of a standard normal variable's square
NOTHING_KNOWN = "one frame does not tell; no larger than lines differ from their neighbours"


def calibrate_single(
    fields: list[Repeats], *, offset_adu: float | None = None, bidirectional: bool | None = None
) -> ScanCalibration:
    """As :func:`fluosr.corrections.scan_calibration.calibrate_repeats`, from one frame of each field.

    The noise is what differences of high order over the lines leave, where the sample is smooth; of neighbours n, n + 1
    and n + 2 along the line, with h such a difference,

        r = (E h_n h_{n+1} - E h_n h_{n+2}) / (E h_n^2 - E h_n h_{n+1})
        Var x = E (h_n - h_{n+1})^2 (1 + r) / 2 (1 - r)^2

    in which a remainder of the sample that is wider than a pixel drops out. Brightness is that of columns beside, which
    have noise of their own. Intervals: jackknife over bands of lines or fields, widened by how far differences of third
    order disagree. Jitter has an upper end alone.

    Raises:
        AcquisitionError: the noise does not grow with the brightness.

    Source:
        After A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, IEEE Trans. Image Process. 17, 1737 (2008).
    """
    from scipy.ndimage import gaussian_filter

    warnings = [warning for field in fields for warning in field.warnings]
    _check_size(fields)
    looks = [[[_Look(field, kernel, parity) for parity in (0, 1)] for field in fields] for kernel in (FINE, COARSE)]
    every_look = [look for both in looks[0] for look in both]
    if sum(int(look.usable.sum()) for look in every_look) < LEAST_PLACES:
        raise AcquisitionError(TOO_SPOILT)
    noise = _noise(every_look)
    share = float(np.mean([look.smooth(noise).mean() for look in every_look]))
    if share < LEAST_SMOOTH:
        warnings.append(
            f"Only {share:.1%} of the pixels lie where the sample is smooth: gain and read noise may come out too high."
        )
    fine, coarse = (
        grouped([over_bands(both[0].sums(noise) + both[1].sums(noise), SINGLE_BAND) for both in each]) for each in looks
    )
    count = len(fine)

    def memory(chosen: np.ndarray, sums: np.ndarray = fine) -> float:
        own, next_, second = sums[chosen].sum(0)[0, 3:6]
        return float(np.clip((next_ - second) / max(own - next_, 1e-300), -LARGEST_MEMORY, LARGEST_MEMORY))

    def line(chosen: np.ndarray, sums: np.ndarray = fine) -> tuple[float, float]:
        r = memory(chosen, sums)
        ones, means, squares = sums[chosen].sum(0)[:, :3].T
        level, slope = np.linalg.lstsq(np.stack([ones, means], 1), squares, rcond=None)[0]
        scale = (1 + r) / (1 - r) ** 2
        return float(slope * scale), float(level * scale)

    every = np.arange(count)
    lag = widened(jackknife(memory, count), memory(every, coarse))
    gain = widened(jackknife(lambda chosen: line(chosen)[0], count), line(every, coarse)[0])
    if not gain.value > 0:
        raise AcquisitionError(NO_GROWTH)
    warnings += odd_noise(lag)
    images = [field.frames[0].astype(np.float64) for field in fields]
    weights = [
        field.usable / noise.variance(gaussian_filter(image, AROUND_PX))
        for field, image in zip(fields, images, strict=True)
    ]
    one_way = bidirectional is None and lag.low > 0 and looks_one_way(lag, displacement(images, weights))
    both_ways = not one_way if bidirectional is None else bidirectional
    kept = lag.value
    plain = [without_lag(image, kept, 1 if both_ways else None) for image in images]
    phase, steps = find_phase(plain, weights)
    phases = grouped([over_bands(step, SINGLE_BAND) for step in steps])

    def displaced(chosen: np.ndarray) -> float:
        top, bottom = phases[chosen].sum(0)
        return phase + float(top / max(bottom, 1e-300)) - delay_px(memory(chosen)) + delay_px(kept)

    dark = min(darkest(image, field.usable) for image, field in zip(plain, fields, strict=True))
    dark_error = math.sqrt(max(line(every)[1] + line(every)[0] * dark, 1e-12)) / 5
    darkness = offset_and_read_noise(line, count, dark, dark_error, offset_adu=offset_adu)
    offset, read = darkness.offset_adu, darkness.read_noise_adu
    read = widened(read, root(_at(line(every, coarse), offset.value)).value)
    read = Interval(read.value, max(read.low, 0.0), read.high)
    by = f"jackknife over {count} groups of {'fields' if len(fields) >= MANY_FIELDS else 'lines'}"
    found = {
        "gain_times_excess_adu_per_e": (gain, f"slope of local variance against brightness; {by}"),
        "offset_adu": (offset, darkness.how),
        "read_noise_adu": (read, f"local variance at the offset, before the lag; {by}"),
        "phase_px": (
            (jackknife(displaced, count), f"even and odd lines made alike, lag undone; {by}")
            if both_ways
            else (Interval(0.0, 0.0, 0.0), "none in a scan that goes one way")
        ),
        "jitter_px": (Interval(0.0, 0.0, _most_jitter(steps)), NOTHING_KNOWN),
        "lag_px": (
            time_constant(lag),
            f"r = {lag.value:.3g}, what neighbours along the lines share of the noise; {by}",
        ),
    }
    ways = "bidirectional, odd lines return" if both_ways else "one way"
    how = "assumed: one frame does not tell" if bidirectional is None else "given"
    return ScanCalibration(
        values={name: measured(name, *value) for name, value in found.items()},
        bidirectional=both_ways,
        even_lines_return=False,
        direction=ONE_WAY if one_way else f"{ways} ({how})",
        brightest_adu=float(np.mean([np.percentile(gaussian_filter(each, NOISE_PX), 99.9) for each in images]))
        - offset.value,
        fields=tuple(field.name for field in fields),
        frames=len(fields),
        way="single frame" if len(fields) == 1 else "single frames",
        bits=max(field.bits for field in fields),
        warnings=tuple(warnings),
    )


def _check_size(fields: list[Repeats]) -> None:
    for field in fields:
        height, width = field.frames.shape[1:]
        if min(height, width) < SMALLEST_SINGLE_PX:
            raise AcquisitionError(
                f"{field.name}: one frame of {height} x {width} pixels is too little to calibrate on: give repeats, or "
                f"a frame of at least {SMALLEST_SINGLE_PX} x {SMALLEST_SINGLE_PX}."
            )


def widened(interval: Interval, other: float) -> Interval:
    """With the distance to another estimate added to its reach, in quadrature."""
    low, high = (math.hypot(end - interval.value, other - interval.value) for end in (interval.low, interval.high))
    return Interval(interval.value, interval.value - low, interval.value + high)


def _at(line: tuple[float, float], level_adu: float) -> Interval:
    variance = line[1] + line[0] * level_adu
    return Interval(variance, variance, variance)


def _most_jitter(steps: list[np.ndarray]) -> float:
    """The lines' shifts against their neighbours, root mean square: noise and the sample's own course are in it.

    Half a line's distance from the mean of its two neighbours, of independent jitter s_j, has variance 3/8 s_j^2.
    """
    top, bottom = np.concatenate(steps).T
    return math.sqrt(float((top**2).sum()) / max(float((bottom**2).sum()), 1e-300) / 0.375)


def _noise(looks: list[_Look]) -> NoiseLine:
    """Variance against brightness by medians of slices: edges are few, and do not reach them."""
    mean = np.concatenate([look.beside[look.usable] for look in looks])
    squares = np.concatenate([look.squares[look.usable] for look in looks])
    return NoiseLine.through(mean, squares, typical=lambda part: float(np.median(part)) / MEDIAN_OF_SQUARE)


class _Look:
    """The lines of one parity of one frame, by one difference over them.

    Attributes (Y', X'), of places n in all lines that the differences reach:
        squares: (h_n - h_{n+1})^2 / 2, less the variance of rounding, ADU^2.
        beside, inside: brightness of the columns beside, and of n and n + 1.
        rest_squared: what the differences leave of the sample itself, squared, as a smoothed image has it.
        usable: all of them are.
    """

    def __init__(self, field: Repeats, kernel: np.ndarray, parity: int) -> None:
        from scipy.ndimage import gaussian_filter

        self.parity, self.n_lines = parity, field.frames.shape[1]
        image = field.frames[0, parity::2].astype(np.float64)
        sample = gaussian_filter(image, SMOOTHING, mode="nearest")
        left, right = BESIDE_PX
        first, last = -left[0], image.shape[1] - right[-1]
        height = len(image) - LINES + 1
        skip = (LINES - len(kernel)) // 2

        def over_lines(values: np.ndarray, weights: np.ndarray, start: int = 0) -> np.ndarray:
            parts = [w * values[start + k : start + k + height] for k, w in enumerate(weights)]
            return np.add.reduce(parts)

        high = over_lines(image, kernel, skip)
        mean = over_lines(image, np.full(LINES, 1.0 / LINES))
        rest = over_lines(sample, kernel, skip)

        def column(values: np.ndarray, step: int) -> np.ndarray:
            return values[:, first + step : last + step]

        h, beside, after = (column(high, step) for step in (0, 1, 2))
        self.squares = (h - beside) ** 2 / 2 - field.rounding_variance
        self.products = (
            (h**2 + beside**2) / 2 - field.rounding_variance,
            h * beside,
            (h * after + column(high, -1) * beside) / 2,
        )
        sides = [(column(mean, pair[0]) + column(mean, pair[1])) / 2 for pair in BESIDE_PX]
        self.beside = (sides[0] + sides[1]) / 2
        self.inside = (column(mean, 0) + column(mean, 1)) / 2
        self.rest_squared = np.maximum.reduce([column(rest, step) ** 2 for step in (-1, 0, 1, 2)])
        good = np.logical_and.reduce([field.usable[parity::2][k : k + height] for k in range(LINES)])
        self.usable = np.logical_and.reduce([column(good, step) for step in (*left, 0, 1, 2, *right)])

    def smooth(self, noise: NoiseLine) -> np.ndarray:
        """(Y', X') bool: usable, and little of the sample is left; at least the smoothest fifth."""
        rest = self.rest_squared / noise.variance(self.beside)
        smooth: np.ndarray = self.usable & (rest < LARGEST_REST)
        if smooth.mean() < LEAST_SMOOTH and self.usable.any():
            smooth = self.usable & (rest <= np.quantile(rest[self.usable], SMOOTH_SHARE))
        return smooth

    def sums(self, noise: NoiseLine) -> np.ndarray:
        """(Y, 2, 6) of each line: by weight and by weight times instrument, of 1, brightness, squares, products."""
        weight = self.smooth(noise) / noise.variance(self.beside) ** 2
        columns = (np.ones_like(weight), self.inside, self.squares, *self.products)
        rows = (weight, weight * self.beside)
        lines = np.zeros((self.n_lines, 2, len(columns)))
        # A difference over six lines of one parity is put down to the third of them.
        at = slice(self.parity + LINES - 2, self.parity + LINES - 2 + 2 * len(weight), 2)
        lines[at] = np.stack([np.stack([(row * value).sum(1) for value in columns], 1) for row in rows], axis=1)
        return lines
