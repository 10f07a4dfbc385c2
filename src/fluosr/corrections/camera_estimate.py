"""Gain, offset and read noise from the movie itself, by photon transfer, with how sure each of them is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.acquisition import CHUNK_BYTES, FrameSource
from fluosr.camera import TYPICAL_READ_NOISE_E, Camera
from fluosr.corrections.intervals import Interval

MAXIMUM_FRAMES = 400
MAXIMUM_SAMPLES = 4 * 10**8  # pixel values read: 400 frames of one megapixel
MAXIMUM_PIXELS = 200_000  # in the straight-line fit
MINIMUM_PIXELS = 50
ROUNDING_VARIANCE = 1.0 / 12.0  # of values rounded to whole ADU
NORMAL_95 = 1.96  # standard errors on either side of a 95 % interval
LARGEST_SLOPE_ERROR = 0.25  # a slope known worse than this is no gain


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """What one pass over pairs of successive frames says of every pixel, in the movie's own grey values.

    Attributes:
        mean: (Y, X) float64, ADU.
        variance: (Y, X) float64, ADU squared, of the differences of successive frames over sqrt 2: bleaching, drift and
            the sensor's fixed pattern do not enter.
        maximum: (Y, X) float64, ADU.
        at_floor: (Y, X) fraction of frames at the lowest value the dtype can hold (unsigned integers; else 0).
        saturation_level: the value that the movie cannot exceed: the dtype's largest, or one on which values pile up.
        neighbour_correlation: mean correlation of the differences of adjacent pixels, weighted by their variance. Shot
            and read noise give 0; emitters that fluctuate (or interpolated frames) more.
        n_frames: frames looked at.
        whole_numbers: whether the movie is stored as integers.
    """

    mean: np.ndarray
    variance: np.ndarray
    maximum: np.ndarray
    at_floor: np.ndarray
    saturation_level: float | None
    neighbour_correlation: float
    n_frames: int
    whole_numbers: bool


def pair_statistics(frames: FrameSource, *, max_frames: int = MAXIMUM_FRAMES) -> PairStatistics:
    """Read pairs of successive frames, spread evenly over the movie, a bounded number of bytes at a time.

    Args:
        frames: (T, Y, X) in ADU, T >= 2.
        max_frames: read at most this many (fewer for fields above a megapixel).
    """
    t, y, x = frames.shape
    affordable = max(20, MAXIMUM_SAMPLES // (y * x))
    n_pairs = max(1, min(t, max_frames, affordable) // 2)
    starts = np.unique(np.linspace(0, t - 2, n_pairs).round().astype(int) // 2 * 2)
    per_chunk = max(1, CHUNK_BYTES // (2 * y * x * 8))
    total, squares = np.zeros((y, x)), np.zeros((y, x))
    across, along = 0.0, 0.0
    maximum = np.full((y, x), -np.inf)
    floor_count = np.zeros((y, x))
    dtype = np.dtype(frames.dtype)
    top: dict[float, int] = {}  # the two highest values of the movie and how often they occur
    for begin in range(0, len(starts), per_chunk):
        chosen = starts[begin : begin + per_chunk]
        raw = frames.read(np.stack([chosen, chosen + 1], axis=1).ravel().tolist())
        values = raw.astype(np.float64)
        half = (values[1::2] - values[0::2]) / math.sqrt(2.0)
        total += values.sum(0)
        squares += (half * half).sum(0)
        across += float((half[:, :, 1:] * half[:, :, :-1]).sum() + (half[:, 1:] * half[:, :-1]).sum())
        along += float(
            (
                (half[:, :, 1:] ** 2).sum()
                + (half[:, :, :-1] ** 2).sum()
                + (half[:, 1:] ** 2).sum()
                + (half[:, :-1] ** 2).sum()
            )
            / 2
        )
        maximum = np.maximum(maximum, values.max(0))
        if dtype.kind == "u":
            floor_count += (raw == 0).sum(0)
        _count_top(top, values)
    n = 2 * len(starts)
    level = _saturation_level(top, dtype)
    return PairStatistics(
        mean=total / n,
        variance=squares / len(starts),
        maximum=maximum,
        at_floor=floor_count / n,
        saturation_level=level,
        neighbour_correlation=across / along if along > 0 else 0.0,
        n_frames=n,
        whole_numbers=dtype.kind in "iu",
    )


def _count_top(top: dict[float, int], values: np.ndarray) -> None:
    """Keep the counts of the two highest values seen."""
    highest = float(values.max())
    below = values[values < highest]
    for value in (highest, float(below.max()) if below.size else highest):
        top.setdefault(value, 0)
    for value in sorted(top)[:-2]:
        del top[value]
    for value in top:
        top[value] += int((values == value).sum())


def _saturation_level(top: dict[float, int], dtype: np.dtype) -> float | None:
    """The ceiling of the movie, or None where its highest values thin out as an unlimited signal's do."""
    highest = max(top)
    if dtype.kind in "iu" and highest >= np.iinfo(dtype).max:
        return highest
    if len(top) < 2:
        return None
    return highest if top[highest] >= 10 and top[highest] > 2 * top[min(top)] else None


