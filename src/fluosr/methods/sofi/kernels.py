"""The inner loops: sums of products over frames, in double precision, compiled.

All work on short rows that stay in the fastest memory, so that the processor's vector units do the products.
"""

from __future__ import annotations

import numpy as np

from fluosr.solvers.compiled import compiled

TILE = 256  # pixels at a time


@compiled(nogil=True)
def add_powers(frames: np.ndarray, sums: np.ndarray) -> None:
    """sums[j - 1] += sum over frames of frame^j.

    Args:
        frames: (k, P) float32.
        sums: (n, P) float64.
    """
    count, pixels = frames.shape
    order = sums.shape[0]
    product = np.empty(TILE)
    for first in range(0, pixels, TILE):
        width = min(TILE, pixels - first)
        for t in range(count):
            row = frames[t, first : first + width]
            for p in range(width):
                product[p] = row[p]
            for j in range(order):
                total = sums[j, first : first + width]
                for p in range(width):
                    total[p] += product[p]
                    product[p] *= row[p]


@compiled(nogil=True)
def add_subset_products(frames: np.ndarray, windows: np.ndarray, sums: np.ndarray) -> None:
    """sums[s - 1] += sum over windows of the product of the window's frames whose bit is set in s.

    Args:
        frames: (k, P) float32.
        windows: (w, n) rows of frames.
        sums: (2^n - 1, P) float64.
    """
    pixels = frames.shape[1]
    order = windows.shape[1]
    product = np.empty((2**order, TILE))
    product[0] = 1.0
    for first in range(0, pixels, TILE):
        width = min(TILE, pixels - first)
        for w in range(windows.shape[0]):
            for j in range(order):
                row = frames[windows[w, j], first : first + width]
                size = 2**j
                for s in range(size):
                    for p in range(width):
                        product[size + s, p] = product[s, p] * row[p]
                    total = sums[size + s - 1, first : first + width]
                    for p in range(width):
                        total[p] += product[size + s, p]


@compiled(nogil=True)
def add_neighbour_products(frames: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, sums: np.ndarray) -> None:
    """sums[s, y, x] += sum over frames of the product of the pixels (y, x) + offsets[s, : sizes[s]].

    Sums whose pixels do not all lie in the field are left as they are.

    Args:
        frames: (k, Y, X) float32.
        offsets: (S, n, 2) rows and columns, none negative.
        sizes: (S,) how many of them count, at most 4.
        sums: (S, Y, X) float64.
    """
    count, height, width = frames.shape
    for s in range(offsets.shape[0]):
        rows = height - offsets[s, : sizes[s], 0].max()
        columns = width - offsets[s, : sizes[s], 1].max()
        for y in range(rows):
            total = sums[s, y]
            for t in range(count):
                first = frames[t, y + offsets[s, 0, 0], offsets[s, 0, 1] :]
                if sizes[s] == 1:
                    for x in range(columns):
                        total[x] += first[x]
                    continue
                second = frames[t, y + offsets[s, 1, 0], offsets[s, 1, 1] :]
                if sizes[s] == 2:
                    for x in range(columns):
                        total[x] += np.float64(first[x]) * second[x]
                    continue
                third = frames[t, y + offsets[s, 2, 0], offsets[s, 2, 1] :]
                if sizes[s] == 3:
                    for x in range(columns):
                        total[x] += np.float64(first[x]) * second[x] * third[x]
                    continue
                fourth = frames[t, y + offsets[s, 3, 0], offsets[s, 3, 1] :]
                for x in range(columns):
                    total[x] += np.float64(first[x]) * second[x] * third[x] * fourth[x]
