"""Plates on disk: a folder of TIFFs with plate.csv, or TIFFs that are each given their treatment."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.channels import ChannelFields, open_fields
from fluosr.phenotypes.plate import Plate, PlateField

TABLE = "plate.csv"
COLUMNS = ("file", "well", "treatment")
SAME_SIZE = 1e-3  # relative: what two files may differ by and mean one size
SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
HOW = (
    f"A plate is a folder of TIFFs with {TABLE} (columns file, well, treatment, and if wished split), or TIFFs with "
    "their treatment behind a colon, such as negative.tif:untreated positive.tif:treated"
)


def open_plate(sources: Sequence[str], channels: Sequence[str] = ()) -> Plate:
    """A plate, its images left on disk.

    Args:
        sources: one folder; or FILE:TREATMENT, for a file of several wells one treatment for all, or as many as it has
            wells, parted by commas.
        channels: names; without them the files' own.

    Raises:
        ImageReadError: a folder, table or image that is not there or cannot be read.
        UsageError: what was given is no plate, wells of unequal channels, or another number of names.
    """
    if not sources:
        raise UsageError(f"no plate was given. {HOW}.")
    if len(sources) == 1 and Path(sources[0]).is_dir():
        found = _of_folder(Path(sources[0]), len(channels))
    else:
        found = [row for source in sources for row in _of_file(source, len(channels))]
        file_of: dict[str, Path] = {}
        for field, fields in found:
            earlier = file_of.setdefault(field.well, fields.path)
            if earlier.resolve() != fields.path.resolve():
                raise UsageError(
                    f"{earlier} and {fields.path} would both be well {field.well}: rename one, or put them "
                    f"into a folder with {TABLE}."
                )
    opened = {id(fields): fields for _, fields in found}
    first, *others = opened.values()
    for other in others:
        if len(other.channels) != len(first.channels):
            raise UsageError(
                f"{first.path} has {len(first.channels)} channels and {other.path} {len(other.channels)}: all wells of "
                "a plate have the same."
            )
        if not channels and other.channels != first.channels and set(other.channels) == set(first.channels):
            raise UsageError(
                f"{first.path} has the channels {', '.join(first.channels)}, and {other.path} the same in another "
                f"order: {', '.join(other.channels)}. Save them in one order, or say with --channels what they are."
            )
    names = tuple(channels) or first.channels
    if len(names) != len(first.channels) or len(set(names)) != len(names):
        raise UsageError(f"{first.path} has {len(first.channels)} channels; as names were given: {', '.join(names)}.")
    _refuse_twice(found)
    return Plate([field for field, _ in found], names, _pixel_size_nm(list(opened.values())))


def _pixel_size_nm(files: list[ChannelFields]) -> float | None:
    """The one of all files; None where one of them does not say."""
    known = [(file.pixel_size_nm, file.path) for file in files if file.pixel_size_nm is not None]
    if known:
        (least, small), (most, large) = min(known), max(known)
        if most > least * (1 + SAME_SIZE):
            raise UsageError(
                f"{small} has pixels of {least:.4g} nm and {large} of {most:.4g} nm: cells of two magnifications "
                "cannot be compared. Bring them to one pixel size first."
            )
    return known[0][0] if len(known) == len(files) else None


def _refuse_twice(found: list[tuple[PlateField, ChannelFields]]) -> None:
    """Each image stands for one well, and each file given by itself has wells of its own."""
    seen: set[tuple[Path, str]] = set()
    for field, fields in found:
        number = field.source.rpartition("[")[2] if fields.count > 1 else ""
        place = (fields.path.resolve(), number)
        if place in seen:
            raise UsageError(f"{field.source} is there twice: copies of a well are no further wells.")
        seen.add(place)


def _of_folder(folder: Path, named: int) -> list[tuple[PlateField, ChannelFields]]:
    table = folder / TABLE
    if not table.is_file():
        raise ImageReadError(f"{folder} has no {TABLE}. {HOW}.")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            heads = [(head or "").strip().lower() for head in reader.fieldnames or []]
            reader.fieldnames = heads
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise ImageReadError(f"{table} cannot be read as a table of text: {error}.") from error
    missing = [column for column in COLUMNS if column not in heads]
    if missing or not rows:
        what = f"no column {missing[0]}" if missing else "no row"
        raise UsageError(f"{table} has {what}; it needs file, well and treatment, a row a field.")
    found = []
    for number, row in enumerate(rows, start=2):
        empty = [column for column in COLUMNS if not row[column]]
        if empty:
            raise UsageError(f"{table}, line {number}: {empty[0]} is empty.")
        fields = open_fields(folder / row["file"], named)
        if fields.count > 1:
            raise UsageError(
                f"{fields.path} holds {fields.count} fields; a row of {TABLE} is one: save them apart, or give the "
                "file by itself as FILE:TREATMENT."
            )
        field = PlateField(
            row["well"], row["treatment"], row["file"], partial(fields.read, 0), row.get("split") or None
        )
        found.append((field, fields))
    return found


def _of_file(source: str, named: int) -> list[tuple[PlateField, ChannelFields]]:
    name, colon, text = source.rpartition(":")
    if not colon or not name or Path(source).is_file():
        raise UsageError(f"{source} is given without its treatment. {HOW}.")
    if not Path(name).is_file():
        raise ImageReadError(f"{name} is not there. {HOW}.")
    fields = open_fields(Path(name), named)
    treatments = [part.strip() for part in text.split(",")]
    if not all(treatments):
        raise UsageError(f"{source}: the treatment is empty. {HOW}.")
    if len(treatments) == 1:
        treatments *= fields.count
    if len(treatments) != fields.count:
        raise UsageError(f"{name} holds {fields.count} wells and {len(treatments)} treatments were given: {text}.")
    stem = fields.path.name
    stem = next((stem[: -len(end)] for end in SUFFIXES if stem.lower().endswith(end)), stem)
    wells = [stem] if fields.count == 1 else [f"{stem}-{number + 1:02d}" for number in range(fields.count)]
    return [
        (PlateField(well, treatment, f"{fields.path.name}[{number}]", partial(fields.read, number)), fields)
        for number, (well, treatment) in enumerate(zip(wells, treatments, strict=True))
    ]