@dataclass(frozen=True)
class _Line:
    """variance = slope * mean + intercept, with the covariance of the two."""

    slope: float
    intercept: float
    covariance: np.ndarray
    scatter: float  # robust spread of the residuals over what counting statistics allow

    @property
    def slope_error(self) -> float:
        return float(math.sqrt(max(self.covariance[0, 0], 0.0)))


def estimate_camera(
    frames: FrameSource,
    *,
    gain: float | None = None,
    offset: float | None = None,
    read_noise: float | None = None,
    statistics: PairStatistics | None = None,
) -> tuple[Camera, list[str]]:
    """Camera from the movie: photon transfer, the straight line of variance against mean over the pixels.

        variance = g mean + c,   c = (g read_noise)^2 - g offset  (+ 1/12 for rounding to whole ADU)

    A movie tells g and c, never offset and read noise apart: where neither is given a typical read noise is assumed and
    the offset follows. Given values are taken as they are, and the rest is made consistent with them.

    WARNS that emitters which fluctuate from frame to frame (blinking) add to the variance and so to the gain.

    Args:
        frames: (T, Y, X) in ADU, T >= 2.
        gain: ADU per photoelectron, where known.
        offset: ADU without light, where known.
        read_noise: electrons rms, where known.
        statistics: of these frames, where they were computed before.

    Returns:
        (camera with the certainty of each value, warnings in plain words).

    Raises:
        UsageError: a given value no camera can have.

    Source:
        J. Janesick, Photon Transfer (SPIE, 2007).
    """
    if gain is not None and offset is not None and read_noise is not None:
        known = tuple((name, "given") for name in ("gain_adu_per_e", "offset_adu", "read_noise_e"))
        return Camera(gain, offset, read_noise, known), []
    stats = statistics if statistics is not None else pair_statistics(frames)
    mean, variance, warnings = _usable_pixels(stats)
    if mean.size < MINIMUM_PIXELS:
        reason = (
            f"only {mean.size} pixels vary from frame to frame without being saturated, and {MINIMUM_PIXELS} are needed"
            if stats.variance.any()
            else "its frames are all identical"
        )
        return _fallback(stats, mean, variance, gain, offset, read_noise, reason, warnings)
    if gain is None:
        line, reason = _gain_line(stats, mean, variance, offset, read_noise)
        if reason:
            return _fallback(stats, mean, variance, gain, offset, read_noise, reason, warnings)
        # Light that the emitters themselves vary is shared by neighbours; what it adds to the slope is no larger than
        # about the neighbours' correlation, and enters the stated error.
        shared = max(stats.neighbour_correlation, 0.0)
        error = math.hypot(line.slope_error, line.slope * shared)
        value = line.slope
        sure = Interval(value, max(value - NORMAL_95 * error, 0.0), value + NORMAL_95 * error)
        gain_words = (
            f"estimated {value:.4g} +- {error:.2g} ({sure.ends()}) by photon transfer from {stats.n_frames} frames"
        )
        warnings.append(
            f"The gain was {gain_words} (ADU per photoelectron). Fluctuations of the emitters themselves, such as "
            "blinking, count as gain there: if the camera's gain is known, give it."
        )
        if shared > 0.05:
            warnings.append(
                f"Neighbouring pixels vary together from frame to frame (correlation {shared:.2f}): emitters blink, or "
                f"the frames were interpolated or compressed. The gain is uncertain by {shared:.0%} or more."
            )
        if line.scatter > 3.0:
            warnings.append(
                "The pixels' variance does not follow one straight line with their mean (scatter "
                f"{line.scatter:.1f} times that of counting): was the movie processed, or does it blink?"
            )
    else:
        value, gain_words = gain, "given"
        line = _intercept_line(stats, mean, variance, gain)
    return _complete(stats, value, gain_words, line, offset, read_noise, warnings)


