"""Single molecules in small patches, by maximum likelihood: where, how bright, and how surely.

The model of a patch is a Gaussian integrated over the pixels, on an even background,

    mu_k = N e_k(x) e_k(y) + b,   e_k(x) = [erf((k + 1 - x) / (sqrt(2) s)) - erf((k - x) / (sqrt(2) s))] / 2.

Counts are Poisson (Smith et al. 2010). A pixel whose read noise has the variance v_k is taken for one with v_k photons
more, in the data as in the model: D_k = d_k + v_k is Poisson of mean M_k = mu_k + v_k (Huang et al. 2013). What is
minimised is the log-likelihood ratio against the data themselves,

    LLR = 2 sum_k [M_k - D_k + D_k log(D_k / M_k)]       (Laurence and Chromy 2010, eq. 3),

by Levenberg-Marquardt steps with the Fisher matrix I_ij = sum_k dM_k/di dM_k/dj / M_k in place of the Hessian. The
inverse of this matrix is the Cramér-Rao bound: its diagonal gives the standard errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numba import njit

MOST_ITERATIONS = 50
DECREMENT = 1e-6  # g^T I^-1 g at which a fit has ended: a thousandth of a standard error from the optimum
LEAST_LIGHT = 1e-4  # photons; neither a spot nor a background can have less
CHANCE = (math.log(1e-4), math.log(1e2), 241)  # logarithms of expected counts; beyond, pixels are as Gaussian
WIDTH_RANGE = 3.0  # a fitted width stays within this factor of the one it starts from
OUTSIDE_PX = 1.0  # how far outside its patch a molecule may lie
SQRT_2, SQRT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class SpotFits:
    """What was fitted to n patches; lengths in pixels from a patch's outer corner, x along columns, y along rows.

    Attributes:
        x_px, y_px: (n,) the centre of pixel (0, 0) lies at (.5, .5).
        photons: (n,) of the whole spot, also of its parts outside the patch.
        background: (n,) photons per pixel.
        sigma_px: (n,) standard deviation of the Gaussian.
        x_error_px, y_error_px, photons_error, background_error, sigma_error_px: (n,) the Cramér-Rao bounds, as standard
            deviations; NaN where there is none, and of a width that was not fitted.
        misfit: (n,) log-likelihood ratio.
        misfit_mean, misfit_sd: (n,) what it is where the model is right: about the pixels used less the parameters
            fitted, and the square root of twice that, but for pixels of few photons.
        converged: (n,) bool.
        iterations: (n,) steps tried.
    """

    x_px: np.ndarray
    y_px: np.ndarray
    photons: np.ndarray
    background: np.ndarray
    sigma_px: np.ndarray
    x_error_px: np.ndarray
    y_error_px: np.ndarray
    photons_error: np.ndarray
    background_error: np.ndarray
    sigma_error_px: np.ndarray
    misfit: np.ndarray
    misfit_mean: np.ndarray
    misfit_sd: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray

    def __len__(self) -> int:
        return len(self.x_px)

    def where(self, mask: np.ndarray) -> SpotFits:
        """Those of an (n,) bool mask, or of numbers."""
        return SpotFits(**{item.name: getattr(self, item.name)[mask] for item in fields(self)})


def fit_spots(
    patches: np.ndarray,
    sigma_px: float,
    *,
    variance: np.ndarray | float = 0.0,
    start_px: np.ndarray | None = None,
    fit_width: bool = False,
    most_iterations: int = MOST_ITERATIONS,
) -> SpotFits:
    """The likeliest x, y, photons, background and, where wanted, width of one spot in each patch.

    Args:
        patches: (n, h, w) photoelectrons, offset taken off.
        sigma_px: standard deviation of the PSF, pixels; with ``fit_width`` where the width starts.
        variance: of the read noise, electrons squared; a number or (n, h, w). Pixels where it is infinite are left out.
        start_px: (n, 2) x and y to start from; the patches' middles where not given.
        fit_width: fit the width too.
        most_iterations: steps after which a fit counts as not converged.

    Raises:
        ValueError: shapes that do not fit each other, or a width that is none.
    """
    patches = np.ascontiguousarray(patches, np.float32)
    if patches.ndim != 3 or min(patches.shape[1:]) < 2:
        raise ValueError(f"patches are (n, h, w) with sides of 2 pixels or more, got {patches.shape}")
    if not (math.isfinite(sigma_px) and sigma_px > 0):
        raise ValueError(f"the width must be positive, got {sigma_px}")
    n, height, width = patches.shape
    # Copies: compiled code takes arrays that may not be written for another type.
    patches, start, noise = patches.copy(), np.empty((n, 2)), np.empty(patches.shape, np.float32)
    start[:] = (width / 2.0, height / 2.0) if start_px is None else start_px
    noise[:] = variance
    found = np.full((n, 14), np.nan)
    chance = misfit_of_chance()
    _fit_all(patches, noise, start, float(sigma_px), 5 if fit_width else 4, most_iterations, *chance, found)
    names = [item.name for item in fields(SpotFits)][:13]
    values = {name: found[:, i].copy() for i, name in enumerate(names)}
    return SpotFits(**values, converged=~np.isnan(found[:, 5]), iterations=found[:, 13].astype(int))


@lru_cache(maxsize=1)
def misfit_of_chance() -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a pixel's LLR when it is a Poisson count of mean M, at log M as in ``CHANCE``.

    They are 1 and 2 for many photons, more for about one, and vanish with M.
    """
    from scipy.special import gammaln, xlogy

    expected = np.exp(np.linspace(*CHANCE))[:, None]
    counted = np.arange(int(expected.max() + 12 * math.sqrt(expected.max())))
    chance = np.exp(xlogy(counted, expected) - expected - gammaln(counted + 1.0))
    ratio = 2.0 * (expected - counted + xlogy(counted, counted / expected))
    mean = (chance * ratio).sum(1)
    return mean, (chance * (ratio - mean[:, None]) ** 2).sum(1)


