"""The images of a TIFF with the axes that its description gives them: plain, ImageJ, OME, Micro-Manager and others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from fluosr.errors import ImageReadError
from fluosr.io.directories import Directories, walk

if TYPE_CHECKING:
    import tifffile

MOST_PLANES = 10_000_000
SPECIAL = ("shaped", "lsm", "mmstack", "ome", "imagej", "ndtiff", "fluoview", "stk", "sis", "scanimage")


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one layout along labelled axes (those longer than one), in the order of their last axes fastest.

    Either they lie end to end from ``base`` on, or ``pages`` names each (None: missing).
    """

    key: Any
    labels: str
    sizes: tuple[int, ...]
    kind: str
    base: int | None
    pages: Any


def ome_root(tif: tifffile.TiffFile) -> ElementTree.Element | None:
    """The OME-XML, refused where its numbers would make the reader take memory without end.

    Raises:
        ImageReadError: damaged, or only a pointer to another file.
    """
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
    for other in named_files(path, root):
        if other.is_file() and not other.samefile(path):
            walk(other).require_one_layout()
    return root


def named_files(path: str, root: ElementTree.Element | None) -> list[Path]:
    """The other files that an OME description names."""
    uuids = [] if root is None else [e for e in root.iter() if e.tag.endswith("UUID") and e.text != root.get("UUID")]
    names = dict.fromkeys(e.get("FileName") for e in uuids)
    return [Path(path).parent / name for name in names if name]


def read_stack(tif: tifffile.TiffFile, directories: Directories, ome: ElementTree.Element | None) -> Stack:
    """All images of the file with their axes.

    Raises:
        ImageReadError: several separate images, or a description that does not fit them.
    """
    directories.require_one_layout()
    path = directories.path
    if not any(getattr(tif, f"is_{kind}", False) for kind in SPECIAL):
        # Page by page and none kept: a long movie's pages would fill the memory.
        tif.pages.useframes = True
        frames = [i for i, page in enumerate(directories.pages) if not page.reduced] or range(len(directories.pages))
        tif.pages.set_keyframe(frames[0])
        several = len(frames) > 1
        pages = _PagesOf(tif.pages, frames)
        return Stack(tif.pages.keyframe, "I" * several, (len(frames),) * several, "plain", None, pages)
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
    return Stack(one.keyframe, labels, sizes, one.kind, base, one)


@dataclass(frozen=True)
class _PagesOf:
    pages: Any
    numbers: Sequence[int]

    def __getitem__(self, index: int) -> Any:
        return self.pages[self.numbers[index]]


def _cut_imagej(tif: tifffile.TiffFile) -> Stack | None:
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
        return Stack(page, "I", (n,), "imagej", page.dataoffsets[0], None)
    leading = [(label, size) for label, size in zip("TZC", sizes, strict=True) if size != 1]
    labels = "".join(label for label, _ in leading)
    return Stack(page, labels, tuple(s for _, s in leading), "imagej", page.dataoffsets[0], None)