def _usable_pixels(stats: PairStatistics) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(n,) mean, (n,) variance of the pixels fit for the line; and what was left out, in words."""
    warnings = []
    alive = stats.variance > 0
    saturated = np.zeros_like(alive)
    if stats.saturation_level is not None:
        saturated = stats.maximum >= stats.saturation_level
        warnings.append(
            f"{int(saturated.sum())} of {saturated.size} pixels reach the ceiling of {stats.saturation_level:g} ADU in "
            "some frames: they are saturated and were left out when the camera was estimated."
        )
    good = alive & ~saturated & np.isfinite(stats.variance) & np.isfinite(stats.mean)
    # Where the offset is low, noise below zero is cut off: the variance is too small there. Photon counts have honest
    # zeros, so this asks for enough brighter pixels before it leaves out the dark ones.
    brighter = good & (stats.at_floor < 0.01)
    if (good & ~brighter).any():
        if brighter.sum() >= 4 * MINIMUM_PIXELS and _spread(stats.mean[brighter]) > 0.3 * _spread(stats.mean[good]):
            good = brighter
        elif (zeros := float(stats.at_floor[good].mean())) > 0.02:
            warnings.append(
                f"{zeros:.0%} of the values are zero. If these are counts of photons, that is as it should be; if a "
                "background was subtracted, the noise below zero was cut off and the gain estimated is too high."
            )
    mean, variance = stats.mean[good], stats.variance[good]
    if mean.size > MAXIMUM_PIXELS:
        chosen = np.random.default_rng(0).choice(mean.size, MAXIMUM_PIXELS, replace=False)
        mean, variance = mean[chosen], variance[chosen]
    return mean, variance, warnings


def _spread(values: np.ndarray) -> float:
    low, high = np.percentile(values, (5, 95))
    return float(high - low)


def _rounding(stats: PairStatistics) -> float:
    return ROUNDING_VARIANCE if stats.whole_numbers else 0.0


def _robust_weights(variance: np.ndarray, model: np.ndarray, n_pairs: int) -> tuple[np.ndarray, float]:
    """(n,) weights 1 / var(variance), 0 for outliers; and the residuals' scatter over that of Gaussian counting."""
    expected = model * math.sqrt(2.0 / n_pairs)
    residual = (variance - model) / expected
    scatter = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    # A wide cut: a sample variance is skewed, and a narrow one would bend the line downwards.
    kept = np.abs(residual) < 6.0 * max(scatter, 1.0)
    return np.where(kept, 1.0 / expected**2, 0.0), scatter


def _fit_line(mean: np.ndarray, variance: np.ndarray, n_pairs: int) -> _Line:
    """Iteratively reweighted straight line with the sandwich estimate of its covariance."""
    centre = float(mean.mean())
    design = np.stack([mean - centre, np.ones_like(mean)], axis=1)
    floor = max(0.05 * float(np.median(variance)), 1e-300)
    # Medians of slices of equal count start the line where outliers cannot reach it.
    slices = np.array_split(np.argsort(mean), 10)
    xs = np.array([np.median(mean[s]) for s in slices]) - centre
    ys = np.array([np.median(variance[s]) for s in slices])
    coefficients = np.polyfit(xs, ys, 1) if np.ptp(xs) > 0 else np.array([0.0, float(np.median(ys))])
    scatter = 1.0
    for _ in range(20):
        model = np.maximum(design @ coefficients, floor)
        weight, scatter = _robust_weights(variance, model, n_pairs)
        normal = design.T @ (weight[:, None] * design)
        new = np.linalg.lstsq(normal, design.T @ (weight * variance), rcond=None)[0]
        done = np.allclose(new, coefficients, rtol=1e-6, atol=1e-12)
        coefficients = new
        if done:
            break
    residual = variance - design @ coefficients
    inverse = np.linalg.pinv(normal)
    meat = design.T @ ((weight * residual)[:, None] ** 2 * design)
    covariance = inverse @ meat @ inverse
    move = np.array([[1.0, 0.0], [-centre, 1.0]])
    slope, level = coefficients
    return _Line(float(slope), float(level - slope * centre), move @ covariance @ move.T, scatter)


