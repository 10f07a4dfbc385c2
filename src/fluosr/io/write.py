"""Writers that leave a whole file or none: each writes beside the final name, then renames.

A stopped run, a full disk or a broken link thus never leaves half a result, nor harms the one that was there.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fluosr.errors import FluosrError, OutputError, UsageError
from fluosr.machine import size_in_words

StrPath = str | os.PathLike[str]

# A classic TIFF addresses 4 GiB; some of it goes to the directories.
CLASSIC_BYTES = 2**32 - 2**25
IMAGEJ_TYPES = {"uint8", "uint16", "float32"}

ADVICE = (
    ((errno.ENOSPC, errno.EDQUOT, None), "Free some room, or write elsewhere."),  # numpy tells of it without a number
    ((errno.EFBIG,), "That drive takes no file so large: write elsewhere."),
    ((errno.EACCES, errno.EPERM), "You have no right to write there: ask for it, or write elsewhere."),
    ((errno.EROFS,), "That drive is read-only: write elsewhere."),
    ((errno.ENAMETOOLONG,), "Choose a shorter name."),
    ((errno.ENOTDIR, errno.EEXIST), "A part of that path is a file: write elsewhere."),
)
OTHER_ADVICE = "See whether the drive is well, or write elsewhere."


def make_folder(folder: Path) -> None:
    """Make a folder for results and see that it can be written to.

    Raises:
        OutputError: it cannot, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; --output takes a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".fluosr-", suffix=".part", dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}. Choose another --output.") from error


def write_ome_tiff(path: StrPath, image: np.ndarray, pixel_size_nm: float, name: str) -> None:
    """One image as OME-TIFF, float32, with its pixel size both as OME-XML and as resolution tags.

    Args:
        path: where to; folders above it are made.
        image: (Y, X).
        pixel_size_nm: nm.
        name: the image's name, shown by viewers.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    image = _image(image)
    micrometres = pixel_size_nm / 1000.0
    metadata = {
        "axes": "YX",
        "Name": name.encode("utf-8", "backslashreplace").decode(),
        "PhysicalSizeX": micrometres,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": micrometres,
        "PhysicalSizeYUnit": "µm",
    }
    with _beside(path) as part:
        _write_tiff(part, image, pixel_size_nm, metadata, ome=True, bigtiff=image.nbytes > CLASSIC_BYTES)


def write_tiff(path: StrPath, array: np.ndarray, pixel_size_nm: float) -> None:
    """One image or a stack as ImageJ TIFF, float32, with its pixel size in micrometres.

    Args:
        path: where to; folders above it are made.
        array: (Y, X), or (T, Y, X) frames.
        pixel_size_nm: nm.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    array = np.asarray(array)
    if array.ndim == 3:
        write_movie(path, array, len(array), np.float32, pixel_size_nm, None)
        return
    with _beside(path) as part:
        metadata = {"axes": "YX", "unit": "um"}
        _write_tiff(part, _image(array), pixel_size_nm, metadata, imagej=True)


