"""Products of every pixel with its neighbours, summed over the frames: all windows' covariances from one pass."""

from __future__ import annotations

import numpy as np

from fluosr.solvers.compiled import compiled


def offsets(side: int) -> np.ndarray:
    """(n, 2) (dy, dx) of half the pairs of pixels of a window: dy > 0, or dy = 0 and dx >= 0; the rest by symmetry."""
    reach = range(-side + 1, side)
    return np.array([(dy, dx) for dy in range(side) for dx in reach if dy > 0 or dx >= 0])


@compiled()
def add_products(products: np.ndarray, frames: np.ndarray, pairs: np.ndarray) -> None:
    """products[n, y, x] += sum over t of frames[t, y, x] frames[t, y + dy_n, x + dx_n], where both are in the field.

    Args:
        products: (n, Y, X) float64, changed.
        frames: (T, Y, X) float32.
        pairs: (n, 2) (dy, dx), dy >= 0.
    """
    count, height, width = frames.shape
    for y in range(height):
        for n in range(len(pairs)):
            dy, dx = pairs[n]
            if y + dy >= height:
                continue
            first, last = max(0, -dx), min(width, width - dx)
            row = products[n, y, first:last]
            for t in range(count):
                one, other = frames[t, y, first:last], frames[t, y + dy, first + dx : last + dx]
                for x in range(last - first):
                    row[x] += np.float64(one[x]) * np.float64(other[x])


class WindowMoments:
    """The matrices sum_t y y^T of windows, put together from the products of pairs.

    Args:
        side: W, of the window, camera pixels.
    """

    def __init__(self, side: int) -> None:
        index = {tuple(pair): n for n, pair in enumerate(offsets(side).tolist())}
        y, x = (grid.ravel() for grid in np.indices((side, side)))
        self._pair = np.empty((side**2, side**2), int)
        self._y, self._x = np.empty_like(self._pair), np.empty_like(self._pair)
        for p in range(side**2):
            for q in range(side**2):
                first, second = (p, q) if (y[p], x[p]) <= (y[q], x[q]) else (q, p)
                self._pair[p, q] = index[int(y[second] - y[first]), int(x[second] - x[first])]
                self._y[p, q], self._x[p, q] = y[first], x[first]

    def row(self, products: np.ndarray, top: int, lefts: np.ndarray) -> np.ndarray:
        """(n, W^2, W^2) float64 of the windows whose upper left pixels are (top, lefts).

        Args:
            products: (n, Y, X), see :func:`add_products`.
            top: of all windows.
            lefts: (n,).
        """
        return products[self._pair, top + self._y, lefts[:, None, None] + self._x]
