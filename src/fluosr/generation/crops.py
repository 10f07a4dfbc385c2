"""Crops to learn a generator from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError
from fluosr.networks.stylegan2_generator import RESOLUTIONS_PX
from fluosr.phenotypes.levels import Levels, levels_of_crops

LEAST_CROPS = 16


@dataclass(frozen=True, eq=False)
class TrainingCrops:
    """Crops of one size, with the same channels.

    Args:
        crops: (N, C, R, R) grey values.
        channels: their names.
        levels: dark and bright grey value of each channel, for the whole set; measured where not given.
        pixel_size_nm: where known.

    Raises:
        UsageError: no square of 32, 64, 128 or 256 pixels, fewer than 16 crops, values that are not finite, an empty
            channel, names or levels for another number of channels.
    """

    crops: np.ndarray
    channels: tuple[str, ...]
    levels: Levels
    pixel_size_nm: float | None = None

    @classmethod
    def checked(
        cls,
        crops: np.ndarray,
        channels: tuple[str, ...] | None = None,
        levels: Levels | None = None,
        pixel_size_nm: float | None = None,
    ) -> TrainingCrops:
        """From an array, with everything checked; channels without names are numbered."""
        crops = np.asarray(crops, np.float32)
        if crops.ndim != 4 or crops.shape[2] != crops.shape[3] or crops.shape[2] not in RESOLUTIONS_PX:
            sides = " x ".join(map(str, crops.shape[2:]))
            raise UsageError(
                f"crops of {sides} pixels: a generator learns squares of 32, 64, 128 or 256 pixels a side. Cut them "
                "anew."
            )
        if len(crops) < LEAST_CROPS:
            raise UsageError(
                f"{len(crops)} crops to learn from: at least {LEAST_CROPS} are needed, thousands are better."
            )
        wrong = np.flatnonzero(~np.isfinite(crops).all((1, 2, 3)))
        if len(wrong):
            raise UsageError(
                f"crop {wrong[0]} has values that are not finite numbers, and {len(wrong) - 1} others have."
            )
        names = channels or tuple(f"channel {number}" for number in range(crops.shape[1]))
        if len(names) != crops.shape[1]:
            raise UsageError(f"{len(names)} channels have names, the crops have {crops.shape[1]}.")
        for number, name in enumerate(names):
            if np.ptp(crops[:, number]) == 0:
                raise UsageError(
                    f"channel {name!r} is empty: all its pixels are {crops[0, number, 0, 0]:.5g}. Leave it out."
                )
        if levels is None:
            levels = levels_of_crops(crops, names)
        elif len(levels.dark) != len(names):
            raise UsageError(f"{len(levels.dark)} channels have levels, the crops have {len(names)}.")
        return cls(crops, names, levels, pixel_size_nm)

    @property
    def resolution(self) -> int:
        """R, pixels."""
        return int(self.crops.shape[-1])

    @property
    def fingerprint(self) -> str:
        """Of pixels and levels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.crops).data)
        digest.update(self.levels.pairs.data)
        return digest.hexdigest()[:16]