def write_movie(
    path: StrPath,
    frames: Iterable[np.ndarray],
    n_frames: int,
    dtype: DTypeLike,
    pixel_size_nm: float,
    frame_interval_s: float | None,
) -> None:
    """A movie, frame by frame, never whole in memory: an ImageJ hyperstack, above 4 GB a BigTIFF with OME-XML.

    Args:
        path: where to; folders above it are made.
        frames: (Y, X) arrays, all of one shape.
        n_frames: how many there will be.
        dtype: what they are stored as. ImageJ knows uint8, uint16 and float32; another goes into an OME-TIFF.
        pixel_size_nm: nm.
        frame_interval_s: seconds; None where unknown.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
        UsageError: more or fewer frames than said, or frames of different shapes.
    """
    stored = np.dtype(dtype)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None or n_frames < 1:
        raise UsageError(f"{path}: a movie needs at least one frame.")
    first = np.asarray(first)
    shape = (n_frames, *first.shape)
    big = math.prod(shape) * stored.itemsize > CLASSIC_BYTES
    imagej = not big and stored.name in IMAGEJ_TYPES
    metadata: dict[str, Any] = {"axes": "TYX"}
    if imagej:
        metadata["unit"] = "um"
        if frame_interval_s:
            metadata |= {"finterval": frame_interval_s, "fps": 1.0 / frame_interval_s}
    else:
        metadata |= {f"PhysicalSize{axis}": pixel_size_nm / 1000.0 for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
        if frame_interval_s:
            metadata |= {"TimeIncrement": frame_interval_s, "TimeIncrementUnit": "s"}

    def checked() -> Iterator[np.ndarray]:
        number = 0
        for number, frame in enumerate(itertools.chain([first], iterator), start=1):
            if number > n_frames or np.shape(frame) != first.shape:
                raise UsageError(f"{path}: frame {number} of {n_frames} is {np.shape(frame)}, not {first.shape}.")
            yield np.ascontiguousarray(frame, stored)
        if number < n_frames:
            raise UsageError(f"{path}: {number} frames came, {n_frames} were announced.")

    with _beside(path) as part:
        source = checked()
        options = {"imagej": True} if imagej else {"ome": True, "bigtiff": big}
        _write_tiff(part, source, pixel_size_nm, metadata, shape=shape, dtype=stored, **options)
        next(source, None)  # the writer stops after n_frames: one too many shows here


@contextmanager
def images_to_fill(
    path: StrPath,
    axes: str,
    sizes: Sequence[int],
    pixel_size_nm: float | None,
    name: str,
    software: str,
    frame_interval_s: float | None = None,
) -> Iterator[np.ndarray]:
    """A float32 OME-TIFF on disk to write pixels into, never whole in memory; it gets its name when all is well.

    Args:
        path: where to; folders above it are made.
        axes: label of each axis, as OME knows them, ending in YX.
        sizes: of each.
        pixel_size_nm: nm; None where it is not known.
        name: the image's name, shown by viewers.
        software: that makes it, for the tag of that name.
        frame_interval_s: seconds; None where it is not known.

    Yields:
        An array of these sizes, a map of the file.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    import tifffile

    n_bytes = 4 * math.prod(sizes)
    metadata: dict[str, Any] = {"axes": axes, "Name": name.encode("utf-8", "backslashreplace").decode()}
    options: dict[str, Any] = {}
    if pixel_size_nm is not None:
        metadata |= {f"PhysicalSize{axis}": pixel_size_nm / 1000.0 for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
        options = {"resolution": (1e7 / pixel_size_nm,) * 2, "resolutionunit": "CENTIMETER"}
    if frame_interval_s is not None:
        metadata |= {"TimeIncrement": frame_interval_s, "TimeIncrementUnit": "s"}
    with _beside(path) as part:
        free = shutil.disk_usage(part.parent).free
        if n_bytes > free:  # a map that does not fit on the disk would kill the process
            raise OSError(errno.ENOSPC, f"{size_in_words(n_bytes)} are needed, {size_in_words(free)} are free")
        array = tifffile.memmap(
            part,
            shape=tuple(sizes),
            dtype=np.float32,
            ome=True,
            bigtiff=n_bytes > CLASSIC_BYTES,
            metadata=metadata,
            photometric="minisblack",
            software=software,
            **options,
        )
        yield array
        array.flush()


def write_json(path: StrPath, value: Any) -> None:
    """Any nesting of mappings, sequences, numbers and arrays as strict JSON; NaN and infinity become null.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: StrPath, text: str) -> None:
    """Text as UTF-8; what a file's name holds that is none (old archives) is written as its code.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_lines(path: StrPath, lines: Iterable[str]) -> None:
    """Lines of UTF-8, as they come: never whole in memory. Each brings its own line end.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    with _beside(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def write_bytes(path: StrPath, data: bytes) -> None:
    """Bytes as they are.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    with _beside(path) as part:
        part.write_bytes(data)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Files that belong together: all are on disk before the first gets its name, in the order given.

    Raises:
        OutputError: one cannot be written; where there was no room or no permission, all are as they were.
    """
    with ExitStack() as parts:
        for path, data in reversed(list(contents.items())):  # what is entered last is renamed first
            parts.enter_context(_beside(path)).write_bytes(data)


@contextmanager
def _beside(path: StrPath) -> Iterator[Path]:
    """A name beside ``path`` to write to; renamed to it when all is on disk, removed when anything fails."""
    path = Path(path)
    part = _part_name(path)
    try:
        if path.is_dir():
            raise OutputError(f"{path} cannot be written: a folder of that name is there.")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        _remove(part)
        if isinstance(error, FluosrError) or not isinstance(error, Exception):
            raise
        reason = getattr(error, "strerror", None) or error
        advice = f" {_what_to_do(error)}" if isinstance(error, OSError) else ""
        raise OutputError(f"{path} could not be written: {reason}.{advice}") from error


def _what_to_do(error: OSError) -> str:
    return next((advice for numbers, advice in ADVICE if error.errno in numbers), OTHER_ADVICE)


def _part_name(path: Path) -> Path:
    """A name that no other run writes to, should two of them share the folder, be it from two machines."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder that cannot be written to holds nothing of ours
        part.unlink(missing_ok=True)


def _write_tiff(part: Path, data: Any, pixel_size_nm: float, metadata: dict[str, Any], **options: Any) -> None:
    import tifffile

    imagej = options.get("imagej", False)
    per_unit = (1000.0 if imagej else 1e7) / pixel_size_nm  # ImageJ: per micrometre; a plain TIFF knows centimetres
    writer_options = {k: options.pop(k) for k in ("imagej", "ome", "bigtiff") if k in options}
    with tifffile.TiffWriter(part, **writer_options) as tif:
        tif.write(
            data,
            photometric="minisblack",
            resolution=(per_unit, per_unit),
            resolutionunit="NONE" if imagej else "CENTIMETER",
            metadata=metadata,
            software="fluosr",
            **options,
        )


def _image(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array, np.float32)
    if array.ndim != 2:
        raise UsageError(f"an image has two axes (Y, X), got shape {array.shape}.")
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        return [_plain(item) for item in value]
    return str(value)
