"""Density, brightness and on-time ratio of blinking emitters from cumulants of orders 2, 3 and 4 (bSOFI).

Emitters of brightness e that are on for a part rho of the time, independently, in an image of unit-sum PSF U of
standard deviation s, have the cumulants

    k_n(r) = sum over emitters of  e^n f_n(rho) U(r - r_k)^n,
    f_2 = rho (1 - rho),  f_3 = f_2 (1 - 2 rho),  f_4 = f_2 (1 - 6 rho + 6 rho^2)

and U^n = (2 pi s^2)^(1-n) / n times a Gaussian of s / sqrt(n). The paper takes the emitters as evenly spread. Here the
three images are blurred to one width s before they are compared: then

    K_n = k_n n (2 pi s^2)^(n-1) = N e^n f_n

wherever the emitters within a PSF are alike, evenly spread or not, N their density seen through U; as in the paper,

    a = K_3 / K_2,  b = K_4 / K_2,   e = sqrt(3 a^2 - 2 b),   rho = 1/2 - a / 2e,   N = K_2 / (e^2 rho (1 - rho)).

(Geissbuehler et al. 2012.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fluosr.methods.sofi.linearise import MirrorBlur

WEAKEST = 0.05  # of the maximum of order 2: under it cumulants of higher order are noise


def emitter_maps(
    cumulants: Mapping[int, np.ndarray], sigma_px: float, factor: int, pixel_size_nm: float
) -> dict[str, np.ndarray]:
    """Maps of the emitters, as fine as the PSF.

    Args:
        cumulants: orders 2, 3 and 4, each (L Y, L X), photons per camera pixel to that power, free of shot noise.
        sigma_px: standard deviation of the PSF as the pixels see it, camera pixels.
        factor: L.
        pixel_size_nm: of the camera, nm.

    Returns:
        (L Y, L X) float32 by name: ``emitter_density_per_um2``, ``emitter_brightness_photons`` (per emitter and frame,
        while on) and ``on_time_ratio``; NaN where the cumulants are too weak, or not those of blinking emitters.
    """
    area = 2.0 * math.pi * sigma_px**2
    k2, k3, k4 = (
        n * area ** (n - 1) * MirrorBlur(cumulants[n].shape, factor * sigma_px * math.sqrt(1 - 1 / n))(cumulants[n])
        for n in (2, 3, 4)
    )
    with np.errstate(all="ignore"):
        first, second = k3 / k2, k4 / k2
        brightness = np.sqrt(3.0 * first**2 - 2.0 * second)
        ratio = 0.5 - first / (2.0 * brightness)
        density = k2 / (brightness**2 * ratio * (1.0 - ratio)) / (pixel_size_nm / 1000.0) ** 2
        known = (k2 > WEAKEST * k2.max()) & (ratio > 0) & (ratio < 1) & np.isfinite(density)
    maps = {"emitter_density_per_um2": density, "emitter_brightness_photons": brightness, "on_time_ratio": ratio}
    return {name: np.where(known, values, np.nan).astype(np.float32) for name, values in maps.items()}
