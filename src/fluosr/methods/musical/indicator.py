"""What a window says: which of its eigenimages are signal, and how well a point's image lies among these.

    f(r) = (|U_S^T g(r)| / |U_N^T g(r)|)^alpha

with g(r) the image of a point at r on the window's pixels, U_S the eigenimages of the signal and U_N the others
(Agarwal & Machan 2016). It asks for directions only: a dim structure counts as much as a bright one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition

TRACY_WIDOM = 3.27  # 99.9th percentile, for the largest eigenvalue of real noise
LEAST_NOISE = 1e-8  # of |g|^2: what is left of a point's image by rounding alone


def noise_edge(n_pixels: int, n_frames: int) -> float:
    """Largest eigenvalue of sum_t n n^T that unit noise n of so many pixels reaches but once in a thousand windows.

    (sqrt(T - 1) + sqrt(p))^2, where Marchenko & Pastur's law ends, and Tracy & Widom's fluctuation about it (Johnstone
    2001).
    """
    root = math.sqrt(max(1, n_frames - 1)) + math.sqrt(n_pixels)
    width = root * (1.0 / math.sqrt(max(1, n_frames - 1)) + 1.0 / math.sqrt(n_pixels)) ** (1.0 / 3.0)
    return root**2 + TRACY_WIDOM * width


def signal_of_noise(values: np.ndarray, vectors: np.ndarray, variance: np.ndarray, edge: float) -> np.ndarray:
    """(n, p) bool: eigenimages stronger than what shot noise makes of the pixels they stand on.

    Noise is uneven: an eigenimage u on bright pixels is measured by u^T D u, D the variances of its pixels.

    Args:
        values: (n, p) eigenvalues of sum_t y y^T.
        vectors: (n, p, p) eigenimages, in columns.
        variance: (n, p) of the window's pixels in one frame, photons squared.
        edge: see :func:`noise_edge`.
    """
    own = np.einsum("npk,np->nk", vectors**2, variance)
    return values > edge * own


def point_images(acquisition: Acquisition, side: int, factor: int) -> np.ndarray:
    """(p, W, L, W, L) float64: what a point at each fine pixel of a window makes of the window's p = W^2 pixels."""
    import torch

    from fluosr.optics.operators import imaging_operator

    operator = imaging_operator((side, side), factor, acquisition.psf, acquisition.pixel_size_nm, dtype=torch.float64)
    images = np.empty((side**2, side, factor, side, factor))
    for p in range(side**2):
        pixel = torch.zeros((1, side, side), dtype=torch.float64)
        pixel[0, p // side, p % side] = 1.0
        # Row p of A, seen from all fine pixels.
        images[p] = operator.grid.crop(operator.adjoint(pixel)).numpy().reshape(images.shape[1:])
    return images


def indicator(vectors: np.ndarray, signal: np.ndarray, points: np.ndarray, power: float) -> np.ndarray:
    """(n, m) float64: f of m points in n windows; 0 in windows without signal.

    Args:
        vectors: (n, p, p) eigenimages, in columns.
        signal: (n, p) bool.
        points: (p, m) images of the points.
        power: alpha.
    """
    shares = np.matmul(vectors.transpose(0, 2, 1), points) ** 2  # (n, p, m)
    whole = shares.sum(1)
    inside = np.einsum("npm,np->nm", shares, signal.astype(float))
    outside = np.einsum("npm,np->nm", shares, 1.0 - signal)
    return (inside / np.maximum(outside, LEAST_NOISE * np.maximum(whole, 1e-300))) ** (power / 2.0)
