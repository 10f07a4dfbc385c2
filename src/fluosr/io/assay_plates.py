"""Simulated plates on disk: a TIFF for each well, ``plate.csv``, and the truth of every cell."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fluosr.errors import OutputError
from fluosr.io.plates import TABLE
from fluosr.io.write import make_folder, write_json, write_movie, write_ome_channels, write_text
from fluosr.simulate.assays import AssayWell

TRUTH, RECORD, MASKS = "truth.csv", "simulation.json", "masks"


def save_plate(
    folder: Path,
    wells: Sequence[tuple[str, str, AssayWell]],
    *,
    seed: int,
    done: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write ``WELL.ome.tif`` (C, Y, X) uint16, ``masks/WELL.tif`` (nuclei, cells), ``plate.csv`` and ``truth.csv``.

    Args:
        folder: made where it is not there.
        wells: (name, treatment, well) of :func:`~fluosr.simulate.assay_plate.plate_of`; one is drawn at a time, and
            nothing of it is kept once it is written.
        seed: of the plate, for the record.
        done: is told after each well how many are.

    Returns:
        What was written.

    Raises:
        OutputError: it cannot be written, or a plate or TIFFs are there already.
    """
    make_folder(folder)
    if (folder / TABLE).exists() or any(folder.glob("*.tif")):
        raise OutputError(f"{folder} holds a plate or TIFFs already: choose another --output, or delete them first.")
    height, width = wells[0][2].culture.shape
    need, free = len(wells) * 10 * height * width, shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder}: the plate takes {need / 2**30:.4g} GiB, and {free / 2**30:.4g} GiB are free there. Take fewer "
            "--wells, or another --output."
        )
    rows: list[tuple[str, str, str]] = []
    truth: list[tuple[object, ...]] = []
    written: list[Path] = []
    for number, (name, treatment, described) in enumerate(wells):
        well = replace(described)  # what is drawn of a well stays with it: with this one, and it goes
        path, masks = folder / f"{name}.ome.tif", folder / MASKS / f"{name}.tif"
        pixel = well.culture.pixel_size_nm
        write_ome_channels(path, well.image(), pixel, well.channels)
        write_movie(masks, well.labels(), 2, "uint16", pixel, None)
        rows.append((path.name, name, treatment))
        cells = well.truth()
        if not truth:
            truth.append(("well", "treatment", *cells))
        truth += [(name, treatment, *row) for row in zip(*cells.values(), strict=True)]
        written += [path, masks]
        if done is not None:
            done(number + 1)
    write_text(folder / TABLE, _table([("file", "well", "treatment"), *rows]))
    write_text(folder / TRUTH, _table(truth))
    record = [{"well": name, "treatment": treatment, **well.describe()} for name, treatment, well in wells]
    write_json(folder / RECORD, {"seed": seed, "wells": record})
    return [*written, folder / TABLE, folder / TRUTH, folder / RECORD]


def _table(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in rows])
    return text.getvalue()
