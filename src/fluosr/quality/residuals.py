"""The residual map: what of the mean frame the image and its background do not explain, in units of the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.reconstruction import Reconstruction

# Where a verdict changes. Regularised fits leave a little less than the noise (they follow some of it) or a little more
# (they are held back); what lies between these two is called the noise level.
LEAST_RMS, MOST_RMS = 0.7, 1.15
MOST_CORRELATION = 0.1
MOST_BEYOND_3 = 0.01  # a normal variable is beyond three standard deviations in .27 % of cases


@dataclass(frozen=True, eq=False)
class Residuals:
    """z = (mean frame - expected frame) / its standard error, and what it says.

    Args:
        z: (Y, X) float32, standard deviations; NaN where a pixel was left out (dead, masked, no known noise).
        n_pixels: pixels judged.
        n_ignored: pixels left out.
        rms: root mean square of z; 1 is the noise level.
        reduced_chi_square: mean of z^2. No degrees of freedom are taken off: a regularised fit has no plain count.
        fraction_beyond_3: share of pixels with |z| > 3; 0.0027 for pure noise.
        neighbour_correlation: mean product of z over pairs of adjacent pixels (along y and x) by mean z^2; 0 for
            pure noise.
        maximum: largest |z|.
        at_noise_level: whether nothing but noise is left.
        verdict: the same in one plain sentence.
        light_left_out: more is left than noise, and the image never claimed it: it is drawn from the molecules that
            were found, and the mean frame holds the light of all.
    """

    z: np.ndarray
    n_pixels: int
    n_ignored: int
    rms: float | None
    reduced_chi_square: float | None
    fraction_beyond_3: float | None
    neighbour_correlation: float | None
    maximum: float | None
    at_noise_level: bool
    verdict: str
    light_left_out: bool = False

    def describe(self) -> dict[str, Any]:
        """All figures without the map, for the run's record."""
        names = (
            "rms",
            "reduced_chi_square",
            "fraction_beyond_3",
            "neighbour_correlation",
            "maximum",
            "n_pixels",
            "n_ignored",
            "at_noise_level",
            "verdict",
            "light_left_out",
        )
        return {name: getattr(self, name) for name in names}


def residual_map(reconstruction: Reconstruction) -> Residuals:
    """What the forward model leaves unexplained, pixel by pixel.

    z = (mean - expected) / standard_error

    If the model is right and the fit has converged, z is standard normal noise without pattern. A pattern means wrong
    optics, uncorrected drift, a background too stiff, or iterations stopped too soon. No pattern is not a proof that
    the image is right: details finer than the PSF leave no trace in the residuals.

    Args:
        reconstruction: its ``mean``, ``expected`` and ``standard_error``, (Y, X), photons. A pixel whose standard
            error is not a positive finite number, or whose other values are not finite, is left out.

    Returns:
        The map in standard deviations, and its summary. Figures are None where no pixel could be judged.

    Raises:
        UsageError: the three images differ in shape.
    """
    mean, expected, error = (
        np.asarray(getattr(reconstruction, name), float) for name in ("mean", "expected", "standard_error")
    )
    if not (mean.ndim == 2 and mean.shape == expected.shape == error.shape):
        raise UsageError(
            "mean, expected and standard_error must be images of one shape (Y, X), "
            f"got {mean.shape}, {expected.shape} and {error.shape}."
        )
    valid = np.isfinite(mean) & np.isfinite(expected) & np.isfinite(error) & (error > 0)
    z = np.full(mean.shape, np.nan)
    z[valid] = (mean[valid] - expected[valid]) / error[valid]
    n = int(valid.sum())
    ignored = int(valid.size - n)
    if n == 0:
        verdict = "The residuals cannot be judged: the noise is not known in any pixel."
        return Residuals(z.astype(np.float32), 0, ignored, None, None, None, None, None, False, verdict)
    values = z[valid]
    chi_square = float(np.mean(values**2))
    beyond = float(np.mean(np.abs(values) > 3.0))
    correlation, pairs = _neighbour_correlation(z, valid, chi_square)
    maximum = float(np.abs(values).max())
    rms = math.sqrt(chi_square)
    good, verdict = _verdict(rms, beyond, correlation, maximum, n, pairs)
    left_out = reconstruction.localisations is not None and not good and rms >= LEAST_RMS
    if left_out:
        verdict = (
            "No test of this image, which shows the molecules found: the mean frame holds the light of the others too "
            f"(the residuals are {rms:.2f} times the noise)."
        )
    return Residuals(
        z.astype(np.float32),
        n,
        ignored,
        rms,
        chi_square,
        beyond,
        correlation,
        maximum,
        good,
        verdict,
        left_out,
    )


def _neighbour_correlation(z: np.ndarray, valid: np.ndarray, mean_square: float) -> tuple[float | None, int]:
    """Mean product over adjacent pairs by the mean square (None where either is nothing), and the number of pairs."""
    filled = np.where(valid, z, 0.0)
    products = float((filled[1:] * filled[:-1]).sum() + (filled[:, 1:] * filled[:, :-1]).sum())
    pairs = int((valid[1:] & valid[:-1]).sum() + (valid[:, 1:] & valid[:, :-1]).sum())
    if pairs == 0 or mean_square == 0.0:
        return None, pairs
    return products / pairs / mean_square, pairs


def _verdict(
    rms: float, beyond: float, correlation: float | None, maximum: float, n: int, pairs: int
) -> tuple[bool, str]:
    # Small fields scatter: a limit is passed only when chance (three standard deviations) does not explain it.
    slack = 3.0 / math.sqrt(2.0 * n)
    size = f"the residuals are {rms:.2f} times the noise"
    faults = []
    if correlation is not None and correlation > max(MOST_CORRELATION, 3.0 / math.sqrt(pairs)):
        faults.append(f"neighbouring pixels err together (correlation {correlation:.2f})")
    if rms > MOST_RMS + slack:
        faults.append(size)
    if beyond > MOST_BEYOND_3 + 3.0 * math.sqrt(0.0027 / n):
        share = f"{100 * beyond:.0f}" if beyond >= 0.1 else f"{100 * beyond:.2g}"
        most = f"{maximum:.0f}" if maximum >= 100 else f"{maximum:.3g}"
        faults.append(f"{share} % of the pixels are off by more than 3 times their noise (up to {most})")
    if faults:
        return False, "Structure is left: " + ", ".join(faults) + "."
    if rms < LEAST_RMS - slack:
        return False, (
            f"Below the noise level: {size}; either the image follows the noise, or the noise is overestimated "
            "(check gain, offset and read noise)."
        )
    return True, f"At the noise level: {size} and neighbouring pixels do not err together."
