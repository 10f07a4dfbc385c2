"""Auto-cumulants: a pixel with itself, at one time or at times that lie a lag apart."""

from __future__ import annotations

import numpy as np

from fluosr.acquisition import CHUNK_BYTES
from fluosr.methods.sofi.blocks import BlockwiseCumulants, CumulantSums
from fluosr.methods.sofi.cumulants import joint_cumulants, power_cumulants


class AutoSums(CumulantSums):
    """Sums for k_n = cumulant of x(t), x(t + lag), ..., x(t + (n - 1) lag), over all t whose frames are all there.

    Shot noise of different frames is independent and drops out of every lagged cumulant; at lag 0 it stays. Frames are
    first interpolated (Fourier series) onto a grid on which the n-th power of the PSF is well sampled.

    Args:
        field_shape: (Y, X), camera pixels.
        order: n, 1 ... 6.
        lag: frames; 0 takes n-fold powers of one frame.
        upsampling: samples per camera pixel along each axis.
    """

    def __init__(self, field_shape: tuple[int, int], order: int, lag: int = 0, upsampling: int = 1) -> None:
        self.order, self.lag, self.upsampling = order, lag, upsampling
        self.shape = (field_shape[0] * upsampling, field_shape[1] * upsampling)
        self._field_shape = field_shape
        self.clear()

    def clear(self) -> None:
        """See :class:`CumulantSums`."""
        rows = 2**self.order - 1 if self.lag else self.order
        pixels = self.shape[0] * self.shape[1]
        self.count, self._begun = 0, False
        self._sums = np.zeros((rows, pixels))
        self._first = np.zeros(self._field_shape, np.float32)
        self._tail, self._tail_numbers = np.zeros((0, pixels), np.float32), np.zeros(0, np.int64)

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`CumulantSums`."""
        if len(numbers) and not self._begun:
            self._first, self._begun = np.array(frames[0], np.float32), True
        step = max(1, CHUNK_BYTES // (4 * self.shape[0] * self.shape[1]))
        for start in range(0, len(numbers), step):
            self._add_some(numbers[start : start + step], self._fluctuations(frames[start : start + step]))

    def _fluctuations(self, frames: np.ndarray) -> np.ndarray:
        """(k, P) float32, less the block's first frame, on the finer grid."""
        from fluosr.optics.interpolation import fourier_upsample

        less = (frames - self._first).astype(np.float32, copy=False)
        if self.upsampling > 1:
            less = fourier_upsample(less, self.upsampling)
        return np.ascontiguousarray(less.reshape(len(less), -1))

    def _add_some(self, numbers: np.ndarray, less: np.ndarray) -> None:
        from fluosr.methods.sofi import kernels

        if not self.lag:
            kernels.add_powers(less, self._sums)
            self.count += len(less)
            return
        known = len(self._tail_numbers)
        numbers, less = np.concatenate([self._tail_numbers, numbers]), np.concatenate([self._tail, less])
        windows = windows_of(numbers, self.order, self.lag)
        windows = windows[windows[:, -1] >= known]  # the others have been added before
        kernels.add_subset_products(less, windows, self._sums)
        self.count += len(windows)
        keep = numbers > numbers[-1] - (self.order - 1) * self.lag
        self._tail, self._tail_numbers = less[keep], numbers[keep]

    def cumulants(self) -> dict[str, np.ndarray]:
        """Orders 1 ... n by name; order 1 is the mean less the first frame, of no meaning by itself."""
        moments = self._sums / self.count
        if self.lag:
            found = joint_cumulants(lambda members: moments[members - 1], self.order)
        else:
            found = list(power_cumulants(moments))
        return {str(n): image.reshape(self.shape) for n, image in enumerate(found, 1)}

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`CumulantSums`."""
        return {
            "sums": self._sums,
            "count": np.array([self.count, int(self._begun)]),
            "first": self._first,
            "tail": self._tail,
            "tail numbers": self._tail_numbers,
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`CumulantSums`."""
        self._sums, self._first = state["sums"].copy(), state["first"].copy()
        self._tail, self._tail_numbers = state["tail"].copy(), state["tail numbers"].copy()
        self.count, self._begun = int(state["count"][0]), bool(state["count"][1])


def windows_of(numbers: np.ndarray, order: int, lag: int) -> np.ndarray:
    """(w, n) positions of the frames t, t + lag, ..., t + (n - 1) lag, for every t for which all are there.

    Args:
        numbers: (k,) frame numbers, ascending.
        order: n.
        lag: frames, at least 1.
    """
    wanted = numbers[:, None] + lag * np.arange(order)
    where = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return where[(numbers[where] == wanted).all(1)]


def auto_cumulants(frames: np.ndarray, order: int, *, lag: int = 0, upsampling: int = 1) -> dict[int, np.ndarray]:
    """Auto-cumulants of orders 2 ... n of frames held in memory.

    Args:
        frames: (T, Y, X), any real type.
        order: n, at least 2.
        lag: frames between factors.
        upsampling: samples per camera pixel along each axis.

    Returns:
        order -> (upsampling Y, upsampling X) float64, in the frames' unit to that power. A lagged cumulant of an order
        below n is that of the first frames of the windows of n.

    Source: Dertinger et al. 2009.
    """
    frames = np.asarray(frames)
    y, x = frames.shape[1:]
    whole = BlockwiseCumulants(np.array([0]), AutoSums((y, x), order, lag, upsampling))
    whole.add(np.arange(len(frames)), frames)
    found = whole.cumulants()
    return {n: found[str(n)] for n in range(2, order + 1)}