def profile(size: int, centre: float, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(size,) e_k, and its derivatives with respect to the centre and to sigma; the compiled code's own."""
    made = np.empty((3, size))
    _profile(made, centre, sigma)
    return made[0], made[1], made[2]


@njit(cache=True, nogil=True, error_model="numpy")
def _profile(made: np.ndarray, centre: float, sigma: float) -> None:
    """Share of the light in each pixel of a line, its derivative with respect to the centre, and to sigma."""
    distance = -centre
    below = 0.5 * math.erf(distance / (SQRT_2 * sigma))
    slope = math.exp(-0.5 * (distance / sigma) ** 2) / (SQRT_2_PI * sigma)
    for k in range(made.shape[1]):
        onward = distance + 1.0
        above = 0.5 * math.erf(onward / (SQRT_2 * sigma))
        next_slope = math.exp(-0.5 * (onward / sigma) ** 2) / (SQRT_2_PI * sigma)
        made[0, k] = above - below
        made[1, k] = slope - next_slope
        made[2, k] = (distance * slope - onward * next_slope) / sigma
        distance, below, slope = onward, above, next_slope


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(
    patch: np.ndarray,
    noise: np.ndarray,
    at: np.ndarray,
    count: int,
    along_x: np.ndarray,
    along_y: np.ndarray,
    gradient: np.ndarray,
    fisher: np.ndarray,
) -> float:
    """LLR at (x, y, N, b, s); writes -dLLR/2 and the Fisher matrix's lower half of the first ``count`` parameters."""
    _profile(along_x, at[0], at[4])
    _profile(along_y, at[1], at[4])
    photons, background = at[2], at[3]
    gradient[:] = 0.0
    fisher[:] = 0.0
    ratio = 0.0
    g0 = g1 = g2 = g3 = 0.0
    f00 = f10 = f11 = f20 = f21 = f22 = f30 = f31 = f32 = f33 = 0.0
    for i in range(patch.shape[0]):
        ey, dy, wy = along_y[0, i], photons * along_y[1, i], photons * along_y[2, i]
        for j in range(patch.shape[1]):
            extra = float(noise[i, j])
            if extra == np.inf:
                continue
            ex = along_x[0, j]
            unit = ex * ey
            model = photons * unit + background + extra
            data = max(float(patch[i, j]) + extra, 0.0)
            inverse = 1.0 / model
            pull = data * inverse - 1.0
            ratio += model - data
            if data > 0.0:
                ratio -= data * math.log(model / data)
            by_x, by_y = along_x[1, j] * photons * ey, ex * dy
            g0 += by_x * pull
            g1 += by_y * pull
            g2 += unit * pull
            g3 += pull
            weighted_x, weighted_y, weighted = by_x * inverse, by_y * inverse, unit * inverse
            f00 += weighted_x * by_x
            f10 += weighted_x * by_y
            f11 += weighted_y * by_y
            f20 += weighted_x * unit
            f21 += weighted_y * unit
            f22 += weighted * unit
            f30 += weighted_x
            f31 += weighted_y
            f32 += weighted
            f33 += inverse
            if count == 5:
                by_width = along_x[2, j] * photons * ey + ex * wy
                gradient[4] += by_width * pull
                by_width *= inverse
                fisher[4, 0] += by_width * by_x
                fisher[4, 1] += by_width * by_y
                fisher[4, 2] += by_width * unit
                fisher[4, 3] += by_width
                fisher[4, 4] += by_width * by_width * model
    gradient[0], gradient[1], gradient[2], gradient[3] = g0, g1, g2, g3
    fisher[0, 0], fisher[1, 0], fisher[1, 1] = f00, f10, f11
    fisher[2, 0], fisher[2, 1], fisher[2, 2] = f20, f21, f22
    fisher[3, 0], fisher[3, 1], fisher[3, 2], fisher[3, 3] = f30, f31, f32, f33
    return 2.0 * ratio


@njit(cache=True, nogil=True, error_model="numpy")
def _factorise(matrix: np.ndarray, count: int, damping: float, held: int, root: np.ndarray) -> bool:
    """Cholesky of the lower half, its diagonal times 1 + damping; one parameter may be held where it is."""
    for i in range(count):
        for j in range(i + 1):
            value = matrix[i, j]
            if i == j:
                value *= 1.0 + damping
            if i == held or j == held:
                value = 1.0 if i == j else 0.0
            for k in range(j):
                value -= root[i, k] * root[j, k]
            if i > j:
                root[i, j] = value / root[j, j]
            elif value > 0.0:
                root[i, i] = math.sqrt(value)
            else:
                return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(root: np.ndarray, count: int, right: np.ndarray, solution: np.ndarray) -> float:
    """Solve L L^T solution = right; the length squared of L^-1 right."""
    length = 0.0
    for i in range(count):
        value = right[i]
        for k in range(i):
            value -= root[i, k] * solution[k]
        solution[i] = value / root[i, i]
        length += solution[i] ** 2
    for i in range(count - 1, -1, -1):
        value = solution[i]
        for k in range(i + 1, count):
            value -= root[k, i] * solution[k]
        solution[i] = value / root[i, i]
    return length


@njit(cache=True, nogil=True, error_model="numpy")
def _begin(patch: np.ndarray, noise: np.ndarray, at: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> int:
    """Photons and background by weighted least squares for a spot at the start; the number of pixels used."""
    _profile(along_x, at[0], at[4])
    _profile(along_y, at[1], at[4])
    used, level = 0, 0.0
    for i in range(patch.shape[0]):
        for j in range(patch.shape[1]):
            if noise[i, j] < np.inf:
                used += 1
                level += max(float(patch[i, j]), 0.0)
    level = max(level / max(used, 1), 1e-2)
    one = first = second = seen = shone = 0.0
    for i in range(patch.shape[0]):
        for j in range(patch.shape[1]):
            if noise[i, j] < np.inf:
                weight = 1.0 / (level + noise[i, j])
                unit = along_x[0, j] * along_y[0, i]
                one += weight
                first += weight * unit
                second += weight * unit * unit
                seen += weight * patch[i, j]
                shone += weight * unit * patch[i, j]
    against = one * second - first * first
    if against > 1e-12 * one * second:
        at[2], at[3] = (one * shone - first * seen) / against, (second * seen - first * shone) / against
    at[2], at[3] = max(at[2], 1.0), max(at[3], 1e-2)
    return used


@njit(cache=True, nogil=True, error_model="numpy")
def _by_chance(
    noise: np.ndarray,
    at: np.ndarray,
    along_x: np.ndarray,
    along_y: np.ndarray,
    chance_mean: np.ndarray,
    chance_variance: np.ndarray,
) -> tuple[float, float]:
    """Mean and variance of the LLR where the model is right, no parameter being fitted."""
    _profile(along_x, at[0], at[4])
    _profile(along_y, at[1], at[4])
    first, last, places = CHANCE
    mean = variance = 0.0
    for i in range(noise.shape[0]):
        for j in range(noise.shape[1]):
            if noise[i, j] < np.inf:
                seen = math.log(at[2] * along_x[0, j] * along_y[0, i] + at[3] + noise[i, j])
                place = max((seen - first) / (last - first) * (places - 1), 0.0)
                if place >= places - 1:
                    mean += 1.0
                    variance += 2.0
                else:
                    k = int(place)
                    mean += chance_mean[k] + (place - k) * (chance_mean[k + 1] - chance_mean[k])
                    variance += chance_variance[k] + (place - k) * (chance_variance[k + 1] - chance_variance[k])
    return mean, variance


@njit(cache=True, nogil=True, error_model="numpy")
def _fit_all(
    patches: np.ndarray,
    noise: np.ndarray,
    start: np.ndarray,
    sigma: float,
    count: int,
    most_iterations: int,
    chance_mean: np.ndarray,
    chance_variance: np.ndarray,
    found: np.ndarray,
) -> None:
    """Fit every patch; a row of ``found`` is five values, five errors, LLR, its mean and sd by chance, steps."""
    height, width = patches.shape[1:]
    along_x, along_y = np.empty((3, width)), np.empty((3, height))
    at, trial, step = np.empty(5), np.empty(5), np.empty(5)
    gradient, fisher, root = np.empty(5), np.empty((5, 5)), np.zeros((5, 5))
    new_gradient, new_fisher = np.empty(5), np.empty((5, 5))
    for n in range(len(patches)):
        at[0], at[1], at[2], at[3], at[4] = start[n, 0], start[n, 1], 1.0, 1.0, sigma
        used = _begin(patches[n], noise[n], at, along_x, along_y)
        ratio = _weigh(patches[n], noise[n], at, count, along_x, along_y, gradient, fisher)
        damping, ended, tried = 0.0, False, 0
        while used > count and tried < most_iterations:
            # A background that would be negative is none, and takes no part.
            held = 3 if at[3] <= LEAST_LIGHT and gradient[3] < 0.0 else -1
            pulled = gradient[3]
            if held == 3:
                gradient[3] = 0.0
            if not _factorise(fisher, count, damping, held, root):
                break
            decrement = _solve(root, count, gradient, step)
            gradient[3] = pulled
            if damping == 0.0 and decrement < DECREMENT:
                ended = True
                break
            tried += 1
            trial[:] = at
            for i in range(count):
                limit = 1.0 if i < 2 else 0.5 * at[4]
                trial[i] += step[i] if 2 <= i < 4 else min(max(step[i], -limit), limit)
            trial[2], trial[3] = max(trial[2], 0.1 * at[2], LEAST_LIGHT), max(trial[3], LEAST_LIGHT)
            new_ratio = _weigh(patches[n], noise[n], trial, count, along_x, along_y, new_gradient, new_fisher)
            if new_ratio <= ratio + 1e-9 * abs(ratio):
                at[:], ratio, gradient[:], fisher[:, :] = trial, new_ratio, new_gradient, new_fisher
                damping = 0.0 if damping < 1e-2 else 0.1 * damping
            else:
                damping = max(1e-2, 10.0 * damping)
                if damping > 1e8:
                    break
        inside = -OUTSIDE_PX <= at[0] <= width + OUTSIDE_PX and -OUTSIDE_PX <= at[1] <= height + OUTSIDE_PX
        inside = inside and sigma / WIDTH_RANGE < at[4] < WIDTH_RANGE * sigma
        found[n, :5] = at
        mean, variance = _by_chance(noise[n], at, along_x, along_y, chance_mean, chance_variance)
        found[n, 10], found[n, 11], found[n, 12], found[n, 13] = ratio, mean - count, math.sqrt(variance), tried
        if ended and inside and at[2] > LEAST_LIGHT and _factorise(fisher, count, 0.0, -1, root):
            for i in range(count):
                gradient[:] = 0.0
                gradient[i] = 1.0
                found[n, 5 + i] = math.sqrt(_solve(root, count, gradient, step))
