"""A line across the structure, chosen from the mean frame alone, and the light along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LENGTH_IN_FWHM, WIDTH_IN_FWHM = 6.0, 1.0
SAMPLES_PER_FWHM = 24


@dataclass(frozen=True)
class Line:
    """A line in the field; places are in nanometres from its upper left corner.

    Args:
        y_nm, x_nm: its middle.
        angle_rad: its direction, from x towards y.
        length_nm: its length.
        width_nm: light is averaged over this width.
    """

    y_nm: float
    x_nm: float
    angle_rad: float
    length_nm: float
    width_nm: float

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), nm."""
        dy, dx = (f(self.angle_rad) * self.length_nm / 2 for f in (math.sin, math.cos))
        return self.y_nm - dy, self.x_nm - dx, self.y_nm + dy, self.x_nm + dx


def choose_line(mean: np.ndarray, pixel_size_nm: float, fwhm_nm: float) -> Line | None:
    """The line that crosses what stands out most in the mean frame; no reconstruction has a say in it.

    Through the point where the structure tensor, averaged over the PSF's width, is largest (the strongest local
    contrast), along the tensor's main direction (in which light changes most), six widths of the PSF long as far as
    the field goes, averaged over one.

    Args:
        mean: (Y, X) mean frame; pixels that are not finite are taken as the median.
        pixel_size_nm: of it.
        fwhm_nm: of the PSF.

    Returns:
        The line; None where the mean frame is even.
    """
    from scipy.ndimage import gaussian_filter

    finite = np.isfinite(mean)
    if not finite.any():
        return None
    image = np.where(finite, mean, np.median(mean[finite])).astype(float)
    sigma = max(0.7, fwhm_nm / 2.355 / pixel_size_nm)
    dy = gaussian_filter(image, sigma, order=(1, 0), mode="nearest")
    dx = gaussian_filter(image, sigma, order=(0, 1), mode="nearest")
    yy, xx, xy = (gaussian_filter(product, 2 * sigma, mode="constant") for product in (dy * dy, dx * dx, dy * dx))
    energy = yy + xx
    if not energy.max() > 1e-12 * max(float(np.abs(image).max()), 1e-30) ** 2:
        return None
    # The line has to fit: a point at the border would leave half of it outside.
    ny, nx = image.shape
    inset = [min(max(0, n // 2 - 1), math.ceil(1.5 * fwhm_nm / pixel_size_nm)) for n in (ny, nx)]
    inner = energy[inset[0] : ny - inset[0], inset[1] : nx - inset[1]]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    row, column = int(row) + inset[0], int(column) + inset[1]
    angle = 0.5 * math.atan2(2 * float(xy[row, column]), float(xx[row, column] - yy[row, column]))
    y, x = (row + 0.5) * pixel_size_nm, (column + 0.5) * pixel_size_nm
    y, x = _onto_the_ridge(image, pixel_size_nm, y, x, angle, fwhm_nm)
    reach = min(
        LENGTH_IN_FWHM * fwhm_nm / 2,
        _way_out(y, ny * pixel_size_nm, math.sin(angle)),
        _way_out(x, nx * pixel_size_nm, math.cos(angle)),
    )
    return Line(y, x, angle, 2 * reach, WIDTH_IN_FWHM * fwhm_nm)


def _onto_the_ridge(
    image: np.ndarray, pixel_nm: float, y: float, x: float, angle: float, fwhm_nm: float
) -> tuple[float, float]:
    """The tensor is largest on a structure or on its flank: step onto the brightest point within one PSF along it."""
    line = Line(y, x, angle, 2 * fwhm_nm, WIDTH_IN_FWHM * fwhm_nm)
    along, values = light_along(line, image, pixel_nm, fwhm_nm)
    shift = float(along[int(values.argmax())]) - fwhm_nm
    ny, nx = image.shape
    moved_y, moved_x = y + shift * math.sin(angle), x + shift * math.cos(angle)
    inside = pixel_nm <= moved_y <= (ny - 1) * pixel_nm and pixel_nm <= moved_x <= (nx - 1) * pixel_nm
    return (moved_y, moved_x) if inside else (y, x)


def _way_out(place: float, size: float, direction: float) -> float:
    return math.inf if abs(direction) < 1e-9 else min(place, size - place) / abs(direction)


def light_along(line: Line, image: np.ndarray, pixel_size_nm: float, fwhm_nm: float) -> tuple[np.ndarray, np.ndarray]:
    """Light along the line, averaged over its width, interpolated linearly between pixel centres.

    Args:
        line: where.
        image: (Y, X) on any grid that covers the field.
        pixel_size_nm: of the image.
        fwhm_nm: of the PSF, which sets how densely is sampled.

    Returns:
        (N,) places from the line's beginning, nm, and (N,) values in the image's unit.
    """
    from scipy.ndimage import map_coordinates

    count = max(16, round(line.length_nm / fwhm_nm * SAMPLES_PER_FWHM)) + 1
    across = max(1, round(line.width_nm / fwhm_nm * SAMPLES_PER_FWHM / 2))
    along = np.linspace(-line.length_nm / 2, line.length_nm / 2, count)
    aside = (np.arange(across) + 0.5) / across * line.width_nm - line.width_nm / 2
    sin, cos = math.sin(line.angle_rad), math.cos(line.angle_rad)
    y = line.y_nm + along[:, None] * sin + aside * cos
    x = line.x_nm + along[:, None] * cos - aside * sin
    places = np.stack([y, x]) / pixel_size_nm - 0.5
    values = map_coordinates(np.nan_to_num(np.asarray(image, float)), places, order=1, mode="nearest")
    return along + line.length_nm / 2, values.mean(1)


def to_equal_area(distance_nm: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A profile above its own lowest value, divided by its area: 1/µm; zero where it is flat."""
    above = values - values.min()
    area = float(np.trapezoid(above, distance_nm)) / 1000
    return above / area if area > 0 else np.zeros_like(above)
