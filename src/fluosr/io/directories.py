"""The image directories (IFDs) of a TIFF, walked once before any decoder sees the file.

A TIFF is a chain of directories that point at each other; a damaged one may point in a circle, past the end of the
file, or declare a table of a billion strips. Each of these is found here, in memory that does not depend on what
the file claims.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fluosr.errors import ImageReadError

WIDTH, LENGTH, BITS, COMPRESSION, DESCRIPTION, STRIPS, SAMPLES = 256, 257, 258, 259, 270, 273, 277
ROWS_PER_STRIP, STRIP_COUNTS, TILE_WIDTH, TILE_LENGTH, TILES, TILE_COUNTS = 278, 279, 322, 323, 324, 325
SUBFILE_TYPE, DEPTH = 254, 32997

# What decides how the bytes of a page become pixels, with the value that stands where the tag is absent.
LAYOUT = {
    WIDTH: 0, LENGTH: 0, BITS: 1, COMPRESSION: 1, 266: 1, SAMPLES: 1, ROWS_PER_STRIP: 2**32 - 1, 284: 1, 317: 1,
    TILE_WIDTH: 0, TILE_LENGTH: 0, 339: 1, DEPTH: 1,
}  # fmt: skip
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNSIGNED = {1, 3, 4, 13, 16}
MOST_TAGS = 4096
LONGEST_DESCRIPTION = 256 * 2**20


@dataclass(frozen=True)
class Page:
    """One directory: its layout (values in the order of ``LAYOUT``), and whether it calls itself a thumbnail."""

    offset: int
    layout: tuple[int, ...]
    reduced: bool

    def describe(self) -> str:
        """Size and depth, in words."""
        values = {tag: n if n >= 0 else "?" for tag, n in zip(LAYOUT, self.layout, strict=True)}
        return f"{values[LENGTH]} x {values[WIDTH]} pixels, {values[BITS]} bit, compression {values[COMPRESSION]}"


@dataclass(frozen=True)
class Directories:
    """All directories of a file.

    Args:
        path: the file.
        size: its length, bytes.
        pages: in the order of the chain.
        cut: True where the chain ends outside the file: it was cut short, or a link is damaged.
    """

    path: Path
    size: int
    pages: tuple[Page, ...]
    cut: bool

    def require_one_layout(self) -> None:
        """Every page (thumbnails aside) is stored like the first.

        Raises:
            ImageReadError: one is not, saying which.
        """
        frames = [page for page in self.pages if not page.reduced] or list(self.pages)
        for number, page in enumerate(frames):
            if page.layout != frames[0].layout:
                raise ImageReadError(
                    f"{self.path}: image {number} ({page.describe()}) is not stored like the first "
                    f"({frames[0].describe()}). The file is damaged, or holds several images: "
                    "save the movie alone as one TIFF stack."
                )


def walk(path: Path) -> Directories:
    """The chain of directories of a classic or BigTIFF file.

    Raises:
        ImageReadError: no directory at all, a circle, or a table longer than its image can need.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order, big, offset = _header(file, path)
        pages: list[Page] = []
        seen: set[int] = set()
        cut = False
        while offset:
            if offset in seen:
                raise ImageReadError(f"{path}: its image directories point in a circle (after {len(pages)} images).")
            seen.add(offset)
            found = _page(file, path, order, big, offset, size)
            if found is None:
                cut = True
                break
            page, offset = found
            pages.append(page)
    if not pages:
        raise ImageReadError(
            f"{path}: no image is left in it: its directory lies outside the {size:,} bytes there are. "
            "The file was cut short or is damaged; copy it again."
        )
    return Directories(path, size, tuple(pages), cut)


def _header(file: BinaryIO, path: Path) -> tuple[str, bool, int]:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 8 else None
    if version == 42:
        return order, False, struct.unpack(order + "I", head[4:8])[0]
    if version == 43 and len(head) == 16 and struct.unpack(order + "HH", head[4:8]) == (8, 0):
        return order, True, struct.unpack(order + "Q", head[8:])[0]
    raise ImageReadError(f"{path}: its first bytes {head[:8]!r} are not those of a TIFF; the file is damaged.")


def _page(file: BinaryIO, path: Path, order: str, big: bool, offset: int, size: int) -> tuple[Page, int] | None:
    """The page at an offset and the offset of the next; None where the file ends too early."""
    count_format, entry_format, link_format = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    head = struct.calcsize(order + count_format)
    entry_size = struct.calcsize(order + entry_format)
    file.seek(min(offset, size))
    raw = file.read(head)
    n_tags = struct.unpack(order + count_format, raw)[0] if len(raw) == head else 0
    if not 0 < n_tags <= MOST_TAGS:
        return None
    raw = file.read(n_tags * entry_size + struct.calcsize(link_format))
    if len(raw) < n_tags * entry_size + struct.calcsize(link_format):
        return None
    values = dict(LAYOUT)
    counts: dict[int, int] = {}
    reduced = False
    for tag, kind, count, value in struct.iter_unpack(order + entry_format, raw[: n_tags * entry_size]):
        if tag in (STRIPS, STRIP_COUNTS, TILES, TILE_COUNTS, DESCRIPTION):
            counts[tag] = count
        elif tag in LAYOUT or tag == SUBFILE_TYPE:
            width = TYPE_SIZES.get(kind, 0) * count
            inline = kind in UNSIGNED and 0 < width <= len(value)
            first = value[: TYPE_SIZES[kind]] if inline else b""
            number = int.from_bytes(first, "little" if order == "<" else "big") if inline else -count
            if tag == SUBFILE_TYPE:
                reduced = inline and bool(number & 1)
            else:
                values[tag] = number
    _check_tables(path, values, counts)
    values[ROWS_PER_STRIP] = min(values[ROWS_PER_STRIP], max(values[LENGTH], 1))
    (link,) = struct.unpack(order + link_format, raw[n_tags * entry_size :])
    return Page(offset, tuple(values.values()), reduced), link


def _check_tables(path: Path, values: dict[int, int], counts: dict[int, int]) -> None:
    """A table of strips or tiles has no more rows than its image can need."""
    planes = max(abs(values[SAMPLES]), 1) * max(values[DEPTH], 1)
    strips = max(values[LENGTH], 1) * planes
    tiles = planes
    for size, tile in ((LENGTH, TILE_LENGTH), (WIDTH, TILE_WIDTH)):
        tiles *= math.ceil(max(values[size], 1) / max(values[tile], 1))
    for tag, most in ((STRIPS, strips), (STRIP_COUNTS, strips), (TILES, tiles), (TILE_COUNTS, tiles)):
        if counts.get(tag, 0) > most:
            raise ImageReadError(
                f"{path}: an image of {values[LENGTH]} x {values[WIDTH]} pixels declares {counts[tag]:,} strips or "
                "tiles; the file is damaged."
            )
    if counts.get(DESCRIPTION, 0) > LONGEST_DESCRIPTION:
        raise ImageReadError(f"{path}: declares a description of {counts[DESCRIPTION]:,} bytes; the file is damaged.")