def _gain_line(
    stats: PairStatistics, mean: np.ndarray, variance: np.ndarray, offset: float | None, read_noise: float | None
) -> tuple[_Line, str]:
    """The line, and why its slope cannot be a gain ('' where it can)."""
    n_pairs = stats.n_frames // 2
    if offset is not None and read_noise is not None:
        line = _line_through(mean, variance, n_pairs, offset, read_noise, _rounding(stats))
        good = line.slope > 0 and line.slope_error < LARGEST_SLOPE_ERROR * line.slope
        return line, "" if good else "the noise is no larger than the read noise given"
    line = _fit_line(mean, variance, n_pairs)
    spread = 1.4826**2 * float(np.median(np.abs(mean - np.median(mean)))) ** 2
    spread = max(spread, float(np.var(np.clip(mean, *np.percentile(mean, (1, 99))))))
    noise = float(np.mean(variance)) / stats.n_frames
    if spread < 10.0 * noise:
        return (
            line,
            "brightness differs between pixels by little more than its noise, so that the variance cannot be compared "
            "between bright and dark ones",
        )
    # Noise of the means flattens the line by up to noise / spread.
    widened = line.covariance + np.diag([(line.slope * noise / spread) ** 2, 0.0])
    line = _Line(line.slope, line.intercept, widened, line.scatter)
    if line.slope <= 0:
        return line, "the variance does not grow with the brightness: the movie was averaged, normalised or denoised"
    if line.slope_error > LARGEST_SLOPE_ERROR * line.slope:
        return line, f"the slope is too uncertain ({line.slope:.3g} +- {line.slope_error:.2g})"
    return line, ""


def _line_through(
    mean: np.ndarray, variance: np.ndarray, n_pairs: int, offset: float, read_noise: float, rounding: float
) -> _Line:
    """The line when offset and read noise are known: one unknown, read_noise^2 g^2 + (mean - offset) g = variance."""
    signal = mean - offset
    gain = max(float(np.median(variance)) / max(float(np.median(signal)), 1e-12), 1e-12)
    floor = max(0.05 * float(np.median(variance)), 1e-300)
    weight, scatter = np.ones_like(mean), 1.0
    for _ in range(20):
        model = np.maximum(gain * signal + (gain * read_noise) ** 2 + rounding, floor)
        weight, scatter = _robust_weights(variance, model, n_pairs)
        # The equation is weighted with the sensitivity to the gain, as least squares does.
        pull = weight * (signal + 2 * gain * read_noise**2)
        a, b, c = read_noise**2 * pull.sum(), pull @ signal, pull @ (variance - rounding)
        new = float(c / b) if a < 1e-12 * abs(b) else float((-b + math.sqrt(max(b * b + 4 * a * c, 0.0))) / (2 * a))
        done = abs(new - gain) < 1e-7 * abs(gain)
        gain = new
        if done or not gain > 0:
            break
    slope_of_model = signal + 2 * gain * read_noise**2
    residual = variance - (gain * signal + (gain * read_noise) ** 2 + rounding)
    curvature = float(weight @ slope_of_model**2)
    error = math.sqrt(float(((weight * slope_of_model * residual) ** 2).sum())) / max(curvature, 1e-300)
    intercept = (gain * read_noise) ** 2 + rounding - gain * offset
    return _Line(gain, intercept, np.diag([error**2, 0.0]), scatter)


