"""Radiality of one frame (SRRF): how well the gradients on a ring meet in its centre.

    R(c) = 1/n sum_i s_i (1 - d_i / r)^2,   d_i = |Gy dx - Gx dy| / |G|,   (dx, dy) = p_i - c,

over n places p_i on a ring of radius r around c; d_i is how far the line through p_i along its gradient G passes from
c; s_i is 1 where the gradient points inwards, G . (p_i - c) <= 0, and -1 elsewhere (Gustafsson et al. 2016). G is read
by Catmull-Rom splines from the central differences of the pixels.

The places on the rings differ only by where in its camera pixel the fine pixel c lies. Splines are separable: rows are
read first, each once for all ring places at the same height, then columns, along whole rows of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.interpolation import catmull_rom_weights
from fluosr.solvers.compiled import compiled

FLAT = 1e-6  # of the frame's largest value: a smaller gradient is rounding and has no direction


@dataclass(frozen=True, eq=False)
class Rings:
    """Where the ring's places lie among the pixels, for each of the L fine rows and columns of a camera pixel.

    Attributes:
        heights: (h,) the ring's distinct heights; ``height_of`` (n,) says which is a place's.
        rows: (L, h) whole pixels from the camera pixel to the first of four; ``row_weights`` (L, h, 4) float32.
        columns: (L, n) the same along the row; ``column_weights`` (L, n, 4) float32.
        directions: (n, 2) float32, unit vectors from the centre, down and right.
    """

    height_of: np.ndarray
    rows: np.ndarray
    row_weights: np.ndarray
    columns: np.ndarray
    column_weights: np.ndarray
    directions: np.ndarray


def rings(factor: int, radius: float, samples: int) -> Rings:
    """The table for a factor L, a radius in camera pixels and n places, the first to the right of the centre."""
    angle = 2 * math.pi * np.arange(samples) / samples
    directions = np.stack([np.sin(angle), np.cos(angle)], 1)
    directions = np.where(np.abs(directions) < 1e-12, 0.0, directions)
    heights, height_of = np.unique(np.round(directions[:, 0], 12), return_inverse=True)
    rows, row_weights = _splines(factor, radius * heights)
    columns, column_weights = _splines(factor, radius * directions[:, 1])
    return Rings(height_of, rows, row_weights, columns, column_weights, directions.astype(np.float32))


def _splines(factor: int, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First of four pixels, and their weights, for places at ``offsets`` camera pixels from each fine pixel."""
    places = (np.arange(factor)[:, None] + 0.5) / factor - 0.5 + offsets  # from the camera pixel's centre
    whole = np.floor(places + 1e-12)
    weights = [[catmull_rom_weights(max(0.0, f)) for f in row] for row in places - whole]
    return whole.astype(np.int64) - 1, np.array(weights, np.float32)


class Radiality:
    """Radiality of frames of one size.

    Args:
        factor: L.
        radius: r, camera pixels.
        samples: n, places on a ring.
        positive: whether negative radiality, of places that gradients point away from, counts as none.
    """

    def __init__(self, factor: int, radius: float, samples: int, positive: bool) -> None:
        self._factor, self._positive = factor, positive
        self._rings = rings(factor, radius, samples)
        both = (self._rings.rows, self._rings.columns)
        self._margin = max(max(-int(first.min()), int(first.max()) + 3) for first in both)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(Y, X) float32 -> (L Y, L X) float32, at most 1."""
        height, width = frame.shape
        mirrored = np.pad(frame, self._margin + 1, mode="symmetric")
        down = 0.5 * (mirrored[2:, 1:-1] - mirrored[:-2, 1:-1])
        right = 0.5 * (mirrored[1:-1, 2:] - mirrored[1:-1, :-2])
        image = np.empty((height * self._factor, width * self._factor), np.float32)
        r = self._rings
        flat = FLAT * float(np.abs(frame).max())
        _radiate(
            down, right, self._margin, flat, r.height_of, r.rows, r.row_weights, r.columns, r.column_weights,
            r.directions, image,
        )  # fmt: skip
        return np.maximum(image, 0.0, out=image) if self._positive else image


@compiled(nogil=True, fastmath={"contract", "nsz"})
def _read(line: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, weights: np.ndarray) -> None:
    """Four rows weighted into one."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for x in range(len(line)):
        line[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]


@compiled(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _meet(
    total: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    weights: np.ndarray,
    least: np.float32,
    dy: np.float32,
    dx: np.float32,
) -> None:
    """Add what the gradients at one place of the rings along a row say about the rings' centres."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    one, zero = np.float32(1.0), np.float32(0.0)
    for x in range(len(total)):
        gy = wa * down[x] + wb * down[x + 1] + wc * down[x + 2] + wd * down[x + 3]
        gx = wa * right[x] + wb * right[x + 1] + wc * right[x + 2] + wd * right[x + 3]
        square = gy * gy + gx * gx
        near = one - abs(gy * dx - gx * dy) / np.sqrt(max(square, least))
        part = near * near
        part = part if gy * dy + gx * dx <= zero else -part
        total[x] += part if square > least else zero


@compiled(nogil=True)
def _radiate(
    down: np.ndarray,
    right: np.ndarray,
    margin: int,
    flat: float,
    height_of: np.ndarray,
    rows: np.ndarray,
    row_weights: np.ndarray,
    columns: np.ndarray,
    column_weights: np.ndarray,
    directions: np.ndarray,
    image: np.ndarray,
) -> None:
    height, width = down.shape[0] - 2 * margin, down.shape[1] - 2 * margin
    factor, heights, samples = image.shape[0] // height, rows.shape[1], len(height_of)
    down_lines = np.empty((heights, down.shape[1]), np.float32)
    right_lines = np.empty((heights, down.shape[1]), np.float32)
    total = np.empty(width, np.float32)
    share = np.float32(1.0 / samples)
    least = np.float32(max(flat * flat, 1e-30))
    for y in range(height):
        for row in range(factor):
            for h in range(heights):
                t = y + margin + rows[row, h]
                _read(down_lines[h], down[t], down[t + 1], down[t + 2], down[t + 3], row_weights[row, h])
                _read(right_lines[h], right[t], right[t + 1], right[t + 2], right[t + 3], row_weights[row, h])
            for column in range(factor):
                total[:] = 0.0
                for i in range(samples):
                    left = margin + columns[column, i]
                    part = slice(left, left + width + 3)
                    h = height_of[i]
                    _meet(
                        total, down_lines[h, part], right_lines[h, part], column_weights[column, i], least,
                        directions[i, 0], directions[i, 1],
                    )  # fmt: skip
                for x in range(width):
                    image[y * factor + row, x * factor + column] = share * total[x]
