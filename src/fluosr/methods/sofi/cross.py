"""Cross-cumulants: different pixels of one frame, whose noise is independent, give a cumulant where they lie together.

With a Gaussian PSF U of standard deviation s, and c the centre of n pixels r_i,

    product of U(r_i - r) = U(c - r)^n exp(-sum |r_i - c|^2 / 2 s^2),

so n pixels give the n-th cumulant at c, dimmer the further they lie apart. On every camera pixel there are n x n such
virtual pixels, whose centres lie on the n-fold finer grid; pixels are distinct, so shot noise drops out without a lag.
(Dertinger et al. 2010, Optics Express 18, 18875.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from fluosr.methods.sofi.blocks import BlockwiseCumulants, CumulantSums
from fluosr.methods.sofi.cumulants import joint_cumulants

NEIGHBOURHOOD = range(-1, 3)  # the 4 x 4 pixels around a pixel and its sub-pixel positions

Offset = tuple[int, int]


@dataclass(frozen=True)
class VirtualPixel:
    """One of the n x n positions on a camera pixel.

    Attributes:
        phase: (p, q), the position is (p, q) / n camera pixels from the pixel's centre.
        members: all choices of n distinct pixels of the 4 x 4 neighbourhood with that centre and the least
            ``spread_px2``; their cumulants are averaged.
        spread_px2: sum of the squared distances of the pixels from their centre, camera pixels squared.
    """

    phase: tuple[int, int]
    members: tuple[tuple[Offset, ...], ...]
    spread_px2: float


@lru_cache
def virtual_pixels(order: int) -> tuple[VirtualPixel, ...]:
    """All n x n virtual pixels of an order."""
    chosen: dict[tuple[int, int], dict[int, list[tuple[Offset, ...]]]] = {}
    neighbourhood = [(y, x) for y in NEIGHBOURHOOD for x in NEIGHBOURHOOD]
    for pixels in combinations(neighbourhood, order):
        total = (sum(y for y, _ in pixels), sum(x for _, x in pixels))
        if not (0 <= total[0] < order and 0 <= total[1] < order):
            continue
        squares = sum(y * y + x * x for y, x in pixels)
        spread_times_n = order * squares - total[0] ** 2 - total[1] ** 2  # a whole number: ties are exact
        chosen.setdefault(total, {}).setdefault(spread_times_n, []).append(pixels)
    return tuple(
        VirtualPixel(phase, tuple(found[min(found)]), min(found) / order) for phase, found in sorted(chosen.items())
    )


def _at_origin(pixels: tuple[Offset, ...]) -> tuple[tuple[Offset, ...], Offset]:
    """Pixels moved so that their least row and column are 0, and what they were moved by."""
    corner = min(y for y, _ in pixels), min(x for _, x in pixels)
    return tuple(sorted((y - corner[0], x - corner[1]) for y, x in pixels)), corner


def _subset(pixels: tuple[Offset, ...], members: int) -> tuple[Offset, ...]:
    return tuple(pixel for i, pixel in enumerate(pixels) if members >> i & 1)


@lru_cache
def _products(orders: tuple[int, ...]) -> tuple[tuple[Offset, ...], ...]:
    """All different products of pixels that the cumulants of these orders need, wherever they lie."""
    found = {
        _at_origin(_subset(pixels, members))[0]
        for order in orders
        for virtual in virtual_pixels(order)
        for pixels in virtual.members
        for members in range(1, 2**order)
    }
    return tuple(sorted(found, key=lambda pixels: (len(pixels), pixels)))


def n_products(orders: tuple[int, ...]) -> int:
    """How many images of sums :class:`CrossSums` keeps."""
    return len(_products(orders))


class CrossSums(CumulantSums):
    """Sums for the cross-cumulants of some orders at all their virtual pixels.

    Moments of pixels that lie alike are moments of one image of products, moved: order 4 needs 71 of them, not
    16 x 15.

    Args:
        field_shape: (Y, X), camera pixels, at least 4 x 4.
        orders: each 2, 3 or 4.
    """

    def __init__(self, field_shape: tuple[int, int], orders: tuple[int, ...]) -> None:
        self._field_shape, self._orders = field_shape, orders
        products = _products(orders)
        self._index = {pixels: i for i, pixels in enumerate(products)}
        self._sizes = np.array([len(pixels) for pixels in products])
        self._offsets = np.zeros((len(products), int(self._sizes.max()), 2), np.int64)
        for i, pixels in enumerate(products):
            self._offsets[i, : len(pixels)] = pixels
        self.clear()

    def clear(self) -> None:
        """See :class:`CumulantSums`."""
        self.count = 0
        self._sums = np.zeros((len(self._sizes), *self._field_shape))
        self._first = np.zeros(self._field_shape, np.float32)

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`CumulantSums`."""
        from fluosr.methods.sofi import kernels

        if len(frames) == 0:
            return
        if not self.count:
            self._first = np.array(frames[0], np.float32)
        less = np.ascontiguousarray(frames - self._first, np.float32)
        kernels.add_neighbour_products(less, self._offsets, self._sizes, self._sums)
        self.count += len(frames)

    def cumulants(self) -> dict[str, np.ndarray]:
        """Each order by name: its (n (Y-1) + 1, n (X-1) + 1) virtual pixels, not flattened, 0 where there is none."""
        return {str(order): self._virtual_image(order) for order in self._orders}

    def _virtual_image(self, order: int) -> np.ndarray:
        y, x = self._field_shape
        image = np.zeros((order * (y - 1) + 1, order * (x - 1) + 1))
        seen = np.zeros(image.shape, int)
        for virtual in virtual_pixels(order):
            for pixels in virtual.members:
                inside = _inside(pixels, self._field_shape)
                target = _targets(virtual, order, inside)
                image[target] += self._cumulant(pixels, inside)
                seen[target] += 1
        return image / np.maximum(seen, 1)

    def _cumulant(self, pixels: tuple[Offset, ...], inside: tuple[slice, slice]) -> np.ndarray:
        def moment(members: int) -> np.ndarray:
            product, (y, x) = _at_origin(_subset(pixels, members))
            rows, columns = inside
            moved = (slice(rows.start + y, rows.stop + y), slice(columns.start + x, columns.stop + x))
            return self._sums[self._index[product]][moved] / self.count

        return joint_cumulants(moment, len(pixels))[-1]

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`CumulantSums`."""
        return {"sums": self._sums, "first": self._first, "count": np.array(self.count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`CumulantSums`."""
        self._sums, self._first = state["sums"].copy(), state["first"].copy()
        self.count = int(state["count"])


