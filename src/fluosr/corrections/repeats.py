"""Repeats of one field, looked at before a microscope is calibrated on them: what is refused, what is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.acquisition import LARGEST_VALUE, ArrayFrames, FrameSource
from fluosr.corrections.camera_estimate import ROUNDING_VARIANCE, pair_statistics
from fluosr.corrections.drift import LARGE_RANGE_PX, estimate_drift
from fluosr.errors import AcquisitionError

MAXIMUM_SAMPLES = 2 * 10**7  # pixel values kept, a few times over, 80 MB each
SMALLEST_SIDE_PX = 24
BORDER_PX = 6  # columns at either end that are not used: an amplifier begins each line from what came before
LEAST_USABLE = 0.2  # of the pixels
FLOOR_SHARE = 0.01  # of a pixel's frames at zero, from which on its noise is cut off
MOTION_PX = 0.3  # range of the drift from which on repeats are not of one field
MOTION_BLOCKS = 6
CHANGE_RATIO = 1.5  # of the change between two halves of the repeats, over what the noise allows
SHARED_ERROR, SHARED_WARNING = 0.3, 0.05  # correlation of the noise of pixels above one another
USUAL_BITS = (8, 10, 12, 14, 16, 24)
FWHM_PX = 2.5  # for the search for drift: structure finer than this is taken for noise


@dataclass(frozen=True, eq=False)
class Repeats:
    """The frames of one field, in grey values.

    Attributes:
        name: of the file.
        frames: (T, Y, X) float32, ADU, T >= 1; T = 1 where there is one frame.
        usable: (Y, X) bool: neither saturated, nor cut off at zero, nor at the ends of the lines.
        rounding_variance: 1/12 for whole numbers, else 0, ADU^2.
        bits: of the grey values: as the ceiling has them, or the fewest usual ones that hold all values.
        warnings: what the reader should know, in plain words.
    """

    name: str
    frames: np.ndarray
    usable: np.ndarray
    rounding_variance: float
    bits: int
    warnings: tuple[str, ...] = ()


def open_repeats(source: FrameSource | np.ndarray, name: str, *, ceiling_adu: float | None = None) -> Repeats:
    """Frames of one field that can be calibrated on, as many as fit into memory.

    Args:
        source: (T, Y, X) ADU, T >= 1.
        name: what to call them.
        ceiling_adu: the largest grey value, where it is known.

    Raises:
        AcquisitionError: too small, NaN, constant, one image repeated, saturated, or cut off at zero.
    """
    if len(source.shape) != 3:
        raise AcquisitionError(f"{name}: repeats are (T, Y, X), got shape {tuple(source.shape)}.")
    frames = ArrayFrames(source) if isinstance(source, np.ndarray) else source
    _, height, width = frames.shape
    if min(height, width) < SMALLEST_SIDE_PX:
        raise AcquisitionError(
            f"{name}: the field is {height} x {width} pixels; a calibration needs at least {SMALLEST_SIDE_PX} x "
            f"{SMALLEST_SIDE_PX}."
        )
    raw, warnings = _read(frames, name)
    values = raw.astype(np.float32)
    for number, frame in enumerate(values):
        if not (np.isfinite(frame).all() and float(np.abs(frame).max()) <= LARGEST_VALUE):
            raise AcquisitionError(
                f"{name}: frame {number} holds NaN or infinite values. Leave such frames out with --frames, or replace "
                "the values."
            )
    if values.min() == values.max():
        raise AcquisitionError(f"{name} is constant ({values.flat[0]:g} ADU everywhere): there is no noise to measure.")
    if len(values) > 1 and bool((values[1:] == values[:1]).all()):
        raise AcquisitionError(
            f"all {len(values)} frames of {name} are identical: one image repeated. Give the frames as the microscope "
            "took them; of one frame alone (--frames 0:1) less can be said."
        )
    # A single frame is shown twice, so that its ceiling and floor are found in the same way.
    seen = pair_statistics(ArrayFrames(raw if len(raw) > 1 else np.repeat(raw, 2, axis=0)))
    ceiling = seen.saturation_level if ceiling_adu is None else ceiling_adu
    usable = np.zeros(values.shape[1:], bool)
    usable[:, BORDER_PX:-BORDER_PX] = True
    if ceiling is not None and (values.max(0) >= ceiling).any():
        saturated = _with_neighbours(values.max(0) >= ceiling)
        usable &= ~saturated
        _check_share(usable, name, f"reach the ceiling of {ceiling:g} ADU", "Lower the laser power or the gain.")
        warnings.append(f"{name}: {int(saturated.sum())} pixels at or beside the ceiling of {ceiling:g} ADU left out.")
    dark = _with_neighbours(seen.at_floor > FLOOR_SHARE)
    if dark.any():
        if (usable & ~dark).mean() >= LEAST_USABLE:
            usable &= ~dark
            warnings.append(f"{name}: {int(dark.sum())} pixels left out, whose noise is cut off at zero.")
        else:
            share = float(seen.at_floor.mean())
            warnings.append(
                f"{name}: {share:.0%} of the values are zero. If noise is cut off there, gain and read noise come out "
                "too low: raise the offset of the detector."
            )
    rounding = ROUNDING_VARIANCE if seen.whole_numbers or bool((values[:4] == values[:4].round()).all()) else 0.0
    most = float(values.max()) if ceiling is None else ceiling
    bits = next((bits for bits in USUAL_BITS if most < 2**bits), USUAL_BITS[-1])
    return Repeats(name, values, usable, rounding, bits, tuple(warnings))


def _read(frames: FrameSource, name: str) -> tuple[np.ndarray, list[str]]:
    count, height, width = frames.shape
    warnings = []
    most = max(2, MAXIMUM_SAMPLES // (height * width))
    if count > most:
        warnings.append(f"{name}: the first {most} of {count} frames are used.")
    return frames.read(slice(0, min(count, most))), warnings


def _with_neighbours(mask: np.ndarray) -> np.ndarray:
    """Also the two pixels on either side of a line's: the amplifier carries over what was cut off."""
    wide = mask.copy()
    for step in (1, 2):
        wide[:, step:] |= mask[:, :-step]
        wide[:, :-step] |= mask[:, step:]
    return wide


