"""The compiled part of the spot fit, one patch after the other: see :mod:`fluosr.solvers.spot_fit`."""

from __future__ import annotations

import math

import numpy as np

from fluosr.solvers.compiled import compiled

DECREMENT = 1e-6  # g^T I^-1 g at which a fit has ended: a thousandth of a standard error from the optimum
LEAST_LIGHT = 1e-4  # photons; neither a spot nor a background can have less
CHANCE = (math.log(1e-4), math.log(1e2), 241)  # logarithms of expected counts; beyond, pixels are as Gaussian
LEAST_CHANCE = 1e-9  # of mean and variance, where no pixel is used
WIDTH_RANGE = 3.0  # a fitted width stays within this factor of the one it starts from
OUTSIDE_PX = 1.0  # how far outside its patch a molecule may lie
SQRT_2, SQRT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


@compiled(nogil=True, error_model="numpy")
def write_profile(made: np.ndarray, centre: float, sigma: float) -> None:
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


@compiled(nogil=True, error_model="numpy")
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
    write_profile(along_x, at[0], at[4])
    write_profile(along_y, at[1], at[4])
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


@compiled(nogil=True, error_model="numpy")
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


@compiled(nogil=True, error_model="numpy")
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


@compiled(nogil=True, error_model="numpy")
def _begin(patch: np.ndarray, noise: np.ndarray, at: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> int:
    """Photons and background by weighted least squares for a spot at the start; the number of pixels used."""
    write_profile(along_x, at[0], at[4])
    write_profile(along_y, at[1], at[4])
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


@compiled(nogil=True, error_model="numpy")
def _by_chance(
    noise: np.ndarray,
    at: np.ndarray,
    count: int,
    along_x: np.ndarray,
    along_y: np.ndarray,
    chance_mean: np.ndarray,
    chance_variance: np.ndarray,
) -> tuple[float, float]:
    """Mean and variance of the LLR where the model is right: those of the pixels, less those of chi-squared.

    A parameter fitted takes 1 and 2 off, but of a few dark pixels, which have hardly more, no more than half.
    """
    write_profile(along_x, at[0], at[4])
    write_profile(along_y, at[1], at[4])
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
    taken = min(float(count), 0.5 * mean, 0.25 * variance)
    return max(mean - taken, LEAST_CHANCE), max(variance - 2.0 * taken, LEAST_CHANCE)


@compiled(nogil=True, error_model="numpy")
def fit_all(
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
            trial[4] = at[4]
            for i in range(count):
                limit = 1.0 if i < 2 else 0.5 * at[4]
                trial[i] = at[i] + (step[i] if 2 <= i < 4 else min(max(step[i], -limit), limit))
            trial[2], trial[3] = max(trial[2], 0.1 * at[2], LEAST_LIGHT), max(trial[3], LEAST_LIGHT)
            new_ratio = _weigh(patches[n], noise[n], trial, count, along_x, along_y, new_gradient, new_fisher)
            if new_ratio <= ratio + 1e-9 * abs(ratio):
                ratio = new_ratio
                at, trial = trial, at
                gradient, new_gradient = new_gradient, gradient
                fisher, new_fisher = new_fisher, fisher
                damping = 0.0 if damping < 1e-2 else 0.1 * damping
            else:
                damping = max(1e-2, 10.0 * damping)
                if damping > 1e8:
                    break
        inside = -OUTSIDE_PX <= at[0] <= width + OUTSIDE_PX and -OUTSIDE_PX <= at[1] <= height + OUTSIDE_PX
        inside = inside and sigma / WIDTH_RANGE < at[4] < WIDTH_RANGE * sigma
        for i in range(5):
            found[n, i] = at[i]
        mean, variance = _by_chance(noise[n], at, count, along_x, along_y, chance_mean, chance_variance)
        found[n, 10], found[n, 11], found[n, 12], found[n, 13] = ratio, mean, math.sqrt(variance), tried
        if ended and inside and at[2] > LEAST_LIGHT and _factorise(fisher, count, 0.0, -1, root):
            for i in range(count):
                gradient[:] = 0.0
                gradient[i] = 1.0
                found[n, 5 + i] = math.sqrt(_solve(root, count, gradient, step))
