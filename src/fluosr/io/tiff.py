"""TIFF movies of every maker, opened without reading a pixel and read a frame at a time.

Nothing the file claims is believed before it is compared with the bytes there are: see ``directories`` for the chain of
images, ``_check_size`` for the declared sizes. Whatever a decoder raises on a damaged file surfaces as ImageReadError.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from fluosr.acquisition import FrameSource
from fluosr.errors import AcquisitionError, FluosrError, ImageReadError, MissingMetadataError, UsageError
from fluosr.io.calibration import Calibration, read_calibration
from fluosr.io.directories import Directories, walk
from fluosr.machine import available_memory_bytes

if TYPE_CHECKING:
    import tifffile

# How many bytes one compressed byte can become at most: the bound of each format, or (images) a generous one.
# A page that declares more than this is damaged, and is refused before memory is taken for it.
LARGEST_EXPANSION = {
    1: 1, 5: 2600, 7: 2000, 8: 1040, 32946: 1040, 50013: 1040, 32773: 64, 34925: 7200, 34926: 35_000, 50000: 35_000,
    33003: 35_000, 33005: 35_000, 34712: 35_000,
}  # fmt: skip
JPEG, JPEG_2000 = {7}, {33003, 33005, 34712}
GREY = {0, 1, 3}  # white is zero, black is zero, palette (ImageJ writes a grey image with a lookup table so)
UNLABELLED = {"I", "Q"}
MOST_PLANES = 10_000_000
SPECIAL = ("shaped", "lsm", "mmstack", "ome", "imagej", "ndtiff", "fluoview", "stk", "sis", "scanimage")
# Slide scanners, gels and cryo-EM: no movies of fluorescence, and each a reader that trusts what the file says.
NOT_MOVIES = ("svs", "scn", "qpi", "ndpi", "bif", "avs", "philips", "indica", "mdgel", "eer", "nih")
OTHER_FORMATS = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF", b"ZISRAWFI": "a Zeiss CZI file",
    b"\xda\xce\xbe\x0a": "a Nikon ND2 file", b"\x0a\xbe\xce\xda": "a Nikon ND2 file",
    b"\x70\x00\x00\x00": "a Leica LIF file", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a ZIP archive", b"RIFF": "an AVI film",
}  # fmt: skip
WHAT_IS_READ = "fluosr reads TIFF (plain, BigTIFF, ImageJ, OME-TIFF, MetaMorph STK, Zeiss LSM, Micro-Manager)"


class AmbiguousAxesError(MissingMetadataError, ImageReadError):
    """Which axis of the file is time, or which channel or plane is wanted, has to be said by name."""


class NotGreyError(AcquisitionError, ImageReadError):
    """The file holds colour or complex values, not frames of grey values."""


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
        with _decoder_errors(self.files[0], "read"):
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
    _check_is_tiff(path)
    with _decoder_errors(path, "opened"):
        directories = walk(path)
        import tifffile

        known = tifffile.TIFF.FILE_FLAGS  # another version may know fewer kinds
        switched_off: dict[str, Any] = {f"is_{kind}": False for kind in NOT_MOVIES if kind in known}
        with tifffile.TiffFile(path, **switched_off) as tif:
            ome = _ome_root(tif)
            stack = _stack(tif, directories, ome)
            key = stack.key
            _check_pixels(path, key)
            _check_size(path, key, directories)
            start, step, n_frames, label = _choose_axes(path, stack, time_axis, channel, z)
            frames, whole = _locate(path, stack, range(start, start + n_frames * step, step))
            calibration = read_calibration(tif, ome)
        notes = list(stack.notes)
        if key.photometric == 0:
            notes.append("The file says that white is zero; its values are taken as they are.")
        if label in UNLABELLED and n_frames > 1 and time_axis is None:
            notes.append(f"The file does not say what its {n_frames} images are; they are taken as frames in time.")
        if whole < n_frames or directories.cut:
            absent = [other.name for other in _named_files(str(path), ome) if not other.exists()]
            message = _cut_message(path, whole, n_frames if whole < n_frames else None, absent)
            if not allow_truncated or whole == 0:
                raise ImageReadError(message)
            notes.append(message)
    return _movie(frames, stack, calibration, label, notes)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Images of one layout along labelled axes (those longer than one), in the order of their last axes fastest.

    Either they lie end to end from ``base`` on, or ``pages`` names each (None: missing).
    """

    key: Any
    labels: str
    sizes: tuple[int, ...]
    kind: str
    base: int | None
    pages: Any
    notes: tuple[str, ...] = ()


