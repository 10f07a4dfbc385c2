"""Folders of fields to learn restoration from, or to judge it by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fluosr.errors import UsageError
from fluosr.io.pairs import BESIDE, TRUTH, images_of, paired_files, stems
from fluosr.restoration.fields import Field
from fluosr.restoration.pairing import check_good, check_pair

SPLITS = ("training", "validation")


def read_fields(folder: Path, *, paired: bool) -> list[Field]:
    """Every field of a folder, in the order of their names.

    Args:
        folder: for pairs NAME.tif with the frames of one field, one or several, and NAME-truth.tif with its good image;
            else NAME.tif with a good image each; of a folder of pairs, or of nothing but truths, these are taken.
        paired: whether frames are wanted.

    Raises:
        ImageReadError: no such folder, or a file that cannot be read.
        UsageError: nothing there, one half of a pair is missing, files with a truth beside files without, or a good
            image that is a stack; says which.
    """
    if paired:
        return [
            Field(name, _one(truth), images_of(movie).astype(np.float32, copy=False))
            for name, movie, truth in paired_files(folder)
        ]
    every = stems(folder)
    truths = {stem.removesuffix(TRUTH): path for stem, path in every.items() if stem.endswith(TRUTH)}
    found = truths or every  # of a folder of pairs, the good images
    others = [stem for stem in every if not stem.endswith((TRUTH, *BESIDE))]
    alone = [stem for stem in others if stem not in truths]
    if truths and alone:
        first = next(iter(truths.values())).name
        raise UsageError(
            f"{folder} holds {first} beside {every[alone[0]].name}, which has no truth ({len(alone)} of {len(others)} "
            f"files have none): which are the good images? Move those without out, or call {first} something else."
        )
    if not found:
        raise UsageError(f"{folder} holds no TIFF; it is to hold the good images, one file a field.")
    return [Field(name, _one(path)) for name, path in found.items()]


def read_split(folder: Path, *, paired: bool, factor: int) -> tuple[list[Field], list[Field], list[str]]:
    """(to learn from, to validate on, what the user should know), each pair or good image checked.

    Args:
        folder: as for :func:`read_fields`, or with two such folders ``training`` and ``validation``; without them
            nothing is set apart here.
        paired: whether frames are wanted.
        factor: s.

    Raises:
        ImageReadError, UsageError: as for :func:`read_fields`, and :func:`check_pair` or :func:`check_good`; one of
            the two folders alone.
    """
    there = [name for name in SPLITS if (folder / name).is_dir()]
    if len(there) == 1:
        (missing,) = set(SPLITS) - set(there)
        raise UsageError(
            f"{folder} has a folder {there[0]} and none called {missing}: a split of your own takes both; else name "
            "the folder that holds the files themselves, and call none in it training or validation."
        )
    folders = [folder / name for name in there] or [folder]
    splits = [read_fields(path, paired=paired) for path in folders]
    every = [field for fields in splits for field in fields]
    warnings = [said for one in every for said in (check_pair(one, factor) if paired else check_good(one))]
    return splits[0], splits[1] if len(splits) > 1 else [], warnings


def read_test_split(folder: Path, *, factor: int) -> tuple[tuple[list[Field], list[Field], list[Field]], list[str]]:
    """(training, validation, test) fields of pairs, and what the user should know.

    Args:
        folder: with three folders of these names.
        factor: s.

    Raises:
        UsageError: one of the folders is missing; else as for :func:`read_split`.
    """
    names = (*SPLITS, "test")
    missing = [name for name in names if not (folder / name).is_dir()]
    if missing:
        raise UsageError(f"{folder} has no folder {missing[0]}; it must have {', '.join(names)}, each with pairs.")
    training, validation, test = (read_fields(folder / name, paired=True) for name in names)
    warnings = [said for field in (*training, *validation, *test) for said in check_pair(field, factor)]
    return (training, validation, test), warnings


def _one(path: Path) -> np.ndarray:
    images = images_of(path)
    if len(images) != 1:
        raise UsageError(f"{path} has {len(images)} images; the good image of a field is one.")
    return images[0].astype(np.float32, copy=False)
