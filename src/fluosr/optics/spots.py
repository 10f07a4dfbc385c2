"""The light of single points, wherever they lie between the pixels."""

from __future__ import annotations

import math

import numpy as np

from fluosr.optics.psf import gaussian_integrals

REACH_SIGMAS = 7.0  # beyond lies less than 1e-11 of a point's light
ENTRIES_AT_A_TIME = 2**20


def light_of_points(
    field_shape: tuple[int, int], y_px: np.ndarray, x_px: np.ndarray, photons: np.ndarray, sigma_px: float
) -> np.ndarray:
    """What the pixels collect of points behind a Gaussian PSF: its integral over each pixel, nothing sampled.

        phi_ij = sum_k N_k [Phi(i + 1 - y_k) - Phi(i - y_k)] [Phi(j + 1 - x_k) - Phi(j - x_k)]

    with Phi the distribution function of a Gaussian of standard deviation sigma. Time and memory go with the points and
    the area of one spot, not with the field.

    Args:
        field_shape: (Y, X), pixels.
        y_px, x_px: (N,) places in pixels from the field's outer corner; points beyond the field send light into it.
        photons: (N,) of each point.
        sigma_px: standard deviation of the PSF, pixels.

    Returns:
        (Y, X) float64, photons.
    """
    half = math.ceil(REACH_SIGMAS * sigma_px)
    side = np.arange(-half, half + 1)
    image = np.zeros(field_shape[0] * field_shape[1])
    at_a_time = max(1, ENTRIES_AT_A_TIME // len(side) ** 2)
    for first in range(0, len(photons), at_a_time):
        part = slice(first, first + at_a_time)
        numbers, shares = [], []
        for places, size in ((y_px[part], field_shape[0]), (x_px[part], field_shape[1])):
            pixels = np.floor(places)[:, None].astype(np.int64) + side
            inside = (pixels >= 0) & (pixels < size)
            shares.append(np.where(inside, gaussian_integrals(pixels, 1.0, places[:, None], sigma_px), 0.0))
            numbers.append(np.where(inside, pixels, 0))
        light = (photons[part, None] * shares[0])[:, :, None] * shares[1][:, None, :]
        flat = numbers[0][:, :, None] * field_shape[1] + numbers[1][:, None, :]
        image += np.bincount(flat.ravel(), light.ravel(), minlength=image.size)
    return image.reshape(field_shape)
