"""Radial gradient convergence of one frame (eSRRF): how far the gradients around a place point towards it.

    RGC(c) = [ sum_v w(|v - c|) (1 - |G(v) x (v - c)| / (|G(v)| |v - c|)) / sum_v w(|v - c|) ]^S,
    w(d) = (d exp(-d^2 / 2 sigma^2))^4,   sigma = R / 2.355,

with both sums over the places v of the half-pixel lattice with 0 < |v - c| <= 2 sigma + 1, the upper one only over
those whose gradient points inwards, G(v) . (v - c) < 0 (Laine et al. 2023). G is the gradient over 2 x 2 pixels.

v - c and w depend only on where in its camera pixel the fine pixel c lies: they are tables. The gradient's direction
depends only on v: it is computed once. What is left per fine pixel and v are a dozen operations, along whole rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.interpolation import Interpolation, half_pixel_reader
from fluosr.solvers.compiled import compiled

FWHM_PER_SIGMA = 2.355  # as in the paper's code, not 2 sqrt(2 ln 2)
NEGLIGIBLE_WEIGHT = 1e-7  # of the sum: below single precision
FLAT = 1e-6  # of the frame's largest value: a smaller gradient is rounding and has no direction


def weight_at(distance: np.ndarray, radius: float) -> np.ndarray:
    """w(d), camera pixels."""
    sigma = radius / FWHM_PER_SIGMA
    weight: np.ndarray = (distance * np.exp(-(distance**2) / (2 * sigma**2))) ** 4
    return weight


def reach_of(radius: float) -> float:
    """How far a gradient may lie from the place it counts for, camera pixels."""
    return 2 * radius / FWHM_PER_SIGMA + 1


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The lattice places that count for each of the L x L fine pixels of a camera pixel.

    Attributes:
        first: (L L + 1,) where each fine pixel's own begin.
        places: (n, 2) whole half-pixels from the camera pixel's upper left corner, down and right.
        directions: (n, 2) float32, unit vectors (v - c) / |v - c|, down and right.
        weights: (n,) float32, of sum 1 over each fine pixel's own.
    """

    first: np.ndarray
    places: np.ndarray
    directions: np.ndarray
    weights: np.ndarray


def neighbours(factor: int, radius: float) -> Neighbours:
    """The table for a factor L and a radius R in camera pixels."""
    reach = reach_of(radius)
    lattice = np.arange(-math.ceil(2 * reach), math.ceil(2 * reach) + 3)
    down, right = (grid.ravel() for grid in np.meshgrid(lattice, lattice, indexing="ij"))
    places, directions, weights, counts = [], [], [], []
    for row in range(factor):
        for column in range(factor):
            dy, dx = down / 2 - (row + 0.5) / factor, right / 2 - (column + 0.5) / factor
            distance = np.hypot(dy, dx)
            inside = (distance > 1e-9) & (distance <= reach + 1e-9)
            weight = np.where(inside, weight_at(distance, radius), 0.0)
            weight /= weight.sum()
            kept = weight > NEGLIGIBLE_WEIGHT
            places.append(np.stack([down[kept], right[kept]], 1))
            directions.append(np.stack([dy[kept], dx[kept]], 1) / distance[kept, None])
            weights.append(weight[kept])
            counts.append(int(kept.sum()))
    return Neighbours(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate(places),
        np.concatenate(directions).astype(np.float32),
        np.concatenate(weights).astype(np.float32),
    )


class Convergence:
    """RGC of frames of one size.

    Args:
        factor: L.
        radius: R, camera pixels.
        sensitivity: S.
        interpolation: how gradients between pixels are read.
    """

    def __init__(self, factor: int, radius: float, sensitivity: float, interpolation: Interpolation) -> None:
        self._factor, self._sensitivity = factor, sensitivity
        self._table = neighbours(factor, radius)
        places = self._table.places
        self._margin = max(-(int(places.min()) // 2), int(places.max()) // 2)  # camera pixels
        self._read = half_pixel_reader(interpolation)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(Y, X) float32 -> (L Y, L X) float32, between 0 and 1."""
        height, width = frame.shape
        # The gradient over 2 x 2 pixels, read between its places, is that of the frame read half a pixel to either
        # side: both are convolutions.
        lattice = np.pad(self._read(frame), 2 * self._margin + 1, mode="reflect")
        slopes = _directions(
            lattice, height + 2 * self._margin, width + 2 * self._margin, FLAT * float(np.abs(frame).max())
        )
        table = self._table
        image = np.empty((height * self._factor, width * self._factor), np.float32)
        _converge(slopes, self._margin, table.first, table.places, table.directions, table.weights, image)
        return image if self._sensitivity == 1.0 else image**self._sensitivity


@compiled(nogil=True, error_model="numpy")
def _directions(lattice: np.ndarray, height: int, width: int, flat: float) -> np.ndarray:
    """(2, 2, 2, height, width) unit gradients, 0 where flat.

    [a, b, i] is component i (down, right) at half-pixel (2 y + a, 2 x + b): places that are read together, those with
    the same a and b, lie side by side.

    Args:
        lattice: (>= 2 height + 2, >= 2 width + 2) values every half pixel, one half-pixel more before the first place.
        height, width: camera pixels.
        flat: largest gradient that counts as none.
    """
    directions = np.empty((2, 2, 2, height, width), np.float32)
    least = np.float32(flat) ** 2
    for a in range(2):
        for b in range(2):
            for y in range(height):
                above, below = lattice[2 * y + a], lattice[2 * y + a + 2]
                for x in range(width):
                    left = 2 * x + b
                    falling = below[left + 2] - above[left]
                    rising = above[left + 2] - below[left]
                    down = np.float32(0.5) * (falling - rising)
                    right = np.float32(0.5) * (falling + rising)
                    square = down * down + right * right
                    scale = np.float32(1.0) / np.sqrt(square) if square > least else np.float32(0.0)
                    directions[a, b, 0, y, x] = scale * down
                    directions[a, b, 1, y, x] = scale * right
    return directions


@compiled(nogil=True, fastmath={"contract", "nsz"})
def _gather(
    total: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    towards_y: np.float32,
    towards_x: np.float32,
    weight: np.float32,
) -> None:
    """Add what gradients along a row say about the places that lie at (-towards_y, -towards_x) from them."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for x in range(len(total)):
        inwards = down[x] * towards_y + right[x] * towards_x
        aside = down[x] * towards_x - right[x] * towards_y
        part = weight * (one - abs(aside))
        total[x] += part if inwards < zero else zero


@compiled(nogil=True)
def _converge(
    slopes: np.ndarray,
    margin: int,
    first: np.ndarray,
    places: np.ndarray,
    directions: np.ndarray,
    weights: np.ndarray,
    image: np.ndarray,
) -> None:
    height, width = slopes.shape[3] - 2 * margin, slopes.shape[4] - 2 * margin
    factor = image.shape[0] // height
    total = np.empty(width, np.float32)
    for y in range(height):
        for row in range(factor):
            for column in range(factor):
                total[:] = 0.0
                own = row * factor + column
                for k in range(first[own], first[own + 1]):
                    a, b = places[k, 0] & 1, places[k, 1] & 1
                    line = y + margin + (places[k, 0] >> 1)
                    left = margin + (places[k, 1] >> 1)
                    part = slice(left, left + width)  # only so does numba see that it lies in one piece
                    down, right = slopes[a, b, 0, line, part], slopes[a, b, 1, line, part]
                    _gather(total, down, right, directions[k, 0], directions[k, 1], weights[k])
                for x in range(width):
                    image[y * factor + row, x * factor + column] = total[x]
