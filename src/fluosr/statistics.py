"""What a method needs to know of a movie without holding it: means by block and by half, variance, saturation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.camera import Value
from fluosr.errors import AcquisitionError

MAXIMUM_BLOCKS = 50
PIXELS_PER_MEAN = 16
SAMPLING_ERRORS = 4.0  # from 1 before an excess of noise is believed
LEAST_EXCESS = 1e-2
LEAST_SLOW_EXCESS = 1.2  # over the fast one: slow noise under it is not told apart from what bleaching leaves over
FEWEST_BLOCKS = 10  # that slow noise is looked for in
FEWEST_PIXELS = 64  # likewise
MAXIMUM_PIXELS = 65_536  # likewise


BLACK, BLACK_REACH = 0.1, 8  # share of its neighbours' light that a black frame has at the most; frames
GONE = 0.05  # share of the movie's light below which no frame is bright


@dataclass(frozen=True, eq=False)
class MovieStatistics:
    """Sufficient statistics of a movie, gathered in one pass, a bounded number of bytes at a time.

    Frames are dealt alternately to two halves (even, odd), which see the same bleaching and drift but independent
    noise; each half's frames are averaged within consecutive blocks of time, so that drift can be found and put
    into the operator.

    Attributes:
        sums: (2, B, Y, X) float32, photoelectrons summed over the frames of half h in block b.
        counts: (2, B) frames in each.
        variance: (Y, X) float32, temporal variance, half the mean square of successive differences: bleaching and drift
            do not enter it.
        at_ceiling: (Y, X) float32, fraction of the frames in which the pixel had the dtype's largest value.
        trace: (T,) float32, mean of each frame: the bleaching curve.
        shared: (2, Y, X) float32, half the mean product of successive differences of a pixel and of its neighbour below
            (0) or to the right (1); 0 where there is none. Neighbours share no shot and no read noise: its mean is 0.
    """

    sums: np.ndarray
    counts: np.ndarray
    variance: np.ndarray
    at_ceiling: np.ndarray
    trace: np.ndarray
    shared: np.ndarray

    @property
    def n_frames(self) -> int:
        """Frames counted."""
        return int(self.counts.sum())

    @property
    def mean(self) -> np.ndarray:
        """(Y, X) float32, the mean frame, photoelectrons."""
        return (self.sums.sum((0, 1)) / self.n_frames).astype(np.float32)

    def block_means(self) -> np.ndarray:
        """(B, Y, X) float32, mean of all frames of each block."""
        return self.sums.sum(0) / self.counts.sum(0)[:, None, None]

    def block_of_frame(self) -> np.ndarray:
        """(T,) the block each frame belongs to."""
        return np.repeat(np.arange(self.counts.shape[1]), self.counts.sum(0))

    def grouped(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Blocks merged into groups that share a shift.

        Args:
            labels: (B,) group of each block, 0 ... K-1.

        Returns:
            means (2, K, Y, X) float32 of each half in each group, and counts (2, K).
        """
        n_groups = int(labels.max()) + 1
        counts = np.stack([self.counts[:, labels == k].sum(1) for k in range(n_groups)], axis=1)
        sums = np.stack([self.sums[:, labels == k].sum(1) for k in range(n_groups)], axis=1)
        return (sums / np.maximum(counts, 1)[:, :, None, None]).astype(np.float32), counts

    def excess_noise(self, read_variance: Value, *, used: np.ndarray | None = None, drifting: bool = False) -> float:
        """Variance of the mean frame over what Poisson and read noise predict; 1 without blinking.

        The larger of two measures. The difference of the halves shows what changes from frame to frame: blinking, model
        (3)'s inner Poisson, a gain that is off. What is slower than about two frames cancels in it; the scatter of the
        means of blocks shows that, where it is surely above the first. Neither sees what all frames share.

        Args:
            read_variance: of the camera's read noise, electrons squared; one, or (Y, X).
            used: (Y, X) bool, pixels to trust in the second measure; all by default.
            drifting: the sample moves from block to block. Each block then shows another image, which is not told apart
                from emitters that change: the second measure is left out.
        """
        fast = self._fast_excess(read_variance)
        return fast if drifting else max(fast, self._slow_excess(read_variance, fast, used))

    def black_frames(self) -> np.ndarray:
        """(T,) bool: frames with less than a tenth of the light that frames shortly before and after them have.

        Of a movie that has bleached to nothing the last frames are noise around zero, and none of them is bright.
        """
        from scipy.ndimage import maximum_filter1d

        reach = BLACK_REACH
        before = maximum_filter1d(self.trace, reach + 1, origin=reach // 2, mode="nearest")
        after = maximum_filter1d(self.trace, reach + 1, origin=-(reach // 2), mode="nearest")
        around = np.minimum(before, after)
        return (self.trace < BLACK * around) & (around > GONE * np.quantile(self.trace, 0.95))

    def fluctuation_significance(self, used: np.ndarray) -> float:
        """Standard deviations by which neighbouring pixels change together from frame to frame; 0 without fluctuations.

        Emitters that fluctuate light several pixels at once, noise does not. A lamp that flickers does too, and is not
        told apart; emitters that stay on for many frames change seldom and are seen the less.

        Args:
            used: (Y, X) bool, pixels to trust.
        """
        variance = self.variance.astype(float)
        both = [used[:-1] & used[1:], used[:, :-1] & used[:, 1:]]
        found = self.shared[0, :-1][both[0]].sum(dtype=float) + self.shared[1, :, :-1][both[1]].sum(dtype=float)
        pairs = (variance[:-1] * variance[1:])[both[0]].sum() + (variance[:, :-1] * variance[:, 1:])[both[1]].sum()
        if not pairs > 0:
            return 0.0
        # Successive differences share a frame: their products are correlated by a quarter.
        return float(found / math.sqrt(1.5 * pairs / max(1, self.n_frames - 1)))

    def _fast_excess(self, read_variance: Value) -> float:
        """From the difference of the halves; 1 where it is within its sampling error of 1."""
        halves = self.sums.sum(1) / np.maximum(self.counts.sum(1), 1)[:, None, None]
        expected = (np.clip(self.mean, 0, None) + read_variance) * (1 / self.counts.sum(1)).sum()
        usable = expected > 0
        if not usable.any():
            return 1.0
        ratios = ((halves[0] - halves[1]) ** 2)[usable] / expected[usable]
        excess = _typical(ratios, expected[usable], 1.0)
        # Within its sampling error of 1 it says nothing; nor does a movie without any noise.
        if excess <= 0.0 or abs(excess - 1.0) < SAMPLING_ERRORS * math.sqrt(math.pi / ratios.size):
            return 1.0
        return max(excess, LEAST_EXCESS)

    def _slow_excess(self, read_variance: Value, fast: float, used: np.ndarray | None) -> float:
        """From the scatter of block means, blocks merged until few are left; 0 unless it is surely above ``fast``.

        Two projections take off what is no noise. In every block: a multiple of the mean frame (bleaching, a lamp that
        flickers), of its two slopes (drift too small to be called so), and a constant. In every pixel, over time: a
        parabola and a multiple of the bleaching curve, for emitters that bleach faster than their neighbours.
        """
        mean = self.mean
        expected = np.clip(mean, 0, None) + read_variance
        usable = (expected > 0) if used is None else used & (expected > 0)
        chosen = np.flatnonzero(usable)
        if chosen.size < FEWEST_PIXELS:
            return 0.0
        chosen = chosen[:: -(-chosen.size // MAXIMUM_PIXELS)]
        dark = np.broadcast_to(read_variance, mean.shape).ravel()[chosen]
        scale = np.sqrt(expected.ravel()[chosen].astype(float))
        slopes = [slope.ravel()[chosen] for slope in np.gradient(mean)]
        common = np.stack([np.ones(chosen.size), mean.ravel()[chosen], *slopes], axis=1) / scale[:, None]
        common = _orthonormal(common)
        sums = self.sums.sum(0).reshape(self.counts.shape[1], -1)[:, chosen].astype(float)
        counts = self.counts.sum(0)
        light = np.bincount(self.block_of_frame(), weights=self.trace)
        found = 0.0
        while len(counts) >= FEWEST_BLOCKS:
            deviation = sums / counts[:, None] / scale
            deviation -= (deviation @ common) @ common.T
            time = np.linspace(-1.0, 1.0, len(counts))
            level = light / counts
            trend = _orthonormal(np.stack([np.ones(len(counts)), time, time**2, level], axis=1))
            deviation -= trend @ (trend.T @ deviation)
            freedom = 1.0 - (trend**2).sum(1)  # (B,) share of each block's noise that the trend leaves
            relative = np.clip(level / level.mean(), 0.0, None) if level.mean() > 0 else np.ones(len(counts))
            bright = np.outer(relative, np.clip(mean.ravel()[chosen], 0, None)) + dark
            noise = ((freedom / counts) @ bright) / scale**2 * (1.0 - common.shape[1] / chosen.size)
            degrees = float(freedom.sum())
            excess = _typical((deviation**2).sum(0) / noise, scale, degrees) if (noise > 0).all() else 0.0
            chance = SAMPLING_ERRORS * math.sqrt(math.pi / (chosen.size * degrees)) * max(fast, 1.0)
            if excess > LEAST_SLOW_EXCESS * fast + chance:
                found = max(found, excess)
            pairs = np.arange(0, len(counts), 2)
            sums, counts, light = (np.add.reduceat(array, pairs) for array in (sums, counts, light))
        return found


def _typical(ratios: np.ndarray, brightness: np.ndarray, degrees: float) -> float:
    """A median of means of (n,) variance ratios, each of ``degrees`` degrees of freedom, over runs of like brightness.

    It is immune to hot pixels and to the few values that small counts can take; like the plain median it speaks of most
    pixels, not of the few that blink.
    """
    runs = np.array_split(ratios[np.argsort(brightness, kind="stable")], max(1, ratios.size // PIXELS_PER_MEAN))
    degrees *= ratios.size / len(runs)
    return float(np.median([run.mean() for run in runs])) / (1.0 - 2.0 / (9.0 * degrees)) ** 3


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """(n, r) orthonormal basis of what (n, k) columns span."""
    lengths = np.linalg.norm(columns, axis=0)
    basis, sizes, _ = np.linalg.svd(columns[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
    return basis[:, sizes > 1e-6]


def gather(acquisition: Acquisition, advance: Callable[[int], None] | None = None) -> MovieStatistics:
    """Read the movie once.

    Args:
        acquisition: the movie.
        advance: called with the number of frames read since the last call.

    Raises:
        AcquisitionError: NaN or infinite values, or frames that show a sample and are all identical.
    """
    t, y, x = acquisition.frames.shape
    n_blocks = max(1, min(MAXIMUM_BLOCKS, t // 10))
    edges = np.linspace(0, t, n_blocks + 1).round().astype(int)
    block = np.searchsorted(edges, np.arange(t), side="right") - 1
    sums = np.zeros((2, n_blocks, y, x), np.float32)
    counts = np.zeros((2, n_blocks), int)
    squares = np.zeros((y, x))
    shared = np.zeros((2, y, x))
    ceiling = _ceiling(acquisition)
    saturated = np.zeros((y, x), np.float32)
    trace = np.empty(t, np.float32)
    previous: np.ndarray | None = None
    for where, frames in acquisition.chunks():
        numbers = np.arange(t)[where]
        trace[where] = frames.mean((1, 2))
        for half in (0, 1):
            for b in np.unique(block[numbers]):
                chosen = (numbers % 2 == half) & (block[numbers] == b)
                sums[half, b] += frames[chosen].sum(0, dtype=np.float64)
                counts[half, b] += int(chosen.sum())
        joined = frames if previous is None else np.concatenate([previous[None], frames])
        change = np.diff(joined, axis=0).astype(np.float32)
        squares += (change**2).sum(0, dtype=np.float64)
        shared[0, :-1] += (change[:, :-1] * change[:, 1:]).sum(0, dtype=np.float64)
        shared[1, :, :-1] += (change[:, :, :-1] * change[:, :, 1:]).sum(0, dtype=np.float64)
        previous = frames[-1].copy()
        if ceiling is not None:
            saturated += (frames >= ceiling).sum(0)
        if advance:
            advance(len(numbers))
    if previous is not None and np.ptp(previous) > 0 and not squares.any():
        raise AcquisitionError(one_image_repeated(acquisition.name, t))
    pairs = 2 * (t - 1)
    return MovieStatistics(
        sums,
        counts,
        (squares / pairs).astype(np.float32),
        saturated / t,
        trace,
        (shared / pairs).astype(np.float32),
    )


def one_image_repeated(name: str, n_frames: int) -> str:
    """What is said of a movie whose frames are all the same."""
    return (
        f"{name}: all {n_frames} frames are identical: one image repeated, not a movie. Nothing of its noise can be "
        "known. Give the movie as the camera took it, before any averaging or copying."
    )


def _ceiling(acquisition: Acquisition) -> np.ndarray | None:
    """(Y, X) or (1, 1): the dtype's largest value in photoelectrons, less half a grey value; None for real numbers."""
    dtype = np.dtype(acquisition.frames.dtype)
    if dtype.kind not in "ui":
        return None
    return acquisition.camera.to_photons(np.array([[np.iinfo(dtype).max - 0.5]]))
