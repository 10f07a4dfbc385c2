"""How close pictures come to their truth: PSNR, SSIM and MS-SSIM, after the best gain and offset where asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.fidelity import gain_and_offset
from fluosr.quality.picture_stack import picture_stack

WINDOW_PX = 11  # of SSIM: a Gaussian of sigma 1.5
WINDOW_SIGMA_PX = 1.5
C1, C2 = 0.01**2, 0.03**2  # what keeps SSIM finite where there is nothing, for a range of 1
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, the finest first


@dataclass(frozen=True, eq=False)
class Similarity:
    """Figures of N pictures against their truths.

    Attributes:
        psnr_db: (N,) dB; infinite where a picture is its truth.
        ssim: (N,), at most 1.
        ms_ssim: (N,), 0 to 1; None where it was not asked for.
        scales: of MS-SSIM; the standard is 5. None where it was not asked for.
        data_range: (N,) in the truths' unit.
        gain, offset: (N,) what each picture was scaled and offset with before it was compared; None where the pictures
            were compared as they are.
    """

    psnr_db: np.ndarray
    ssim: np.ndarray
    ms_ssim: np.ndarray | None
    scales: int | None
    data_range: np.ndarray
    gain: np.ndarray | None
    offset: np.ndarray | None

    @property
    def fitted(self) -> bool:
        """Whether every picture was given its best gain and offset first."""
        return self.gain is not None

    def metrics(self) -> dict[str, np.ndarray]:
        """(N,) values under the names that tables use: what is not the plain or the standard figure says so."""
        after = " after gain and offset" if self.fitted else ""
        found = {f"PSNR{after}, dB": self.psnr_db, f"SSIM{after}": self.ssim}
        if self.ms_ssim is not None:
            scales = "" if self.scales == len(SCALE_WEIGHTS) else f" of {self.scales} scales"
            found[f"MS-SSIM{scales}{after}"] = self.ms_ssim
        return found


def against_truth(
    pictures: np.ndarray,
    truths: np.ndarray,
    *,
    data_range: float | np.ndarray,
    fit: bool = False,
    scales: int | None = len(SCALE_WEIGHTS),
) -> Similarity:
    """PSNR, SSIM and MS-SSIM of each picture.

    With ``fit``, gain a >= 0 and offset b of each picture are those of min |a picture + b - truth|^2: for data whose
    pictures and truths were scaled each on its own. It can only raise the PSNR, so the result says that it was done.

    Args:
        pictures, truths: (N, Y, X) in one unit, or in any two with ``fit``.
        data_range: what the truths could span (4095 for 12 bits), or (N,) one for each; never taken from the data in
            silence, since PSNR and SSIM rise with it.
        fit: whether to give each picture its best gain and offset.
        scales: of MS-SSIM, 1 to 5; None leaves it out.

    Raises:
        UsageError: shapes that differ, values that are not finite, a range that is not positive, sides below 11
            pixels, or below 11 * 2^(scales - 1).
    """
    if scales is not None:
        _check_scales(pictures, scales)
    pictures, truths, ranges = _checked(pictures, truths, data_range, WINDOW_PX)
    found = np.ones((len(ranges), 3))
    fits = np.empty((len(ranges), 2))
    for i, (picture, truth) in enumerate(_pairs(pictures, truths, ranges)):
        if fit:
            gain, offset = gain_and_offset(picture, truth)
            picture = gain * picture + offset
            fits[i] = gain, offset * ranges[i]
        multiscale = np.nan if scales is None else _ms_ssim(picture, truth, scales)
        found[i] = _psnr_db(picture, truth), _ssim(picture, truth), multiscale
    psnrs, ssims, multiscales = found.T
    return Similarity(
        psnrs,
        ssims,
        None if scales is None else multiscales,
        scales,
        ranges,
        fits[:, 0] if fit else None,
        fits[:, 1] if fit else None,
    )


def psnr_db(pictures: np.ndarray, truths: np.ndarray, *, data_range: float | np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio 10 log10(range^2 / mean (picture - truth)^2), dB.

    Args:
        pictures, truths, data_range: as for ``against_truth``.

    Returns:
        (N,), infinite where both are equal.

    Raises:
        UsageError: as for ``against_truth``.
    """
    return np.array([_psnr_db(*pair) for pair in _pairs(*_checked(pictures, truths, data_range, 1))])


def ssim(pictures: np.ndarray, truths: np.ndarray, *, data_range: float | np.ndarray) -> np.ndarray:
    """Structural similarity: the mean over all windows of 11 x 11 pixels (Gaussian, sigma 1.5) inside the picture.

        (2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2)),  C1 = (.01 range)^2, C2 = (.03 range)^2

    Args:
        pictures, truths, data_range: as for ``against_truth``.

    Returns:
        (N,), 1 where both are equal.

    Raises:
        UsageError: as for ``against_truth``.

    Source:
        Z. Wang et al., IEEE Transactions on Image Processing 13 (2004) 600, eq. 13; windows that would leave the
        picture are left out, as there.
    """
    return np.array([_ssim(*pair) for pair in _pairs(*_checked(pictures, truths, data_range, WINDOW_PX))])


