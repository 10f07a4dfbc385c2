"""Where in its files the pieces of each frame lie, compared with the bytes that there are."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import ImageReadError
from fluosr.io.frames import TiffFrames
from fluosr.io.stack import Stack

# How many bytes one compressed byte can become at most: the bound of each format, or (images) a generous one.
# A page that declares more than this is damaged, and is refused before memory is taken for it.
LARGEST_EXPANSION = {
    1: 1, 5: 2600, 7: 2000, 8: 1040, 32946: 1040, 50013: 1040, 32773: 64, 34925: 7200, 34926: 35_000, 50000: 35_000,
    33003: 35_000, 33005: 35_000, 34712: 35_000,
}  # fmt: skip


def locate(path: Path, stack: Stack, planes: range) -> tuple[TiffFrames, int]:
    """The frames with the place of each, and how many from the first on are whole; the rest is left out.

    Args:
        path: the file that was opened.
        stack: all its images.
        planes: which of them are the frames.

    Raises:
        ImageReadError: files that do not fit each other, or pieces too small for what they should become.
    """
    key = stack.key
    shape, dtype = (key.imagelength, key.imagewidth), key.dtype.newbyteorder("=")
    nbytes = math.prod(shape) * dtype.itemsize
    if stack.base is not None:
        ends = (os.path.getsize(path) - stack.base) // nbytes if stack.base >= 8 else 0  # whole images in the file
        whole = len(range(planes.start, max(min(planes.stop, ends), planes.start), planes.step))
        offsets = stack.base + (planes.start + np.arange(whole) * planes.step)[:, None] * nbytes
        file_of, counts = np.zeros(whole, np.uint32), np.broadcast_to(np.int64(nbytes), offsets.shape)
        frames = TiffFrames((Path(path),), (key,), (), file_of, offsets, counts, (whole, *shape), dtype, True)
        return frames, whole
    direct = bool(key.is_final)
    n_segments = math.prod(key.chunked)
    files: dict[str, int] = {}
    keys: list[Any] = []
    decoders: list[Callable[..., Any]] = []
    lengths: list[int] = []
    numbers: list[int] = []
    offsets_list, counts_list = [], []
    for plane in planes:
        page = _page(stack, plane)
        if page is None:
            break
        name = str(page.parent.filehandle.path)
        if name not in files:
            files[name] = len(files)
            keys.append(page.keyframe)
            lengths.append(os.path.getsize(name))
            if page.keyframe.hash != key.hash:
                raise ImageReadError(f"{name}: its images are not stored like those of {path}; they are not one movie.")
            if not direct:
                decoders.append(page.keyframe.decode)
        place = _place(page, direct, n_segments, nbytes, lengths[files[name]])
        if place is None:
            break
        numbers.append(files[name])
        offsets_list.append(place[0])
        counts_list.append(place[1])
    whole = len(numbers)
    n_columns = 1 if direct else n_segments
    offsets = np.array(offsets_list, np.int64).reshape(whole, n_columns)
    counts = np.array(counts_list, np.int64).reshape(whole, n_columns)
    stored = math.prod(shape) * key.bitspersample // 8
    short = np.flatnonzero(counts.sum(axis=1) * LARGEST_EXPANSION[key.compression] < stored)
    if short.size:
        size = counts[short[0]].sum()
        raise ImageReadError(f"{path}: the {size:,} bytes of frame {short[0]} cannot hold it; the file is damaged.")
    frames = TiffFrames(
        files=tuple(map(Path, files)),
        keys=tuple(keys),
        decoders=tuple(decoders),
        file_of=np.array(numbers, np.uint32),
        offsets=offsets,
        counts=counts,
        shape=(whole, *shape),
        dtype=dtype,
        direct=direct,
    )
    return frames, whole


def _page(stack: Stack, plane: int) -> Any:
    try:
        return stack.pages[plane]
    except IndexError:
        return None


def _place(
    page: Any, direct: bool, n_segments: int, nbytes: int, file_size: int
) -> tuple[Sequence[int], Sequence[int]] | None:
    """(offsets, byte counts) of a page's pieces; None where one of them lies outside the file."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if direct:
        gaps = any(a + n != b for a, n, b in zip(offsets[:-1], counts[:-1], offsets[1:], strict=False))
        if not offsets or gaps:
            return None
        offsets, counts = offsets[:1], (nbytes,)
    elif len(offsets) != n_segments or len(counts) != n_segments:
        return None
    inside = all(o > 0 and n > 0 and o + n <= file_size for o, n in zip(offsets, counts, strict=True))
    return (offsets, counts) if inside else None
