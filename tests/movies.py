"""Tiny movies of known samples, made without the operators that are tested with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.io.movie import open_movie
from fluosr.optics.psf import FWHM_PER_SIGMA, gaussian_integrals

PIXEL_NM = 100.0
FWHM_NM = 300.0

Point = tuple[float, float, float]  # y, x in camera pixels from the field's upper left corner; photons per frame


def light_of(points: Sequence[Point], field: tuple[int, int] = (16, 18), background: float = 0.0) -> np.ndarray:
    """(Y, X) expected photons per frame: Gaussian spots, integrated over the pixels, on an even background."""
    sigma = FWHM_NM / FWHM_PER_SIGMA / PIXEL_NM
    light = np.full(field, background)
    for y, x, photons in points:
        row, column = (gaussian_integrals(np.arange(n), 1.0, c, sigma) for n, c in zip(field, (y, x), strict=True))
        light += photons * np.outer(row, column)
    return light


CROSS: tuple[Point, ...] = tuple((8.0 + 0.4 * i, 9.0, 60.0) for i in range(-8, 9)) + tuple(
    (8.0, 9.0 + 0.4 * i, 60.0) for i in range(-8, 9)
)


def frames_of(light: np.ndarray, n_frames: int = 50, *, seed: int = 0, blinking: bool = False) -> np.ndarray:
    """(T, Y, X) uint16, Poisson counts; with ``blinking`` the light is bright for four frames, then dim for four."""
    level = np.where(np.arange(n_frames) % 8 < 4, 1.8, 0.2) if blinking else np.ones(n_frames)
    expected = level[:, None, None] * light
    return np.random.default_rng(seed).poisson(expected).astype(np.uint16)


def movie_of(frames: np.ndarray, **changes: Any) -> Acquisition:
    """The frames as an acquisition of 100-nm pixels, a 300-nm PSF and a camera that counts photons."""
    facts: dict[str, Any] = {
        "pixel_size_nm": PIXEL_NM,
        "fwhm_nm": FWHM_NM,
        "gain": 1.0,
        "offset": 0.0,
        "read_noise": 0.0,
    }
    return open_movie(frames, **(facts | changes))


def cross_movie(n_frames: int = 50, *, seed: int = 0, blinking: bool = False, **changes: Any) -> Acquisition:
    """A bright cross on a dim background: 16 x 18 pixels."""
    frames = frames_of(light_of(CROSS, background=3.0), n_frames, seed=seed, blinking=blinking)
    return movie_of(frames, **changes)
