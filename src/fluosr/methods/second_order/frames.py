"""What is kept of the frames: the variance of every pixel, and of every pixel of the back-projected frames.

The data term of the fit is diag(A^T R A)_i = Var_t (A^T y_t)_i: the temporal variance of a stack that is never held.
"""

from __future__ import annotations

import numpy as np

from fluosr.optics.kronecker import Pair

MEDIAN_FRAMES = 25  # whose median is taken at once


class BackProjectedFrames:
    """First and second moments of frames and back-projected frames, in double precision.

    Args:
        pairs: factors of A.
        reference: (Y, X) near the mean frame: it is taken off first, so that no digits are lost.
        medians: also gather the median frame, as the mean of the medians of runs of 25 frames.
    """

    def __init__(self, pairs: list[Pair], reference: np.ndarray, *, medians: bool = False) -> None:
        self._pairs = pairs
        self._reference = np.asarray(reference, float)
        self._moments: dict[str, np.ndarray] = {}
        self._medians = medians
        self.count = 0

    def add(self, frames: np.ndarray) -> None:
        """(k, Y, X) photoelectrons."""
        moments = self._begun()
        for frame in frames:
            centred = frame - self._reference
            light = self._back(centred)
            moments["frame"] += centred
            moments["frame_squared"] += centred * centred
            moments["back_squared"] += np.multiply(light, light, out=light)
            if self._medians:
                self._add_to_median(centred)
        self.count += len(frames)

    def _begun(self) -> dict[str, np.ndarray]:
        """Room is taken with the first frame: passes over the halves wait for theirs."""
        if not self._moments:
            shape = (self._pairs[0][0].shape[1], self._pairs[0][1].shape[1])
            field = self._reference.shape
            self._moments = {
                "frame": np.zeros(field),
                "frame_squared": np.zeros(field),
                "back_squared": np.zeros(shape),
            }
            if self._medians:
                self._moments |= {
                    "median": np.zeros(field),
                    "medians": np.zeros(()),
                    "run": np.zeros((MEDIAN_FRAMES, *field), np.float32),
                    "waiting": np.zeros((), np.int64),
                }
        return self._moments

    def _add_to_median(self, centred: np.ndarray) -> None:
        kept = self._moments
        waiting = int(kept["waiting"])
        kept["run"][waiting] = centred
        waiting = (waiting + 1) % MEDIAN_FRAMES
        kept["waiting"] = np.array(waiting)
        if waiting == 0:
            kept["median"] += np.median(kept["run"], axis=0)
            kept["medians"] = kept["medians"] + 1

    def _back(self, image: np.ndarray) -> np.ndarray:
        """A^T of one image."""
        rows, columns = self._pairs[0]
        total: np.ndarray = rows.T @ image @ columns
        for rows, columns in self._pairs[1:]:
            total += rows.T @ image @ columns
        return total

    def state(self) -> dict[str, np.ndarray]:
        """Everything gathered."""
        return self._moments | {"count": np.array(self.count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""
        self._moments = {key: value.copy() for key, value in state.items() if key != "count"}
        self.count = int(state["count"])

    @property
    def mean(self) -> np.ndarray:
        """(Y, X) mean frame."""
        return self._reference + self._begun()["frame"] / self.count

    def variances(self, baseline: str = "mean") -> tuple[np.ndarray, np.ndarray]:
        """Temporal variance of the pixels, (Y, X), and of the back-projected pixels, (ny, nx).

        Args:
            baseline: what is taken off the frames: their "mean", or their "median", which leaves second moments about
                the median, not variances.
        """
        moments, n = self._begun(), self.count
        mean = moments["frame"] / n
        back = self._back(mean)
        # One degree of freedom goes into the mean.
        pixel = np.maximum(moments["frame_squared"] / n - mean**2, 0.0) * n / (n - 1)
        projected = np.maximum(moments["back_squared"] / n - back**2, 0.0) * n / (n - 1)
        if baseline == "median":
            offset = mean - self._median()
            pixel, projected = pixel + offset**2, projected + self._back(offset) ** 2
        return pixel, projected

    def _median(self) -> np.ndarray:
        kept = self._begun()
        waiting, whole = int(kept["waiting"]), int(kept["medians"])
        if whole:  # what has not filled a run is left out
            median: np.ndarray = kept["median"] / whole
            return median
        return np.median(kept["run"][:waiting], axis=0).astype(float)
