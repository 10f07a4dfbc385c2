"""Simulated confocal fields on disk, as pairs that a restorer learns from or is judged by."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import OutputError, UsageError
from fluosr.io.write import make_folder, write_json, write_movie, write_ome_tiff
from fluosr.machine import size_in_words
from fluosr.simulate.confocal_fields import ConfocalField

RECORD = "simulation.json"  # of every field that is there: what it was made from
ENDINGS = (".tif", "-truth.ome.tif")
MOST_NAMED = 3


@dataclass(frozen=True)
class SavedFields:
    """What was written.

    Args:
        files: of every field its fast frames, then its good image.
        fast_saturated: share of the fast frames' pixels at their highest grey value, where light is cut off.
        slow_saturated: likewise of the slow scans.
        fast_at_zero: share of the fast frames' pixels at 0, where read noise is cut off; 0 without read noise.
    """

    files: tuple[Path, ...]
    fast_saturated: float
    slow_saturated: float
    fast_at_zero: float


def save_fields(
    folder: Path,
    fields: Iterable[ConfocalField],
    repeats: int,
    *,
    clean: bool = False,
    done: Callable[[int], None] | None = None,
) -> SavedFields:
    """Write for each field ``STRUCTURE-SEED.tif`` with its fast frames, and ``STRUCTURE-SEED-truth.ome.tif``.

    Should it stop, ``simulation.json`` tells of the fields that are there, each with the simulation that made it.

    Args:
        folder: made where it is not there. Fields of an earlier simulation are replaced if all of them have the names
            of these.
        fields: to take.
        repeats: fast frames of each.
        clean: the truth is the slow scan's expectation instead of the slow scan with its own noise.
        done: is told after each field how many are.

    Raises:
        UsageError: no fields.
        OutputError: no room or no permission; files of another origin lie there, or fields that would stay among these.
    """
    fields = list(fields)
    if not fields:
        raise UsageError("there is no field to simulate.")
    make_folder(folder)
    record = {_name(field): {"repeats": repeats, "clean": clean, **field.describe()} for field in fields}
    earlier = _earlier(folder)
    _refuse_to_mix(folder, earlier, record)
    need = sum(math.prod(f.shape) * (2 * repeats + 4 * f.microscope.factor**2) for f in fields)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder}: the fields take {size_in_words(need)}, and {size_in_words(free)} are free there. Take fewer "
            "--fields or --repeats, or another --output."
        )
    written: list[Path] = []
    cut: list[tuple[float, float, float]] = []
    try:
        for number, field in enumerate(fields):
            # Before its files, which without a record would be taken for someone else's; and not long before, so that
            # a process that is killed leaves no record of fields that it never came to.
            begun = dict(list(record.items())[: number + 1])
            _write_record(folder, earlier | begun)
            files, shares = _save(folder, field, repeats, clean)
            written += files
            cut.append(shares)
            if done is not None:
                done(number + 1)
    except BaseException:
        there = {path.name for path in written}
        with suppress(OutputError):  # what stopped it is what is told
            _write_record(folder, earlier | {n: entry for n, entry in record.items() if n + ENDINGS[0] in there})
        with suppress(OSError):  # other files lie there
            folder.rmdir()
        raise
    return SavedFields(tuple(written), *np.mean(cut, 0).tolist())


def _save(
    folder: Path, field: ConfocalField, repeats: int, clean: bool
) -> tuple[list[Path], tuple[float, float, float]]:
    movie, truth = (folder / f"{_name(field)}{ending}" for ending in ENDINGS)
    pixel, alone = field.microscope.pixel_size_nm, not truth.exists()
    fast = field.fast_frames(repeats)
    high = field.clean_frame() if clean else field.slow_frame().astype(np.float32)
    write_movie(movie, fast, repeats, np.dtype(np.uint16), pixel, None)
    try:
        write_ome_tiff(truth, high, pixel / field.microscope.factor, truth.name)
    except BaseException:
        if alone:
            movie.unlink(missing_ok=True)
        raise
    shares = (
        float((fast == field.microscope.ceiling_adu).mean()),
        float((high >= field.slow_microscope.ceiling_adu).mean()),
        float((fast == 0).mean()) if field.microscope.read_noise_adu else 0.0,
    )
    return [movie, truth], shares


def _name(field: ConfocalField) -> str:
    return f"{field.structure}-{field.seed:04d}"


def _earlier(folder: Path) -> dict[str, Any]:
    """By their names, the fields that an earlier simulation left in a folder and that are still there.

    Raises:
        OutputError: the record is none of ours.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        found = {
            f"{entry['structure']}-{entry['seed']:04d}": entry for entry in json.loads(path.read_bytes())["fields"]
        }
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise OutputError(f"{path} was left by no simulation of fields; choose another --output.") from None
    return {name: entry for name, entry in found.items() if any((folder / f"{name}{end}").exists() for end in ENDINGS)}


def _refuse_to_mix(folder: Path, earlier: dict[str, Any], record: dict[str, Any]) -> None:
    ours = {f"{name}{ending}" for name in earlier for ending in ENDINGS}
    if {path.name for path in folder.glob("*.tif")} - ours:
        raise OutputError(f"{folder} holds TIFFs that no earlier simulation left there; choose another --output.")
    left = sorted(earlier.keys() - record.keys())
    if left:
        names = ", ".join(left[:MOST_NAMED]) + (", ..." if len(left) > MOST_NAMED else "")
        raise OutputError(
            f"{folder} holds fields of an earlier simulation that would stay among these ({names}): delete them, or "
            "choose another --output."
        )


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    if record:
        write_json(folder / RECORD, {"fields": list(record.values())})
    else:
        (folder / RECORD).unlink(missing_ok=True)
