"""Image decorrelation analysis: the resolution of one image, without a second one and without parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError

N_RADII = 50
N_HIGH_PASS = 10
MINIMUM_SIDE = 32  # pixels; under it the 50 radii are finer than the coefficients they select
EDGE_PX = 20  # of the cosine that leads the edges to the mean, as the authors' software does
LEAST_HEIGHT = 0.05  # of a peak that counts, as in the paper
LEAST_FALL = 1e-3  # by which a curve must fall after its peak
MOST_CHANCE = 1e-5  # probability of a peak in white noise, from which on a peak is not believed
WEAKEST_HIGH_PASS_PX = 0.15  # standard deviation of the finest Gaussian taken off
BINS_PER_RING = 8  # of the radial sums: the high-pass filter is constant within one


@dataclass(frozen=True, eq=False)
class Decorrelation:
    """The decorrelation analysis of an image and the resolution read from it.

    Args:
        resolution_nm: 2 pixels / k_c, nm; None where no curve has a peak.
        reason: why there is no resolution, in plain words; None where there is one.
        cutoff: k_c, the highest position of a peak, as a share of the Nyquist frequency, 0 to 1; 0 without any.
        peak_height: A_0, height of the peak of the curve without high-pass: how much of the image is structure rather
            than noise, 0 to 1; 0 where that curve has no peak.
        radii: (2, 50) radii as a share of the Nyquist frequency: of the plain curve and the first search, and of the
            second search.
        curve: (50,) d(r) without high-pass over ``radii[0]``, always finite.
        high_pass_px: (2, 10) standard deviations in pixels of the Gaussians taken off, in both searches.
        high_pass_curves: (2, 10, 50) d(r) of the high-passed images over ``radii[0]`` and ``radii[1]``, always finite.
        peaks: (21, 2) position and height of every curve's peak: first search, second, plain; 0 where there is none.
        limit_nm: two pixels.
    """

    resolution_nm: float | None
    reason: str | None
    cutoff: float
    peak_height: float
    radii: np.ndarray
    curve: np.ndarray
    high_pass_px: np.ndarray
    high_pass_curves: np.ndarray
    peaks: np.ndarray
    limit_nm: float

    def describe(self) -> dict[str, Any]:
        """The figure and its circumstances, without the curves, for the run's record."""
        return {
            "resolution_nm": self.resolution_nm,
            "method": "decorrelation analysis",
            "cutoff": self.cutoff,
            "peak_height": self.peak_height,
            "limit_nm": self.limit_nm,
            "reason": self.reason,
        }


