"""How close pictures come to their truth: PSNR, SSIM and MS-SSIM, after the best gain and offset where asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.fidelity import gain_and_offset
from fluosr.quality.picture_stack import picture_stack

if TYPE_CHECKING:
    import torch

WINDOW_PX = 11  # of SSIM: a Gaussian of sigma 1.5
WINDOW_SIGMA_PX = 1.5
SINGLE = 1.5  # largest value, in ranges, up to which single precision gives SSIM to 1e-4, ten times faster
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
    pictures, truths, ranges = _checked(pictures, truths, data_range, 1)
    gain = offset = None
    if fit:
        gain, offset = np.transpose([gain_and_offset(*pair) for pair in zip(pictures, truths, strict=True)])
        pictures = gain[:, None, None] * pictures + offset[:, None, None]
    return Similarity(
        psnr_db(pictures, truths, data_range=ranges),
        ssim(pictures, truths, data_range=ranges),
        None if scales is None else ms_ssim(pictures, truths, data_range=ranges, scales=scales),
        scales,
        ranges,
        gain,
        offset,
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
    from torchmetrics.functional.image import peak_signal_noise_ratio

    def measure(picture: torch.Tensor, truth: torch.Tensor) -> float:
        return float(peak_signal_noise_ratio(picture, truth, data_range=1.0))

    return _each(measure, *_checked(pictures, truths, data_range, 1), single=0.0)


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
    return _each(_ssim, *_checked(pictures, truths, data_range, WINDOW_PX))


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
    if not 1 <= scales <= len(SCALE_WEIGHTS):
        raise UsageError(f"MS-SSIM has 1 to {len(SCALE_WEIGHTS)} scales, not {scales}.")
    least = WINDOW_PX * 2 ** (scales - 1)
    shape = np.shape(pictures)
    if len(shape) == 3 and 0 < min(shape[1:]) < least:
        fit = [f"{s} from {WINDOW_PX * 2 ** (s - 1)}" for s in range(1, scales)]
        raise UsageError(
            f"MS-SSIM of {scales} scales needs sides of {least} pixels or more, these have {shape[1]} x {shape[2]}: "
            f"ask for fewer scales{' (' + ', '.join(fit) + ')' if fit else ''} and name the figure so, or leave it out."
        )
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])

    def measure(picture: torch.Tensor, truth: torch.Tensor) -> float:
        from torch.nn.functional import avg_pool2d

        found = 1.0
        for weight in weights[:-1]:
            found *= max(_contrast(picture, truth), 0.0) ** weight
            picture, truth = avg_pool2d(picture, 2), avg_pool2d(truth, 2)
        return float(found * max(_ssim(picture, truth), 0.0) ** weights[-1])

    return _each(measure, *_checked(pictures, truths, data_range, WINDOW_PX))


def _each(
    measure: Callable[[torch.Tensor, torch.Tensor], float],
    pictures: np.ndarray,
    truths: np.ndarray,
    ranges: np.ndarray,
    *,
    single: float = SINGLE,
) -> np.ndarray:
    """One picture after the other, so that memory does not grow with their number.

    Args:
        measure: of a picture and its truth, (1, 1, Y, X) in units of the range.
        pictures, truths, ranges: (N, Y, X), (N, Y, X) and (N,).
        single: largest value, in ranges, up to which single precision will do.
    """
    import torch

    found = np.empty(len(pictures))
    for i, span in enumerate(ranges):
        pair = [stack[i] / span for stack in (pictures, truths)]
        # An offset far above the range would leave single precision no digits of the contrast.
        precision = np.float32 if max(np.abs(one).max() for one in pair) <= single else np.float64
        found[i] = measure(*(torch.from_numpy(one.astype(precision)[None, None]) for one in pair))
    return found


def _ssim(picture: torch.Tensor, truth: torch.Tensor) -> float:
    from torchmetrics.functional.image import structural_similarity_index_measure

    # Its mean takes in windows over mirrored borders; those inside are taken here.
    _, everywhere = structural_similarity_index_measure(
        picture, truth, sigma=WINDOW_SIGMA_PX, data_range=1.0, return_full_image=True
    )
    inside = slice(WINDOW_PX // 2, -(WINDOW_PX // 2))
    return float(everywhere[..., inside, inside].mean())


def _contrast(picture: torch.Tensor, truth: torch.Tensor) -> float:
    """The mean of (2 sxy + C2) / (sx^2 + sy^2 + C2) over the windows inside."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, contrast = structural_similarity_index_measure(
        picture, truth, sigma=WINDOW_SIGMA_PX, data_range=1.0, return_contrast_sensitivity=True
    )
    return float(contrast)


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
