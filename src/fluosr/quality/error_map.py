"""Error map: where a super-resolved image, blurred as the microscope blurs, does not give the image that was taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.optics.psf import PointSpreadFunction
from fluosr.quality.fidelity import FLAT, gain_and_offset

MOST_SIGMA_PX = 5.0  # of the reference: wider PSFs than FWHM 12 pixels do not occur
SIGMA_STEPS = 13  # of the first search over sigma, refined between its best neighbours
MINIMUM_SIDE = 4  # pixels of the reference


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """What an image leaves of its reference, after the best blur, scale and offset.

    Args:
        error: (Y, X) float32, |reference - expected|, the reference's unit; NaN where the reference has no number.
        expected: (Y, X) float32, the image blurred, scaled, offset and summed over the reference's pixels.
        rse: root mean square of ``error``, the reference's unit; None with a ``reason``.
        rsp: Pearson correlation of reference and ``expected``, -1 to 1; None with a ``reason``.
        scale: alpha.
        offset: beta, the reference's unit.
        sigma_nm: standard deviation of the Gaussian found, nm; None where the PSF was known, or with a ``reason``.
        sigma_at_limit: no blur up to the widest tried was too wide: sigma is a bound, not a find.
        n_ignored: pixels of the reference that hold no finite number.
        reason: why there are no figures, in plain words; None where there are.
    """

    error: np.ndarray
    expected: np.ndarray
    rse: float | None
    rsp: float | None
    scale: float
    offset: float
    sigma_nm: float | None
    sigma_at_limit: bool = False
    n_ignored: int = 0
    reason: str | None = None

    def describe(self) -> dict[str, Any]:
        """All figures without the maps, for the run's record."""
        names = ("rse", "rsp", "scale", "offset", "sigma_nm", "sigma_at_limit", "n_ignored", "reason")
        return {name: getattr(self, name) for name in names}


def error_map(
    reference: np.ndarray, image: np.ndarray, pixel_size_nm: float, *, most_sigma_nm: float | None = None
) -> ErrorMap:
    r"""SQUIRREL's error map: the blur is found with the scale and the offset [1].

    minimise over alpha, beta, sigma:   sum | reference - U G_sigma (alpha image + beta) |^2     [1]

    error = | reference - U G_sigma (alpha image + beta) |,   RSE = sqrt(mean error^2),   RSP = Pearson correlation

    G_sigma is a Gaussian with mirrored borders, U the mean over the L x L fine pixels of each pixel of the reference:
    the comparison is made on the camera's grid, where the data are, rather than on a reference that was interpolated.
    alpha and beta follow in closed form for every sigma, so the search has one dimension, and as the best alpha and
    beta leave (1 - RSP^2) of the reference's variance, it is a search for the highest correlation. All blurs are
    evaluated from one cosine transform of the image, to 1e-9.

    An image that grows where the reference falls has alpha = 0: its expected image is flat and its RSP the correlation
    without the scale, 0 or less.

    WARNING: detail finer than the blur leaves no trace here. A high RSP says that the image explains the reference, not
    that its fine detail is true.

    Args:
        reference: (Y, X) the diffraction-limited image, as the mean frame. Pixels without a finite number are left out.
        image: (L Y, L X) the super-resolved image on the reference's field, L = 1, 2, ...; its unit is free.
        pixel_size_nm: pixel of the reference, nm.
        most_sigma_nm: widest Gaussian tried, nm; five pixels of the reference by default.

    Returns:
        Maps and figures, or a ``reason``: RSE and RSP are never NaN.

    Raises:
        UsageError: shapes that do not fit, a pixel size or sigma that is not positive.

    Source:
        [1] Culley et al., Nature Methods 15 (2018) 263-266.
    """
    reference, image, factor = _checked(reference, image, pixel_size_nm)
    most_px = MOST_SIGMA_PX if most_sigma_nm is None else most_sigma_nm / pixel_size_nm
    if not (math.isfinite(most_px) and most_px > 0):
        raise UsageError(f"the widest Gaussian must be positive, got {most_sigma_nm} nm.")
    known = np.isfinite(reference)
    if reason := _hopeless(reference, image, known):
        return _nothing(reference, known, reason)
    blurs = _Blurs(image, reference.shape, factor)
    target = blurs.transform(np.where(known, reference, reference[known].mean()))

    def correlation(sigma_px: float) -> float:
        seen = blurs.coefficients(sigma_px)
        norm = np.linalg.norm(seen) * np.linalg.norm(target)
        return float((seen * target).sum() / norm) if norm > 0 else 0.0

    grid = np.concatenate([[0.0], np.geomspace(0.05, 1.0, SIGMA_STEPS - 1) * most_px])
    tried = [correlation(sigma) for sigma in grid]
    best = int(np.argmax(tried))
    sigma = _refined(correlation, grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)], grid[best], tried[best])
    at_limit = sigma >= 0.995 * most_px
    return _compare(reference, blurs.image(sigma), known, sigma * pixel_size_nm, at_limit)


