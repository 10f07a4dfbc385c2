"""Grey values and the network's range, joined by two levels a channel that hold for a whole set of crops."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from fluosr.errors import UsageError

TAIL_PERCENT = 0.1  # of a channel's pixels below its dark level, and as many above its bright one

Images = TypeVar("Images", np.ndarray, torch.Tensor)


def levels_of(crops: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(C, 2) dark and bright grey value of each channel: percentiles 0.1 and 99.9 of all pixels of all crops.

    Never per image: how bright a cell is, and the ratio of two channels, are what one wants to keep.

    Args:
        crops: (N, C, R, R) grey values.
        names: of the channels.

    Raises:
        UsageError: a channel whose levels are the same: nothing is in it, or too little.
    """
    levels = np.stack([np.percentile(crops[:, c], [TAIL_PERCENT, 100 - TAIL_PERCENT]) for c in range(crops.shape[1])])
    checked_levels(levels, names)
    return levels.astype(np.float64)


def checked_levels(levels: np.ndarray, names: tuple[str, ...]) -> None:
    """See that levels can be used.

    Raises:
        UsageError: not two finite numbers a channel, the second larger.
    """
    if levels.shape != (len(names), 2) or not np.isfinite(levels).all():
        raise UsageError(f"levels must be two numbers for each of {len(names)} channels, got {levels.tolist()}.")
    for name, (dark, bright) in zip(names, levels, strict=True):
        if not bright > dark:
            raise UsageError(
                f"channel {name!r} is empty: its grey values go from {dark:.5g} to {bright:.5g}, but for one pixel in "
                "a thousand. A generator learns nothing from it: leave the channel out."
            )


def to_range(grey: Images, levels: np.ndarray) -> Images:
    """Grey values (..., C, Y, X) -> 2 (grey - dark) / (bright - dark) - 1."""
    dark, bright = _columns(grey, levels)
    return 2 * (grey - dark) / (bright - dark) - 1


def to_grey(images: Images, levels: np.ndarray) -> Images:
    """Back from :func:`to_range`."""
    dark, bright = _columns(images, levels)
    return dark + (images + 1) * (bright - dark) / 2


def _columns(like: Images, levels: np.ndarray) -> tuple[Images, Images]:
    columns = np.asarray(levels, np.float64)[:, :, None, None]
    if isinstance(like, torch.Tensor):
        placed = torch.as_tensor(columns, dtype=like.dtype, device=like.device)
        return placed[:, 0], placed[:, 1]
    return columns[:, 0].astype(like.dtype), columns[:, 1].astype(like.dtype)
