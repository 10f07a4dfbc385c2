"""A movie put right before a method sees it: at rest, of even brightness, without pixels that lie; still on disk.

FluoGAN keeps drift and bleaching in its model and does not come here. Methods that compare a pixel with itself over
time need frames that can be compared: each block of frames is shifted back by its drift (cubic splines), each frame is
scaled to the movie's mean brightness, and the values of bad pixels are put together from their neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from fluosr.acquisition import CHUNK_BYTES, Acquisition
from fluosr.camera import Camera
from fluosr.corrections.drift import Drift, estimate_drift
from fluosr.corrections.gain_doubt import noise_doubts
from fluosr.corrections.pixels import find_bad_pixels
from fluosr.errors import AcquisitionError
from fluosr.statistics import MovieStatistics, gather

LARGEST_DRIFT_PX = 3.0
BLEACHED = 0.05  # of the first light: frames dimmer than that are noise made bright
LEAST_BLEACHING = 0.02  # change of the trend under which frames are left as they are
TREND_WINDOW = 0.1  # of the movie, over which the bleaching curve is smoothed


@dataclass(frozen=True, eq=False)
class CorrectedMovie:
    """A movie whose frames come corrected, a bounded number of bytes at a time.

    Attributes:
        acquisition: where the frames come from, and their optics and camera.
        statistics: of the frames as they were.
        members: (T',) numbers of the frames that take part, ascending.
        used: (Y, X) bool, False for bad pixels, whose values are made from their neighbours.
        shifts: (B, 2) (dy, dx) of each block of ``statistics``, camera pixels; zeros where nothing is corrected.
        scale: (T,) what each frame is multiplied with, so that all are as bright as the movie's mean.
        warnings: what the reader should know, in plain words.
        notes: what was found, for the record.
    """

    acquisition: Acquisition
    statistics: MovieStatistics
    members: np.ndarray
    used: np.ndarray
    shifts: np.ndarray
    scale: np.ndarray
    warnings: tuple[str, ...] = ()
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Frames that take part."""
        return len(self.members)

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.acquisition.field_shape

    @property
    def fwhm_px(self) -> float:
        """FWHM of the PSF, camera pixels."""
        return self.acquisition.psf.fwhm_nm / self.acquisition.pixel_size_nm

    def noise_variance(self, expected: np.ndarray) -> np.ndarray:
        """(Y, X) variance of one corrected frame, averaged over the frames, by photon and read noise.

        Args:
            expected: (Y, X) photoelectrons that a corrected frame shows. A frame scaled up by s held 1 / s of them:
                its noise is s times theirs, and the camera's s^2 times its own.
        """
        scale = self.scale[self.members]
        read_variance = self.acquisition.camera.read_variance
        return np.clip(expected, 0.0, None) * float(scale.mean()) + read_variance * float((scale**2).mean())

    @property
    def unevenness(self) -> float:
        """mean(s^2) / mean(s)^2 of the factors by which frames are scaled: 1 where all are alike."""
        scale = self.scale[self.members]
        return float((scale**2).mean() / scale.mean() ** 2)

    def part(self, which: int, run_length: int = 1) -> CorrectedMovie:
        """One of two halves that share no frame.

        Args:
            which: 0 or 1.
            run_length: consecutive frames dealt to a half before the other has its turn: 1 gives even and odd frames;
                methods with a time lag need longer runs.
        """
        turn = (np.arange(self.n_frames) // run_length) % 2
        return self.select(self.members[turn == which])

    def select(self, members: np.ndarray) -> CorrectedMovie:
        """The same movie with only these frames, by their numbers."""
        return replace(self, members=np.asarray(members))

    def chunks(self, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The frames that take part, once through.

        Args:
            start: how many of them to skip.

        Yields:
            (k,) frame numbers and (k, Y, X) float32 corrected frames, photoelectrons. Frames are neighbours in time
            where their numbers are.

        Raises:
            AcquisitionError: NaN or infinite values.
        """
        y, x = self.field_shape
        step = max(1, CHUNK_BYTES // (y * x * 4))
        for first in range(start, self.n_frames, step):
            numbers = self.members[first : first + step]
            yield numbers, self._corrected(numbers)

    def _corrected(self, numbers: np.ndarray) -> np.ndarray:
        consecutive = len(numbers) > 0 and int(numbers[-1]) - int(numbers[0]) == len(numbers) - 1
        where = slice(int(numbers[0]), int(numbers[-1]) + 1) if consecutive else [int(n) for n in numbers]
        frames = self._repaired(self.acquisition.photons(where))
        scale = self.scale[numbers]
        if (scale != 1.0).any():
            frames = frames * scale[:, None, None].astype(np.float32)
        if self.shifts.any():
            blocks = self.statistics.block_of_frame()[numbers]
            for i, b in enumerate(blocks):
                if self.shifts[b].any():
                    frames[i] = _moved_back(frames[i], self.shifts[b])
        return frames

    def _repaired(self, frames: np.ndarray) -> np.ndarray:
        """Bad pixels replaced by the mean of the good ones nearest to them; a copy where there are any."""
        if self.used.all():
            return frames
        frames = frames.copy()
        for y, x, neighbours in self._neighbours():
            frames[:, y, x] = frames[:, neighbours[0], neighbours[1]].mean(1)
        return frames

    def _neighbours(self) -> Iterator[tuple[int, int, tuple[np.ndarray, np.ndarray]]]:
        good_y, good_x = np.nonzero(self.used)
        for y, x in np.argwhere(~self.used):
            distance = (good_y - y) ** 2 + (good_x - x) ** 2
            nearest = distance <= distance.min() + 1e-9
            yield int(y), int(x), (good_y[nearest], good_x[nearest])


def correct(
    acquisition: Acquisition,
    *,
    drift: bool = True,
    bleaching: bool = True,
    bad_pixels: bool = True,
    doubt_gain: bool = True,
    advance: Callable[[int], None] | None = None,
) -> CorrectedMovie:
    """Read a movie once and find what has to be put right.

    Args:
        acquisition: the movie.
        drift, bleaching, bad_pixels: which corrections to make; what is not significant is not corrected.
        doubt_gain: say so where the noise speaks against the gain.
        advance: called with the number of frames read since the last call.

    Raises:
        AcquisitionError: NaN or infinite values, no usable pixel, or light that is gone from the start.
    """
    statistics = gather(acquisition, advance)
    warnings: list[str] = []
    notes: dict[str, object] = {}
    warnings += light_warnings(statistics, acquisition.camera, doubt_gain=doubt_gain)
    fwhm_px = acquisition.psf.fwhm_nm / acquisition.pixel_size_nm
    used = np.ones(acquisition.field_shape, bool)
    if bad_pixels:
        bad = find_bad_pixels(
            statistics.mean,
            statistics.variance,
            n_frames=statistics.n_frames,
            saturated_fraction=statistics.at_ceiling,
            fwhm_px=fwhm_px,
        )
        used = ~bad.mask
        if not used.any():
            raise AcquisitionError(f"no usable pixel is left: {' '.join(bad.warnings())}")
        warnings += [w.replace("they were left out", "their neighbours took their place") for w in bad.warnings()]
        notes["bad_pixels"] = int(bad.mask.sum())
    members = np.arange(statistics.n_frames)
    scale = np.ones(statistics.n_frames)
    if bleaching:
        scale, members = _bleaching(statistics, warnings, notes)
    shifts = np.zeros((statistics.counts.shape[1], 2))
    if drift:
        found = _drift(statistics, fwhm_px, used, warnings)
        if found is not None:
            shifts = found.shifts
            notes["drift_px"] = {"rms": round(found.rms_px, 3), "range": round(found.range_px, 3)}
    return CorrectedMovie(acquisition, statistics, members, used, shifts, scale, tuple(warnings), notes)


def light_warnings(statistics: MovieStatistics, camera: Camera, *, doubt_gain: bool = True) -> list[str]:
    """What is wrong with a movie's light as such, in plain words."""
    warnings = noise_doubts(statistics, camera, gain=doubt_gain)
    if float(statistics.mean.max()) < 0:
        warnings.append("The offset lies above all light of the movie: check --offset (ADU).")
    black = int(statistics.black_frames().sum())
    if black:
        warnings.append(
            f"{black} of {statistics.n_frames} frames are black between bright ones (shutter, lamp, alternating "
            "illumination?): what they add is taken for noise. Leave them out, as with --frames 0::2."
        )
    return warnings


def _drift(statistics: MovieStatistics, fwhm_px: float, used: np.ndarray, warnings: list[str]) -> Drift | None:
    if statistics.counts.shape[1] < 2:
        return None
    drift = estimate_drift(
        statistics.block_means(), statistics.counts.sum(0), fwhm_px=fwhm_px, pixel_weight=used.astype(float)
    )
    warnings += drift.warnings()
    if not drift.significant:
        return None
    warnings.append(f"The sample drifts by {drift.rms_px:.2f} pixels rms; frames were shifted back.")
    return drift


def _bleaching(
    statistics: MovieStatistics, warnings: list[str], notes: dict[str, object]
) -> tuple[np.ndarray, np.ndarray]:
    """(T,) scale of each frame and the numbers of the frames that still hold light."""
    trace = statistics.trace.astype(float)
    members = np.arange(len(trace))
    trend = smooth_trend(trace)
    noise = np.abs(np.diff(trace)).mean() * math.sqrt(math.pi) / 2  # of one frame's mean
    window = max(1, int(TREND_WINDOW * len(trace)))
    start, whole = float(trend[:window].mean()), float(trace.mean())
    change = float(np.ptp(trend))
    if whole <= 0 or start <= 0 or change < LEAST_BLEACHING * whole or change < 5.0 * noise / math.sqrt(window):
        return np.ones(len(trace)), members
    dark = trend < BLEACHED * start
    if dark.any() and dark[-1]:
        last = int(np.flatnonzero(~dark)[-1]) + 1
        members = members[:last]
        warnings.append(
            f"The sample bleaches to nothing: frames from {last} on hold less than {100 * BLEACHED:.0f} % of the first "
            "light and were left out."
        )
    kept = trend[members]
    left = float(kept[-window:].mean()) / start
    notes["light_left"] = round(left, 3)
    words = "bleaches to" if left < 1 else "brightens to"
    warnings.append(f"The sample {words} {100 * left:.0f} % of its first light; frames were scaled to their mean.")
    scale = np.ones(len(trace))
    scale[members] = float(trace[members].mean()) / np.maximum(kept, BLEACHED * start)
    # What the movie holds in all stays the same: the mean frame keeps its photons.
    scale[members] *= trace[members].sum() / (scale[members] * trace[members]).sum()
    return scale, members


def smooth_trend(trace: np.ndarray) -> np.ndarray:
    """(T,) a trace without its frame-to-frame noise: lines fitted to the frames around each, with tricube weights."""
    count = len(trace)
    reach = max(2, int(TREND_WINDOW * count))
    step = np.arange(-reach, reach + 1)
    weight = (1.0 - (np.abs(step) / (reach + 1)) ** 3) ** 3

    def moment(values: np.ndarray, order: int) -> np.ndarray:
        return np.convolve(values, (weight * step**order)[::-1])[reach : reach + count]

    ones = np.ones(count)
    s0, s1, s2 = (moment(ones, k) for k in range(3))
    t0, t1 = (moment(trace, k) for k in range(2))
    return (s2 * t0 - s1 * t1) / (s0 * s2 - s1**2)


def _moved_back(frame: np.ndarray, shift: np.ndarray) -> np.ndarray:
    from scipy.ndimage import shift as move

    moved: np.ndarray = move(frame, -shift, order=3, mode="nearest")
    return moved
