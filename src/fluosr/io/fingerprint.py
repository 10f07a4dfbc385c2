"""What tells one movie from another of the same name and size, at a cost that does not grow with it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from fluosr.acquisition import FrameSource
from fluosr.errors import ImageReadError

# 4 MiB of a file at most, in places close enough to see that a stretch of a long movie was written anew.
WINDOWS = 64
WINDOW_BYTES = 2**16
SAMPLED_FRAMES = 16


def fingerprint_of_file(path: Path) -> tuple[int, str]:
    """(bytes, sha256 of the size and of windows evenly spaced from the first byte to the last); small files whole.

    Raises:
        ImageReadError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            if size <= WINDOWS * WINDOW_BYTES:
                digest.update(file.read())
            else:
                for number in range(WINDOWS):
                    file.seek(number * (size - WINDOW_BYTES) // (WINDOWS - 1))
                    digest.update(file.read(WINDOW_BYTES))
    except OSError as error:
        raise ImageReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    return size, digest.hexdigest()


def fingerprint_of_frames(frames: FrameSource) -> tuple[int, str]:
    """(bytes, sha256 of shape, dtype and up to 16 frames evenly spaced from the first to the last)."""
    digest = hashlib.sha256(repr((tuple(frames.shape), frames.dtype.str)).encode())
    for number in evenly_spaced(frames.shape[0], SAMPLED_FRAMES):
        digest.update(np.ascontiguousarray(frames.read([number])).tobytes())
    return int(np.prod(frames.shape, dtype=object)) * frames.dtype.itemsize, digest.hexdigest()


def evenly_spaced(n: int, most: int) -> list[int]:
    """Up to ``most`` of the numbers 0 to n - 1, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int)).tolist()
