"""Coarse images to be searched for: a TIFF of one or of several, each with its channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fluosr.errors import UsageError
from fluosr.io.tiff import open_images


def read_coarse_images(path: Path, channels: Sequence[str]) -> np.ndarray:
    """(N, C, Y, X) float32 grey values of a TIFF (C, Y, X) or (N, C, Y, X); of one channel (Y, X) or (N, Y, X).

    Args:
        path: of the file.
        channels: their names, in the order in which the file must have them.

    Raises:
        ImageReadError: it cannot be read.
        UsageError: its images are no multiple of the channels.
    """
    frames = open_images(path).frames
    count, over = divmod(frames.shape[0], len(channels))
    if over or not count:
        raise UsageError(
            f"{path} has {frames.shape[0]} images, no multiple of the {len(channels)} channels that the generator "
            f"knows ({', '.join(channels)}): store (N, C, Y, X) with these channels in this order."
        )
    every = frames.read(slice(0, frames.shape[0])).astype(np.float32, copy=False)
    return every.reshape(count, len(channels), *every.shape[1:])
