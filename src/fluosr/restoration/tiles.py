"""A network over an image of any size, in tiles that leave no seam."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from tempfile import TemporaryFile

import numpy as np
import torch

from fluosr.errors import OutputError, UsageError
from fluosr.machine import size_in_words
from fluosr.methods.base import Run
from fluosr.networks.reach import reach_px, stage_reaches
from fluosr.networks.restorer import Restorer, StagedRestorer
from fluosr.restoration.scale import GreyScale

TILE_PX = 256
MARGIN_PX = 8  # of reflected image around it: convolutions pad with zeros, which would darken the outermost pixels
N_FEATURE_MAPS = 3  # what left the head, what goes into a block, what comes out of it

View = Callable[[np.ndarray], np.ndarray]
Span = tuple[int, int]
Reader = Callable[[Span, Span], np.ndarray]  # cells along y and x -> (C, y, x)
Writer = Callable[[np.ndarray, Span, Span], None]


def restore(
    network: Restorer,
    images: np.ndarray,
    out: np.ndarray | None = None,
    *,
    grey: GreyScale | None = None,
    tile_px: int = TILE_PX,
    ensemble: bool = False,
    run: Run | None = None,
) -> np.ndarray:
    """Apply a network to every image of an array, tile by tile; the result is that of one pass over the whole image.

    Each tile is given what the network sees around it (:mod:`fluosr.networks.reach`). A staged network, which sees
    farther than a tile is wide, is taken stage by stage; where there are several tiles, the features of one image lie
    in a temporary file meanwhile (TMPDIR says where). Memory grows with the tile, not with the image. Beyond its
    borders the image is reflected, by 8 pixels and what its sides lack to a multiple of the network's.

    Args:
        network: of one channel; it stays on its device.
        images: (..., Y, X), real, finite; leading axes (channels, time) are taken one image after another. A memory map
            is read tile by tile.
        out: (..., s Y, s X) floats, written tile by tile, such as a memory map; made if not given.
        grey: how the network sees grey values; what it makes is turned back. By default as they are.
        tile_px: largest side of a tile, LR pixels, without its surroundings.
        ensemble: the mean over the 8 flips and turns of the image, for 8 times the work.
        run: told of progress; asked before every tile whether to stop.

    Returns:
        ``out``; float32 if made here.

    Raises:
        UsageError: a network of several channels, no images, another shape of ``out``, tiles of no pixel.
        OutputError: no room for the temporary file.
        StopRequested: asked to stop; the tiles done are in ``out``, those of an ensemble not whole.
    """
    run, grey = run or Run(), grey or GreyScale(0.0, 1.0)
    out = _checked(network, images, out, tile_px)
    n_images, views = prod(images.shape[:-2]), _SYMMETRIES if ensemble else _SYMMETRIES[:1]
    if not n_images:
        return out
    axes = _axes(network, images.shape[-2:], tile_px)
    n_tiles = prod(len(axis.tiles()) for axis in axes)
    stages = _stages(network, whole=n_tiles == 1)
    done, total = 0, n_images * len(views) * n_tiles * len(stages)

    def before_a_tile() -> None:
        nonlocal done
        assert run is not None
        run.progress("restoring", done, total)
        run.check()
        done += 1

    with _evaluating(network):
        for index in np.ndindex(images.shape[:-2]):
            for number, view in enumerate(views):
                image, target = view(images[index]), view(out[index])
                grid = _axes(network, image.shape, tile_px)
                read = _image_reader(image, grid, grey)
                write = _output_writer(target, grid, network.scale, grey, weight=1 / len(views), add=number > 0)
                _through_stages(network, stages, read, write, grid, before_a_tile)
    run.progress("restoring", total, total)
    return out


def _symmetry(turns: int, step: int) -> View:
    return lambda images: np.rot90(images, turns, axes=(-2, -1))[..., ::step]


# The flips and turns of a square. Each is a view: what is written into it lies where it belongs.
_SYMMETRIES = tuple(_symmetry(turns, step) for turns, step in product(range(4), (1, -1)))


@dataclass(frozen=True)
class _Axis:
    """One side of an image: its pixels, the cells of the network's grid over them, and the tiles of these."""

    n_px: int
    multiple: int
    tile_px: int

    @property
    def margin_px(self) -> int:
        return ceil(MARGIN_PX / self.multiple) * self.multiple

    @property
    def n_cells(self) -> int:
        return (2 * self.margin_px + self.n_px + self.multiple - 1) // self.multiple

    def tiles(self) -> list[Span]:
        step = ceil(self.n_cells / ceil(self.n_px / self.tile_px))
        return [(start, min(start + step, self.n_cells)) for start in range(0, self.n_cells, step)]

    def around(self, tile: Span, reach: int) -> Span:
        return max(tile[0] - reach, 0), min(tile[1] + reach, self.n_cells)

    def pixels(self) -> np.ndarray:
        """The image's pixel behind each one of the grid."""
        after = self.n_cells * self.multiple - self.margin_px - self.n_px
        return np.pad(np.arange(self.n_px), (self.margin_px, after), mode="reflect")


@dataclass(frozen=True)
class _Stage:
    function: Callable[..., torch.Tensor]
    reach: int


def _axes(network: Restorer, shape: Sequence[int], tile_px: int) -> tuple[_Axis, _Axis]:
    rows, columns = (_Axis(side, network.multiple, tile_px) for side in shape)
    return rows, columns


