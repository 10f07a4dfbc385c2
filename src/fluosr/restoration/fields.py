"""Fields: places of a sample, each with all that was recorded there; and how they are split, without a leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError
from fluosr.restoration.same_pixels import shared_pixels

THUMBNAIL_PX = 64  # side of what two fields are compared by
SAME_FIELD = 0.9  # correlation of two truths, at the best shift, from which on they show one place


@dataclass(frozen=True, eq=False)
class Field:
    """One place of a sample.

    Args:
        name: of the field.
        high: (s Y, s X) float32 the good image, grey values.
        low: (R, Y, X) float32 R fast recordings of the same place, grey values; None where they are made from ``high``.
    """

    name: str
    high: np.ndarray
    low: np.ndarray | None = None


def split_fields(
    fields: Sequence[Field], share: float, generator: np.random.Generator
) -> tuple[list[Field], list[Field]]:
    """(to learn from, to validate on): whole fields, never single frames.

    Args:
        fields: all there are.
        share: of the fields that validation takes, at least one where the share is not 0.
        generator: draws which.

    Raises:
        UsageError: too few fields for both, or fields that show one place under two names.
    """
    if not fields:
        raise UsageError("there is no field to learn from.")
    count = max(1, round(share * len(fields))) if share > 0 else 0
    if count >= len(fields):
        raise UsageError(
            f"{len(fields)} field(s) cannot be split into training and validation: frames of one field must not stand "
            "in both. Give more fields, or --validation-share 0."
        )
    taken = set(generator.choice(len(fields), count, replace=False).tolist())
    training = [field for number, field in enumerate(fields) if number not in taken]
    validation = [field for number, field in enumerate(fields) if number in taken]
    refuse_leaks({"training": training, "validation": validation})
    return training, validation


def refuse_leaks(splits: Mapping[str, Sequence[Field]]) -> None:
    """See that no field stands in two splits, be it under another name, shifted, or on another scale of grey values.

    Images of one shape are compared as wholes, at the best shift. Of any shapes, crops that overlap are found by their
    equal grey values; crops on another scale, turned or resampled are not.

    Args:
        splits: by name, the fields of each.

    Raises:
        UsageError: one does; says which two.
    """
    names = list(splits)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            _refuse_leak(first, splits[first], second, splits[second])


def _refuse_leak(first: str, ones: Sequence[Field], second: str, others: Sequence[Field]) -> None:
    spectra = {field.name: _spectrum(field.high) for field in others}
    for one in ones:
        if one.name in spectra:
            raise UsageError(
                f"field {one.name} is in both {first} and {second}: its frames would be learnt by heart. All frames of "
                "a field belong into one split."
            )
        spectrum = _spectrum(one.high)
        for other in others:
            if other.high.shape == one.high.shape and _likeness(spectrum, spectra[other.name]) >= SAME_FIELD:
                raise UsageError(
                    f"{one.name} ({first}) and {other.name} ({second}) show the same place: give them one name, or "
                    "leave one of them out."
                )
    shared = shared_pixels([field.high for field in ones], [field.high for field in others])
    if shared is not None:
        raise UsageError(
            f"{ones[shared.one].name} ({first}) and {others[shared.other].name} ({second}) have {shared.pixels} pixels "
            "in common: they were cut from one image. Put both into one split, or leave one of them out."
        )


def _spectrum(image: np.ndarray) -> np.ndarray:
    """(n, m) complex, of a small picture of an image with mean 0 and norm 1; zeros where there is nothing in it."""
    step = max(1, min(image.shape) // THUMBNAIL_PX)
    height, width = (side // step * step for side in image.shape)
    small = image[:height, :width].reshape(height // step, step, width // step, step).mean((1, 3), dtype=float)
    small -= small.mean()
    norm = np.linalg.norm(small)
    return np.fft.fft2(small / norm if norm > 0 else small)


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures at the best shift."""
    return float(np.fft.ifft2(one * other.conj()).real.max())
