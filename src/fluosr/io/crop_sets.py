"""Sets of crops on disk: a TIFF for each well, ``crops.csv`` with a row a cell, ``crops.json`` for the whole set."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fluosr import __version__
from fluosr.errors import ImageReadError, OutputError, UsageError
from fluosr.io.channels import open_fields
from fluosr.io.write import StrPath, make_folder, write_json, write_ome_channels, write_text
from fluosr.phenotypes.crops import CropSet, check_wells
from fluosr.phenotypes.ground import Ground
from fluosr.phenotypes.levels import Levels

TABLE, RECORD = "crops.csv", "crops.json"
COLUMNS = ("file", "index", "well", "treatment", "split", "y_px", "x_px", "nucleus_area_px", "field")


def write_crop_set(folder: StrPath, crops: CropSet, **more: Any) -> list[Path]:
    """Write ``WELL.tif`` (N, C, R, R) float32 for each well, the table, and last the record.

    Args:
        folder: made where it is not there.
        crops: the set.
        more: for the record.

    Returns:
        What was written.

    Raises:
        OutputError: it cannot be written, or crops are there already.
    """
    folder = Path(folder)
    refuse_crops_in(folder)
    make_folder(folder)
    written = []
    files, indices = np.empty(len(crops), object), np.zeros(len(crops), int)
    names: dict[str, str] = {}
    for well in dict.fromkeys(crops.wells.tolist()):
        mine = np.flatnonzero(crops.wells == well)
        name = _file_name(well, names)
        path = folder / name
        write_ome_channels(path, np.ascontiguousarray(crops.pixels[mine]), crops.pixel_size_nm, crops.channels)
        files[mine], indices[mine] = name, np.arange(len(mine))
        written.append(path)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in range(len(crops)):
        y, x = crops.places_px[row]
        names_of = (crops.wells[row], crops.treatments[row], crops.splits[row])
        area = f"{crops.areas_px[row]:g}"
        table.writerow([files[row], indices[row], *names_of, f"{y:.2f}", f"{x:.2f}", area, crops.fields[row]])
    write_text(folder / TABLE, text.getvalue())
    record = {
        "kind": "fluosr crops",
        "software": f"fluosr {__version__}",
        "crops": len(crops),
        "size_px": crops.size_px,
        "channels": list(crops.channels),
        "nuclei": crops.nuclei,
        "protein": crops.protein,
        "nucleus_diameter_px": crops.diameter_px,
        "pixel_size_nm": crops.pixel_size_nm,
        "levels": crops.levels.pairs,
        "background": None if crops.ground is None else vars(crops.ground),
        **more,
    }
    write_json(folder / RECORD, record)
    return [*written, folder / TABLE, folder / RECORD]


def refuse_crops_in(folder: StrPath) -> None:
    """Crops are never written over.

    Raises:
        OutputError: the folder holds crops or TIFFs already.
    """
    folder = Path(folder)
    if (folder / TABLE).exists() or (folder / RECORD).exists() or any(folder.glob("*.tif")):
        raise OutputError(f"{folder} holds crops or TIFFs already: choose another --output, or delete them first.")


def read_crop_set(folder: StrPath, split: str | None = None) -> CropSet:
    """A set of crops.

    Args:
        folder: with the table, the record and the TIFFs.
        split: "train" or "test" alone; None for all.

    Raises:
        ImageReadError: something is not there or damaged.
        UsageError: a well in two splits, also where one alone is asked for; a crop named twice, or other parts that do
            not fit; no crop of that split.
    """
    folder = Path(folder)
    for name in (TABLE, RECORD):
        if not (folder / name).is_file():
            raise ImageReadError(f"{folder} is no set of crops: it has no {name}. fluosr crops makes one from a plate.")
    record, rows = _record(folder / RECORD), _rows(folder / TABLE)
    check_wells(*(np.array([row[name] for row in rows]) for name in ("well", "treatment", "split")))
    twice = [place for place, count in Counter((row["file"], row["index"]) for row in rows).items() if count > 1]
    if twice:
        raise UsageError(f"{folder / TABLE}: crop {twice[0][1]} of {twice[0][0]} is there twice.")
    if split is not None:
        rows = [row for row in rows if row["split"] == split]
    if not rows:
        raise UsageError(f"{folder} holds no crop" + (f" of the {split} split." if split else "."))
    files: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(row["file"] for row in rows):
        if Path(name).name != name:
            raise ImageReadError(f"{folder / TABLE} names {name}: a file beside it is meant.")
        fields = open_fields(folder / name)
        files[name] = np.stack([fields.read(number) for number in range(fields.count)])
    try:
        pixels = np.stack([files[row["file"]][_whole(row["index"])] for row in rows])
        places = np.array([[float(row["y_px"]), float(row["x_px"])] for row in rows])
        areas = np.array([float(row["nucleus_area_px"]) for row in rows])
        levels = np.array(record["levels"], float)
        pixel = None if record["pixel_size_nm"] is None else float(record["pixel_size_nm"])
        channels = tuple(map(str, record["channels"]))
        nuclei, protein = int(record["nuclei"]), int(record["protein"])
        diameter = float(record["nucleus_diameter_px"])
        dark, bright = levels.T
        ground = _ground(record.get("background"))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ImageReadError(
            f"{folder}: its TIFFs, {TABLE} and {RECORD} do not fit each other ({type(error).__name__}: {error}). Make "
            "the crops anew."
        ) from error
    if not (np.isfinite(pixels).all() and np.isfinite(places).all() and math.isfinite(areas.sum())):
        raise ImageReadError(f"{folder} holds NaN or infinity; make the crops anew.")
    wells, treatments, splits = (np.array([row[name] for row in rows]) for name in ("well", "treatment", "split"))
    sources = np.array([row.get("field") or row["file"] for row in rows])
    return CropSet(
        pixels,
        wells,
        treatments,
        splits,
        sources,
        places,
        areas,
        channels,
        pixel,
        Levels(dark, bright),
        nuclei,
        protein,
        diameter,
        ground,
    )


def _ground(given: Any) -> Ground | None:
    if given is None:  # sets of other makers, and of before it was measured
        return None
    return Ground(np.array(given["level"], float), np.array(given["reach"], float), int(given["fields"]))


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise ImageReadError(f"{path} is no record of crops.")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageReadError(f"{path} cannot be read: {error}.") from error
    needed = COLUMNS[:-1]  # the field is for the reader's eyes
    for number, row in enumerate(rows, start=2):
        missing = [name for name in needed if not row.get(name)]
        if missing:
            raise ImageReadError(f"{path}, line {number}: {missing[0]} is missing.")
    return rows


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise IndexError(f"index {number}")
    return number


def _file_name(well: str, taken: dict[str, str]) -> str:
    """A name that every drive takes, another for every well."""
    base = re.sub(r"[^\w.-]", "_", well).strip(".") or "well"
    name, number = f"{base}.tif", 2
    while name.lower() in taken:
        name, number = f"{base}-{number}.tif", number + 1
    taken[name.lower()] = well
    return name
