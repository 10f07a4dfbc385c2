"""Grey values and a network's range, joined by two levels a channel that hold for a whole set of crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fluosr.errors import UsageError

if TYPE_CHECKING:
    import torch

TAIL_PERCENT = 0.1  # of the pixels of crops below their dark level, and as many above their bright one
DARK_PERCENT, BRIGHT_PERCENT = 0.5, 99.9  # of the pixels of a field, most of which show no cell

Images = TypeVar("Images", np.ndarray, "torch.Tensor")


@dataclass(frozen=True, eq=False)
class Levels:
    """Which grey values are the dark and the bright end of each channel: one pair for a whole set of crops.

    Never per image: how bright a cell is, and the ratio of two channels, are what one wants to keep.

    Args:
        dark, bright: (C,) grey values.

    Raises:
        UsageError: a channel whose bright end is not above its dark one.
    """

    dark: np.ndarray
    bright: np.ndarray

    def __post_init__(self) -> None:
        dark, bright = (np.asarray(side, float) for side in (self.dark, self.bright))
        if dark.shape != bright.shape or dark.ndim != 1 or not (np.isfinite(dark) & np.isfinite(bright)).all():
            raise UsageError(f"levels are a dark and a bright grey value for each channel, got {dark} and {bright}.")
        if not (bright > dark).all():
            empty = ", ".join(str(channel) for channel in np.flatnonzero(bright <= dark))
            raise UsageError(f"channel {empty} is empty: its brightest grey value is not above its darkest one.")
        object.__setattr__(self, "dark", dark)
        object.__setattr__(self, "bright", bright)

    @classmethod
    def of_pairs(cls, pairs: np.ndarray, names: Sequence[str]) -> Levels:
        """From (C, 2) dark and bright grey values.

        Raises:
            UsageError: not two finite numbers for each of these channels, the second larger.
        """
        if pairs.shape != (len(names), 2) or not np.isfinite(pairs).all():
            raise UsageError(f"levels must be two numbers for each of {len(names)} channels, got {pairs.tolist()}.")
        for name, (dark, bright) in zip(names, pairs, strict=True):
            if not bright > dark:
                raise UsageError(
                    f"channel {name!r} is empty: its grey values go from {dark:.5g} to {bright:.5g}, but for one pixel "
                    "in a thousand. A generator learns nothing from it: leave the channel out."
                )
        return cls(*pairs.T)

    @property
    def pairs(self) -> np.ndarray:
        """(C, 2) dark and bright, as files hold them."""
        return np.stack([self.dark, self.bright], axis=1)

    @property
    def spans(self) -> np.ndarray:
        """(C,) grey values from dark to bright."""
        return self.bright - self.dark

    def to_range(self, grey: Images) -> Images:
        """(..., C, Y, X) grey values -> 2 (grey - dark) / (bright - dark) - 1, of the same type."""
        dark, bright = self._beside(grey)
        return 2 * (grey - dark) / (bright - dark) - 1

    def to_grey(self, images: Images) -> Images:
        """Back from :meth:`to_range`."""
        dark, bright = self._beside(images)
        return dark + (images + 1) * (bright - dark) / 2

    def _beside(self, like: Images) -> tuple[Images, Images]:
        dark, bright = (side[:, None, None] for side in (self.dark, self.bright))
        if isinstance(like, np.ndarray):
            kind = np.result_type(like, np.float32)  # whole numbers have no halves
            return dark.astype(kind), bright.astype(kind)
        return like.new_tensor(dark), like.new_tensor(bright)


def levels_of_crops(crops: np.ndarray, names: Sequence[str]) -> Levels:
    """Levels from crops themselves: percentiles 0.1 and 99.9 of all pixels of all of them.

    Args:
        crops: (N, C, R, R) grey values.
        names: of the channels.

    Raises:
        UsageError: a channel whose levels are the same: nothing is in it, or too little.
    """
    tails = [TAIL_PERCENT, 100 - TAIL_PERCENT]
    return Levels.of_pairs(np.stack([np.percentile(crops[:, c], tails) for c in range(crops.shape[1])]), names)


def grey_ends(field: np.ndarray) -> np.ndarray:
    """(C, Y, X) -> (C, 2): the .5 % and 99.9 % grey values of each channel."""
    return np.array([np.percentile(channel, (DARK_PERCENT, BRIGHT_PERCENT)) for channel in field])


def levels_of_fields(ends: np.ndarray, channels: Sequence[str]) -> Levels:
    """Levels from the ends of whole fields: the median of the dark ends, and the bright end of the brightest field.

    One treatment may be brighter than the others, and nothing of it is to be cut off.

    Args:
        ends: (F, C, 2) of ``grey_ends``, of the fields learnt from.
        channels: C names, for the words.

    Raises:
        UsageError: a channel that is empty in all fields.
    """
    dark, bright = np.median(ends[:, :, 0], axis=0), ends[:, :, 1].max(axis=0)
    for number, name in enumerate(channels):
        if not bright[number] > dark[number]:
            raise UsageError(
                f"channel {number} ({name}) is empty: its grey values are {dark[number]:g} in all wells. Leave it out, "
                "or see whether the right file was taken."
            )
    return Levels(dark, bright)