def error_map_with_psf(
    reference: np.ndarray, image: np.ndarray, psf: PointSpreadFunction, pixel_size_nm: float
) -> ErrorMap:
    """The error map where the PSF is known: the imaging operator A takes the place of the Gaussian.

    minimise over alpha, beta:   sum | reference - (alpha A image + beta) |^2

    A blurs with the PSF, sums over the camera's pixels, and takes what lies beyond the field for dark. With an image in
    photons per fine pixel and a reference in photons, alpha should be 1 and beta the background.

    Args:
        reference: (Y, X) the diffraction-limited image. Pixels without a finite number are left out.
        image: (L Y, L X) the super-resolved image on the reference's field.
        psf: point spread function.
        pixel_size_nm: pixel of the reference, nm.

    Returns:
        Maps and figures, with ``sigma_nm`` None; or a ``reason``.

    Raises:
        UsageError: shapes that do not fit, a pixel size that is not positive.
        OpticsError: the PSF does not fit the field.
    """
    import torch

    from fluosr.optics.operators import imaging_operator

    reference, image, factor = _checked(reference, image, pixel_size_nm)
    known = np.isfinite(reference)
    if reason := _hopeless(reference, image, known):
        return _nothing(reference, known, reason)
    height, width = reference.shape
    operator = imaging_operator((height, width), factor, psf, pixel_size_nm, dtype=torch.float64)
    margin = operator.grid.margin * factor
    sources = torch.nn.functional.pad(torch.as_tensor(image, dtype=torch.float64), (margin,) * 4)
    return _compare(reference, operator.forward_one(sources, 0).numpy(), known, None, False)


class _Blurs:
    """Any Gaussian blur of one image, averaged over L x L pixels, from one cosine transform.

    A mirrored image is a sum of cosines cos(pi k (j + 1/2) / N). A Gaussian multiplies each by exp(-(pi k sigma / N)^2
    / 2), the mean over L pixels by a factor s(k), and on the coarse pixels cosines above n = N / L are those below it,
    up to sign: cos(pi (2n - k) (J + 1/2) / n) = -cos(pi k (J + 1/2) / n).
    """

    def __init__(self, image: np.ndarray, shape: tuple[int, int], factor: int) -> None:
        from scipy.fft import dctn

        self._shape, self._factor = shape, factor
        self._spectrum = dctn(image, type=2, norm="ortho")

    def transform(self, coarse: np.ndarray) -> np.ndarray:
        """(Y, X) cosine coefficients of an image on the reference's grid, its mean taken off."""
        from scipy.fft import dctn

        found = np.asarray(dctn(coarse, type=2, norm="ortho"))
        found[0, 0] = 0.0
        return found

    def coefficients(self, sigma_px: float, *, mean: bool = False) -> np.ndarray:
        """(Y, X) cosine coefficients of the blurred and averaged image; ``sigma_px`` in pixels of the reference."""
        rows, columns = (self._axis(n, sigma_px * self._factor) for n in self._shape)
        # What the Gaussian has made smaller than rounding errors need not be folded.
        part = self._spectrum[: rows.size, : columns.size] * rows[:, None] * columns[None, :]
        folded = _fold(_fold(part, self._shape[0]).T, self._shape[1]).T
        if not mean:
            folded[0, 0] = 0.0
        return folded

    def image(self, sigma_px: float) -> np.ndarray:
        """(Y, X) the blurred and averaged image."""
        from scipy.fft import idctn

        return np.asarray(idctn(self.coefficients(sigma_px, mean=True), type=2, norm="ortho"))

    def _axis(self, n: int, sigma_fine_px: float) -> np.ndarray:
        """Gaussian times mean over L pixels, for the cosines of one axis that matter."""
        size = n * self._factor
        omega = np.pi * np.arange(size) / size
        gaussian = np.exp(-0.5 * (omega * sigma_fine_px) ** 2)
        kept = max(int(np.searchsorted(-gaussian, -1e-9)), 1)
        omega, gaussian = omega[:kept], gaussian[:kept]
        averaged = np.ones(kept)
        averaged[1:] = np.sin(omega[1:] * self._factor / 2) / (self._factor * np.sin(omega[1:] / 2))
        # Orthonormal coefficients of N samples and of n differ by the root of N / n.
        return gaussian * averaged / math.sqrt(self._factor)


