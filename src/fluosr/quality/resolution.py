"""Fourier ring correlation: down to which detail two independent images of one sample agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fluosr.errors import UsageError

Criterion = Literal["1/7", "2-sigma", "half-bit"]

MINIMUM_SIDE = 16  # pixels; under it there are fewer than eight rings, and the first hold a handful of coefficients
TAPER = 0.25  # share of each side that the Tukey window's two cosine flanks take
SMOOTHING = 0.03  # reach of the local line fit, as a share of all rings
POWER_FLOOR = 1e-14  # power of a ring relative to the strongest below which float32 rounding is all there is
SAME = 0.999  # correlation that independent noise cannot leave in every single ring
SIGNIFICANCE = 4.0  # standard deviations by which the rings before the crossing must beat unrelated images

COPIES = (
    "the two images are not independent: they are the same up to brightness, and so agree at every detail whatever "
    "their quality"
)
UNRELATED = "the two images agree no better than unrelated noise would: no detail is confirmed at any size"


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """The Fourier ring correlation of two images and the resolution read from it.

    Args:
        frequency_per_nm: (R,) spatial frequency of each ring's middle, 1/nm, ascending; empty where nothing could be
            computed.
        correlation: (R,) correlation in each ring, -1 to 1, always finite.
        threshold: (R,) the criterion's curve.
        n_per_ring: (R,) number of Fourier coefficients in each ring, both of a conjugate pair counted.
        resolution_nm: period at which ``smoothed`` first falls below ``threshold``, nm; None where there is none.
        reason: why there is no resolution, in plain words; None where there is one.
        smoothed: (R,) ``correlation`` smoothed by a local line fit; the crossing is read from it.
        criterion: the name of the threshold.
        limit_nm: the finest period the grid can hold (two pixels), nm.
        finer_than_grid: the curve never falls below the threshold: the resolution is ``limit_nm`` or better.
    """

    frequency_per_nm: np.ndarray
    correlation: np.ndarray
    threshold: np.ndarray
    n_per_ring: np.ndarray
    resolution_nm: float | None
    reason: str | None
    smoothed: np.ndarray
    criterion: str
    limit_nm: float
    finer_than_grid: bool = False

    def describe(self) -> dict[str, Any]:
        """The figure and its circumstances, without the curves, for the run's record."""
        return {
            "resolution_nm": self.resolution_nm,
            "method": "Fourier ring correlation",
            "criterion": self.criterion,
            "reason": self.reason,
            "limit_nm": self.limit_nm,
            "finer_than_grid": self.finer_than_grid,
        }


