"""Folders of crops to learn a generator from: a set with its table, or plain TIFFs of one shape."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import ImageReadError, UsageError
from fluosr.generation.crops import TrainingCrops
from fluosr.io.pairs import stems
from fluosr.io.tiff import open_images

TABLE, DESCRIPTION = "crops.csv", "crops.json"
COLUMNS = ("file", "index", "well", "split")
SPLITS = ("train", "test")


def read_training_crops(folder: Path) -> TrainingCrops:
    """The crops of a folder that are to be learnt from, everything checked.

    Args:
        folder: either a set: ``crops.csv`` with the columns file, index, well and split (train or test), ``crops.json``
            with ``channels`` (names), and if known ``pixel_size_nm`` and ``levels`` (dark and bright grey value of
            each channel), and a TIFF (N, C, Y, X) for each well, of which only the crops of the split "train" are
            read; or plain TIFFs, each one crop (Y, X) or (C, Y, X).

    Raises:
        ImageReadError: no such folder, a file that is missing or cannot be read.
        UsageError: no crops, crops of different shapes, a table or description that cannot be, a well in two splits,
            and all that :class:`TrainingCrops` says of its arrays.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder} is not a folder; a folder of crops is meant.")
    return _of_a_set(folder) if (folder / TABLE).exists() else _of_images(folder)


def _of_images(folder: Path) -> TrainingCrops:
    files = list(stems(folder).values())
    if not files:
        raise UsageError(f"{folder} holds no crops: neither a table {TABLE} nor a TIFF.")
    arrays = []
    for path in files:
        opened = open_images(path)
        if len(opened.metadata["axes"]) > 3:
            raise UsageError(f"{path} has the axes {opened.metadata['axes']}; a crop is (Y, X) or (C, Y, X).")
        arrays.append(opened.frames.read(slice(0, opened.frames.shape[0])).astype(np.float32, copy=False))
    return TrainingCrops.checked(_stacked(arrays, files))


def _of_a_set(folder: Path) -> TrainingCrops:
    described = _description(folder / DESCRIPTION)
    names = described["channels"]
    arrays, files = [], []
    for name, wanted in _learnt_rows(folder / TABLE).items():
        path = folder / name
        frames = open_images(path).frames
        count, over = divmod(frames.shape[0], len(names))
        if over:
            raise UsageError(
                f"{path} has {frames.shape[0]} images, no multiple of the {len(names)} channels in {DESCRIPTION}."
            )
        if wanted[-1] >= count:
            raise UsageError(f"{path} has {count} crops; {TABLE} names one of index {wanted[-1]}.")
        every = frames.read(slice(0, frames.shape[0])).astype(np.float32, copy=False)
        arrays += list(every.reshape(count, len(names), *every.shape[1:])[wanted])
        files += [path] * len(wanted)
    if not arrays:
        raise UsageError(f"{folder / TABLE} has no crop whose split is train: there is nothing to learn from.")
    levels = described.get("levels")
    return TrainingCrops.checked(
        _stacked(arrays, files),
        tuple(names),
        None if levels is None else np.array(levels, float),
        described.get("pixel_size_nm"),
    )


def _learnt_rows(path: Path) -> dict[str, list[int]]:
    """File -> indices of its crops to learn from, rising; the whole table is checked."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageReadError(f"{path} cannot be read as a table: {error}.") from error
    if missing:
        raise UsageError(f"{path} has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}.")
    split_of: dict[str, str] = {}
    learnt: dict[str, set[int]] = {}
    for line, row in enumerate(rows, 2):
        name, index, well, split = (row[column] or "" for column in COLUMNS)
        if split not in SPLITS:
            raise UsageError(f"{path}, line {line}: the split {split!r} is neither train nor test.")
        if split_of.setdefault(well, split) != split:
            raise UsageError(
                f"{path}, line {line}: well {well!r} is in the splits {split_of[well]} and {split}. Cells of one well "
                "resemble each other: give every well one split."
            )
        if not index.isdecimal() or Path(name).name != name or not name:
            raise UsageError(f"{path}, line {line}: {name!r}, {index!r} is no file of this folder and index from 0.")
        if split == "train":
            indices = learnt.setdefault(name, set())
            if int(index) in indices:
                raise UsageError(f"{path}, line {line}: crop {index} of {name} is there twice.")
            indices.add(int(index))
    return {name: sorted(indices) for name, indices in learnt.items()}


def _description(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImageReadError(f"{path} cannot be read: {error.strerror}. It stands beside {TABLE}.") from error
    except (ValueError, RecursionError) as error:
        raise ImageReadError(f"{path} is damaged ({error}).") from error
    names = described.get("channels") if isinstance(described, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: 'channels' must be the names of the channels.")
    pixel, levels = described.get("pixel_size_nm"), described.get("levels")
    if pixel is not None and not (isinstance(pixel, int | float) and 0 < pixel < float("inf")):
        raise UsageError(f"{path}: 'pixel_size_nm' is {pixel!r}.")
    try:
        fits = levels is None or np.array(levels, float).shape == (len(names), 2)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UsageError(f"{path}: 'levels' must be [dark, bright] for each of {len(names)} channels.")
    return described


def _stacked(arrays: list[np.ndarray], files: Iterable[Path]) -> np.ndarray:
    for array, path in zip(arrays, files, strict=True):
        if array.shape != arrays[0].shape:
            raise UsageError(
                f"{path} has crops (C, Y, X) of {array.shape}, others of {arrays[0].shape}: all must have one size and "
                "the same channels."
            )
    return np.stack(arrays)
