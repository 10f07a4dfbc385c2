"""The fit of a covariance, written out: dense A, dense R, plain proximal gradient; movies of independent emitters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fluosr.optics.kronecker import Pair
from tests.movies import Point, light_of


def dense(pairs: list[Pair]) -> np.ndarray:
    """(Y X, ny nx) A."""
    return np.sum([np.kron(rows, columns) for rows, columns in pairs], axis=0)


def covariance(frames: np.ndarray) -> np.ndarray:
    """(Y X, Y X) R."""
    return np.cov(frames.reshape(len(frames), -1).astype(float).T)


class DenseFit:
    """1/2 |R - A diag(r) A^T - noise|_F^2, minimised over the noise, with every matrix written out."""

    def __init__(self, a: np.ndarray, r: np.ndarray, noise: str) -> None:
        self.a, self.r, self.noise = a, r, noise

    def left(self, x: np.ndarray) -> np.ndarray:
        """R - A diag(x) A^T - the best noise."""
        left = self.r - (self.a * x) @ self.a.T
        if self.noise == "shared":
            left = left - max(0.0, np.trace(left) / len(left)) * np.eye(len(left))
        if self.noise == "pixel":
            left = left - np.diag(np.diag(left))
        return left

    def value(self, x: np.ndarray) -> float:
        return 0.5 * float((self.left(x) ** 2).sum())

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return -np.einsum("mi,mn,ni->i", self.a, self.left(x), self.a)

    def minimum(self, weights: np.ndarray, start: np.ndarray, iterations: int = 20_000) -> np.ndarray:
        """Of value + <weights, x> over x >= 0: proximal gradient, a fixed step, nothing clever."""
        gram = (self.a.T @ self.a) ** 2
        step = 1.0 / np.linalg.norm(gram, 2)
        x = start.copy()
        for _ in range(iterations):
            x = np.maximum(x - step * (self.gradient(x) + weights), 0.0)
        return x


def assert_minimum(reference: DenseFit, weights: np.ndarray, x: np.ndarray) -> None:
    """The slope of value + <weights, x> is 0 where x > 0 and not below 0 elsewhere."""
    slope, scale = reference.gradient(x) + weights, np.abs(reference.gradient(0 * x)).max()
    assert slope.min() > -1e-3 * scale
    assert np.abs(slope[x > 1e-3 * x.max()]).max() < 1e-3 * scale


def independent_movie(
    points: Sequence[Point],
    n_frames: int = 200,
    *,
    field: tuple[int, int] = (16, 18),
    background: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """(T, Y, X) uint16: points that are on in half of the frames, each by itself, and Poisson counts."""
    generator = np.random.default_rng(seed)
    on = generator.random((n_frames, len(points))) < 0.5
    spots = np.stack([light_of([point], field) for point in points])
    return generator.poisson(np.tensordot(2.0 * on, spots, 1) + background).astype(np.uint16)