def fourier_ring_correlation(
    first: np.ndarray, second: np.ndarray, pixel_size_nm: float, *, criterion: Criterion = "1/7"
) -> RingCorrelation:
    r"""Correlation of two independent images of one sample, ring by ring in the Fourier plane.

    FRC(q) = Re sum_{k in ring q} F1(k) F2(k)^* / sqrt( sum |F1(k)|^2  sum |F2(k)|^2 )     [1, eq. 1]

    F1, F2 are the transforms of the images, their weighted mean taken off and their edges tapered by a Tukey window.
    Rings are as wide as one coefficient along the image's shorter side, in 1/nm, so that any shape has round rings; the
    first is centred one width from zero and the last does not pass 1 / (2 pixels). With signal power S and noise power
    N in each image the expected value is S / (S + N).

    The resolution is the period at which the smoothed curve first falls below the threshold, linearly interpolated.
    Thresholds, for n coefficients in the ring:

    - "1/7": the constant 1/7 [1];
    - "2-sigma": 2 / sqrt(n / 2) [2, 3]: what noise alone seldom exceeds;
    - "half-bit": (0.2071 + 1.9102 / sqrt n) / (1.2071 + 0.9102 / sqrt n) [3]: half a bit of information each.

    A spectrum that ends abruptly in strong signal reads up to three rings too fine: the taper spreads that much.

    WARNING: images that share anything but the sample (a fixed camera pattern, overlapping frames, one common mask)
    agree for that reason too. Copies up to brightness and offset are recognised; subtler dependence cannot be.

    Args:
        first: (Y, X), any unit.
        second: (Y, X), the same sample on the same grid from other data.
        pixel_size_nm: size of these images' pixel, nm.
        criterion: "1/7", "2-sigma" or "half-bit".

    Returns:
        The curve, and either ``resolution_nm`` (nm) or a ``reason`` in plain words; never NaN.

    Raises:
        UsageError: not two images of one shape, a pixel size that is not positive, an unknown criterion.

    Sources:
        [1] Nieuwenhuizen et al., Nature Methods 10 (2013) 557-562.
        [2] Saxton and Baumeister, Journal of Microscopy 127 (1982) 127-138.
        [3] van Heel and Schatz, Journal of Structural Biology 151 (2005) 250-262.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 2 or first.shape != second.shape:
        raise UsageError(f"ring correlation needs two images of one shape (Y, X), got {first.shape}, {second.shape}.")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive, got {pixel_size_nm} nm.")
    if criterion not in get_args(Criterion):
        raise UsageError(f"unknown criterion {criterion!r}; choose one of {', '.join(get_args(Criterion))}.")
    limit_nm = 2.0 * pixel_size_nm

    def nothing(reason: str) -> RingCorrelation:
        empty = np.zeros(0)
        return RingCorrelation(empty, empty, empty, np.zeros(0, int), None, reason, empty, criterion, limit_nm)

    if min(first.shape) < MINIMUM_SIDE:
        return nothing(
            f"the image is too small: {first.shape[0]} x {first.shape[1]} pixels, at least {MINIMUM_SIDE} on each side "
            "are needed for a ring correlation"
        )
    bad = int((~(np.isfinite(first) & np.isfinite(second))).sum())
    if bad:
        return nothing(f"{bad} pixel(s) of the two images hold no finite number")
    for image in (first, second):
        if np.ptp(image) <= 4 * np.finfo(np.float32).eps * np.abs(image).max():
            return nothing("an image is constant: there is nothing in it to resolve")

    frequency, cross, powers, count, share = ring_sums(first[None], second[None], pixel_size_nm)
    correlation = ring_ratio(cross[0], powers[:, 0], count)
    threshold = threshold_curve(criterion, count)
    smoothed = local_line(correlation, count)
    heard = rings_heard(powers[:, 0], count)
    resolution, finer, reason = crossing(frequency, correlation, smoothed, threshold, count * share, heard, limit_nm)
    return RingCorrelation(
        frequency, correlation, threshold, count, resolution, reason, smoothed, criterion, limit_nm, finer
    )


def ring_sums(
    first: np.ndarray, second: np.ndarray, pixel_size_nm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Fourier products of pairs of images, summed ring by ring.

    Args:
        first, second: (B, Y, X), B pairs.
        pixel_size_nm: of all of them.

    Returns:
        frequencies (R,) in 1/nm, cross power (B, R), both powers (2, B, R), coefficients per ring (R,), and the share
        of coefficients that the taper leaves free.
    """
    from scipy.fft import rfft2
    from scipy.signal.windows import tukey

    n_pairs, ny, nx = first.shape
    wy, wx = tukey(ny, TAPER), tukey(nx, TAPER)
    window = wy[:, None] * wx[None, :]
    total = window.sum()

    def transform(images: np.ndarray) -> np.ndarray:
        # The weighted mean is taken off before tapering, else the taper's own spectrum is a signal both images share.
        return rfft2((images - (window * images).sum((1, 2), keepdims=True) / total) * window)

    f1, f2 = transform(first), transform(second)
    width = 1.0 / (min(ny, nx) * pixel_size_nm)
    radius = np.hypot(np.fft.fftfreq(ny, pixel_size_nm)[:, None], np.fft.rfftfreq(nx, pixel_size_nm)[None, :])
    ring = np.floor(radius / width + 0.5).astype(np.intp)
    last = min(ny, nx) // 2
    # rfft2 keeps half of the plane: columns other than the first (and the Nyquist column of an even side) count twice.
    twice = np.full(f1.shape[2], 2.0)
    twice[0] = 1.0
    if nx % 2 == 0:
        twice[-1] = 1.0
    weight = np.broadcast_to(twice, ring.shape)
    keep = (ring >= 1) & (ring <= last)
    index, weight = ring[keep], weight[keep]
    f1, f2 = f1[:, keep], f2[:, keep]
    size = last + 1
    index_of_pair = (np.arange(n_pairs)[:, None] * size + index).ravel()

    def per_ring(values: np.ndarray) -> np.ndarray:
        summed = np.bincount(index_of_pair, (values * weight).ravel(), minlength=n_pairs * size)
        return summed.reshape(n_pairs, size)[:, 1:]

    count = np.bincount(index, weight, minlength=size)[1:].astype(int)
    share = ((wy**2).sum() * (wx**2).sum()) ** 2 / (ny * nx * (wy**4).sum() * (wx**4).sum())
    cross = per_ring(f1.real * f2.real + f1.imag * f2.imag)
    powers = np.stack([per_ring(f.real**2 + f.imag**2) for f in (f1, f2)])
    return np.arange(1, size) * width, cross, powers, count, float(share)