def _inside(pixels: tuple[Offset, ...], field_shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns from which all these pixels lie in the field."""
    rows, columns = (
        slice(max(0, -min(o[axis] for o in pixels)), field_shape[axis] - max(0, max(o[axis] for o in pixels)))
        for axis in (0, 1)
    )
    return rows, columns


def _targets(virtual: VirtualPixel, order: int, inside: tuple[slice, slice]) -> tuple[slice, slice]:
    """Where the virtual pixels on these camera pixels lie in the virtual image."""
    rows, columns = (
        slice(order * s.start + p, order * (s.stop - 1) + p + 1, order)
        for s, p in zip(inside, virtual.phase, strict=True)
    )
    return rows, columns


def seen_pixels(field_shape: tuple[int, int], order: int) -> np.ndarray:
    """Where a virtual image has values: bool, of its shape. The corners, and more at order 3 and 4, have none."""
    y, x = field_shape
    seen = np.zeros((order * (y - 1) + 1, order * (x - 1) + 1), bool)
    for virtual in virtual_pixels(order):
        for pixels in virtual.members:
            seen[_targets(virtual, order, _inside(pixels, field_shape))] = True
    return seen


def fitted_fwhm_px(virtual: np.ndarray, field_shape: tuple[int, int], order: int) -> float | None:
    """FWHM of the PSF, camera pixels, as the virtual pixels' means tell it; None where they tell none.

    The means of the n x n phases would be alike but for the distance of the pixels, so the slope of their logarithm
    over the spread is -4 ln2 / FWHM^2.

    Args:
        virtual: of :meth:`CrossSums.cumulants`.
        field_shape: (Y, X), camera pixels.
        order: n; 2 has the least noise.
    """
    y, x = field_shape
    phases = virtual_pixels(order)
    # The same camera pixels for every phase, those whose whole neighbourhood lies in the field.
    means = np.array([virtual[_phase(v, order)][1 : y - 2, 1 : x - 2].mean() for v in phases])
    if not ((means > 0).all() or (means < 0).all()):
        return None
    slope = -float(np.polyfit([v.spread_px2 for v in phases], np.log(np.abs(means)), 1)[0])
    return math.sqrt(4.0 * math.log(2.0) / slope) if slope > 0 else None


def flattened(virtual: np.ndarray, field_shape: tuple[int, int], order: int, fwhm_px: float) -> np.ndarray:
    """Undo the loss by the pixels' distance: multiply by exp(4 ln2 sum |r_i - c|^2 / FWHM^2).

    Virtual pixels at the border that no pixels surround get the value of the nearest that has one.

    Args:
        virtual: of :meth:`CrossSums.cumulants`.
        field_shape: (Y, X), camera pixels.
        order: n.
        fwhm_px: of the PSF as the pixels see it, camera pixels.

    Returns:
        (n (Y-1) + 1, n (X-1) + 1); sample (i, j) lies at ((i, j) / n + 1/2) camera pixels.
    """
    from scipy.ndimage import distance_transform_edt

    image = virtual.copy()
    for v in virtual_pixels(order):
        image[_phase(v, order)] *= math.exp(4.0 * math.log(2.0) * v.spread_px2 / fwhm_px**2)
    seen = seen_pixels(field_shape, order)
    nearest = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    flat: np.ndarray = image[tuple(nearest)]
    return flat


def _phase(virtual: VirtualPixel, order: int) -> tuple[slice, slice]:
    return slice(virtual.phase[0], None, order), slice(virtual.phase[1], None, order)


def cross_cumulants(frames: np.ndarray, order: int) -> np.ndarray:
    """Cross-cumulants of frames held in memory, not flattened.

    Args:
        frames: (T, Y, X), any real type.
        order: 2, 3 or 4.

    Returns:
        (n (Y-1) + 1, n (X-1) + 1) float64, in the frames' unit to the power n; sample (i, j) lies at
        ((i, j) / n + 1/2) camera pixels; 0 where :func:`seen_pixels` is False.
    """
    frames = np.asarray(frames)
    y, x = frames.shape[1:]
    whole = BlockwiseCumulants(np.array([0]), CrossSums((y, x), (order,)))
    whole.add(np.arange(len(frames)), frames)
    return whole.cumulants()[str(order)]
