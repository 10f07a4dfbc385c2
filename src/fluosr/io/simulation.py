"""A simulated movie on disk, its truth beside it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fluosr.errors import OutputError, UsageError
from fluosr.io.write import write_json, write_movie, write_ome_tiff, write_tiff
from fluosr.simulate.movie import SimulatedMovie

FULL_SCALE = 65535  # of a camera of 16 bits, ADU


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
    _check_range(movie)
    _check_room(movie, path)
    stem = path.name.removesuffix(".tif").removesuffix(".tiff").removesuffix(".ome")
    pixel = movie.phantom.pixel_size_nm
    beside = {kind: path.with_name(f"{stem}-{kind}") for kind in ("truth.ome.tif", "background.tif", "phantom.json")}
    present = [str(file) for file in (path, *beside.values()) if file.exists()]
    if present and not beside["phantom.json"].exists():
        raise OutputError(f"{', '.join(present)}: no earlier simulation left that there; choose another --output.")
    saturated = below_zero = 0

    def digitised() -> Iterator[np.ndarray]:
        nonlocal saturated, below_zero
        for frame in movie.frames():
            rounded = np.rint(frame)
            saturated += int((rounded > FULL_SCALE).sum())
            below_zero += int((rounded < 0).sum())
            yield np.clip(rounded, 0, FULL_SCALE).astype(np.uint16)

    write_movie(path, digitised(), movie.n_frames, np.dtype(np.uint16), pixel, movie.frame_interval_s)
    write_ome_tiff(beside["truth.ome.tif"], movie.truth, pixel / movie.factor, f"{stem} truth")
    write_tiff(beside["background.tif"], movie.background, pixel)
    write_json(beside["phantom.json"], movie.describe() | {"saturated": saturated, "below_zero": below_zero})
    return SavedSimulation((path, *beside.values()), saturated, below_zero)


def _check_range(movie: SimulatedMovie) -> None:
    photons = movie.peak_photons + float(movie.background.max())
    brightest = float(movie.camera.to_adu(np.full((1, 1), photons)).max())
    if not brightest <= FULL_SCALE:
        raise UsageError(
            f"the brightest pixels would hold {brightest:.4g} ADU (photons x gain + offset), and a camera of 16 bits "
            f"ends at {FULL_SCALE}: lower --photons, --gain or --offset."
        )


def _check_room(movie: SimulatedMovie, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise OutputError(f"cannot write to {path.parent}: {error.strerror}. Choose another --output.") from error
    need = 2 * movie.n_frames * math.prod(movie.phantom.field_shape)
    if need > free:
        raise OutputError(
            f"{path}: the movie takes {need / 2**30:.4g} GiB, and {free / 2**30:.4g} GiB are free there. Take fewer "
            "--frames, a smaller field, or another --output."
        )
