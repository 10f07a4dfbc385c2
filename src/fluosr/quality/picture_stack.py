"""Stacks of pictures, (N, Y, X): what every judge of restored pictures asks of them first."""

from __future__ import annotations

import numpy as np

from fluosr.errors import UsageError


def picture_stack(pictures: np.ndarray, what: str = "the pictures", *, least_px: int = 1) -> np.ndarray:
    """The pictures as one (N, Y, X) array of their own type, N >= 1, once they are known to be sound.

    Args:
        pictures: (N, Y, X) of any real type and unit.
        what: what the user knows them as, for the message.
        least_px: shortest side that will do, pixels.

    Raises:
        UsageError: pictures of different sizes, another number of axes, none at all, no real numbers, sides too short,
            NaN or infinite values.
    """
    try:
        stack = np.asarray(pictures)
    except ValueError as error:
        raise UsageError(f"{what} must all be of one size, to be stacked as (N, Y, X).") from error
    if stack.ndim != 3 or not stack.size:
        raise UsageError(f"{what} must be of shape (N, Y, X) and not empty, got {stack.shape}.")
    if stack.dtype.kind not in "buif":
        raise UsageError(f"{what} must hold real numbers, got {stack.dtype}.")
    if min(stack.shape[1:]) < least_px:
        raise UsageError(
            f"{what} of {stack.shape[1]} x {stack.shape[2]} pixels are too small: both sides must have {least_px} or "
            "more."
        )
    for number, picture in enumerate(stack):
        if not np.isfinite(picture).all():
            raise UsageError(f"{what}: number {number} (from 0) holds NaN or infinite values.")
    return stack
