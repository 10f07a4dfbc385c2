"""Frames of a TIFF that stay on disk until they are asked for, and are read piece by piece."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import ImageReadError
from fluosr.io.damage import decoder_errors

JPEG, JPEG_2000 = {7}, {33003, 33005, 34712}


@dataclass(frozen=True, eq=False)
class TiffFrames:
    """Frames that stay in one or several TIFF files until asked for; files are open only while they are read.

    Args:
        files: the files.
        keys: for each file a page that knows how its frames are stored.
        decoders: for each file what turns the bytes of a strip or tile into pixels; none where ``direct``.
        file_of: (T,) number of the file that holds a frame.
        offsets: (T, S) where the S strips or tiles of a frame begin, bytes.
        counts: (T, S) how long they are, bytes.
        shape: (T, Y, X).
        dtype: native dtype of the frames.
        direct: the bytes of a frame lie in one piece and are its pixels.
    """

    files: tuple[Path, ...]
    keys: tuple[Any, ...]
    decoders: tuple[Callable[..., Any], ...]
    file_of: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray
    shape: tuple[int, int, int]
    dtype: np.dtype
    direct: bool

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X) frames in ADU, in the order asked for.

        Raises:
            ImageReadError: a frame is damaged, or the file changed since it was opened.
        """
        every = range(self.shape[0])
        wanted = every[indices] if isinstance(indices, slice) else [every[int(i)] for i in indices]
        with decoder_errors(self.files[0], "read"):
            out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
            for number, places in itertools.groupby(range(len(wanted)), key=lambda i: int(self.file_of[wanted[i]])):
                with self.files[number].open("rb") as file:
                    if self.direct:
                        self._read_direct(file, self.keys[number], wanted, list(places), out)
                    else:
                        for place in places:
                            self._decode(file, number, wanted[place], out[place])
        return out

    def _read_direct(
        self, file: BufferedReader, key: Any, wanted: Sequence[int], places: list[int], out: np.ndarray
    ) -> None:
        nbytes = out[0].nbytes
        start = 0
        while start < len(places):
            stop = start + 1  # frames that follow each other in the file are read in one piece
            first = int(self.offsets[wanted[places[start]], 0])
            while stop < len(places) and self.offsets[wanted[places[stop]], 0] == first + (stop - start) * nbytes:
                stop += 1
            block = out[places[start] : places[stop - 1] + 1]
            file.seek(first)
            got = file.readinto(block.reshape(-1).view(np.uint8).data)
            if got != block.nbytes:
                raise _ends_inside(file.name, wanted[places[start + got // nbytes]])
            if not np.dtype(key.parent.byteorder + self.dtype.char).isnative:
                block.byteswap(inplace=True)
            start = stop

    def _decode(self, file: BufferedReader, number: int, frame: int, out: np.ndarray) -> None:
        key, decode = self.keys[number], self.decoders[number]
        extra = {"jpegtables": key.jpegtables, "jpegheader": None} if key.compression in JPEG else {}
        height, width = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
        for index, (offset, count) in enumerate(zip(self.offsets[frame], self.counts[frame], strict=True)):
            file.seek(int(offset))
            data = file.read(int(count))
            if len(data) != count:
                raise _ends_inside(file.name, frame)
            _check_codestream(file.name, key, data, height, width, frame)
            piece, (_, _, y, x, _), _ = decode(data, index, _fullsize=False, **extra)
            target = out[y : y + height, x : x + width]
            piece = piece[0, : target.shape[0], : target.shape[1], 0]
            if piece.shape != target.shape or piece.dtype != out.dtype:
                raise ImageReadError(
                    f"{file.name}: a part of frame {frame} decodes to {piece.shape} {piece.dtype}, not {target.shape} "
                    f"{out.dtype}; the file is damaged."
                )
            target[...] = piece


def _ends_inside(path: str, frame: int) -> ImageReadError:
    return ImageReadError(f"{path} ends inside frame {frame}; it was cut short after it had been opened.")


def _check_codestream(path: str, key: Any, data: bytes, height: int, width: int, frame: int) -> None:
    """A JPEG carries its own size, and its decoder believes it: it must be the page's."""
    if key.compression in JPEG:
        from tifffile.tifffile import jpeg_shape

        _, rows, columns, samples = jpeg_shape(data)
    elif key.compression in JPEG_2000:
        start = data.find(b"\xff\x4f\xff\x51")
        right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8) if start >= 0 else (0, 0, 0, 0)
        (samples,) = struct.unpack_from(">H", data, start + 40) if start >= 0 else (0,)
        rows, columns = bottom - top, right - left
    else:
        return
    if not (0 < rows <= height and 0 < columns <= width and samples == 1):
        size = f"{rows} x {columns} x {samples}"
        raise ImageReadError(f"{path}: a compressed part of frame {frame} is {size} pixels; the file is damaged.")