def decorrelation_analysis(image: np.ndarray, pixel_size_nm: float) -> Decorrelation:
    r"""Resolution of one image from the correlation of its spectrum with the spectrum's phases [1].

    d(r) = Re sum_{|k| < r} I(k) I_n(k)^* / sqrt( sum_k |I(k)|^2  sum_{|k| < r} |I_n(k)|^2 ),   I_n = I / |I|      [1]

    which is sum_{|k|<r} |I(k)| over sqrt(N(r) sum |I|^2), N(r) the number of coefficients inside r. Where the spectrum
    is structure d(r) rises, where it is noise d(r) falls as 1 / r, so it has a peak. Structure of fine detail is weak,
    so the search is repeated on ten images with a Gaussian taken off, from one as wide as the plain curve's peak allows
    to .15 pixels, and once more with ten Gaussians and fifty radii around the best of these. k_c is the highest
    position of a peak of at least .05, and the resolution 2 pixels / k_c.

    The frequencies run to the Nyquist frequency of the pixel along every axis, whatever the image's shape. Edges are
    led to the image's mean by a cosine over 20 pixels (an eighth of the side where that is less), so that the jump
    between opposite edges is no structure.

    WARNING: it tells the finest detail that stands above the noise, not whether that detail is true. A deconvolved or
    sparse image has fine detail of its own making, and an image without noise reads as fine as its pixels.

    Args:
        image: (Y, X), any unit.
        pixel_size_nm: size of its pixel, nm.

    Returns:
        Resolution in nm or a ``reason`` in plain words, never NaN; all curves.

    Raises:
        UsageError: not an image (Y, X), or a pixel size that is not positive.

    Source:
        [1] Descloux, Grussmayer and Radenovic, Nature Methods 16 (2019) 918-924.
    """
    image = np.asarray(image, float)
    if image.ndim != 2:
        raise UsageError(f"decorrelation analysis needs one image (Y, X), got {image.shape}.")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive, got {pixel_size_nm} nm.")
    limit_nm = 2.0 * pixel_size_nm

    def nothing(reason: str) -> Decorrelation:
        zeros = np.zeros
        return Decorrelation(
            None, reason, 0.0, 0.0, zeros((2, 0)), zeros(0), zeros((2, 0)), zeros((2, 0, 0)), zeros((0, 2)), limit_nm
        )

    if min(image.shape) < MINIMUM_SIDE:
        return nothing(
            f"the image is too small: {image.shape[0]} x {image.shape[1]} pixels, at least {MINIMUM_SIDE} on each side "
            "are needed for decorrelation analysis"
        )
    if bad := int((~np.isfinite(image)).sum()):
        return nothing(f"{bad} pixel(s) of the image hold no finite number")
    if np.ptp(image) <= 4 * np.finfo(np.float32).eps * np.abs(image).max():
        return nothing("the image is constant: there is nothing in it to resolve")

    spectrum = _RadialSpectrum(image)
    coarse = np.linspace(0.0, 1.0, N_RADII)
    curve = spectrum.curve(coarse, None)
    plain = _peak(coarse, curve)
    widest = 2.0 / plain[0] if plain[0] > 0 else max(image.shape) / 2.0
    high_pass = np.geomspace(widest, WEAKEST_HIGH_PASS_PX, N_HIGH_PASS)
    first = np.array([spectrum.curve(coarse, sigma) for sigma in high_pass])
    peaks = np.array([_peak(coarse, d) for d in first])

    fine, refined = _closer(peaks, high_pass)
    second = np.array([spectrum.curve(fine, sigma) for sigma in refined])
    everything = np.vstack([peaks, [_peak(fine, d) for d in second], plain])
    everything[everything[:, 1] < LEAST_HEIGHT] = 0.0
    cutoff = float(everything[:, 0].max())
    details = (
        cutoff, float(plain[1]) if plain[0] > 0 else 0.0, np.stack([coarse, fine]), curve,
        np.stack([high_pass, refined]), np.stack([first, second]), everything, limit_nm,
    )  # fmt: skip
    if cutoff == 0.0:
        reason = (
            "no curve has a peak: nothing in the image stands out from its noise, or it is as sharp as its pixels at "
            "every frequency"
        )
        return Decorrelation(None, reason, *details)
    if spectrum.chance(cutoff) > MOST_CHANCE:
        reason = "the spectrum is flat: nothing in the image stands out from white noise"
        return Decorrelation(None, reason, 0.0, *details[1:])
    return Decorrelation(limit_nm / cutoff, None, *details)


