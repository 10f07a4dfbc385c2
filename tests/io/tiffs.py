"""TIFFs for tests, page by page and byte by byte, and what reading them must give."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import tifffile

from fluosr.io import tiff


def noisy_frames() -> np.ndarray:
    """(9, 20, 24) uint16."""
    return np.random.default_rng(3).poisson(30.0, (9, 20, 24)).astype(np.uint16)


def write_pages(path: Path, stack: np.ndarray, bigtiff: bool = False, byteorder: str = "<", **options) -> Path:
    """A plain TIFF, one directory a frame, no word about axes."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tif:
        for frame in stack:
            tif.write(frame, contiguous=False, metadata=None, **options)
    return path


def bare_tiff(data: bytes, tags: dict[int, tuple[int, int, bytes]], next_page: int = 0) -> bytes:
    """A TIFF of one directory: header, tags (type, count, value), what does not fit into them, then the data."""
    tags = dict(sorted({**tags, 273: (4, 1, bytes(4))}.items()))
    start = 8 + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for code, (kind, count, value) in tags.items():
        if len(value) > 4:
            entries += struct.pack("<HHII", code, kind, count, start + len(extra))
            extra += value
        else:
            entries += struct.pack("<HHI", code, kind, count) + value.ljust(4, b"\0")
    offset = start + len(extra)
    entries = entries.replace(struct.pack("<HHII", 273, 4, 1, 0), struct.pack("<HHII", 273, 4, 1, offset))
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags))
    return head + entries + struct.pack("<I", next_page) + extra + data


def grey_tags(height: int, width: int, bits: int, compression: int = 1, stored: int | None = None) -> dict:
    long = lambda n: (4, 1, struct.pack("<I", n % 2**32))  # noqa: E731
    return {
        256: long(width), 257: long(height), 258: long(bits), 259: long(compression), 262: long(1), 277: long(1),
        278: long(height), 279: long(height * width * bits // 8 if stored is None else stored),
    }  # fmt: skip


def assert_holds(movie: tiff.TiffMovie, expected: np.ndarray) -> None:
    assert movie.frames.shape == expected.shape
    assert movie.frames.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(movie.frames.read(slice(None)), expected)
    np.testing.assert_array_equal(movie.frames.read(slice(1, 8, 3)), expected[1:8:3])
    np.testing.assert_array_equal(movie.frames.read([4, 0, 0, 5, 6]), expected[[4, 0, 0, 5, 6]])
    assert movie.frames.read([]).shape == (0, *expected.shape[1:])
