"""Folders of training pairs: NAME.tif with frames, and the truth in NAME-truth.tif, .ome.tif or, molecules, .csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fluosr.camera import Camera
from fluosr.errors import ImageReadError, UsageError
from fluosr.io.localisations import read_localisations
from fluosr.io.tiff import open_images
from fluosr.methods.unfolded.pairs import Pair

ENDINGS = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
TABLES = (".csv", ".csv.gz")
TRUTH, BESIDE = "-truth", ("-background", "-mean")  # what a simulation leaves beside its movie is no movie


def read_pairs(folder: Path, camera: Camera, pixel_size_nm: float, factor: int) -> list[Pair]:
    """Every pair of a folder, in the order of their names.

    Args:
        folder: PAIRS.
        camera: turns the frames' ADU into photons. The truths are in photons already.
        pixel_size_nm: of the frames; a table of molecules is drawn into their fine pixels.
        factor: L.

    Raises:
        ImageReadError: no such folder, or a file that cannot be read.
        UsageError: no pair, one half of a pair is missing, or a molecule lies in a frame that the movie has not or has
            no photons; says which.
    """
    pairs = []
    for name, movie, truth in paired_files(folder, tables=True):
        frames = camera.to_photons(images_of(movie))
        pairs.append(Pair(name, frames, _truth(truth, frames.shape, pixel_size_nm, factor)))
    return pairs


def paired_files(folder: Path, *, tables: bool = False) -> list[tuple[str, Path, Path]]:
    """(NAME, movie, truth) of every pair of a folder, in the order of their names.

    Args:
        folder: with NAME.tif and NAME-truth.tif.
        tables: a truth may be a table of molecules.

    Raises:
        ImageReadError: no such folder.
        UsageError: no pair, one half of a pair is missing, or two files of one name; says which.
    """
    found = stems(folder, tables=tables)
    truths = {stem.removesuffix(TRUTH): path for stem, path in found.items() if stem.endswith(TRUTH)}
    movies = {stem: path for stem, path in found.items() if not stem.endswith((TRUTH, *BESIDE))}
    for name in sorted(movies.keys() ^ truths.keys()):
        there, missing = (movies[name], f"{name}{TRUTH}.tif") if name in movies else (truths[name], f"{name}.tif")
        raise UsageError(f"{there} has no partner: {missing} is missing in {folder}.")
    if not movies:
        raise UsageError(f"{folder} holds no pairs: put NAME.tif (frames) and NAME-truth.tif (truth) into it.")
    return [(name, movies[name], truths[name]) for name in sorted(movies)]


def stems(folder: Path, *, tables: bool = False) -> dict[str, Path]:
    """Name without ending -> path, of the TIFFs in a folder, and where wanted of tables that are a truth.

    Raises:
        ImageReadError: no such folder.
        UsageError: two files of one name.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder} is not a folder; a folder with NAME.tif and NAME-truth.tif is meant.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = _stem(path)
        is_table = path.name.lower().endswith(TABLES)
        if stem is None or (is_table and not (tables and stem.endswith(TRUTH))):
            continue
        if stem in found:
            raise UsageError(f"{found[stem]} and {path} have one name; which of them is meant? Remove the other.")
        found[stem] = path
    return found


def _stem(path: Path) -> str | None:
    """The name without the ending of a TIFF or a table; None for other files."""
    ending = next((e for e in (*ENDINGS, *TABLES) if path.name.lower().endswith(e)), None)
    hidden = path.name.startswith(".")  # a Mac leaves ._NAME.tif beside NAME.tif
    return path.name[: -len(ending)] if ending and path.is_file() and not hidden else None


def images_of(path: Path) -> np.ndarray:
    """(T, Y, X) all images of a TIFF with at most one axis besides Y and X.

    Raises:
        ImageReadError: it cannot be read.
        UsageError: more axes.
    """
    opened = open_images(path)
    axes, count = opened.metadata["axes"], opened.frames.shape[0]
    if len(axes) > 3:
        raise UsageError(
            f"{path} has the axes {axes}; besides Y and X one is read here: save each channel or plane as a file of "
            "its own."
        )
    return opened.frames.read(slice(0, count))


def _truth(path: Path, movie: tuple[int, ...], pixel_size_nm: float, factor: int) -> np.ndarray:
    """Images as they are; of a table the photons in each fine pixel of each frame."""
    if not path.name.lower().endswith(TABLES):
        images = images_of(path).astype(np.float32)
        return images[0] if len(images) == 1 else images
    table, (count, height, width) = read_localisations(path), movie
    if len(table) and table.frame[-1] >= count:
        raise UsageError(f"{path} has molecules in frame {table.frame[-1] + 1}, and its movie has {count} frames.")
    unknown = int(np.isnan(table.photons).sum())
    if unknown:
        raise UsageError(
            f"{path} does not say the photons of {unknown} of its {len(table)} molecules, which the network is to "
            "learn: fill in the column 'intensity [photon]'."
        )
    drawn = [table.in_frame(number).rendered((height, width), factor, pixel_size_nm) for number in range(count)]
    return np.stack(drawn)
