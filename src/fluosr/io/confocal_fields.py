"""Simulated confocal fields on disk, as pairs that a restorer learns from or is judged by."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from fluosr.errors import OutputError
from fluosr.io.write import make_folder, write_json, write_movie, write_ome_tiff
from fluosr.simulate.confocal_fields import ConfocalField

RECORD = "simulation.json"


def save_fields(
    folder: Path,
    fields: Iterable[ConfocalField],
    repeats: int,
    *,
    clean: bool = False,
    done: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write for each field ``STRUCTURE-SEED.tif`` with its fast frames, and ``STRUCTURE-SEED-truth.ome.tif``.

    Args:
        folder: made where it is not there; files of an earlier simulation are replaced.
        fields: to take.
        repeats: fast frames of each.
        clean: the truth is the slow scan's expectation instead of the slow scan with its own noise.
        done: is told after each field how many are.

    Returns:
        What was written.

    Raises:
        OutputError: no room or no permission, or files of another origin lie there.
    """
    fields = list(fields)
    make_folder(folder)
    if any(folder.glob("*.tif")) and not (folder / RECORD).exists():
        raise OutputError(f"{folder} holds TIFFs that no earlier simulation left there; choose another --output.")
    need = sum(math.prod(f.shape) * (2 * repeats + 4 * f.microscope.factor**2) for f in fields)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder}: the fields take {need / 2**30:.4g} GiB, and {free / 2**30:.4g} GiB are free there. Take fewer "
            "--fields or --repeats, or another --output."
        )
    first = not (folder / RECORD).exists()
    record = {"repeats": repeats, "clean": clean, "fields": [field.describe() for field in fields]}
    write_json(folder / RECORD, record)
    written: list[Path] = []
    try:
        for number, field in enumerate(fields):
            path = folder / f"{field.structure}-{field.seed:04d}.tif"
            truth = path.with_name(f"{path.stem}-truth.ome.tif")
            pixel = field.microscope.pixel_size_nm
            write_movie(path, field.fast_frames(repeats), repeats, np.dtype(np.uint16), pixel, None)
            written.append(path)
            high = field.clean_frame() if clean else field.slow_frame().astype(np.float32)
            write_ome_tiff(truth, high, pixel / field.microscope.factor, truth.name)
            written.append(truth)
            if done is not None:
                done(number + 1)
    except BaseException:
        if first and not written:  # a record of nothing
            (folder / RECORD).unlink(missing_ok=True)
            with suppress(OSError):  # other files lie there
                folder.rmdir()
        raise
    return written
