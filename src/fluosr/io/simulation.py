"""A simulated movie on disk, its truth beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fluosr.io.write import write_json, write_movie, write_ome_tiff, write_tiff
from fluosr.simulate.movie import SimulatedMovie


def save_simulation(movie: SimulatedMovie, path: Path) -> list[Path]:
    """Write ``NAME.tif`` (uint16), ``NAME-truth.ome.tif``, ``NAME-background.tif`` and ``NAME-phantom.json``.

    Returns:
        The files written.

    Raises:
        OutputError: no room or no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.name.removesuffix(".tif").removesuffix(".tiff").removesuffix(".ome")
    pixel = movie.phantom.pixel_size_nm
    beside = {kind: path.with_name(f"{stem}-{kind}") for kind in ("truth.ome.tif", "background.tif", "phantom.json")}
    digitised = (np.clip(np.rint(frame), 0, 65535).astype(np.uint16) for frame in movie.frames())
    write_movie(path, digitised, movie.n_frames, np.dtype(np.uint16), pixel, movie.frame_interval_s)
    write_ome_tiff(beside["truth.ome.tif"], movie.truth, pixel / movie.factor, f"{stem} truth")
    write_tiff(beside["background.tif"], movie.background, pixel)
    write_json(beside["phantom.json"], movie.describe())
    return [path, *beside.values()]
