"""What a point at any place puts into each camera pixel, and how that changes when the point moves."""

from __future__ import annotations

import math

import numpy as np

from fluosr.errors import OpticsError
from fluosr.optics.psf import AiryPSF, GaussianPSF, PointSpreadFunction, gaussian_integrals


def pixel_response(
    psf: PointSpreadFunction, window: tuple[int, int], pixel_size_nm: float, places_nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The PSF of points integrated over the pixels of a window, as a smooth function of where the points lie.

    The Gaussian's integrals and their derivatives are exact. The Airy pattern is integrated by Gauss-Legendre
    quadrature over the pixel, and its derivative is that of the same sum; its rings are not cut.

    Args:
        psf: a Gaussian or an Airy pattern.
        window: (Y, X) camera pixels.
        pixel_size_nm: camera pixel, nm.
        places_nm: (n, 2) y and x of the points, nm from the window's middle.

    Returns:
        Three (Y X, n) arrays: the share of each point's light that falls into each pixel, its derivative by y and its
        derivative by x, both per nm.

    Raises:
        OpticsError: a measured PSF, which has no derivative.
    """
    if isinstance(psf, GaussianPSF):
        return _gaussian(psf, window, pixel_size_nm, places_nm)
    if isinstance(psf, AiryPSF):
        return _airy(psf, window, pixel_size_nm, places_nm)
    raise OpticsError("the limit is computed for a Gaussian or an Airy PSF; give its FWHM, or NA and wavelength.")


def _gaussian(
    psf: GaussianPSF, window: tuple[int, int], pixel: float, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (light_y, slope_y), (light_x, slope_x) = (
        _along_axis(size, pixel, places[:, axis], psf.sigma_nm) for axis, size in enumerate(window)
    )
    return _outer(light_y, light_x), _outer(slope_y, light_x), _outer(light_y, slope_x)


def _along_axis(size: int, pixel: float, centre: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """(size, n) integral over each pixel along one axis, and its derivative by the centre."""
    edges = (np.arange(size + 1) - size / 2) * pixel
    distance = (edges[:, None] - centre) / sigma
    density = np.exp(-(distance**2) / 2) / (math.sqrt(2 * math.pi) * sigma)
    return gaussian_integrals(edges[:-1, None], pixel, centre, sigma), density[:-1] - density[1:]


def _outer(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (y[:, None] * x[None]).reshape(-1, y.shape[1])


def _airy(
    psf: AiryPSF, window: tuple[int, int], pixel: float, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.special import j1, jv

    order = max(3, math.ceil(8.0 * psf.na * pixel / psf.wavelength_nm) + 2)
    nodes, weights = np.polynomial.legendre.leggauss(order)
    y, x = ((((np.arange(n) + 0.5 - n / 2)[:, None] + nodes / 2) * pixel).ravel() for n in window)
    dy, dx = y[:, None, None] - places[:, 0], x[:, None] - places[:, 1]  # (Y q, 1, n), (X q, n)
    per_nm = 2.0 * math.pi * psf.na / psf.wavelength_nm
    v = np.maximum(per_nm * np.hypot(dy, dx), 1e-6)
    ratio = 2.0 * j1(v) / v
    density = per_nm**2 / (4.0 * math.pi) * ratio**2  # of unit integral: that of (2 J1(v) / v)^2 is 4 pi
    # d/dv (2 J1 / v)^2 = -8 J1 J2 / v^2; and v moves by -per_nm^2 dy / v for each nm that the point moves along y.
    slope = per_nm**2 / (4.0 * math.pi) * (4.0 * ratio * jv(2, v) / v) * per_nm**2 / v

    def pooled(values: np.ndarray) -> np.ndarray:
        blocks = values.reshape(window[0], order, window[1], order, -1)
        return np.einsum("aibjn,i,j->abn", blocks, weights, weights).reshape(-1, len(places)) * pixel**2 / 4.0

    return pooled(density), pooled(slope * dy), pooled(slope * dx)