class _RadialSpectrum:
    """Sums of |I|, |I|^2 and 1 over narrow rings, which are all that d(r) depends on.

    Phases cancel: I(k) I_n(k)^* = |I(k)|. High-pass filters are radial too, so one transform serves all curves.
    """

    def __init__(self, image: np.ndarray) -> None:
        from scipy.fft import rfft2

        ny, nx = image.shape
        wy, wx = (_flank(size) for size in image.shape)
        magnitude = np.abs(rfft2((image - image.mean()) * wy[:, None] * wx[None, :]))
        # Neighbouring coefficients of a tapered image are not independent: as many are as this share says.
        self._share = ((wy**2).sum() * (wx**2).sum()) ** 2 / (ny * nx * (wy**4).sum() * (wx**4).sum())
        magnitude[0, 0] = 0.0
        radius = 2.0 * np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
        twice = np.full(magnitude.shape[1], 2.0)
        twice[0] = 1.0
        if nx % 2 == 0:
            twice[-1] = 1.0
        n_bins = BINS_PER_RING * max(ny, nx) // 2
        bins = (radius * n_bins).astype(np.intp)
        inside = bins < n_bins
        inside[0, 0] = False  # the mean is no structure
        index = bins[inside]
        weight = np.broadcast_to(twice, bins.shape)[inside]
        magnitude = magnitude[inside]

        def per_bin(values: np.ndarray) -> np.ndarray:
            return np.bincount(index, weight * values, minlength=n_bins)

        self._count = per_bin(np.ones(index.size))
        self._magnitude, self._power = per_bin(magnitude), per_bin(magnitude**2)
        self._edges = np.arange(n_bins + 1) / n_bins
        middle = per_bin(radius[inside])
        self._radius = np.divide(middle, self._count, out=self._edges[:-1].copy(), where=self._count > 0)

    def curve(self, radii: np.ndarray, high_pass_px: float | None) -> np.ndarray:
        """d at radii (n,), with a Gaussian of that standard deviation taken off (None: the image as it is)."""
        transfer = np.ones(self._radius.size)
        if high_pass_px is not None:
            transfer = -np.expm1(-0.5 * (math.pi * high_pass_px * self._radius) ** 2)
        inside = self._cumulated(transfer * self._magnitude, radii)
        count = self._cumulated(self._count, radii)
        power = float((transfer**2 * self._power).sum())
        norm = np.sqrt(count * power)
        return np.divide(inside, norm, out=np.zeros_like(norm), where=norm > 0)

    def chance(self, radius: float) -> float:
        """Probability that white noise has as much more power inside ``radius`` than outside (F test)."""
        from scipy.special import fdtrc

        at = np.array([radius, 1.0])
        (power, power_all), (count, count_all) = self._cumulated(self._power, at), self._cumulated(self._count, at)
        outside, rest = power_all - power, count_all - count
        if outside <= 0.0:
            return 0.0 if rest > 0 else 1.0
        return float(fdtrc(count * self._share, rest * self._share, power / count / (outside / rest)))

    def _cumulated(self, values: np.ndarray, radii: np.ndarray) -> np.ndarray:
        return np.interp(radii, self._edges, np.concatenate([[0.0], np.cumsum(values)]))


def _flank(size: int) -> np.ndarray:
    """(size,) one, falling to zero at both ends by a cosine."""
    reach = max(1, min(EDGE_PX, size // 8))
    flank = np.ones(size)
    flank[:reach] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(reach) + 0.5) / reach)
    flank[-reach:] = flank[:reach][::-1]
    return flank


def _peak(radii: np.ndarray, curve: np.ndarray) -> tuple[float, float]:
    """(position, height) of a curve's peak; (0, 0) where it only rises or only falls.

    The peak is the highest point after which the curve falls by ``LEAST_FALL`` or more. A highest point at the end of
    the range is the rim of a rise, not a peak, and the search goes on among the points before it.
    """
    end = curve.size
    while end > 2:
        top = int(np.argmax(curve[:end]))
        if top == 0:
            return 0.0, 0.0
        if curve[top] - curve[top:end].min() >= LEAST_FALL:
            return float(radii[top]), float(curve[top])
        end = top
    return 0.0, 0.0


def _closer(peaks: np.ndarray, high_pass_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radii (50,) and Gaussians (10,) of the second search.

    Gaussians between the one with the best peak (geometric mean of position and height) and the one with the furthest
    peak, one further than both; radii from a little under the best peak to well above it.
    """
    position, height = np.where(peaks[:, 1:] < LEAST_HEIGHT, 0.0, peaks).T
    best, furthest = int(np.argmax(np.sqrt(position * height))), int(np.argmax(position))
    low, high = min(best, furthest), max(best, furthest)
    high = min(high, high_pass_px.size - 2)
    low = min(low, high)
    radii = np.linspace(max(0.0, position[best] - 0.05), min(1.0, position[best] + 0.3), N_RADII)
    return radii, np.geomspace(high_pass_px[low], high_pass_px[high + 1], N_HIGH_PASS)