def _movie(frames: TiffFrames, stack: _Stack, calibration: Calibration, label: str, notes: list[str]) -> TiffMovie:
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
    if path.is_dir():
        raise ImageReadError(f"{path} is a folder; name the TIFF file in it.")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ImageReadError(f"{path} is a device or a pipe; give a TIFF file.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise ImageReadError(f"{path} does not exist; check the name and the folder.") from error
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if not head:
        raise ImageReadError(f"{path} is empty (0 bytes); copy it again from where it was recorded.")
    if head[:2] in (b"II", b"MM"):
        return
    what = next((name for magic, name in OTHER_FORMATS.items() if head.startswith(magic)), "not a TIFF")
    how = "open it in Fiji (File > Import > Bio-Formats) and save it as TIFF"
    if "NumPy" in what:
        how = "load it with numpy.load and give the array to fluosr.open_movie"
    raise ImageReadError(f"{path} is {what}. {WHAT_IS_READ}; {how}.")


@contextmanager
def _decoder_errors(path: Path, doing: str) -> Iterator[None]:
    """Decoders raise almost anything on a damaged file, and log it too: one error comes out, and nothing on stderr."""
    logger = logging.getLogger("tifffile")
    drop = _Drop()
    logger.addFilter(drop)
    try:
        yield
    except FluosrError:
        raise
    except MemoryError as error:
        raise ImageReadError(f"{path}: there is not enough memory to have it {doing}.") from error
    except Exception as error:
        raise ImageReadError(
            f"{path} cannot be {doing}: it is damaged or of a kind that is not known "
            f"({type(error).__name__}: {str(error)[:200]})."
        ) from error
    finally:
        logger.removeFilter(drop)


class _Drop(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


def _ends_inside(path: str, frame: int) -> ImageReadError:
    return ImageReadError(f"{path} ends inside frame {frame}; it was cut short after it had been opened.")


def _cut_message(path: Path, whole: int, of: int | None, absent: list[str]) -> str:
    known = f"of its {of:,} frames only the first {whole:,} are" if of else f"only its first {whole:,} frames are"
    what = f"lacks the files {', '.join(absent[:4])} that belong to it" if absent else "is cut short or damaged"
    how = f"Read those with --frames 0:{whole}, or copy it again." if whole else "Copy it again."
    return f"{path} {what}: {known} whole. {how}"


def _ome_root(tif: tifffile.TiffFile) -> ElementTree.Element | None:
    """The OME-XML, refused where its numbers would make the reader take memory without end."""
    if not tif.is_ome:
        return None
    path = tif.filehandle.path
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError as error:
        raise ImageReadError(f"{path}: its OME description is damaged ({error}).") from error
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        if name == "BinaryOnly":
            described = element.get("MetadataFile", "another file")
            raise ImageReadError(
                f"{path} is one of several files that are described in {described!r}: "
                "open that one if it is a TIFF, else save the movie as one OME-TIFF."
            )
        numbers = [1]
        if name == "Pixels":
            numbers = [abs(int(element.get(f"Size{axis}", 1))) for axis in "CZT"]
        elif name == "TiffData":
            keys = ("IFD", "NumPlanes", "PlaneCount", "FirstC", "FirstZ", "FirstT")
            numbers = [max(abs(int(element.get(key, 0))) for key in keys)]
        elif name.startswith("ModuloAlong") and element.get("Start") is not None:
            step = abs(float(element.get("Step", 1))) or 1e-9
            numbers = [int(abs(float(element.get("End", 0)) - float(element.get("Start", 0))) / step)]
        if math.prod(numbers) > MOST_PLANES:
            raise ImageReadError(f"{path}: its OME description speaks of {math.prod(numbers):,} images; it is damaged.")
    for other in _named_files(path, root):
        if other.is_file() and not other.samefile(path):
            walk(other).require_one_layout()
    return root


def _named_files(path: str, root: ElementTree.Element | None) -> list[Path]:
    """The other files that an OME description names."""
    uuids = [] if root is None else [e for e in root.iter() if e.tag.endswith("UUID") and e.text != root.get("UUID")]
    names = dict.fromkeys(e.get("FileName") for e in uuids)
    return [Path(path).parent / name for name in names if name]


def _stack(tif: tifffile.TiffFile, directories: Directories, ome: ElementTree.Element | None) -> _Stack:
    """All images of the file with their axes."""
    directories.require_one_layout()
    path = directories.path
    if not any(getattr(tif, f"is_{kind}", False) for kind in SPECIAL):
        # Page by page and none kept: a long movie's pages would fill the memory.
        tif.pages.useframes = True
        frames = [i for i, page in enumerate(directories.pages) if not page.reduced] or range(len(directories.pages))
        tif.pages.set_keyframe(frames[0])
        several = len(frames) > 1
        pages = _PagesOf(tif.pages, frames)
        return _Stack(tif.pages.keyframe, "I" * several, (len(frames),) * several, "plain", None, pages)
    if tif.is_imagej and (cut := _cut_imagej(tif)) is not None:
        return cut
    if tif.is_mmstack:
        metadata = tif.micromanager_metadata or {}
        extent = (metadata["IndexMap"][:, :4].max(axis=0).astype(object) + 1).tolist()
        summary = [int(metadata["Summary"].get(k, 1)) for k in ("Channels", "Slices", "Frames", "Positions")]
        if math.prod(max(a, b) for a, b in zip(extent, summary, strict=True)) > MOST_PLANES:
            raise ImageReadError(f"{path}: its Micro-Manager index is damaged.")
    every = list(tif.series)
    series = [s for s in every if not s.keyframe.is_reduced] or every
    if len(series) != 1:
        sizes_found = ", ".join(" x ".join(map(str, s.shape)) for s in series[:6])
        raise ImageReadError(
            f"{path} holds {len(series)} separate images or positions ({sizes_found}). "
            "Save the one you want as its own TIFF."
        )
    (one,) = series
    axes, shape = one.get_axes(squeeze=False), tuple(int(n) for n in one.get_shape(squeeze=False))
    if axes.endswith("S") and shape[-1] == 1:
        axes, shape = axes[:-1], shape[:-1]
    if one.keyframe.samplesperpixel == 1 and (axes[-2:] != "YX" or shape[-2:] != one.keyframe.shape[:2]):
        raise ImageReadError(
            f"{path}: its description speaks of {shape} along {axes}, its images are {one.keyframe.shape}. "
            "It is damaged, or stored in an order that is not known."
        )
    leading = [(label, n) for label, n in zip(axes[:-2], shape[:-2], strict=True) if n != 1]
    labels, sizes = "".join(label for label, _ in leading), tuple(n for _, n in leading)
    base = None if one.is_multifile else one.dataoffset
    return _Stack(one.keyframe, labels, sizes, one.kind, base, one)


@dataclass(frozen=True)
class _PagesOf:
    pages: Any
    numbers: Sequence[int]

    def __getitem__(self, index: int) -> Any:
        return self.pages[self.numbers[index]]


def _cut_imagej(tif: tifffile.TiffFile) -> _Stack | None:
    """An ImageJ stack that runs past the end of the file; tifffile would see its first image only."""
    metadata, page = tif.imagej_metadata or {}, tif.pages.first
    sizes = [metadata.get(k, 1) for k in ("frames", "slices", "channels")]
    images = metadata.get("images", 1)
    if not all(isinstance(n, int) and n > 0 for n in (*sizes, images)) or not page.is_final:
        return None
    n = max(images, math.prod(sizes))
    if n == 1 or len(tif.pages) > 1 or page.dataoffsets[0] + n * page.nbytes <= tif.filehandle.size:
        return None
    if math.prod(sizes) != n:
        return _Stack(page, "I", (n,), "imagej", page.dataoffsets[0], None)
    leading = [(label, size) for label, size in zip("TZC", sizes, strict=True) if size != 1]
    labels = "".join(label for label, _ in leading)
    return _Stack(page, labels, tuple(s for _, s in leading), "imagej", page.dataoffsets[0], None)


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


class _Axis(NamedTuple):
    label: str
    size: int
    stride: int  # images from one to the next along it


def _choose_axes(
    path: Path, stack: _Stack, time_axis: str | None, channel: int | None, z: int | None
) -> tuple[int, int, int, str]:
    """(first image, step, number of frames, label of time) of the frames among all images of the stack."""
    axes = [
        _Axis(label, size, math.prod(stack.sizes[i + 1 :]))
        for i, (label, size) in enumerate(zip(stack.labels, stack.sizes, strict=True))
    ]
    found = ", ".join(f"{axis.label} = {axis.size}" for axis in axes) or "one image"
    start = 0
    for label, index, option in (("C", channel, "--channel"), ("Z", z, "--z")):
        if index is None:
            continue
        chosen = [axis for axis in axes if axis.label == label]
        size = chosen[0].size if chosen else 1
        if not 0 <= index < size:
            raise UsageError(f"{path}: {option} {index} is not there; the file has {size} (0 to {size - 1}): {found}.")
        if chosen:
            axes.remove(chosen[0])
            start += index * chosen[0].stride
    wanted = time_axis.strip().upper() if time_axis else None
    unlabelled = axes if len(axes) == 1 and axes[0].label in UNLABELLED else []
    if wanted and wanted != "ANY" and len(wanted) == 1:
        times = [axis for axis in axes if axis.label.upper() == wanted] or (unlabelled if wanted == "T" else [])
        if not times and axes:
            raise UsageError(f"{path} has no axis {wanted} longer than one; it has {found}.")
    elif wanted and wanted != "ANY":
        raise UsageError(f"--time-axis is one letter, one of the file's axes ({found}), not {time_axis!r}.")
    else:
        times = axes if wanted and len(axes) == 1 else [axis for axis in axes if axis.label == "T"] or unlabelled
    if not axes:
        return start, 1, 1, "T"
    if len(times) == 1 and len(axes) == 1:
        return start, times[0].stride, times[0].size, times[0].label
    if len(axes) == 1:
        label, size, _ = axes[0]
        name = {"Z": " (depth)", "C": " (channels)"}.get(label, "")
        raise AmbiguousAxesError(
            f"{path}: its {size} images lie along {label}{name}, not along time. If they are the frames of a movie "
            f"(ImageJ often labels them so), say --time-axis {label}, in Python time_axis={label!r}."
        )
    raise AmbiguousAxesError(f"{path} has several axes ({found}); a movie has one. {_how_to_choose(axes, times)}")


def _how_to_choose(axes: list[_Axis], times: list[_Axis]) -> str:
    ways = [
        f"{option} 0 to {axis.size - 1}"
        for label, option in (("C", "--channel"), ("Z", "--z"))
        for axis in axes
        if axis.label == label and axis not in times
    ]
    if not times:
        ways.append("--time-axis LETTER for the axis that is time")
    rest = [axis.label for axis in axes if axis.label not in "CZ" and axis not in times]
    if rest and times:
        ways.append(f"save one of the images along {', '.join(rest)} as its own TIFF")
    return f"Choose: {'; '.join(ways) or 'save one movie as its own TIFF'}."


def _locate(path: Path, stack: _Stack, planes: range) -> tuple[TiffFrames, int]:
    """The frames with the place of each, and how many from the first on are whole; the rest is left out."""
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


def _page(stack: _Stack, plane: int) -> Any:
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
