"""How covariance falls with the lag between frames, seen through windows of time whose slow trend was taken off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

TREND_ORDER = 2  # polynomial in time that bleaching and drift are taken for, within a window
SLOWEST, FASTEST = 0.02, 20.0  # switching rates per frame that a curve is looked for among
RATES_TRIED = 40


def curve(rate: float, n_lags: int) -> np.ndarray:
    """(n,) covariance at lags 0 ... n-1 over I D (1 - p), of molecules that forget their state at ``rate`` per frame.

        rho_0 = 2 (a - 1 + exp(-a)) / a^2,    rho_k = [(1 - exp(-a)) / a]^2 exp(-(k - 1) a)

    An infinite rate gives 1, 0, 0 ...: frames without memory.
    """
    rho = np.zeros(n_lags)
    if math.isinf(rate):
        rho[0] = 1.0
        return rho
    share = -math.expm1(-rate) / rate
    rho[0] = 2.0 * (rate + math.expm1(-rate)) / rate**2
    rho[1:] = share**2 * np.exp(-np.arange(n_lags - 1) * rate)
    return rho


@dataclass(frozen=True)
class Window:
    """Frames in a row, less a polynomial in time for each pixel: y' = P y.

    Args:
        n_frames: W.
    """

    n_frames: int

    @cached_property
    def projection(self) -> np.ndarray:
        """(W, W) P: takes off polynomials up to TREND_ORDER."""
        time = np.linspace(-1.0, 1.0, self.n_frames)
        basis, _ = np.linalg.qr(np.vander(time, TREND_ORDER + 1))
        return np.eye(self.n_frames) - basis @ basis.T

    @property
    def n_lags(self) -> int:
        """Lags that are looked at: longer ones leave little after the trend."""
        return max(2, self.n_frames // 3)

    @property
    def degrees(self) -> float:
        """Of freedom left to noise without memory: E sum_t y'(t)^2 = degrees * variance."""
        return float(np.trace(self.projection))

    @cached_property
    def mixing(self) -> np.ndarray:
        """(n_lags, W) M: E sum_t y'(t) y'(t + k) = sum_j M_kj C_j for a covariance C_j at lag j. No bias is left."""
        p, n = self.projection, self.n_frames
        mixed = np.empty((self.n_lags, n))
        for j in range(n):
            lagged = np.eye(n) if j == 0 else np.eye(n, k=j) + np.eye(n, k=-j)
            mixed[:, j] = self.sums(p @ lagged @ p)
        return mixed

    def lagged_products(self, gram: np.ndarray) -> np.ndarray:
        """(n_lags,) sum_t y'(t) z'(t + k), from (W, W) y(s) z(t), both orders averaged."""
        return self.sums(self.projection @ gram @ self.projection)

    def sums(self, matrix: np.ndarray) -> np.ndarray:
        """(n_lags,) sums of its diagonals, upper and lower ones averaged."""
        lags = range(self.n_lags)
        return np.array([(np.trace(matrix, k) + np.trace(matrix, -k)) / 2 for k in lags])

    def expected(self, rate: float) -> np.ndarray:
        """(n_lags,) lagged products of molecules of this rate, whose variance in a frame is 1."""
        rho = curve(rate, self.n_frames)
        return self.mixing @ (rho / rho[0])

    @property
    def slowest(self) -> float:
        """Rate per frame of the longest memory that is looked for: as long as the window, or shorter."""
        return max(SLOWEST, 1.0 / self.n_frames)

    @cached_property
    def candidates(self) -> list[tuple[float, np.ndarray]]:
        """Rates per frame that are tried, with what is expected of each."""
        return [(float(rate), self.expected(rate)) for rate in np.geomspace(self.slowest, FASTEST, RATES_TRIED)]

    def fit(self, products: np.ndarray) -> tuple[float, float]:
        """Rate per frame and variance in a frame that explain (n_lags,) lagged products best, by least squares."""
        from scipy.optimize import minimize_scalar

        def variance_of(shape: np.ndarray) -> float:
            return float(shape @ products / (shape @ shape))

        def misfit(shape: np.ndarray) -> float:
            return float(((products - variance_of(shape) * shape) ** 2).sum())

        rates, shapes = zip(*self.candidates, strict=True)
        best = int(np.argmin([misfit(shape) for shape in shapes]))
        bounds = tuple(math.log(rates[n]) for n in (max(best - 1, 0), min(best + 1, len(rates) - 1)))
        found = minimize_scalar(lambda log: misfit(self.expected(math.exp(log))), bounds=bounds, method="bounded")
        rate = math.exp(float(found.x))
        return rate, variance_of(self.expected(rate))


def rate_of(correlation: float) -> float:
    """Rate per frame at which two successive frames have this correlation rho_1 / rho_0, in 0 ... 1."""
    if correlation <= 0:
        return math.inf
    low, high = 1e-6, 1e6
    for _ in range(100):
        middle = math.sqrt(low * high)
        first, second = curve(middle, 2)
        low, high = (middle, high) if second / first > correlation else (low, middle)
    return math.sqrt(low * high)
