"""How the emitters of a movie fluctuate, from the movie itself: Fano factor, memory, bleaching; a check of the gain.

Each with a 95 % interval. What neighbouring pixels share is free of shot and read noise; the movie is read twice, for
its bad pixels and in windows of time, and the scatter between windows says how sure each value is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.corrections.gain_doubt import gain_doubted
from fluosr.corrections.intervals import Interval, jackknife, student
from fluosr.corrections.lag_curve import Window, rate_of
from fluosr.corrections.neighbours import Balance, balance, pair_up, window_products
from fluosr.corrections.pixels import find_bad_pixels
from fluosr.errors import AcquisitionError
from fluosr.statistics import gather

FEWEST_FRAMES = 48
SHORTEST_WINDOW, LONGEST_WINDOW = 12, 100  # frames
WINDOWS = 10  # that a movie is divided into, within these bounds
MEMORY_LAGS = 3  # at which memory is looked for
LARGEST_SIDE = 192  # of the part of the field that is read, pixels
MOST_FRAMES = 2000
AT_THE_END = 0.98  # of the longest memory that is looked for, from which on it may be any longer
RESOLVED = 1 / 3  # of the longest memory that is looked for: shorter ones are told from it
LEAST = 1e-9  # of what is positive
EXCESS = 1.2  # times the variance of photons, that pixels surely have, from which on it is said


@dataclass(frozen=True)
class FluctuationEstimate:
    """How emitters fluctuate.

    Attributes:
        fano_factor: kappa, photons: variance over mean of a fine pixel's emission in one frame.
        memory_frames: 1 / r in frames: the time after which molecules have forgotten whether they were on,
            1 / r = t_on t_off / (t_on + t_off). None where frames show no memory; infinite upper end where it is as
            long as the windows of time, and kappa, which grows with it, is then known from below only.
        longest_memory_frames: upper end of the 95 % interval of the memory where none is seen.
        bleaching_frames: time in which the light falls to 1 / e, frames; infinite where it does not.
        gain_ratio: true gain over the one that the movie was opened with.
        frame_interval_s: seconds; None where not known.
        n_frames: frames looked at.
        divided_by: gain ratio by which the Fano factor was divided to be in true photons; 1 where the gain is believed.
    """

    fano_factor: Interval
    memory_frames: Interval | None
    longest_memory_frames: float
    bleaching_frames: Interval
    gain_ratio: Interval
    frame_interval_s: float | None
    n_frames: int
    divided_by: float = 1.0

    @property
    def fano_factor_as_opened(self) -> Interval:
        """kappa in photons of the gain that the movie was opened with."""
        return self.fano_factor.scaled(self.divided_by)

    @property
    def carries_nothing(self) -> bool:
        """Whether kappa may be 0: fluctuations then tell nothing that the mean does not."""
        return not self.fano_factor.low > 0

    @property
    def gain_is_wrong(self) -> bool:
        """Whether the frames vary surely less than their photons must."""
        return self.gain_ratio.high < 1.0

    @property
    def memory_s(self) -> Interval | None:
        """1 / r, seconds; None without memory, or where the frame interval is not known."""
        if self.memory_frames is None or self.frame_interval_s is None:
            return None
        return self.memory_frames.scaled(self.frame_interval_s)

    @property
    def bleaching_s(self) -> Interval | None:
        """Seconds; None where the frame interval is not known."""
        return None if self.frame_interval_s is None else self.bleaching_frames.scaled(self.frame_interval_s)

    def words(self, gain_adu_per_e: float) -> list[str]:
        """Everything in plain words.

        Args:
            gain_adu_per_e: the gain that the movie was opened with.
        """
        unit, scale = ("frames", 1.0) if self.frame_interval_s is None else ("s", self.frame_interval_s)
        lines = [f"Fano factor of the emitters (kappa, photons): {self.fano_factor}"]
        if self.memory_frames is not None:
            lines.append(
                f"memory of blinking, t_on t_off / (t_on + t_off): {self.memory_frames.scaled(scale)} {unit}; neither "
                "time is shorter, and where molecules are off for much longer than on it is the on time"
            )
        elif not self.carries_nothing:
            longest = self.longest_memory_frames * scale
            told = f"none seen, below {longest:.2g} {unit}" if longest > 0 else "none; frames vary independently"
            lines.append(f"memory of blinking: {told}")
        bleaching = self.bleaching_frames.scaled(scale)
        if math.isinf(bleaching.low):
            lines.append("bleaching time: none; the light does not fall")
        elif bleaching.low <= 0:
            lines.append("bleaching time: not known; some of the movie has no light above the offset")
        elif math.isinf(bleaching.high):
            lines.append(f"bleaching time: none seen, above {bleaching.low:.3g} {unit}")
        else:
            lines.append(f"bleaching time: {bleaching} {unit}")
        lines.append(f"gain from the noise that pixels do not share: {self.gain_ratio.scaled(gain_adu_per_e)} ADU / e")
        return lines

    def gain_warning(self, gain_adu_per_e: float) -> str | None:
        """What speaks against the gain, in plain words; None where nothing does.

        Args:
            gain_adu_per_e: the gain that the movie was opened with.
        """
        suggested = self.gain_ratio.scaled(gain_adu_per_e)
        if self.gain_ratio.low > EXCESS:
            return (
                f"Pixels vary {self.gain_ratio.value:.3g} times ({self.gain_ratio.ends()}) as much as their photons "
                f"make them at a gain of {gain_adu_per_e:.4g} ADU per electron: the gain is {suggested.value:.4g}, or "
                "the camera multiplies electrons (EM), or its read noise is larger than stated. The Fano factor is in "
                "photons of the gain stated."
            )
        if not self.gain_is_wrong:
            return None
        if suggested.low > 0:
            words = f"{suggested.value:.4g} ({suggested.ends()})"
            return gain_doubted(self.gain_ratio.value, "the shot noise", gain_adu_per_e, words)
        return (
            "The frames vary less than their photons must: of the noise that pixels do not share nothing is sure. "
            "They were interpolated, averaged or denoised, the PSF is wider than stated, or the offset or read "
            "noise is wrong; no gain explains them, and the Fano factor is not to be trusted. Give the movie as "
            "the camera took it, and its --fwhm."
        )

    def warnings(self, gain_adu_per_e: float) -> list[str]:
        """What is wrong, in plain words.

        Args:
            gain_adu_per_e: the gain that the movie was opened with.
        """
        doubt = self.gain_warning(gain_adu_per_e)
        found = [] if doubt is None else [doubt]
        if self.memory_frames is not None and math.isinf(self.memory_frames.high):
            found.append(
                f"Molecules blink so slowly (over {self.memory_frames.low:.3g} frames or more) that a movie of "
                f"{self.n_frames} frames does not tell how much they fluctuate: take the Fano factor, "
                f"{self.fano_factor}, as a lower bound. A longer movie, or fewer frames per second, would tell."
            )
        if self.carries_nothing:
            why = "includes 0" if self.fano_factor.holds(0.0) else "no emitters can have"
            found.append(
                f"The fluctuations carry nothing: kappa is {self.fano_factor}, which {why}. Methods that live on "
                "them show noise here; the mean frame has it all."
            )
        return found

    def describe(self) -> dict[str, Any]:
        """All of it, for the record."""
        return {
            "fano_factor": self.fano_factor.describe(),
            "memory_frames": None if self.memory_frames is None else self.memory_frames.describe(),
            "longest_memory_frames": self.longest_memory_frames,
            "bleaching_frames": self.bleaching_frames.describe(),
            "gain_ratio": self.gain_ratio.describe(),
            "frame_interval_s": self.frame_interval_s,
            "n_frames": self.n_frames,
        }


def estimate_fluctuations(acquisition: Acquisition, *, used: np.ndarray | None = None) -> FluctuationEstimate:
    """Fano factor, memory, bleaching time and gain of a movie.

    Bleaching and drift are slow, and are taken off each pixel as a parabola in each window of time; lamps that flicker
    and backgrounds that do not fluctuate are allowed for. What is wrong is said by
    :meth:`FluctuationEstimate.warnings`.

    WRONG where neighbours share noise: frames that were interpolated, compressed or denoised, and cells that move by
    themselves.

    Args:
        acquisition: the movie; of large ones the brightest part of the field and the first frames are read.
        used: (Y, X) bool, pixels to trust; by default all but hot, dead and saturated ones.

    Raises:
        AcquisitionError: too few frames, frames that are all identical, no usable pixel, light in one stretch of the
            movie only, or no contrast that fluctuations could be compared with.

    Source:
        Cov(y_p, y_q) = kappa sum_i A_pi A_qi x_i of the forward model (:mod:`fluosr.forward`).
    """
    if acquisition.n_frames < FEWEST_FRAMES:
        raise AcquisitionError(
            f"{acquisition.name}: {acquisition.n_frames} frames are too few to say how its emitters fluctuate; at "
            f"least {FEWEST_FRAMES} are needed."
        )
    part, trusted = _brightest_part(acquisition, used)
    if trusted is None:
        trusted = _good_pixels(part)
    n_frames = part.n_frames
    window = Window(min(LONGEST_WINDOW, max(SHORTEST_WINDOW, n_frames // WINDOWS)))
    pairs = pair_up(part, trusted)
    found = list(window_products(part, pairs, window))
    sums = balance(pairs, found, window, part.camera.read_variance)
    if not (sums.light.sum() > 0 and sums.shot.sum() > 0):
        raise AcquisitionError(
            f"{acquisition.name}: the mean frame shows no contrast, so that fluctuations cannot be compared with light."
        )
    if min((side.sum() - side).min() for side in (sums.light, sums.shot)) <= 0:
        raise AcquisitionError(
            f"{acquisition.name}: nearly all of the light is in one stretch of {window.n_frames} frames; fluctuations "
            "are told from several. Leave the dark frames out (--frames)."
        )
    memory = _memory_is_seen(sums, window)
    fano = _fano(sums, window, memory)
    if memory and not fano.low > 0:
        # Slow blinking tells kappa over the memory, and each by itself within a factor: an interval of the logarithm.
        # Where even bursts without memory are not seen, nothing is.
        alone = _fano(sums, window, False)
        memory = alone.low > 0
        fano = _of_logarithm(lambda chosen: _kappa(sums, window, chosen, True)[0], len(found)) if memory else alone
    gain = jackknife(lambda chosen: _gain_ratio(sums, window, chosen, memory), len(found))
    # In true photons. A gain that may be right is believed: what it is measured with would only add noise. One that may
    # be nil is no gain at all, and to divide by it would make a movie that plainly fluctuates seem still.
    # Pixels that vary more than their photons do so for many reasons, such as the excess noise of an EM register.
    divided = gain.low > 0 and gain.high < 1.0

    def in_photons(kappa: float, chosen: np.ndarray) -> float:
        return kappa / _gain_ratio(sums, window, chosen, memory) if divided else kappa

    if divided:
        interval = _of_logarithm if fano.low > 0 else jackknife
        fano = interval(lambda chosen: in_photons(_kappa(sums, window, chosen, memory)[0], chosen), len(found))
    remembered = _memory(sums, window) if memory else None
    if remembered is not None and remembered.value > AT_THE_END / window.slowest:
        # Between this memory and a third of it windows show the same but for the scale: kappa over the memory.
        least = RESOLVED / window.slowest
        lowest = jackknife(
            lambda chosen: in_photons(_kappa_of_rate(sums, window, chosen, 1.0 / least), chosen), len(found)
        )
        remembered = Interval(remembered.value, min(remembered.low, least), math.inf)
        fano = Interval(fano.value, min(fano.low, lowest.low), math.inf)
    longest = 0.0 if memory else _longest_memory(sums, window)
    if longest > 0 and fano.low > 0:
        # A memory that is not seen may be there all the same, and kappa is the larger, the longer it is.
        most = jackknife(
            lambda chosen: in_photons(_kappa_of_rate(sums, window, chosen, 1.0 / longest), chosen), len(found)
        )
        bounded = longest < 1.0 / window.slowest
        fano = Interval(fano.value, fano.low, max(fano.high, most.high) if bounded else math.inf)
    return FluctuationEstimate(
        fano,
        remembered,
        longest,
        _bleaching(sums.trace, window.n_frames),
        gain,
        acquisition.frame_interval_s,
        n_frames,
        gain.value if divided else 1.0,
    )


def _brightest_part(acquisition: Acquisition, used: np.ndarray | None) -> tuple[Acquisition, np.ndarray | None]:
    """The part of a large field with most contrast, and the first frames of a long movie."""
    height, width = acquisition.field_shape
    frames = range(min(acquisition.n_frames, MOST_FRAMES))
    if max(height, width) <= LARGEST_SIDE:
        return acquisition.select(frames=frames), used
    from scipy.ndimage import uniform_filter

    looked = np.mean(acquisition.photons(slice(0, FEWEST_FRAMES, FEWEST_FRAMES // 8)), axis=0, dtype=float)
    sides = [min(LARGEST_SIDE, n) for n in (height, width)]
    energy = uniform_filter((looked - np.median(looked)) ** 2, sides, mode="constant")
    y, x = (int(n) for n in np.unravel_index(int(energy.argmax()), energy.shape))
    y, x = (min(max(0, c - side // 2), n - side) for c, side, n in zip((y, x), sides, (height, width), strict=True))
    where = (y, x, sides[0], sides[1])
    cut = None if used is None else used[y : y + sides[0], x : x + sides[1]]
    return acquisition.select(frames=frames, window=where), cut


def _good_pixels(part: Acquisition) -> np.ndarray:
    """(Y, X) bool: a single hot pixel has more contrast than the sample."""
    statistics = gather(part)
    if not statistics.variance.any():
        raise AcquisitionError(f"{part.name}: all {part.n_frames} frames are identical, so that nothing fluctuates.")
    bad = find_bad_pixels(
        statistics.mean,
        statistics.variance,
        n_frames=statistics.n_frames,
        saturated_fraction=statistics.at_ceiling,
        fwhm_px=part.psf.fwhm_nm / part.pixel_size_nm,
    )
    if bad.mask.all():
        raise AcquisitionError(f"{part.name}: no usable pixel is left: {' '.join(bad.warnings())}")
    return ~bad.mask


def _kappa(sums: Balance, window: Window, chosen: np.ndarray, memory: bool) -> tuple[float, float]:
    """kappa in units of the movie as it was opened, and the switching rate per frame."""
    if memory:
        rate, variance = window.fit(sums.shared[chosen].sum(0))
        return variance / float(sums.light[chosen].sum()), rate
    return _kappa_of_rate(sums, window, chosen, math.inf), math.inf


def _kappa_of_rate(sums: Balance, window: Window, chosen: np.ndarray, rate: float) -> float:
    """The same where the switching rate per frame is known."""
    products, shape = sums.shared[chosen].sum(0), window.expected(rate)
    return float(shape @ products / (shape @ shape)) / float(sums.light[chosen].sum())


def _fano(sums: Balance, window: Window, memory: bool) -> Interval:
    return jackknife(lambda chosen: _kappa(sums, window, chosen, memory)[0], len(sums.light))


def _gain_ratio(sums: Balance, window: Window, chosen: np.ndarray, memory: bool) -> float:
    """Variance that neighbours do not share over mean: 1 where the gain is right."""
    kappa, rate = _kappa(sums, window, chosen, memory)
    fluctuating = kappa * float(sums.own_light[chosen].sum()) * float(window.expected(rate)[0])
    return (float(sums.own[chosen].sum()) - fluctuating) / (window.degrees * float(sums.shot[chosen].sum()))


def _memory_is_seen(sums: Balance, window: Window) -> bool:
    """Whether neighbours share something from one frame to the next few, beyond chance."""
    none, lags = window.expected(math.inf), slice(1, 1 + MEMORY_LAGS)
    # What the window's trend leaves at these lags is below 0 without any memory, by much where windows are short.
    later = sums.shared[:, lags].sum(1) - sums.shared[:, 0] * none[lags].sum() / none[0]
    return bool(later.mean() > student(len(later) - 1) * later.std(ddof=1) / math.sqrt(len(later)) > 0)


def _memory(sums: Balance, window: Window) -> Interval:
    """1 / r in frames."""
    return _of_logarithm(lambda chosen: 1.0 / _kappa(sums, window, chosen, True)[1], len(sums.light))


def _of_logarithm(estimate: Callable[[np.ndarray], float], count: int) -> Interval:
    """The interval of a positive value from the scatter of its logarithm."""
    found = jackknife(lambda chosen: math.log(max(estimate(chosen), LEAST)), count)
    return Interval(*(math.exp(min(end, 700.0)) for end in (found.value, found.low, found.high)))


def _longest_memory(sums: Balance, window: Window) -> float:
    """The memory at which the covariance at lag 1 would just reach the upper end of its interval."""
    same, shape = window.expected(math.inf), window.mixing

    def correlation(chosen: np.ndarray) -> float:
        products = sums.shared[chosen].sum(0)
        first = float(same @ products / (same @ same))
        left = products - first * same  # the window's trend leaves a little at every lag
        return float(left[1] / shape[1, 1]) / first if first > 0 else 0.0

    return 1.0 / rate_of(min(jackknife(correlation, len(sums.light)).high, 1.0 - 1e-6))


def _bleaching(trace: np.ndarray, n_frames: int) -> Interval:
    """Frames in which the light falls to 1 / e, from (n,) mean light of windows of ``n_frames`` frames each."""
    if trace.min() <= 0:
        return Interval(math.inf, 0.0, math.inf)
    time = n_frames * (np.arange(len(trace)) - (len(trace) - 1) / 2)
    decay = -float(time @ np.log(trace) / (time @ time))
    residual = np.log(trace) - np.log(trace).mean() + decay * time
    error = math.sqrt(float((residual**2).sum()) / max(1, len(trace) - 2) / float(time @ time))
    reach = student(len(trace) - 2) * error
    return Interval(decay, decay - reach, decay + reach).inverse()
