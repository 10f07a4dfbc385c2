"""Drift of the sample: how far each block of frames lies from the time-average, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.psf import FWHM_PER_SIGMA

SEARCH_PX = 10  # largest displacement looked for between a block and those before it
OBSERVABLE_ERROR_PX = 0.3  # a direction in which blocks cannot be placed better than this is left alone
SIGNIFICANT_RMS_PX = 0.05
SIGNIFICANT_RATIO = 3.0
LARGE_RANGE_PX = 3.0
WINDOW_PX = 256  # of a larger field the part with most structure is enough
SURE_LOG_LIKELIHOOD = 12.0  # what a jump must gain over staying, against some four hundred places to jump to


@dataclass(frozen=True, eq=False)
class Drift:
    """Shift of the sample in every block of frames against its mean place.

    Attributes:
        shifts: (B, 2) (dy, dx), camera pixels; a positive dy moves the image to larger y. Their mean, weighted with the
            frames of each block, is 0. 0 along directions in which the sample shows no structure.
        standard_error: (B, 2) of these; ``SEARCH_PX`` where nothing can be seen.
        weights: (B,) frames in each block.
        observed: (2, k) unit vectors (columns, (y, x)) of the directions in which drift could be seen, k = 0, 1, 2.
        significant: root mean square shift along an observed direction above 0.05 px and above 3 times its error.
    """

    shifts: np.ndarray
    standard_error: np.ndarray
    weights: np.ndarray
    observed: np.ndarray
    significant: bool

    @property
    def rms_px(self) -> float:
        """Root mean square shift, camera pixels."""
        return float(np.sqrt(np.average((self.shifts**2).sum(1), weights=self.weights)))

    @property
    def range_px(self) -> float:
        """Largest distance between the places of two blocks (diagonal of their bounding box), camera pixels."""
        return float(np.hypot(*np.ptp(self.shifts, axis=0)))

    def warnings(self) -> list[str]:
        """What the reader should know, in plain words."""
        words = []
        if self.observed.shape[1] == 0:
            words.append(
                "The movie shows too little structure to see whether the sample drifts; it was taken to be at rest."
            )
        elif self.observed.shape[1] == 1:
            y, x = self.observed[:, 0]
            words.append(
                f"Drift can be seen only along (y, x) = ({y:.2f}, {x:.2f}), across the structures; along them the "
                "sample was taken to be at rest."
            )
        if self.significant and self.range_px > LARGE_RANGE_PX:
            words.append(
                f"The sample drifts by {self.range_px:.1f} pixels during the movie. That is corrected, but less of the "
                "field is seen all the time, and motion within a block of frames blurs: consider fewer frames."
            )
        return words


def estimate_drift(
    block_means: np.ndarray,
    weights: np.ndarray,
    *,
    fwhm_px: float,
    pixel_weight: np.ndarray | None = None,
    iterations: int = 12,
) -> Drift:
    """Shift of each block against the time-average, by registration on the others' shift-compensated average.

    Blocks are low-passed within the PSF's band. A search by masked correlation places each block on those before it;
    Gauss-Newton steps then solve, for every block b against the average R of all other blocks,

        min over (e, a, c) of  sum_i w_i [ S_b(i) - a (R(i) - e . grad R(i)) - c ]^2

    with a brightness a and an offset c of its own, so that bleaching does not pull, and only over pixels that both saw,
    so that nothing wraps around. The information matrix comes from the gradients of two independent halves of the
    blocks: noise does not feign structure, and directions without structure (along parallel lines) are left at 0 with a
    large standard error. Errors are sandwich estimates that allow for residuals correlated over the PSF.

    Args:
        block_means: (B, Y, X) mean of the frames of each block, photons, in order of time.
        weights: (B,) frames in each block.
        fwhm_px: FWHM of the PSF, camera pixels.
        pixel_weight: (Y, X), 0 for bad pixels; all 1 by default.
        iterations: at most this many Gauss-Newton rounds.

    Raises:
        ValueError: shapes that do not belong together, weights not positive, or NaN.

    Source:
        B. Lucas and T. Kanade, IJCAI 1981; D. Padfield, IEEE Trans. Image Process. 21, 2706 (2012), for the search.
    """
    blocks = np.asarray(block_means, float)
    weights = np.asarray(weights, float)
    if blocks.ndim != 3 or weights.shape != blocks.shape[:1]:
        raise ValueError(f"blocks of shape {blocks.shape} and weights of shape {weights.shape} do not belong together")
    if not (weights > 0).all() or not np.isfinite(blocks).all():
        raise ValueError("weights must be positive and blocks finite")
    if not (math.isfinite(fwhm_px) and fwhm_px > 0):
        raise ValueError(f"fwhm_px must be positive, got {fwhm_px}")
    count = len(blocks)
    good = np.ones(blocks.shape[1:], bool) if pixel_weight is None else np.asarray(pixel_weight) > 0
    if count < 2 or blocks.std() == 0 or good.sum() < 16:
        return _at_rest(weights)
    stack = _prepare(blocks, weights, good, fwhm_px)
    inner = stack.good[stack.rim + 1 : -stack.rim - 1, stack.rim + 1 : -stack.rim - 1]
    # Fewer pixels than half of what errs together do not tell how far off a block may be.
    if inner.sum() < math.pi * stack.correlation**2:
        return _at_rest(weights)
    shifts = _centred(_search(stack), weights)
    fit = _Fit.start(stack)
    for _ in range(iterations):
        fit = _refine(stack, shifts, fit)
        shifts = _centred(shifts + fit.step, weights)
        if np.abs(fit.step).max() < 1e-3:
            break
    observed = fit.observed
    if observed.shape[1] == 0 or np.abs(shifts).max() > 2 * SEARCH_PX:
        return _at_rest(weights)
    projector = observed @ observed.T
    shifts = shifts @ projector + 0.0
    blind = SEARCH_PX**2 * np.diag(np.eye(2) - projector)
    error = np.sqrt(np.maximum(np.einsum("bii->bi", fit.covariance) + blind, 0.0))
    # Each direction is judged by itself: the error along one must not hide the drift along the other.
    rms = np.sqrt(np.average((shifts @ observed) ** 2, axis=0, weights=weights))
    variances = np.einsum("ik,bij,jk->bk", observed, fit.covariance, observed)
    noise = np.sqrt(np.average(np.maximum(variances, 0.0), axis=0, weights=weights))
    significant = bool(((rms > SIGNIFICANT_RMS_PX) & (rms > SIGNIFICANT_RATIO * noise)).any())
    return Drift(shifts, np.minimum(error, SEARCH_PX), weights, observed, significant)


def group(
    drift: Drift, tolerance_px: float = 0.1, *, max_groups: int = 12
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    """Merge blocks that lie in nearly the same place, so that the operator needs few groups.

    Args:
        drift: of the blocks. One that is not significant gives one group at rest.
        tolerance_px: no block lies further than about this from its group's place, unless ``max_groups`` forbids.
        max_groups: at most this many.

    Returns:
        ((B,) group of each block, numbered in order of time; (dy, dx) of each group, camera pixels).

    Raises:
        ValueError: a tolerance or a number of groups that is not positive.
    """
    if not tolerance_px > 0 or max_groups < 1:
        raise ValueError("the tolerance and the number of groups must be positive")
    count = len(drift.shifts)
    if not drift.significant or count == 1 or max_groups == 1:
        return np.zeros(count, int), ((0.0, 0.0),)
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(drift.shifts, method="complete")
    found = fcluster(tree, 2.0 * tolerance_px, criterion="distance")
    if found.max() > max_groups:
        found = fcluster(tree, max_groups, criterion="maxclust")
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    labels = rank[labels.reshape(-1)]
    places = tuple(
        (float(dy), float(dx))
        for dy, dx in (
            np.average(drift.shifts[labels == k], axis=0, weights=drift.weights[labels == k])
            for k in range(labels.max() + 1)
        )
    )
    return labels, places


def _at_rest(weights: np.ndarray) -> Drift:
    count = len(weights)
    return Drift(np.zeros((count, 2)), np.full((count, 2), float(SEARCH_PX)), weights, np.zeros((2, 0)), False)


def _centred(shifts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return shifts - np.average(shifts, axis=0, weights=weights)


@dataclass(frozen=True, eq=False)
class _Stack:
    """The blocks made ready: low-passed, spline coefficients, and where they count."""

    smooth: np.ndarray  # (B, Y, X)
    coefficients: np.ndarray  # (B, Y, X) cubic spline
    good: np.ndarray  # (Y, X) bool
    rim: int  # pixels at the border spoilt by the low-pass
    weights: np.ndarray  # (B,)
    pixel_weight: np.ndarray  # (Y, X) 1 / shot noise
    smoothing: float  # sigma of the low-pass, px
    correlation: float  # sigma over which residuals may be correlated, px


def _prepare(blocks: np.ndarray, weights: np.ndarray, good: np.ndarray, fwhm_px: float) -> _Stack:
    from scipy.ndimage import distance_transform_edt, gaussian_filter, spline_filter

    sigma = fwhm_px / FWHM_PER_SIGMA
    smoothing = max(0.7 * sigma, 0.5)
    if not good.all():
        nearest = tuple(distance_transform_edt(~good, return_distances=False, return_indices=True))
        blocks = blocks[:, nearest[0], nearest[1]]
    window = _busiest_window(gaussian_filter(np.average(blocks, axis=0, weights=weights), smoothing))
    good = good[window]
    smooth = np.stack([gaussian_filter(block[window], smoothing, mode="nearest") for block in blocks])
    level = np.clip(np.average(smooth, axis=0, weights=weights), 0.0, None)
    pixel_weight = 1.0 / (level + max(0.05 * float(level.max()), 1e-12))
    pixel_weight /= pixel_weight.mean()
    coefficients = np.stack([spline_filter(block, mode="mirror") for block in smooth])
    rim = min(math.ceil(2 * smoothing), min(good.shape) // 8)
    return _Stack(smooth, coefficients, good, rim, weights, pixel_weight, smoothing, 3.0 * math.hypot(sigma, smoothing))


def _busiest_window(mean: np.ndarray) -> tuple[slice, slice]:
    """At most ``WINDOW_PX`` squared of the field: where the squared gradients sum highest."""
    sides = [min(n, WINDOW_PX) for n in mean.shape]
    if list(mean.shape) == sides:
        return slice(None), slice(None)
    gy, gx = np.gradient(mean)
    table = np.pad(np.cumsum(np.cumsum(gy**2 + gx**2, axis=0), axis=1), ((1, 0), (1, 0)))
    corners = [np.unique(np.r_[np.arange(0, n - s, 32), n - s]) for n, s in zip(mean.shape, sides, strict=True)]
    y, x = np.meshgrid(*corners, indexing="ij")
    energy = table[y + sides[0], x + sides[1]] - table[y, x + sides[1]] - table[y + sides[0], x] + table[y, x]
    best = np.unravel_index(int(energy.argmax()), energy.shape)
    return slice(y[best], y[best] + sides[0]), slice(x[best], x[best] + sides[1])


def _search(stack: _Stack) -> np.ndarray:
    """(B, 2) whole-pixel place of every block on the average of those before it, by masked normalised correlation."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    count, height, width = stack.smooth.shape
    reach = min(SEARCH_PX + SEARCH_PX // 2, min(height, width) // 3)
    size = tuple(next_fast_len(n + reach, real=True) for n in (height, width))
    lags = np.arange(-reach, reach + 1)
    inside = np.zeros((height, width))
    inside[stack.rim : height - stack.rim, stack.rim : width - stack.rim] = 1.0
    inside *= stack.good
    independent = max(float(inside.sum()) / (4.0 * math.pi * stack.smoothing**2), 1.0)
    origin = np.average(stack.smooth, axis=0, weights=stack.weights).mean()

    def spectra(image: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        return [rfft2(part, size) for part in (mask, image * mask, image * image * mask)]

    def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return irfft2(a * b.conj(), size)[np.ix_(lags, lags)]

    shifts = np.zeros((count, 2))
    total, seen = np.zeros((height, width)), np.zeros((height, width))
    place = np.zeros(2, int)
    for number in range(count):
        block = stack.smooth[number] - origin
        if number:
            mask = (seen > 0).astype(float)
            m_b, f_b, q_b = spectra(block, inside)
            m_t, f_t, q_t = spectra(np.divide(total, seen, out=np.zeros_like(total), where=seen > 0), mask)
            n = np.maximum(correlate(m_b, m_t), 1e-9)
            s_b, s_t = correlate(f_b, m_t), correlate(m_b, f_t)
            covariance = correlate(f_b, f_t) - s_b * s_t / n
            v_b, v_t = correlate(q_b, m_t) - s_b**2 / n, correlate(m_b, q_t) - s_t**2 / n
            power = np.maximum(v_b * v_t, 1e-30)
            ncc = np.where((n > 0.3 * inside.sum()) & (covariance > 0), covariance / np.sqrt(power), 0.0)
            gain = -0.5 * independent * np.log1p(-(np.clip(ncc, 0.0, 0.999999) ** 2))
            # Samples do not leap: of two places that fit alike (the next line of a grating) the nearer one.
            distance = (lags[:, None] - place[0]) ** 2 + (lags[None, :] - place[1]) ** 2
            gain -= distance / (2.0 * 3.0**2)
            best = np.array(np.unravel_index(int(gain.argmax()), gain.shape)) - reach
            if gain.max() - gain[place[0] + reach, place[1] + reach] > SURE_LOG_LIKELIHOOD:
                place = best
        shifts[number] = place
        total += stack.weights[number] * _moved(block * inside, -place)
        seen += stack.weights[number] * _moved(inside, -place)
    return shifts


def _moved(image: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The image moved by whole pixels, dark where nothing was."""
    moved = np.zeros_like(image)
    source, target = [], []
    for step, n in zip(by.tolist(), image.shape, strict=True):
        source.append(slice(max(-step, 0), n - max(step, 0)))
        target.append(slice(max(step, 0), n - max(-step, 0)))
    moved[tuple(target)] = image[tuple(source)]
    return moved


@dataclass(frozen=True, eq=False)
class _Fit:
    """State of the Gauss-Newton rounds."""

    step: np.ndarray  # (B, 2) last step
    brightness: np.ndarray  # (B,) a
    level: np.ndarray  # (B,) c
    observed: np.ndarray  # (2, k)
    covariance: np.ndarray  # (B, 2, 2) of the shifts, within the observed directions

    @classmethod
    def start(cls, stack: _Stack) -> _Fit:
        count = len(stack.smooth)
        means = stack.smooth.mean(axis=(1, 2))
        level = means - np.average(means, weights=stack.weights)
        return cls(np.zeros((count, 2)), np.ones(count), level, np.zeros((2, 0)), np.zeros((count, 2, 2)))


def _refine(stack: _Stack, shifts: np.ndarray, fit: _Fit) -> _Fit:
    """One round: every block against the average of all others, in the frame of the sample."""
    from scipy.ndimage import binary_erosion, gaussian_filter, shift

    count, height, width = stack.smooth.shape
    share = stack.weights / stack.weights.sum()
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    blocks, masks = np.empty_like(stack.smooth), np.empty(stack.smooth.shape, bool)
    for b, (dy, dx) in enumerate(shifts):
        moved = shift(stack.coefficients[b], (-dy, -dx), order=3, mode="mirror", prefilter=False)
        blocks[b] = (moved - fit.level[b]) / fit.brightness[b]
        rim = stack.rim
        inside = (y + dy >= rim) & (y + dy <= height - 1 - rim) & (x + dx >= rim) & (x + dx <= width - 1 - rim)
        masks[b] = inside & (shift(stack.good.astype(np.uint8), (-dy, -dx), order=0) > 0)
    weighted = share[:, None, None] * masks
    total, seen = (weighted * blocks).sum(0), weighted.sum(0)
    halves = []
    for start in (0, 1):
        part, part_seen = (weighted[start::2] * blocks[start::2]).sum(0), weighted[start::2].sum(0)
        full = part_seen > 0.3 * share[start::2].sum()
        halves.append((np.gradient(np.where(full, part / np.maximum(part_seen, 1e-12), 0.0)), full))
    both = halves[0][1] & halves[1][1]
    scores, normals, meats = np.zeros((count, 2)), np.zeros((count, 2, 2)), np.zeros((count, 2, 2))
    brightness, level = fit.brightness.copy(), fit.level.copy()
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float] | None] = []
    for b in range(count):
        others = seen - weighted[b]
        valid = binary_erosion(masks[b] & both & (others > 0.3 * (1.0 - share[b])))
        if valid.sum() < 16:
            kept.append(None)
            continue
        reference = np.where(others > 0, (total - weighted[b] * blocks[b]) / np.maximum(others, 1e-12), 0.0)
        columns = [g[valid] for g in (*np.gradient(reference), *halves[0][0], *halves[1][0])]
        w, r = stack.pixel_weight[valid], reference[valid]
        base = np.stack([np.ones_like(r), r], axis=1)
        weighted_base = w[:, None] * base
        solver = np.linalg.pinv(weighted_base.T @ base)
        offset, scale = solver @ (weighted_base.T @ blocks[b][valid])
        bare = [g - base @ (solver @ (weighted_base.T @ g)) for g in columns]
        gradient = np.stack(bare[:2])
        residual = blocks[b][valid] - offset - scale * r
        scale = float(np.clip(scale, 0.2, 5.0))
        first, second = np.stack(bare[2:4]), np.stack(bare[4:6])
        cross = (w * first) @ second.T
        normals[b] = scale * (cross + cross.T) / 2.0
        scores[b] = (w * gradient) @ residual
        kept.append((valid, w, gradient, residual, scale))
        level[b] += fit.brightness[b] * offset
        brightness[b] = float(np.clip(fit.brightness[b] * scale, 0.05, 20.0))
    if all(k is None for k in kept):
        nothing = np.zeros((count, 2))
        return _Fit(nothing, fit.brightness, fit.level, np.zeros((2, 0)), np.zeros((count, 2, 2)))
    # Scores of neighbouring pixels are correlated: their variance is a sum over pairs, here within a Gaussian reach.
    area = 2.0 * math.pi * stack.correlation**2
    everyone = _steps(normals, scores, np.eye(2))
    for b, item in enumerate(kept):
        if item is None:
            continue
        valid, w, gradient, residual, scale = item
        fitted = residual + scale * (everyone[b] @ gradient)
        density = np.zeros((2, height, width))
        density[:, valid] = w * gradient * (fitted if np.abs(everyone[b]).max() < 1.0 else residual)
        spread = np.stack([gaussian_filter(d, stack.correlation, mode="constant") for d in density]) * area
        meat = np.einsum("iyx,jyx->ij", density, spread)
        # The fit takes the sum of all scores away; in a small field that is part of what the reach holds.
        meats[b] = (meat + meat.T) / 2.0 / (1.0 - min(0.5, area / float(valid.sum())))
    used = np.array([k is not None for k in kept])
    pooled = (meats[used] * stack.weights[used, None, None]).mean(0)
    normal = normals[used].mean(0)
    observed = _observable(normal, pooled / np.mean(stack.weights[used]))
    # Of a distance from the others' average, a block's own part of the average is no distance from the average of all.
    step = np.clip(_steps(normals, scores, observed), -1.0, 1.0) * (1.0 - share)[:, None]
    covariance = np.zeros((count, 2, 2))
    for b in np.flatnonzero(used).tolist():
        if observed.size:
            inverse = observed @ np.linalg.pinv(observed.T @ normals[b] @ observed) @ observed.T
            covariance[b] = inverse @ (pooled / stack.weights[b]) @ inverse.T * (1.0 - share[b]) ** 2
    # One brightness and one level are free: fix them so that the average stays as bright as it was.
    brightness /= np.average(brightness, weights=stack.weights)
    return _Fit(step, brightness, level, observed, covariance)


def _steps(normals: np.ndarray, scores: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(B, 2) Gauss-Newton steps within the observed directions: residual = -e . gradient."""
    steps = np.zeros_like(scores)
    for b, (normal, score) in enumerate(zip(normals, scores, strict=True)):
        steps[b] = -observed @ (np.linalg.pinv(observed.T @ normal @ observed) @ (observed.T @ score))
    return steps


def _observable(normal: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """(2, k) directions along which a block can be placed to within ``OBSERVABLE_ERROR_PX``."""
    values, vectors = np.linalg.eigh(normal)
    chosen = []
    for value, vector in zip(values, vectors.T, strict=True):
        error = math.sqrt(max(float(vector @ meat @ vector), 0.0))
        if value > 0 and error < OBSERVABLE_ERROR_PX * value:
            chosen.append(vector)
    return np.stack(chosen, axis=1) if chosen else np.zeros((2, 0))
