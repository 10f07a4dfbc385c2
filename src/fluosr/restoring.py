"""From an image file and a trained restorer to the file of the restored image, whatever its axes, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fluosr.errors import ImageReadError, OutputError, ReconstructionInterrupted, UsageError
from fluosr.io.damage import decoder_errors
from fluosr.io.localisations import check_pixel_size
from fluosr.io.tiff import open_images
from fluosr.io.write import images_to_fill
from fluosr.methods.base import Run, StopRequested
from fluosr.pipeline import choose_device, stop_on_signals
from fluosr.restoration.model import TrainedRestorer
from fluosr.restoration.scale import ConstantImage, GreyScale
from fluosr.restoration.tiles import TILE_PX, restore

ENDINGS = (".tif", ".tiff")
OME_AXES = "TZC"  # that an OME-TIFF can call what lies before Y and X
SOFTWARE = "fluosr restore"  # tag of what is restored: nothing else is replaced
MOST_NAMED = 5  # numbers of blank images in one warning
OTHER_PIXEL = 1.25  # ratio of pixel sizes from which on the model is told to be used on other images


@dataclass(frozen=True)
class Restored:
    """What was made of a file.

    Args:
        path: the restored images.
        axes: their labels.
        sizes: of each axis.
        pixel_size_nm: nm; None where it is not known.
        warnings: what the user should know, in plain words.
    """

    path: Path
    axes: str
    sizes: tuple[int, ...]
    pixel_size_nm: float | None
    warnings: tuple[str, ...]


def restore_file(
    image: Path,
    model: TrainedRestorer,
    output: Path,
    *,
    pixel_size_nm: float | None = None,
    tile_px: int = TILE_PX,
    ensemble: bool = False,
    device: str = "auto",
    run: Run | None = None,
) -> Restored:
    """Restore every image of a TIFF, each on its own grey scale, into an OME-TIFF with the same axes.

    Constant images among others stay constant, and a warning counts them.

    Args:
        image: the file, of any size and bit depth; channels, planes and times are taken one after another.
        model: what restores.
        output: the file to write; it may replace an earlier restored image, never the input.
        pixel_size_nm: of the input, where the file does not say.
        tile_px: see :func:`fluosr.restoration.tiles.restore`.
        ensemble: likewise.
        device: where to compute.
        run: carries the progress callbacks.

    Raises:
        ImageReadError: not a TIFF of grey values, damaged, or cut short.
        UsageError: nothing but constant images, or values that are not finite; says which.
        OutputError: the output cannot be written, is the input, or a file of another origin.
        ReconstructionInterrupted: stopped on request; nothing was written.
    """
    if not output.name.lower().endswith(ENDINGS):
        raise UsageError(f"--output {output}: restored images are TIFF; let the name end in .tif.")
    if output.exists() and output.samefile(image):
        raise OutputError(f"{output} is the image itself, which is never written to; choose another --output.")
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm)
    opened = open_images(image)
    if output.exists() and not _restored_earlier(output):
        raise OutputError(f"{output} is no restored image; choose another --output, or move it away.")
    if opened.frames.dtype.kind == "b":
        raise UsageError(f"{image} holds true or false, and no grey values: there is nothing to restore in it.")
    scale = model.knowledge.scale
    fine_nm = pixel_size_nm or opened.pixel_size_nm
    axes, sizes = _named_axes(image, opened.metadata["axes"], opened.metadata["sizes"])
    shape = (*sizes[:-2], scale * sizes[-2], scale * sizes[-1])
    warnings = [*opened.warnings, *_pixel_warnings(model, fine_nm)]
    model.network.to(choose_device(device))
    run, count = run or Run(), math.prod(sizes[:-2])
    blank: list[int] = []
    new_nm = None if fine_nm is None else fine_nm / scale
    interval_s = opened.frame_interval_s
    with stop_on_signals(run), images_to_fill(output, axes, shape, new_nm, image.name, SOFTWARE, interval_s) as made:
        planes = made.reshape(count, *shape[-2:])
        for number in range(count):
            (plane,) = opened.frames.read(slice(number, number + 1))
            try:
                grey = GreyScale.of(plane)
            except ConstantImage as error:
                blank.append(number + 1)
                if len(blank) == count:
                    every = f"image {number + 1} of {count}" if count == 1 else f"all {count} images"
                    raise UsageError(f"{image}, {every}: {error}") from None
                planes[number] = error.value
                continue
            except UsageError as error:
                raise UsageError(f"{image}, image {number + 1} of {count}: {error}") from None
            part = _Part(whole=run, number=number, count=count)
            try:
                restore(model.network, plane, planes[number], grey=grey, tile_px=tile_px, ensemble=ensemble, run=part)
            except StopRequested:
                raise ReconstructionInterrupted(f"{output} was not written; {number} of {count} were done.") from None
    warnings += _blank_warnings(blank, count)
    return Restored(output, axes, shape, new_nm, tuple(warnings))


def _restored_earlier(path: Path) -> bool:
    import tifffile

    try:
        with decoder_errors(path, "opened"), tifffile.TiffFile(path) as tif:
            return bool(tif.pages.first.tags.valueof(305) == SOFTWARE)
    except ImageReadError:
        return False


@dataclass
class _Part(Run):
    """One image's share of a run over several."""

    whole: Run = field(default_factory=Run)
    number: int = 0
    count: int = 1

    def progress(self, stage: str, done: int, total: int) -> None:
        self.whole.progress(stage, self.number * total + done, self.count * total)

    def check(self) -> None:
        self.whole.check()


def _named_axes(image: Path, axes: str, sizes: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The axes as an OME-TIFF can call them: those without a name, or of another, take the free ones in order.

    Raises:
        UsageError: more axes than there are names.
    """
    free = [label for label in OME_AXES if label not in axes]
    named = ""
    for label in axes[:-2]:
        if label not in OME_AXES and not free:
            raise UsageError(
                f"{image} has the axes {axes}; besides Y and X at most time, depth and channel are written."
            )
        named += label if label in OME_AXES else free.pop(0)
    return named + "YX", tuple(sizes)


def _pixel_warnings(model: TrainedRestorer, pixel_size_nm: float | None) -> list[str]:
    known = model.knowledge.pixel_size_nm
    if known is None or pixel_size_nm is None:
        return []
    if max(known / pixel_size_nm, pixel_size_nm / known) < OTHER_PIXEL:
        return []
    return [
        f"The model learnt from pixels of {known:.4g} nm, these are of {pixel_size_nm:.4g} nm: what it restores there "
        "was never checked."
    ]


def _blank_warnings(blank: Sequence[int], count: int) -> list[str]:
    if not blank:
        return []
    more = ", ..." if len(blank) > MOST_NAMED else ""
    which = ", ".join(map(str, blank[:MOST_NAMED])) + more
    return [
        f"{len(blank)} of {count} images are constant (number {which}): there is nothing to restore in them, and they "
        "are written as constant."
    ]
