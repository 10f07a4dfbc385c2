"""What a method needs to know of a movie without holding it: means by block and by half, variance, extremes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fluosr.acquisition import Acquisition

MAXIMUM_BLOCKS = 50
PIXELS_PER_MEAN = 16
SAMPLING_ERRORS = 4.0  # from 1 before an excess of noise is believed
LEAST_EXCESS = 1e-2


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
        maximum: (Y, X) float32, brightest value seen.
        minimum: (Y, X) float32, darkest value seen.
        at_ceiling: (Y, X) float32, fraction of the frames in which the pixel had the dtype's largest value.
        trace: (T,) float32, mean of each frame: the bleaching curve.
    """

    sums: np.ndarray
    counts: np.ndarray
    variance: np.ndarray
    maximum: np.ndarray
    minimum: np.ndarray
    at_ceiling: np.ndarray
    trace: np.ndarray

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

    def excess_noise(self, read_noise_e: float) -> float:
        """Variance of the difference of the halves over what Poisson and read noise predict; 1 without blinking.

        Blinking from frame to frame, model (3)'s inner Poisson and a gain that is off raise it. Blinking slower than
        about two frames cancels in the difference, as bleaching and drift do, and what is common to all frames does not
        enter: where these matter, the noise of the mean frame is larger than this says.
        """
        halves = self.sums.sum(1) / np.maximum(self.counts.sum(1), 1)[:, None, None]
        expected = (np.clip(self.mean, 0, None) + read_noise_e**2) * (1 / self.counts.sum(1)).sum()
        usable = expected > 0
        if not usable.any():
            return 1.0
        # A median of means, over pixels of like brightness, is immune to hot pixels and to the few values that small
        # counts can take; like the plain median it speaks of most pixels, not of the few that blink.
        order = np.argsort(expected[usable], kind="stable")
        ratios = (((halves[0] - halves[1]) ** 2)[usable] / expected[usable])[order]
        runs = np.array_split(ratios, max(1, ratios.size // PIXELS_PER_MEAN))
        degrees = ratios.size / len(runs)
        excess = float(np.median([run.mean() for run in runs])) / (1.0 - 2.0 / (9.0 * degrees)) ** 3
        # Within its sampling error of 1 it says nothing; nor does a movie without any noise.
        if excess <= 0.0 or abs(excess - 1.0) < SAMPLING_ERRORS * math.sqrt(math.pi / ratios.size):
            return 1.0
        return max(excess, LEAST_EXCESS)


def gather(acquisition: Acquisition, advance: Callable[[int], None] | None = None) -> MovieStatistics:
    """Read the movie once.

    Args:
        acquisition: the movie.
        advance: called with the number of frames read since the last call.

    Raises:
        AcquisitionError: NaN or infinite values.
    """
    t, y, x = acquisition.frames.shape
    n_blocks = max(1, min(MAXIMUM_BLOCKS, t // 10))
    edges = np.linspace(0, t, n_blocks + 1).round().astype(int)
    block = np.searchsorted(edges, np.arange(t), side="right") - 1
    sums = np.zeros((2, n_blocks, y, x), np.float32)
    counts = np.zeros((2, n_blocks), int)
    squares = np.zeros((y, x))
    maximum = np.full((y, x), -np.inf, np.float32)
    minimum = np.full((y, x), np.inf, np.float32)
    ceiling = _ceiling(acquisition)
    saturated = np.zeros((y, x), np.float32)
    trace = np.empty(t, np.float32)
    previous = None
    for where, frames in acquisition.chunks():
        numbers = np.arange(t)[where]
        trace[where] = frames.mean((1, 2))
        for half in (0, 1):
            for b in np.unique(block[numbers]):
                chosen = (numbers % 2 == half) & (block[numbers] == b)
                sums[half, b] += frames[chosen].sum(0, dtype=np.float64)
                counts[half, b] += int(chosen.sum())
        joined = frames if previous is None else np.concatenate([previous[None], frames])
        squares += (np.diff(joined, axis=0).astype(np.float32) ** 2).sum(0, dtype=np.float64)
        previous = frames[-1].copy()
        np.maximum(maximum, frames.max(0), out=maximum)
        np.minimum(minimum, frames.min(0), out=minimum)
        if ceiling is not None:
            saturated += (frames >= ceiling).sum(0)
        if advance:
            advance(len(numbers))
    return MovieStatistics(
        sums, counts, (squares / (2 * (t - 1))).astype(np.float32), maximum, minimum, saturated / t, trace
    )


def _ceiling(acquisition: Acquisition) -> float | None:
    """The dtype's largest value in photoelectrons, less half a grey value; None for floating point."""
    dtype = np.dtype(acquisition.frames.dtype)
    if dtype.kind not in "ui":
        return None
    return float(acquisition.camera.to_photons(np.array([np.iinfo(dtype).max - 0.5]))[0])
