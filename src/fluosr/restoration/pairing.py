"""Whether images can be learnt from: finite, not constant, not clipped; and whether those of a pair belong together."""

from __future__ import annotations

import numpy as np

from fluosr.errors import UsageError
from fluosr.restoration.fields import Field
from fluosr.restoration.scale import block_mean

CLEARLY = 6.0  # standard deviations of the correlation of two images that have nothing in common
SHIFTED = 0.05  # how much better a shifted pair must correlate to count as shifted
SATURATED = 0.02  # share of pixels at the highest value from which on an image counts as saturated


def check_good(field: Field) -> list[str]:
    """See that a field's good image can be learnt from.

    Args:
        field: with a good image.

    Returns:
        What the user should know, in plain words.

    Raises:
        UsageError: it is constant, or holds values that are not finite; says which field's.
    """
    _check_values(field.name, field.high, "the good image", "the good image")
    return _clipped(field.name, field.high, "the good image")


def check_pair(field: Field, factor: int) -> list[str]:
    """See that a field's images belong together.

    Args:
        field: with both images.
        factor: s, how many pixels of the good image lie along a side of one of the fast.

    Returns:
        What the user should know, in plain words.

    Raises:
        UsageError: sizes that do not fit, a constant image, values that are not finite, images that have nothing in
            common, or that are shifted against each other; says which field, and by how much.
    """
    assert field.low is not None
    name, (height, width) = field.name, field.low.shape[1:]
    if field.high.shape != (factor * height, factor * width):
        sides = f"{field.high.shape[0]} x {field.high.shape[1]}"
        raise UsageError(
            f"{name}: the good image has {sides} pixels; with --scale {factor} and frames of {height} x {width} it "
            f"must have {factor * height} x {factor * width}."
        )
    warnings = check_good(field)
    _check_values(name, field.low, "a frame", "every frame")
    _check_place(field, factor)
    return warnings + _clipped(name, field.low, "the frames")


def _check_values(name: str, image: np.ndarray, one: str, every: str) -> None:
    if not np.isfinite(image).all():
        raise UsageError(f"{name}: {one} holds values that are not finite.")
    if np.ptp(image) == 0:
        raise UsageError(f"{name}: {every} is constant; leave this field out.")


def _clipped(name: str, image: np.ndarray, words: str) -> list[str]:
    share = float((image == image.max()).mean())
    if share <= SATURATED:
        return []
    return [
        f"{name}: {100 * share:.0f} % of the pixels of {words} are at the highest value: where light was clipped, "
        "nothing right can be learnt."
    ]


def _check_place(field: Field, factor: int) -> None:
    assert field.low is not None
    small, low = block_mean(field.high, factor), field.low.mean(0, dtype=float)
    correlation = _correlations(small, low)
    here = float(correlation[0, 0])
    place = np.unravel_index(int(correlation.argmax()), correlation.shape)
    best = float(correlation[place])
    if best < CLEARLY / np.sqrt(low.size):
        raise UsageError(f"{field.name}: the two images have nothing in common; are they of one field?")
    shift = [int(p) - n if p > n // 2 else int(p) for p, n in zip(place, low.shape, strict=True)]
    if max(map(abs, shift)) >= 1 and best - here > max(SHIFTED, CLEARLY / np.sqrt(low.size)):
        raise UsageError(
            f"{field.name}: the frames are shifted against the good image by {shift[0]} pixels along y and {shift[1]} "
            f"along x (correlation {best:.2f} there, {here:.2f} as they are), or are of another field. Register the "
            "pair, or leave it out."
        )


def _correlations(small: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Correlation coefficients at every circular shift of ``low`` against ``small``."""
    ones = [(image - image.mean()) / (image.std() * np.sqrt(image.size)) for image in (small, low)]
    spectra = [np.fft.rfft2(image) for image in ones]
    return np.asarray(np.fft.irfft2(spectra[1] * spectra[0].conj(), s=low.shape))
