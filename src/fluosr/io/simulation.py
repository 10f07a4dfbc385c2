"""A simulated movie on disk, its truth beside it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fluosr.errors import OutputError, UsageError
from fluosr.io.thunderstorm import csv_lines
from fluosr.io.write import write_json, write_lines, write_movie, write_ome_tiff, write_tiff
from fluosr.simulate.movie import SimulatedMovie
from fluosr.simulate.smlm import SimulatedMolecules

FULL_SCALE = 65535  # of a camera of 16 bits, ADU
BYTES_PER_ROW = 80  # of a truth, in text


@dataclass(frozen=True)
class SavedSimulation:
    """What was written.

    Args:
        files: the movie, then its truth.
        saturated: how many values of the movie lay above 65535 ADU and were cut off there.
        below_zero: how many lay below 0 and were cut off there.
    """

    files: tuple[Path, ...]
    saturated: int
    below_zero: int


def save_simulation(movie: SimulatedMovie, path: Path) -> SavedSimulation:
    """Write ``NAME.tif`` (uint16), ``NAME-truth.ome.tif``, ``NAME-background.tif`` and ``NAME-phantom.json``.

    Raises:
        OutputError: no room or no permission, or files of another origin would be overwritten.
        UsageError: the brightest pixels would saturate by their mean alone.
    """
    photons = movie.peak_photons + float(movie.background.max())
    _check_range(float(movie.camera.to_adu(np.full((1, 1), photons)).max()), "--photons, --gain or --offset")
    _check_room(path, 2 * movie.n_frames * math.prod(movie.phantom.field_shape))
    pixel = movie.phantom.pixel_size_nm
    truth, background, record = _beside(path, ("truth.ome.tif", "background.tif", "phantom.json"))
    digitised = _Digitised(movie.frames())
    write_movie(path, digitised, movie.n_frames, np.dtype(np.uint16), pixel, movie.frame_interval_s)
    write_ome_tiff(truth, movie.truth, pixel / movie.factor, f"{_stem(path)} truth")
    write_tiff(background, movie.background, pixel)
    write_json(record, movie.describe() | digitised.describe())
    return SavedSimulation((path, truth, background, record), **digitised.describe())


def save_molecules(movie: SimulatedMolecules, path: Path) -> SavedSimulation:
    """Write ``NAME.tif`` (uint16), ``NAME-truth.csv`` and ``NAME-simulation.json``, frame by frame.

    The truth has ThunderSTORM's columns, a row for each molecule and frame, and a column ``molecule`` of its own.

    Raises:
        OutputError: no room or no permission, or files of another origin would be overwritten.
        UsageError: the brightest pixels would saturate by their mean alone.
    """
    _check_range(movie.brightest_adu, "--photons, --density, --gain or --offset")
    _check_room(path, bytes_of_molecules(movie))
    pixel = movie.structure.pixel_size_nm
    truth, record = _beside(path, ("truth.csv", "simulation.json"))
    digitised = _Digitised(movie.frames())
    write_movie(path, digitised, movie.n_frames, np.dtype(np.uint16), pixel, movie.frame_interval_s)
    blocks = ((emission.table, {"molecule": emission.molecule}) for emission in movie.emissions())
    write_lines(truth, csv_lines(blocks, ("photons", "background"), ("molecule",)))
    write_json(record, movie.describe() | digitised.describe())
    return SavedSimulation((path, truth, record), **digitised.describe())


def bytes_of_molecules(movie: SimulatedMolecules) -> int:
    """What :func:`save_molecules` will write, about: two bytes for a pixel, and a row for each molecule and frame."""
    height, width = movie.structure.field_shape
    return round(movie.n_frames * (2 * height * width + BYTES_PER_ROW * movie.active))


class _Digitised:
    """Frames as a camera of 16 bits gives them out; counts what it cuts off."""

    def __init__(self, frames: Iterable[np.ndarray]) -> None:
        self.frames, self.saturated, self.below_zero = frames, 0, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self.frames:
            rounded = np.rint(frame)
            self.saturated += int((rounded > FULL_SCALE).sum())
            self.below_zero += int((rounded < 0).sum())
            yield np.clip(rounded, 0, FULL_SCALE).astype(np.uint16)

    def describe(self) -> dict[str, int]:
        return {"saturated": self.saturated, "below_zero": self.below_zero}


def _stem(path: Path) -> str:
    return path.name.removesuffix(".tif").removesuffix(".tiff").removesuffix(".ome")


def _beside(path: Path, kinds: Sequence[str]) -> list[Path]:
    """The files ``NAME-KIND``; the last is the record that marks them as ours."""
    beside = [path.with_name(f"{_stem(path)}-{kind}") for kind in kinds]
    present = [str(file) for file in (path, *beside) if file.exists()]
    if present and not beside[-1].exists():
        raise OutputError(f"{', '.join(present)}: no earlier simulation left that there; choose another --output.")
    return beside


def _check_range(brightest_adu: float, options: str) -> None:
    if not brightest_adu <= FULL_SCALE:
        raise UsageError(
            f"the brightest pixels would hold {brightest_adu:.4g} ADU (photons x gain + offset), and a camera of 16 "
            f"bits ends at {FULL_SCALE}: lower {options}."
        )


def _check_room(path: Path, need: int) -> None:
    if not path.name or path.is_dir():
        raise UsageError(f"--output {path} is a folder; name the movie to write, such as {path / 'movie.tif'}.")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"--output {path}: the movie is a TIFF, call it {path.with_suffix('.tif')}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise OutputError(f"cannot write to {path.parent}: {error.strerror}. Choose another --output.") from error
    if need > free:
        raise OutputError(
            f"{path}: the movie and its truth take {need / 2**30:.4g} GiB, and {free / 2**30:.4g} GiB are free there. "
            "Take fewer --frames, a smaller field, fewer molecules, or another --output."
        )