def _fold(coefficients: np.ndarray, n: int) -> np.ndarray:
    """(K, M) cosine coefficients along the first axis, of any K, on a grid of n samples -> (n, M)."""
    out = np.zeros((n, coefficients.shape[1]))
    for start in range(0, len(coefficients), n):
        part = coefficients[start : start + n]
        block = start // n
        sign = 1.0 if block % 4 in (0, 3) else -1.0
        if block % 2 == 0:
            out[: len(part)] += sign * part
            if block and len(part):  # the constant's own multiples: cos at k = 2 n j is +-1 everywhere
                out[0] += sign * (math.sqrt(2.0) - 1.0) * part[0]
        else:  # k = n (2 j + 1) vanishes on the samples; the others run backwards
            out[n - len(part) + 1 :] += sign * part[:0:-1]
    return out


def _checked(reference: np.ndarray, image: np.ndarray, pixel_size_nm: float) -> tuple[np.ndarray, np.ndarray, int]:
    reference, image = np.asarray(reference, float), np.asarray(image, float)
    if reference.ndim != 2 or image.ndim != 2 or 0 in reference.shape:
        raise UsageError(f"an error map needs two images (Y, X), got {reference.shape} and {image.shape}.")
    factor = image.shape[0] // reference.shape[0]
    if factor < 1 or image.shape != (factor * reference.shape[0], factor * reference.shape[1]):
        raise UsageError(
            f"the image's shape {image.shape} must be the reference's {reference.shape} times a whole number: both "
            "must show the same field."
        )
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive, got {pixel_size_nm} nm.")
    return reference, image, factor


def _hopeless(reference: np.ndarray, image: np.ndarray, known: np.ndarray) -> str | None:
    """Why nothing can be compared, in plain words; None where it can."""
    eps = 4 * np.finfo(np.float32).eps
    if min(reference.shape) < MINIMUM_SIDE:
        return f"the reference is too small: {reference.shape[0]} x {reference.shape[1]} pixels"
    if bad := int((~np.isfinite(image)).sum()):
        return f"{bad} pixel(s) of the image hold no finite number"
    if known.sum() < MINIMUM_SIDE**2:
        return "the reference holds too few finite numbers"
    for name, values in (("reference", reference[known]), ("image", image)):
        if np.ptp(values) <= eps * np.abs(values).max():
            return f"the {name} is constant: there is nothing to compare"
    return None


def _nothing(reference: np.ndarray, known: np.ndarray, reason: str) -> ErrorMap:
    level = float(reference[known].mean()) if known.any() else 0.0
    error = np.where(known, np.abs(reference - level), np.nan).astype(np.float32)
    flat = np.full(reference.shape, level, np.float32)
    return ErrorMap(error, flat, None, None, 0.0, level, None, n_ignored=int((~known).sum()), reason=reason)


def _refined(function: Any, low: float, high: float, best: float, value: float) -> float:
    """Where a function of one variable is highest between two bounds, not lower than ``value`` at ``best``."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda s: -function(s), bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(found.x) if -found.fun > value else float(best)


def _compare(
    reference: np.ndarray, seen: np.ndarray, known: np.ndarray, sigma_nm: float | None, at_limit: bool
) -> ErrorMap:
    """Scale and offset by least squares over the known pixels, and what they leave."""
    r, s = reference[known], seen[known]
    r_dev, s_dev = r - r.mean(), s - s.mean()
    power, norm = float(s_dev @ s_dev), float(np.linalg.norm(r_dev) * np.linalg.norm(s_dev))
    if power <= FLAT**2 * float(s @ s):
        return _nothing(reference, known, "the image is flat once it is blurred: there is nothing to compare")
    product = float(r_dev @ s_dev)
    scale, offset = gain_and_offset(s, r)
    expected = scale * seen + offset
    error = np.where(known, np.abs(reference - expected), np.nan)
    rse = float(np.sqrt(np.mean((r - scale * s - offset) ** 2)))
    ignored = int((~known).sum())
    return ErrorMap(
        error.astype(np.float32), expected.astype(np.float32), rse, product / norm, scale, offset, sigma_nm, at_limit,
        ignored,
    )  # fmt: skip