def ms_ssim(
    pictures: np.ndarray, truths: np.ndarray, *, data_range: float | np.ndarray, scales: int = len(SCALE_WEIGHTS)
) -> np.ndarray:
    """Multi-scale structural similarity: contrast and structure at every scale, luminance at the coarsest.

        SSIM(S)^w_S  prod_{j < S} cs(j)^w_j

    Between scales 2 x 2 pixels are averaged. With fewer than five scales the weights of the finest are taken and
    scaled to sum to 1: not the published figure, and to be named so. A scale that is anti-correlated counts as 0.

    Args:
        pictures, truths, data_range: as for ``against_truth``.
        scales: S, 1 to 5.

    Returns:
        (N,), 1 where both are equal.

    Raises:
        UsageError: as for ``against_truth``; sides below 11 * 2^(S - 1) pixels, 176 for five scales.

    Source:
        Z. Wang, E. Simoncelli and A. Bovik, Asilomar Conference on Signals, Systems and Computers (2003) 1398, eq. 7.
    """
    _check_scales(pictures, scales)
    pairs = _pairs(*_checked(pictures, truths, data_range, WINDOW_PX))
    return np.array([_ms_ssim(*pair, scales) for pair in pairs])


def _pairs(pictures: np.ndarray, truths: np.ndarray, ranges: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each picture with its truth, (Y, X) float64 in units of the range; one at a time, to keep memory small."""
    for picture, truth, span in zip(pictures, truths, ranges, strict=True):
        yield np.divide(picture, span, dtype=np.float64), np.divide(truth, span, dtype=np.float64)


def _psnr_db(picture: np.ndarray, truth: np.ndarray) -> float:
    error = float(np.mean((picture - truth) ** 2))
    return -10.0 * math.log10(error) if error > 0 else math.inf


def _ssim(picture: np.ndarray, truth: np.ndarray) -> float:
    luminance, contrast = _windows(picture, truth)
    return float((luminance * contrast).mean())


def _ms_ssim(picture: np.ndarray, truth: np.ndarray, scales: int) -> float:
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    found = 1.0
    for weight in weights[:-1]:
        found *= max(float(_windows(picture, truth)[1].mean()), 0.0) ** weight
        picture, truth = _halved(picture), _halved(truth)
    return float(found * max(_ssim(picture, truth), 0.0) ** weights[-1])


def _windows(picture: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2 mx my + C1) / (mx^2 + my^2 + C1) and (2 sxy + C2) / (sx^2 + sy^2 + C2) of all windows inside; range 1."""
    # Variances do not change with an offset, and are more exact about 0.
    shift = float(truth.mean())
    x, y = picture - shift, truth - shift
    mx, my = _blurred(x), _blurred(y)
    squares, product = _blurred(x * x + y * y) - mx**2 - my**2, _blurred(x * y) - mx * my
    mx, my = mx + shift, my + shift
    luminance = (2.0 * mx * my + C1) / (mx**2 + my**2 + C1)
    return luminance, (2.0 * product + C2) / (squares + C2)


def _blurred(image: np.ndarray) -> np.ndarray:
    """Means under the Gaussian window, where it lies inside."""
    from scipy.ndimage import correlate1d

    half = WINDOW_PX // 2
    window = np.exp(-0.5 * (np.arange(-half, half + 1) / WINDOW_SIGMA_PX) ** 2)
    window /= window.sum()
    along_y = correlate1d(image, window, axis=0)[half:-half]
    return np.asarray(correlate1d(along_y, window, axis=1)[:, half:-half])


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 for side in image.shape)
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))


def _check_scales(pictures: np.ndarray, scales: int) -> None:
    if not 1 <= scales <= len(SCALE_WEIGHTS):
        raise UsageError(f"MS-SSIM has 1 to {len(SCALE_WEIGHTS)} scales, not {scales}.")
    least, shape = WINDOW_PX * 2 ** (scales - 1), picture_stack(pictures).shape
    if min(shape[1:]) < least:
        fit = [f"{s} from {WINDOW_PX * 2 ** (s - 1)}" for s in range(1, scales)]
        raise UsageError(
            f"MS-SSIM of {scales} scales needs sides of {least} pixels or more, these have {shape[1]} x {shape[2]}: "
            f"ask for fewer scales{' (' + ', '.join(fit) + ')' if fit else ''} and name the figure so, or leave it out."
        )


def _checked(
    pictures: np.ndarray, truths: np.ndarray, data_range: Any, least_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pictures = picture_stack(pictures, least_px=least_px)
    truths = picture_stack(truths, "the truths")
    if pictures.shape != truths.shape:
        raise UsageError(f"pictures {pictures.shape} and truths {truths.shape} lie on different grids.")
    ranges = np.asarray(data_range, float)
    if ranges.shape not in ((), (len(pictures),)) or not (np.isfinite(ranges).all() and (ranges > 0).all()):
        raise UsageError(
            f"data_range must be one positive number, or one for each of the {len(pictures)} pictures, in the unit of "
            "the truths."
        )
    return pictures, truths, np.broadcast_to(ranges, len(pictures))
