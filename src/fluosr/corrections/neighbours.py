"""Products of neighbouring pixels' deviations, window by window of time: covariance without shot or read noise.

    Cov(y_p, y_q) = kappa sum_i A_pi A_qi x_i    for p != q

Pairs are weighted, by w at both pixels and K_d for their distance d, so that their sum is the mean frame's light in
weights v of its own, whatever the sample x is:

    sum_p w_p sum_d K_d A_pi A_p+d,i = sum_p v_p A_pi for every fine pixel i    (as nearly as w can, by least squares)
    =>  sum_p w_p sum_d K_d Cov(y_p, y_p+d) = kappa sum_p v_p (A x)_p

v is the mean frame's deviation from its surroundings: a smooth background that does not fluctuate drops out.

A lamp that flickers makes all pixels vary alike. What the sum over the field varies, beyond its pixels' own noise,
tells by how much, and is taken off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.acquisition import Acquisition
from fluosr.camera import Value
from fluosr.corrections.intervals import student
from fluosr.corrections.lag_curve import Window
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import PointSpreadFunction

REACH = 3  # pixels to the furthest neighbours
PHASES = 3  # places within a pixel along each axis that a point is looked at from
LEAST_SHARE = 0.05  # of the covariance at distance 0, for a neighbour to be asked
SAMPLED_FRAMES = 64  # that the weights come from
WIDE = 2.0  # times the FWHM: structure as wide as that is not compared
BORDER = 0.64  # times the FWHM, along the border, in which the mean frame does not count
DIM = 0.05  # share of the pixels that the background is taken from
FLICKER = 1.2  # times what emitters could make the field's sum vary, before a lamp is blamed
LEAST_INSIDE = 0.2  # of the good pixels, that two rings around bad ones may leave
DAMPING = 1e-4  # of the largest power, by which weights are kept from frequencies that the PSF does not pass


@dataclass(frozen=True, eq=False)
class Pairs:
    """How the pixels of a field go together.

    Attributes:
        kernel: (7, 7) K_d for the neighbours that are asked, 0 at the middle and for others.
        own: sum_p A_pi^2, of a fine pixel in the mean.
        weight: (Y, X) w.
        own_weight: (Y, X) the same for pixels alone, K = 1 at distance 0; of mean 0.
        contrast: (Y, X) v.
        used: (Y, X) bool.
    """

    kernel: np.ndarray
    own: float
    weight: np.ndarray
    own_weight: np.ndarray
    contrast: np.ndarray
    used: np.ndarray


@dataclass(frozen=True, eq=False)
class WindowProducts:
    """What one window of time says; sums over its frames and the field.

    Attributes:
        shared: (n_lags,) products of neighbours, weighted.
        total: (n_lags,) products of the field's sum with itself, less those of each pixel with itself.
        own: products of each pixel with itself at lag 0, weighted.
        mean: (Y, X) mean frame of the window, photons, 0 where not used.
    """

    shared: np.ndarray
    total: np.ndarray
    own: float
    mean: np.ndarray


def points(psf: PointSpreadFunction, pixel_size_nm: float) -> np.ndarray:
    """(n, s, s) A_pi: what the camera sees of a point at each of n places within the middle pixel."""
    side = 4 * REACH + 1 + 2 * int(np.ceil(2 * psf.fwhm_nm / pixel_size_nm))
    operator = imaging_operator((side, side), PHASES, psf, pixel_size_nm, dtype=torch.float64)
    middle = (operator.grid.margin + side // 2) * PHASES
    seen = []
    for i in range(PHASES):
        for j in range(PHASES):
            point = torch.zeros(operator.grid.shape, dtype=torch.float64)
            point[middle + i, middle + j] = 1.0
            seen.append(operator.forward(point)[0].numpy())
    return np.array(seen)


def _neighbour_kernel(seen: np.ndarray) -> np.ndarray:
    """(7, 7) K_d: the covariance at distance d over that at 0, for neighbours that have enough of it."""
    from scipy.ndimage import shift

    size = 2 * REACH + 1
    found = np.zeros((size, size))
    for dy in range(size):
        for dx in range(size):
            moved = shift(seen, (0, dy - REACH, dx - REACH), order=0)
            found[dy, dx] = float((seen * moved).sum())
    found /= found[REACH, REACH]
    distance = np.hypot(*np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])
    found[(distance == 0) | (distance > REACH) | (found < LEAST_SHARE)] = 0.0
    return found


def _weight(contrast: np.ndarray, seen: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(Y, X) w that makes pairs of this kernel speak of the light in ``contrast``: least squares, by Fourier."""
    from scipy.ndimage import convolve

    side = seen.shape[1]
    shape = tuple(n + 2 * side for n in contrast.shape)

    def transformed(images: np.ndarray) -> np.ndarray:
        placed = np.zeros((len(images), *shape))
        placed[:, :side, :side] = images
        return np.fft.rfft2(np.roll(placed, (-(side // 2), -(side // 2)), (1, 2)))

    light = transformed(seen)
    pairs = transformed(seen * convolve(seen, kernel[None], mode="constant"))
    wide = np.zeros(shape)
    wide[: contrast.shape[0], : contrast.shape[1]] = contrast
    power = (np.abs(pairs) ** 2).sum(0)
    gain = (pairs * light.conj()).sum(0) / (power + DAMPING * power.max())
    found = np.fft.irfft2(np.fft.rfft2(wide) * gain, shape)
    return found[: contrast.shape[0], : contrast.shape[1]]


def pair_up(acquisition: Acquisition, used: np.ndarray | None = None) -> Pairs:
    """Which pixels are compared with which weights; reads a few frames spread over the movie.

    Args:
        acquisition: the movie.
        used: (Y, X) bool, pixels to trust; all by default.
    """
    from scipy.ndimage import gaussian_filter

    t = acquisition.n_frames
    numbers = np.unique(np.linspace(0, t - 1, min(t, SAMPLED_FRAMES)).round().astype(int))
    mean = np.mean([acquisition.photons([int(n)])[0] for n in numbers], axis=0, dtype=float)
    good = np.ones(mean.shape, bool) if used is None else used
    fwhm_px = acquisition.psf.fwhm_nm / acquisition.pixel_size_nm
    border = min(int(np.ceil(BORDER * fwhm_px)), (min(mean.shape) - 1) // 4)
    inner = np.zeros_like(good)
    inner[border : mean.shape[0] - border, border : mean.shape[1] - border] = True
    inner &= _well_inside(good)
    # What is wider than the PSF may be a background that does not fluctuate.
    share = gaussian_filter(inner.astype(float), WIDE * fwhm_px, mode="constant")
    level = gaussian_filter(np.where(inner, mean, 0.0), WIDE * fwhm_px, mode="constant") / np.maximum(share, 1e-9)
    contrast = np.where(inner, mean - level, 0.0)
    contrast[inner] -= contrast[inner].mean() if inner.any() else 0.0
    seen = points(acquisition.psf, acquisition.pixel_size_nm)
    kernel = _neighbour_kernel(seen)
    alone = np.zeros_like(kernel)
    alone[REACH, REACH] = 1.0
    weight, own_weight = (_weight(contrast, seen, k) * good for k in (kernel, alone))
    own_weight[good] -= own_weight[good].mean() if good.any() else 0.0
    return Pairs(kernel, float((seen**2).sum((1, 2)).mean()), weight, own_weight, contrast, good)


def _well_inside(good: np.ndarray) -> np.ndarray:
    """(Y, X) bool: pixels whose neighbours are good, the neighbours' neighbours too where enough such are left.

    The weights are found as if no pixel were missing. Near a bad one pairs lack that the light there is compared with,
    and kappa would come out low.
    """
    from scipy.ndimage import binary_erosion

    rings = np.ones((3, 3), bool)
    far, near = (binary_erosion(good, rings, iterations=n, border_value=1) for n in (2, 1))
    return far if far.sum() > LEAST_INSIDE * good.sum() else near


def window_products(acquisition: Acquisition, pairs: Pairs, window: Window) -> Iterator[WindowProducts]:
    """The movie once through, one window of frames at a time; frames after the last whole window are left out."""
    from scipy.ndimage import convolve

    n = window.n_frames
    for start in range(0, acquisition.n_frames - n + 1, n):
        frames = acquisition.photons(slice(start, start + n)).astype(float)
        frames *= pairs.used
        mean = frames.mean(0)
        # Products of deviations keep the digits that products of frames would lose.
        frames -= mean
        shared = convolve(frames, pairs.kernel[None], mode="constant").reshape(n, -1)
        frames = frames.reshape(n, -1)
        weighted, alone = (frames * weight.ravel() for weight in (pairs.weight, pairs.own_weight))
        sums = frames.sum(1)
        yield WindowProducts(
            window.lagged_products(weighted @ shared.T),
            window.lagged_products(np.outer(sums, sums) - frames @ frames.T),
            float(window.lagged_products(alone @ frames.T)[0]),
            mean,
        )


@dataclass(frozen=True, eq=False)
class Balance:
    """Windows side by side, n of them; with flicker taken off where there is any.

    Attributes:
        shared: (n, n_lags) what neighbours share: kappa times ``light`` times what is expected of each lag.
        light: (n,) of the emitters, in the same weights.
        own: (n,) each pixel's variance, weighted, read noise taken off.
        own_light: (n,) of the emitters, in the weights of fluctuation within ``own``.
        shot: (n,) light of all kinds, in the weights of shot noise within ``own``.
        trace: (n,) mean photons per pixel and frame.
        flickers: whether the lamp does.
    """

    shared: np.ndarray
    light: np.ndarray
    own: np.ndarray
    own_light: np.ndarray
    shot: np.ndarray
    trace: np.ndarray
    flickers: bool


def balance(pairs: Pairs, windows: list[WindowProducts], window: Window, read_variance: Value) -> Balance:
    """What of the products is the emitters', with the light that it has to be compared with."""
    from scipy.ndimage import convolve

    weight, own_weight, kernel, used = pairs.weight, pairs.own_weight, pairs.kernel, pairs.used
    means = [found.mean for found in windows]
    shared = np.array([found.shared for found in windows])
    total = np.array([found.total for found in windows])
    light = np.array([float((pairs.contrast * mean).sum()) for mean in means])
    own_light = light.copy()
    read = window.degrees * float((own_weight * np.broadcast_to(read_variance, used.shape))[used].sum())
    own = np.array([found.own for found in windows]) - read
    flickers = _flickers(pairs, shared, total, light, np.array([mean.sum() for mean in means]))
    if flickers:
        # The field's sum varies by kappa times its light and by the lamp, which goes with the square of all light.
        squared = np.array([max(float(mean.sum() ** 2 - (mean**2).sum()), 1e-300) for mean in means])
        above = np.array([float((mean - np.quantile(mean[used], DIM))[used].sum()) for mean in means])
        spread = np.array([float((weight * m * convolve(m, kernel, mode="constant")).sum()) for m in means]) / squared
        alone = np.array([float((own_weight * mean**2).sum()) for mean in means]) / squared
        shared = shared - spread[:, None] * total
        own = own - alone * total[:, 0]
        light = light - spread * (1.0 - pairs.own) * above
        own_light = own_light - alone * (1.0 - pairs.own) * above
    shot = np.array([float((own_weight * mean).sum()) for mean in means])
    trace = np.array([float(mean[used].mean()) for mean in means])
    return Balance(shared, light, own, own_light, shot, trace, flickers)


def _flickers(pairs: Pairs, shared: np.ndarray, total: np.ndarray, light: np.ndarray, sums: np.ndarray) -> bool:
    """Whether the field's sum varies surely more than emitters would make it, were all of the light theirs."""
    kappa = float(shared[:, 0].sum() / light.sum()) if light.sum() > 0 else 0.0
    excess = total[:, 0] - FLICKER * max(kappa, 0.0) * (1.0 - pairs.own) * sums
    return bool(excess.mean() > student(len(excess) - 1) * excess.std(ddof=1) / np.sqrt(len(excess)))
