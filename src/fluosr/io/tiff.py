"""TIFF movies of every maker, opened without reading a pixel and read a frame at a time.

Nothing the file claims is believed before it is compared with the bytes there are: see ``directories`` for the chain of
images, ``_check_size`` for the declared sizes, ``places`` for the bytes of each frame. Whatever a decoder raises on a
damaged file surfaces as ImageReadError.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluosr.acquisition import FrameSource
from fluosr.errors import AcquisitionError, ImageReadError
from fluosr.io.axes import UNLABELLED, choose_axes
from fluosr.io.calibration import Calibration, read_calibration
from fluosr.io.damage import decoder_errors, first_bytes
from fluosr.io.directories import Directories, walk
from fluosr.io.frames import TiffFrames
from fluosr.io.places import LARGEST_EXPANSION, locate
from fluosr.io.stack import Stack, named_files, ome_root, read_stack
from fluosr.machine import available_memory_bytes

GREY = {0, 1, 3}  # white is zero, black is zero, palette (ImageJ writes a grey image with a lookup table so)
# Slide scanners, gels and cryo-EM: no movies of fluorescence, and each a reader that trusts what the file says.
NOT_MOVIES = ("svs", "scn", "qpi", "ndpi", "bif", "avs", "philips", "indica", "mdgel", "eer", "nih")
OTHER_FORMATS = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF", b"ZISRAWFI": "a Zeiss CZI file",
    b"\xda\xce\xbe\x0a": "a Nikon ND2 file", b"\x0a\xbe\xce\xda": "a Nikon ND2 file",
    b"\x70\x00\x00\x00": "a Leica LIF file", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a ZIP archive", b"RIFF": "an AVI film",
}  # fmt: skip
WHAT_IS_READ = "fluosr reads TIFF (plain, BigTIFF, ImageJ, OME-TIFF, MetaMorph STK, Zeiss LSM, Micro-Manager)"


class NotGreyError(AcquisitionError, ImageReadError):
    """The file holds colour or complex values, not frames of grey values."""


@dataclass(frozen=True, eq=False)
class TiffMovie:
    """A TIFF opened as a movie.

    Args:
        frames: (T, Y, X), ADU, on disk until read.
        pixel_size_nm: nm; None where the file does not say, or its pixels are not square.
        frame_interval_s: seconds; None where the file does not say.
        axes: labels of the file's axes longer than one, such as "TCYX".
        warnings: what the reader should know, in plain words.
        metadata: kind of file, its axes and sizes, the axis taken as time, pixel sizes (y, x) in nm and who wrote them.
    """

    frames: FrameSource
    pixel_size_nm: float | None
    frame_interval_s: float | None
    axes: str
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


def open_tiff(
    path: str | os.PathLike[str],
    *,
    time_axis: str | None = None,
    channel: int | None = None,
    z: int | None = None,
    allow_truncated: bool = False,
) -> TiffMovie:
    """A TIFF as a movie, its frames left on disk.

    Args:
        path: the file; for a series of OME files any of those that carry the description.
        time_axis: label of the axis that is time where the file calls it otherwise ("Z" for many ImageJ stacks);
            "any" takes whichever single axis there is.
        channel: which channel, from 0, where there are several.
        z: which plane, from 0, where there are several.
        allow_truncated: of a file that is cut short, keep the frames that are whole.

    Raises:
        ImageReadError: absent, no TIFF, damaged, cut short, or larger than the memory.
        AmbiguousAxesError: (also a MissingMetadataError) the axes do not say which one is time.
        NotGreyError: (also an AcquisitionError) colour or complex values.
        UsageError: a channel, plane or axis that the file does not have.
    """
    path = Path(path)

    def choose(stack: Stack) -> tuple[int, int, int, str]:
        return choose_axes(path, stack, time_axis, channel, z)

    return _opened(path, choose, unlabelled_is_time=time_axis is None, allow_truncated=allow_truncated)


def open_images(path: str | os.PathLike[str]) -> TiffMovie:
    """Every image of a TIFF, whatever their axes are: ``frames`` are (N, Y, X), the last of the file's axes fastest.

    ``metadata`` has the labels and sizes of the axes.

    Raises:
        ImageReadError, NotGreyError: as for :func:`open_tiff`.
    """
    path = Path(path)

    def choose(stack: Stack) -> tuple[int, int, int, str]:
        return 0, 1, math.prod(stack.sizes), ""

    return _opened(path, choose, unlabelled_is_time=False, allow_truncated=False, choice=False)


def _opened(
    path: Path,
    choose: Callable[[Stack], tuple[int, int, int, str]],
    *,
    unlabelled_is_time: bool,
    allow_truncated: bool,
    choice: bool = True,
) -> TiffMovie:
    _check_is_tiff(path)
    with decoder_errors(path, "opened"):
        directories = walk(path)
        import tifffile

        known = tifffile.TIFF.FILE_FLAGS  # another version may know fewer kinds
        switched_off: dict[str, Any] = {f"is_{kind}": False for kind in NOT_MOVIES if kind in known}
        with tifffile.TiffFile(path, **switched_off) as tif:
            ome = ome_root(tif)
            stack = read_stack(tif, directories, ome)
            key = stack.key
            _check_pixels(path, key)
            _check_size(path, key, directories)
            start, step, n_frames, label = choose(stack)
            frames, whole = locate(path, stack, range(start, start + n_frames * step, step))
            calibration = read_calibration(tif, ome)
        notes: list[str] = []
        if key.photometric == 0:
            notes.append("The file says that white is zero; its values are taken as they are.")
        if label in UNLABELLED and n_frames > 1 and unlabelled_is_time:
            notes.append(f"The file does not say what its {n_frames} images are; they are taken as frames in time.")
        if whole < n_frames or directories.cut:
            absent = [other.name for other in named_files(str(path), ome) if not other.exists()]
            message = _cut_message(path, whole, n_frames if whole < n_frames else None, absent, choice=choice)
            if not allow_truncated or whole == 0:
                raise ImageReadError(message)
            notes.append(message)
    return _movie(frames, stack, calibration, label, notes)


def _movie(frames: TiffFrames, stack: Stack, calibration: Calibration, label: str, notes: list[str]) -> TiffMovie:
    sizes = calibration.pixel_sizes_nm
    if sizes is not None and not calibration.is_square:
        notes.append(f"The file says its pixels are not square: {sizes[0]:.5g} nm high, {sizes[1]:.5g} nm wide.")
    metadata = {
        "kind": stack.kind,
        "axes": stack.labels + "YX",
        "sizes": [*stack.sizes, *frames.shape[1:]],
        "time_axis": label,
        "pixel_sizes_nm": sizes,
        "calibration": calibration.source,
    }
    pixel = math.sqrt(sizes[0] * sizes[1]) if sizes is not None and calibration.is_square else None
    return TiffMovie(frames, pixel, calibration.frame_interval_s, stack.labels + "YX", tuple(notes), metadata)


def _check_is_tiff(path: Path) -> None:
    head = first_bytes(path, 16, "TIFF file")
    if head[:2] in (b"II", b"MM"):
        return
    what = next((name for magic, name in OTHER_FORMATS.items() if head.startswith(magic)), "not a TIFF")
    how = "open it in Fiji (File > Import > Bio-Formats) and save it as TIFF"
    if "NumPy" in what:
        how = "load it with numpy.load and give the array to fluosr.open_movie"
    raise ImageReadError(f"{path} is {what}. {WHAT_IS_READ}; {how}.")


def _cut_message(path: Path, whole: int, of: int | None, absent: list[str], *, choice: bool) -> str:
    """``choice``: whether the reader can be told to take some of the frames."""
    known = f"of its {of:,} frames only the first {whole:,} are" if of else f"only its first {whole:,} frames are"
    what = f"lacks the files {', '.join(absent[:4])} that belong to it" if absent else "is cut short or damaged"
    how = f"Read those with --frames 0:{whole}, or copy it again." if whole and choice else "Copy it again."
    return f"{path} {what}: {known} whole. {how}"


def _check_pixels(path: Path, key: Any) -> None:
    """Grey values of a real type."""
    if key.samplesperpixel != 1 or (key.tags.valueof(262) is not None and key.photometric not in GREY):
        raise NotGreyError(
            f"{path} is a colour image ({key.samplesperpixel} values per pixel). fluosr needs the grey values of the "
            "camera: split the channels (Fiji: Image > Color > Split Channels) and save one as TIFF."
        )
    if key.dtype is None:
        kind = f"{key.bitspersample} bit, sample format {key.sampleformat}"
        raise ImageReadError(f"{path}: its pixels ({kind}) are of no known type; the file is damaged.")
    if key.dtype.kind not in "buif":
        raise NotGreyError(f"{path} holds {key.dtype} values; a movie holds integers or real numbers.")
    if key.compression not in LARGEST_EXPANSION:
        name = getattr(key.compression, "name", key.compression)
        raise ImageReadError(f"{path}: compression {name} is not read; save it plain, or with LZW, deflate or Zstd.")
    if key.imagedepth != 1 or 0 in key.shape:
        raise ImageReadError(f"{path}: an image of {' x '.join(map(str, key.shape))} pixels cannot be a frame.")


def _check_size(path: Path, key: Any, directories: Directories) -> None:
    """One frame fits into a quarter of the free memory, and its bytes into the file."""
    need = key.imagelength * key.imagewidth * key.dtype.itemsize
    most = available_memory_bytes() // 4
    tile = key.tilelength * key.tilewidth * key.dtype.itemsize if key.is_tiled else 0
    stored = key.imagelength * key.imagewidth * key.bitspersample // 8
    if stored > directories.size * LARGEST_EXPANSION[key.compression]:
        raise ImageReadError(
            f"{path} declares a frame of {key.imagelength} x {key.imagewidth} pixels ({need:,} bytes), which the "
            f"{directories.size:,} bytes of the file cannot hold. It was cut short or is damaged."
        )
    if max(need, tile) > most:
        raise ImageReadError(
            f"{path} declares a frame of {key.imagelength} x {key.imagewidth} pixels ({max(need, tile):,} bytes); "
            f"only frames up to a quarter of the free memory ({most:,} bytes) are read. Crop the movie, or use a "
            "larger machine."
        )
    if tile > 4 * max(need, 2**20):
        size = f"{key.tilelength} x {key.tilewidth}"
        raise ImageReadError(f"{path}: tiles of {size} pixels for a smaller image; it is damaged.")
