"""Frames on a finer grid: by their Fourier series or by Catmull-Rom splines, mirrored at the borders.

Fine pixel i spans [i, i+1) / L camera pixels, so its value is read at (i + 1/2) / L. Both ways give the camera pixels'
own values at their centres, keep an even frame even, and make light neither at the borders nor between them: outside
the field lies its mirror image, the first pixel beside its own reflection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from fluosr.errors import OpticsError

Interpolation = Literal["catmull-rom", "fourier"]


def fourier_upsample(frames: np.ndarray, factor: int) -> np.ndarray:
    """The Fourier series of the mirrored frame, read on the fine grid:

        f(u) = sum_k c_k cos(pi k u / N),   c = DCT-II of the N values at u = 1/2, 3/2, ...

    Args:
        frames: (..., Y, X), any real type.
        factor: L, fine pixels per camera pixel along each axis.

    Returns:
        (..., L Y, L X) in the frames' floating type (float64 of whole numbers) and unit: values, not shares of light.

    Raises:
        OpticsError: the factor is not a whole number of at least 1.
    """
    from scipy.fft import dct, idct

    values = _checked(frames, factor)
    for axis in (-2, -1):
        count = values.shape[axis]
        # Normed to the mean on both ways, so that a longer series has the same values.
        series = dct(values, type=2, axis=axis, norm="forward")
        values = idct(series, type=2, n=factor * count, axis=axis, norm="forward")
    return values


def fourier_half_pixels(frames: np.ndarray) -> np.ndarray:
    """The Fourier series of the mirrored frame, read every half pixel from border to border.

    Args:
        frames: (..., Y, X), any real type.

    Returns:
        (..., 2 Y + 1, 2 X + 1): [j, i] is the value at (j, i) / 2 camera pixels from the field's corner, so that odd
        places hold the pixels' own values.
    """
    from scipy.fft import dct

    values = _checked(frames)
    for axis in (-2, -1):
        count = values.shape[axis]
        series = np.moveaxis(dct(values, type=2, axis=axis, norm="forward"), axis, -1)
        longer = np.zeros((*series.shape[:-1], 2 * count + 1), series.dtype)
        longer[..., :count] = series
        values = np.moveaxis(dct(longer, type=1, axis=-1), -1, axis)
    return values


def catmull_rom_weights(fraction: float) -> np.ndarray:
    """(4,) weights of the samples at -1, 0, 1, 2 for the value at ``fraction`` in [0, 1).

    Cubic convolution with a = -1/2 (Keys, IEEE Trans. ASSP 29, 1153, 1981, eq. 8).
    """
    s = fraction
    return 0.5 * np.array([-s + 2 * s**2 - s**3, 2 - 5 * s**2 + 3 * s**3, s + 4 * s**2 - 3 * s**3, s**3 - s**2])


def catmull_rom_upsample(frames: np.ndarray, factor: int) -> np.ndarray:
    """Catmull-Rom splines through the pixels' values, read on the fine grid.

    Args:
        frames: (..., Y, X), any real type.
        factor: L, fine pixels per camera pixel along each axis.

    Returns:
        (..., L Y, L X) in the frames' floating type (float64 of whole numbers) and unit: values, not shares of light.

    Raises:
        OpticsError: the factor is not a whole number of at least 1.
    """
    values = _checked(frames, factor)
    places = (np.arange(factor) + 0.5) / factor - 0.5  # of the L fine pixels, from their camera pixel's centre
    for axis in (-1, -2):  # the short rows first
        values = _splines(values, axis, places)
    return values


def catmull_rom_half_pixels(frames: np.ndarray) -> np.ndarray:
    """As :func:`fourier_half_pixels`, by Catmull-Rom splines."""
    values = _checked(frames)
    before, left, right, after = catmull_rom_weights(0.5).astype(values.dtype)
    for axis in (-1, -2):
        values = np.moveaxis(values, axis, -1)
        count = values.shape[-1]
        ends = [(0, 0)] * (values.ndim - 1) + [(2, 2)]
        mirrored = np.pad(values, ends, mode="symmetric")
        read = np.empty((*values.shape[:-1], 2 * count + 1), values.dtype)
        read[..., 1::2] = values
        read[..., 0::2] = before * mirrored[..., :-3] + left * mirrored[..., 1:-2]
        read[..., 0::2] += right * mirrored[..., 2:-1] + after * mirrored[..., 3:]
        values = np.moveaxis(read, -1, axis)
    return values


def upsampler(interpolation: Interpolation) -> Callable[[np.ndarray, int], np.ndarray]:
    """The function that reads frames on the fine grid."""
    return {"catmull-rom": catmull_rom_upsample, "fourier": fourier_upsample}[interpolation]


def half_pixel_reader(interpolation: Interpolation) -> Callable[[np.ndarray], np.ndarray]:
    """The function that reads frames every half pixel."""
    return {"catmull-rom": catmull_rom_half_pixels, "fourier": fourier_half_pixels}[interpolation]


def _splines(values: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """Values read at each pixel's centre plus each of ``places`` in [-1, 1), in that order, along one axis."""
    count, ndim = values.shape[axis], values.ndim
    edges = [(0, 0)] * ndim
    edges[axis] = (2, 2)
    mirrored = np.pad(values, edges, mode="symmetric")
    shape = list(values.shape)
    shape[axis] = count * len(places)
    fine = np.empty(shape, values.dtype)
    for phase, place in enumerate(places):
        whole = int(np.floor(place))
        total: np.ndarray | None = None
        for tap, weight in enumerate(catmull_rom_weights(place - whole)):
            first = 2 + whole + tap - 1
            if weight == 0.0:
                continue
            part = mirrored[_along(axis, slice(first, first + count), ndim)] * values.dtype.type(weight)
            total = part if total is None else np.add(total, part, out=total)
        fine[_along(axis, slice(phase, None, len(places)), ndim)] = total
    return fine


def _along(axis: int, which: slice, ndim: int) -> tuple[slice, ...]:
    index = [slice(None)] * ndim
    index[axis] = which
    return tuple(index)


def _checked(frames: np.ndarray, factor: int = 1) -> np.ndarray:
    if factor < 1 or int(factor) != factor:
        raise OpticsError(f"the factor must be a whole number of at least 1, got {factor}.")
    frames = np.asarray(frames)
    return frames if np.issubdtype(frames.dtype, np.floating) else frames.astype(np.float64)