def _intercept_line(stats: PairStatistics, mean: np.ndarray, variance: np.ndarray, gain: float) -> _Line:
    """The line of a known slope: robust weighted mean of variance - g mean."""
    intercept = float(np.median(variance - gain * mean))
    floor = max(0.05 * float(np.median(variance)), 1e-300)
    scatter = 1.0
    for _ in range(20):
        model = np.maximum(gain * mean + intercept, floor)
        weight, scatter = _robust_weights(variance, model, stats.n_frames // 2)
        if weight.sum() == 0:
            break
        new = float(np.average(variance - gain * mean, weights=weight))
        if abs(new - intercept) < 1e-9 * (1 + abs(intercept)):
            break
        intercept = new
    residual = variance - gain * mean - intercept
    error = math.sqrt(float(((weight * residual) ** 2).sum())) / max(float(weight.sum()), 1e-300)
    return _Line(gain, intercept, np.diag([0.0, error**2]), scatter)


def _complete(
    stats: PairStatistics,
    gain: float,
    gain_words: str,
    line: _Line,
    offset: float | None,
    read_noise: float | None,
    warnings: list[str],
) -> tuple[Camera, list[str]]:
    """Offset and read noise that go with the gain and the intercept."""
    c = line.intercept - _rounding(stats)
    read_words, offset_words = "given", "given"
    # d(offset) = -dc / g + (c / g^2 + read_noise^2) dg
    if offset is None:
        read_e = TYPICAL_READ_NOISE_E if read_noise is None else read_noise
        gradient = np.array([c / gain**2 + read_e**2, -1.0 / gain])
        error = math.sqrt(max(float(gradient @ line.covariance @ gradient), 0.0))
        ceiling = float(np.percentile(stats.mean, 1))
        # A dark frame cannot be brighter than the movie, nor (integers without sign) darker than zero.
        lowest = 0.0 if stats.mean.min() >= 0 else -math.inf
        found = ((gain * read_e) ** 2 - c) / gain
        offset = float(np.clip(found, lowest, max(ceiling, lowest)))
        how = f"assumed {offset:.4g}: "
        if offset != found:
            how += (
                f"kept between zero and the darkest pixels (the intercept alone would give {found:.4g} +- {error:.2g})"
            )
        else:
            how += f"from the intercept, +- {error:.2g}, for a read noise of {read_e:.3g} e"
        offset_words = how
        warnings.append(
            f"The offset (ADU) was {how}. A movie alone cannot tell offset and read noise apart; an error here only "
            "moves the background. Give --offset and --read-noise from a dark movie if the background matters."
        )
    if read_noise is None:
        squared = c + gain * offset
        read_noise = math.sqrt(max(squared, 0.0)) / gain
        gradient = np.array([offset, 1.0])
        error = math.sqrt(max(float(gradient @ line.covariance @ gradient), 0.0)) / (2 * gain**2)
        error /= max(read_noise, math.sqrt(error), 1e-12)
        known = offset_words == "given"
        sure = Interval(read_noise, max(read_noise - NORMAL_95 * error, 0.0), read_noise + NORMAL_95 * error)
        read_words = (
            f"estimated {read_noise:.3g} +- {error:.2g} ({sure.ends()}) from the intercept and the offset"
            if known
            else f"assumed {read_noise:.3g}: goes with the offset assumed"
        )
    certainty = (("gain_adu_per_e", gain_words), ("offset_adu", offset_words), ("read_noise_e", read_words))
    return Camera(gain, offset, read_noise, certainty), warnings


def _fallback(
    stats: PairStatistics,
    mean: np.ndarray,
    variance: np.ndarray,
    gain: float | None,
    offset: float | None,
    read_noise: float | None,
    reason: str,
    warnings: list[str],
) -> tuple[Camera, list[str]]:
    """A camera to go on with when the movie does not tell: grey values count as photoelectrons."""
    words = {"gain_adu_per_e": "given", "offset_adu": "given", "read_noise_e": "given"}
    assumed = []
    if gain is None:
        gain = 1.0
        words["gain_adu_per_e"] = "assumed 1: could not be estimated"
        assumed.append("a gain of 1 ADU per photoelectron")
    if offset is None:
        darkest = float(stats.mean.min())
        offset = min(0.0, darkest) if math.isfinite(darkest) else 0.0
        words["offset_adu"] = f"assumed {offset:.4g}: could not be estimated"
        assumed.append(f"an offset of {offset:.4g} ADU")
    if read_noise is None:
        read_noise = 0.0
        if variance.size:
            excess = float(np.median(variance)) - gain * (float(np.median(mean)) - offset)
            read_noise = math.sqrt(max(excess, 0.0)) / gain
        words["read_noise_e"] = f"assumed {read_noise:.3g}: what the shot noise leaves of the variance"
        assumed.append(f"a read noise of {read_noise:.3g} e")
    warnings.append(
        f"The camera could not be estimated from the movie: {reason}. Assumed: {', '.join(assumed)}. "
        "Photon numbers, and what is derived from the noise, are then only relative: give --gain, --offset and "
        "--read-noise if they are known."
    )
    return Camera(gain, offset, read_noise, tuple(words.items())), warnings
