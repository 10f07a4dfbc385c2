"""Cumulants by blocks of frames within which little light is lost, averaged: bleaching is no fluctuation."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from fluosr.corrections.movie import smooth_trend

LEAST_BLOCK_FRAMES = 100  # fewer frames have no high cumulants to speak of


class CumulantSums(ABC):
    """Sums over the frames of one block, and the cumulants that they give.

    What is added up are products of frames less the block's first frame: cumulants do not depend on a constant, so
    nothing is lost of a small fluctuation on a large pedestal, and a movie that does not fluctuate gives exactly 0.

    Attributes:
        count: what has been added up: frames, or windows of frames.
    """

    count: int

    @abstractmethod
    def clear(self) -> None:
        """Begin a block."""

    @abstractmethod
    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """Take (k, Y, X) frames with their (k,) numbers, ascending."""

    @abstractmethod
    def cumulants(self) -> dict[str, np.ndarray]:
        """Named images of the block so far; needs a ``count`` above 0."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """What is kept of the block so far."""

    @abstractmethod
    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""


def equal_loss_borders(trace: np.ndarray, loss: float, shortest: int = LEAST_BLOCK_FRAMES) -> np.ndarray:
    """Where to cut a movie so that the light changes equally within every block.

    Args:
        trace: (T,) mean of each frame.
        loss: part of the first light by which the trend may change within a block; 1 leaves the movie whole.
        shortest: frames of a block at the least.

    Returns:
        (B,) first frame of each block, ascending from 0; no block is shorter than ``shortest``, the movie apart.
    """
    trace = np.asarray(trace, float)
    borders = [0]
    if loss >= 1 or len(trace) < 2 * shortest:
        return np.array(borders)
    trend = smooth_trend(trace)
    step = loss * abs(trend[0])
    for number in range(shortest, len(trace) - shortest + 1):
        if number - borders[-1] >= shortest and abs(trend[number] - trend[borders[-1]]) >= step > 0:
            borders.append(number)
    return np.array(borders)


class BlockwiseCumulants:
    """Cumulants of a movie: those of its blocks, weighed with the number of frames (or windows) in each.

    Args:
        borders: (B,) number of each block's first frame, ascending.
        sums: what adds up the frames of a block.
    """

    def __init__(self, borders: np.ndarray, sums: CumulantSums) -> None:
        self._borders, self._sums = np.asarray(borders), sums
        self._block, self._count = -1, 0
        self._totals: dict[str, np.ndarray] = {}
        sums.clear()

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """Take (k, Y, X) frames with their (k,) numbers, ascending."""
        blocks = np.searchsorted(self._borders, numbers, side="right") - 1
        for block in np.unique(blocks):
            if block != self._block:
                self._close()
                self._block = int(block)
            chosen = blocks == block
            self._sums.add(numbers[chosen], frames if chosen.all() else frames[chosen])

    def _close(self) -> None:
        if self._sums.count:
            for name, image in self._sums.cumulants().items():
                self._totals[name] = self._totals.get(name, 0.0) + self._sums.count * image
            self._count += self._sums.count
        self._sums.clear()

    def cumulants(self) -> dict[str, np.ndarray]:
        """Named images; none where no block has a frame (or window) yet."""
        totals, count = dict(self._totals), self._count
        if self._sums.count:
            count += self._sums.count
            for name, image in self._sums.cumulants().items():
                totals[name] = totals.get(name, 0.0) + self._sums.count * image
        return {name: total / count for name, total in totals.items()}

    def state(self) -> dict[str, np.ndarray]:
        """What was kept of the frames so far."""
        kept = {f"total {name}": total for name, total in self._totals.items()}
        kept |= {f"block {name}": value for name, value in self._sums.state().items()}
        return kept | {"where": np.array([self._block, self._count])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""
        self._block, self._count = (int(value) for value in state["where"])
        self._totals = {name[6:]: value.copy() for name, value in state.items() if name.startswith("total ")}
        self._sums.restore({name[6:]: value for name, value in state.items() if name.startswith("block ")})
