"""Folders of crops to learn a generator from: a set with its table, or plain TIFFs of one shape."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fluosr.errors import ImageReadError, UsageError
from fluosr.generation.crops import TrainingCrops
from fluosr.io.crop_sets import TABLE, read_crop_set
from fluosr.io.pairs import stems
from fluosr.io.tiff import open_images


def read_training_crops(folder: Path) -> TrainingCrops:
    """The crops of a folder that are to be learnt from, everything checked.

    Args:
        folder: either a set as ``fluosr crops`` writes it, of which only the crops of the training wells are read; or
            plain TIFFs, each one crop (Y, X) or (C, Y, X).

    Raises:
        ImageReadError: no such folder, a file that is missing or cannot be read.
        UsageError: no crops, crops of different shapes, and all that :func:`read_crop_set` and :class:`TrainingCrops`
            say.
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
    crops = read_crop_set(folder, "train")
    return TrainingCrops.checked(crops.pixels, crops.channels, crops.levels, crops.pixel_size_nm)


def _stacked(arrays: list[np.ndarray], files: Iterable[Path]) -> np.ndarray:
    for array, path in zip(arrays, files, strict=True):
        if array.shape != arrays[0].shape:
            raise UsageError(
                f"{path} has crops (C, Y, X) of {array.shape}, others of {arrays[0].shape}: all must have one size and "
                "the same channels."
            )
    return np.stack(arrays)