def _check_share(usable: np.ndarray, name: str, what: str, advice: str) -> None:
    if usable.mean() < LEAST_USABLE:
        raise AcquisitionError(
            f"{name}: {1 - usable.mean():.0%} of the pixels {what} or lie beside such, and their noise cannot be "
            f"measured. {advice}"
        )


def check_still(
    repeats: Repeats,
    residuals: np.ndarray,
    variance: np.ndarray,
    shared: np.ndarray,
) -> list[str]:
    """Refuse repeats of a sample that moves or changes; warnings where it does a little.

    Blocks of frames are registered on each other (:func:`fluosr.corrections.drift.estimate_drift`). The means of both
    halves may differ by what successive frames do: E (mean_1 - mean_2)^2 = 4 V / T. And noise is not shared by pixels
    above one another, which are scanned at different times: what they share is the sample's.

    Args:
        repeats: T >= 2 frames.
        residuals: (T, Y, X) frames less their mean, each brought to the mean's brightness.
        variance: (Y, X) of successive frames, ADU^2.
        shared: (Y - 1, X) covariance of pixels above one another, of successive frames, ADU^2.

    Raises:
        AcquisitionError: it moves or changes.
    """
    frames, usable = repeats.frames, repeats.usable
    advice = (
        "Repeats must show one field that is at rest: fix the sample, take them faster, or give fewer of them "
        "(--frames 0:10); of a single frame (--frames 0:1) less can be said."
    )
    blocks = np.array_split(np.arange(len(frames)), min(MOTION_BLOCKS, len(frames)))
    means = np.stack([frames[chosen].mean(0, dtype=np.float64) for chosen in blocks])
    drift = estimate_drift(
        means, np.array([len(chosen) for chosen in blocks]), fwhm_px=FWHM_PX, pixel_weight=usable.astype(float)
    )
    if drift.significant and drift.range_px > MOTION_PX:
        extent = f"{drift.range_px:.2g}" if drift.range_px < LARGE_RANGE_PX else f"{drift.range_px:.0f}"
        raise AcquisitionError(f"{repeats.name}: the sample moves by {extent} pixels during the repeats. {advice}")
    noise = float(variance[usable].sum())
    both = usable[1:] & usable[:-1]
    together = float(shared[both].sum()) / max(float((variance[1:] + variance[:-1])[both].sum()) / 2, 1e-300)
    count = len(frames)
    if count >= 6:
        half = count // 2
        change = residuals[:half].mean(0) - residuals[-half:].mean(0)
        ratio = float((change[usable] ** 2).sum()) * half / (2 * noise)
        spread = math.sqrt(2.0 / usable.sum())
        if ratio > CHANGE_RATIO and ratio > 1 + 8 * spread:
            raise AcquisitionError(
                f"{repeats.name}: the sample changes during the repeats: the first and the last half differ by "
                f"{math.sqrt(ratio):.2g} times what their noise allows. {advice}"
            )
    if together > SHARED_ERROR:
        raise AcquisitionError(
            f"{repeats.name}: the sample changes from frame to frame: pixels above one another, which are scanned at "
            f"different times, share {together:.0%} of their noise. {advice}"
        )
    if together > SHARED_WARNING:
        return [
            f"{repeats.name}: pixels above one another share {together:.0%} of their noise: the sample moves or blinks "
            "a little, or the frames were filtered. The gain comes out too high by as much."
        ]
    return []