def ring_ratio(cross: np.ndarray, powers: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(..., R) correlation from (..., R) cross power and (2, ..., R) powers; 0 in rings of rounding errors."""
    norm = np.sqrt(powers[0] * powers[1])
    # A ring that holds rounding errors only is said to have nothing in common, rather than 0/0.
    return np.divide(cross, norm, out=np.zeros_like(norm), where=rings_heard(powers, count))


def rings_heard(powers: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Rings whose power is more than rounding errors, in both images."""
    mean_power = powers / count
    floor = POWER_FLOOR * mean_power.max(-1, keepdims=True)
    return np.asarray((mean_power > floor).all(0))


def threshold_curve(criterion: Criterion, count: np.ndarray) -> np.ndarray:
    """(R,) the criterion's threshold for rings of ``count`` (R,) coefficients."""
    root = np.sqrt(count)
    if criterion == "2-sigma":
        return 2.0 / np.sqrt(count / 2.0)
    if criterion == "half-bit":
        return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    return np.full(count.size, 1.0 / 7.0)


def local_line(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(..., R) value at each ring of a line fitted to its neighbours by tricube weights times ring size (LOESS).

    A line rather than a mean, because a mean drags the curve's two ends towards its middle.
    """
    from scipy.ndimage import correlate1d

    reach = max(2.5, SMOOTHING * weight.size)
    half = math.ceil(reach) - 1
    step = np.arange(-half, half + 1)
    tricube = (1.0 - (np.abs(step) / reach) ** 3) ** 3

    def moment(data: np.ndarray, order: int) -> np.ndarray:
        return np.asarray(correlate1d(data, tricube * step**order, axis=-1, mode="constant"))

    weight = weight.astype(float)
    s0, s1, s2 = (moment(weight, order) for order in range(3))
    t0, t1 = (moment(weight * values, order) for order in range(2))
    return np.clip((s2 * t0 - s1 * t1) / (s0 * s2 - s1**2), -1.0, 1.0)


def crossing(
    frequency: np.ndarray,
    correlation: np.ndarray,
    smoothed: np.ndarray,
    threshold: np.ndarray,
    independent: np.ndarray,
    heard: np.ndarray,
    limit_nm: float,
) -> tuple[float | None, bool, str | None]:
    """(resolution in nm or None, whether the curve never crosses, the reason where there is none)."""
    if np.abs(correlation[heard]).min(initial=1.0) > SAME:
        return None, False, COPIES
    above = smoothed > threshold
    if not above.any():
        return None, False, UNRELATED
    # In rings of few coefficients the threshold itself may lie above one: begin where it can be passed.
    start = int(np.argmax(above))
    below = np.flatnonzero(~above[start:])
    end = int(below[0]) + start if below.size else frequency.size
    # In rings of a dozen coefficients chance alone exceeds 1/7: all rings up to the crossing, taken together (Fisher's
    # transform, then Stouffer's sum weighted by ring size), must rule chance out.
    part = slice(0, end)
    scores = np.arctanh(np.clip(correlation[part], -1 + 1e-9, 1 - 1e-9))
    scores *= np.sqrt(np.maximum(independent[part] - 3.0, 1.0))
    weight = np.sqrt(independent[part])
    if float((weight * scores).sum() / np.sqrt((weight**2).sum())) < SIGNIFICANCE:
        return None, False, UNRELATED
    if end == frequency.size:
        finest = f"the two images agree down to the finest detail the grid can hold: {limit_nm:.4g} nm (two pixels) or "
        return None, True, finest + "better; a larger factor would be needed to measure it"
    gap = smoothed - threshold
    fraction = gap[end - 1] / (gap[end - 1] - gap[end])
    found = frequency[end - 1] + fraction * (frequency[end] - frequency[end - 1])
    return float(1.0 / found), False, None