def _stages(network: Restorer, whole: bool) -> list[_Stage]:
    if whole:
        return [_Stage(network, 0)]
    if isinstance(network, StagedRestorer):
        functions: list[Callable[..., torch.Tensor]] = [network.head, *network.trunk(), network.tail]
        return [_Stage(*both) for both in zip(functions, stage_reaches(network), strict=True)]
    return [_Stage(network, reach_px(network) // network.multiple)]


def _through_stages(
    network: Restorer,
    stages: Sequence[_Stage],
    read: Reader,
    write: Writer,
    axes: tuple[_Axis, _Axis],
    before_a_tile: Callable[[], None],
) -> None:
    device = next(network.parameters()).device
    if len(stages) == 1:
        _on_tiles(stages[0], [read], write, axes, device, before_a_tile)
        return
    assert isinstance(network, StagedRestorer)
    head, *trunk, tail = stages
    shape = (N_FEATURE_MAPS, network.features, *(axis.n_cells for axis in axes))
    with _scratch(shape) as maps:
        first, spares = maps[0], [maps[1], maps[2]]
        _on_tiles(head, [read], _feature_writer(first), axes, device, before_a_tile)
        last = first
        for number, block in enumerate(trunk):
            made = spares[number % 2]
            _on_tiles(block, [_feature_reader(last)], _feature_writer(made), axes, device, before_a_tile)
            last = made
        _on_tiles(tail, [_feature_reader(first), _feature_reader(last)], write, axes, device, before_a_tile)


def _on_tiles(
    stage: _Stage,
    readers: Sequence[Reader],
    write: Writer,
    axes: tuple[_Axis, _Axis],
    device: torch.device,
    before_a_tile: Callable[[], None],
) -> None:
    """Every tile of the grid with its surroundings through one stage; what lies in the tile is written."""
    for tile in product(*(axis.tiles() for axis in axes)):
        before_a_tile()
        rows, columns = (axis.around(span, stage.reach) for axis, span in zip(axes, tile, strict=True))
        windows = [np.ascontiguousarray(read(rows, columns), dtype=np.float32) for read in readers]
        with torch.inference_mode():
            made = stage.function(*(torch.from_numpy(window)[None].to(device) for window in windows))[0]
            per_cell = made.shape[-1] // (columns[1] - columns[0])
            (top, bottom), (left, right) = (
                ((span[0] - around[0]) * per_cell, (span[1] - around[0]) * per_cell)
                for span, around in zip(tile, (rows, columns), strict=True)
            )
            write(made[:, top:bottom, left:right].float().cpu().numpy(), *tile)


def _image_reader(image: np.ndarray, axes: tuple[_Axis, _Axis], grey: GreyScale) -> Reader:
    sources = [axis.pixels() for axis in axes]

    def read(rows: Span, columns: Span) -> np.ndarray:
        cells = zip(sources, axes, (rows, columns), strict=True)
        where = [pixels[span[0] * axis.multiple : span[1] * axis.multiple] for pixels, axis, span in cells]
        return grey.apply(image[np.ix_(*where)][None].astype(np.float32))

    return read


def _output_writer(
    out: np.ndarray, axes: tuple[_Axis, _Axis], scale: int, grey: GreyScale, weight: float, add: bool
) -> Writer:
    """Of tiles of the grid at ``scale`` times its pixels into an image without the margin."""

    def write(made: np.ndarray, rows: Span, columns: Span) -> None:
        into, cut = [], []
        for axis, span in zip(axes, (rows, columns), strict=True):
            start, stop = ((cell * axis.multiple - axis.margin_px) * scale for cell in span)
            kept = max(start, 0), max(min(stop, axis.n_px * scale), 0)
            into.append(slice(*kept))
            cut.append(slice(kept[0] - start, max(kept[1], kept[0]) - start))
        part = weight * grey.undo(made[0][tuple(cut)])
        out[tuple(into)] = out[tuple(into)] + part if add else part

    return write


def _feature_reader(features: np.ndarray) -> Reader:
    return lambda rows, columns: features[:, slice(*rows), slice(*columns)]


def _feature_writer(features: np.ndarray) -> Writer:
    def write(made: np.ndarray, rows: Span, columns: Span) -> None:
        features[:, slice(*rows), slice(*columns)] = made

    return write


@contextmanager
def _scratch(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """A float32 array in a temporary file."""
    n_bytes = 4 * prod(shape)
    with TemporaryFile(prefix="fluosr-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # a map of a file that does not fit on the disk would kill the process
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            features = np.memmap(file, np.float32, "r+", shape=shape)
        except OSError as error:
            raise OutputError(
                f"restoring needs {size_in_words(n_bytes)} for temporary features: {error.strerror}. Free room, name "
                "another folder with TMPDIR, or take a lighter network."
            ) from error
        yield features


@contextmanager
def _evaluating(network: Restorer) -> Iterator[None]:
    before, cudnn = network.training, torch.backends.cudnn
    network.eval()
    try:
        # A GPU's convolutions in TF32 round by 1e-3, and otherwise for another size: seams would show.
        with cudnn.flags(enabled=cudnn.enabled, benchmark=cudnn.benchmark, allow_tf32=False):
            yield
    finally:
        network.train(before)


def _checked(network: Restorer, images: np.ndarray, out: np.ndarray | None, tile_px: int) -> np.ndarray:
    if network.channels != 1:
        raise UsageError(f"images are restored one channel at a time; this network takes {network.channels} at once.")
    if images.ndim < 2 or 0 in images.shape[-2:] or images.dtype.kind not in "uif":
        raise UsageError(f"images to restore are (..., Y, X) real numbers, got {images.shape} of {images.dtype}.")
    if tile_px < 1:
        raise UsageError(f"tile_px: a tile has at least 1 pixel on its side, got {tile_px}.")
    shape = (*images.shape[:-2], *(side * network.scale for side in images.shape[-2:]))
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype.kind != "f":
        raise UsageError(f"the restored images are {shape} floats; the array for them is {out.shape} of {out.dtype}.")
    return out
