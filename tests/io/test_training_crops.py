"""Folders of crops: only the training wells are read, and what is wrong with a folder is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.crop_sets import write_crop_set
from fluosr.io.training_crops import read_training_crops
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.levels import Levels
from tests.generation.dots import dots


def save(path: Path, array: np.ndarray, axes: str) -> None:
    tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": axes})


def make_set(folder: Path, pixels: np.ndarray | None = None, per_well: int = 12) -> Path:
    """Wells A1 and A2 to learn from, B1 to test on."""
    wells = np.repeat(["A1", "A2", "B1"], per_well)
    count = len(wells)
    crops = CropSet(
        np.concatenate([dots(per_well, 2, seed=number) for number in range(3)]) if pixels is None else pixels,
        wells,
        np.repeat("none", count),
        np.where(wells == "B1", "test", "train"),
        wells,
        np.full((count, 2), 10.0),
        np.full(count, 50.0),
        ("DNA", "GFP"),
        645.0,
        Levels(np.array([90.0, 80.0]), np.array([900.0, 700.0])),
        0,
        1,
        12.0,
    )
    write_crop_set(folder / "crops", crops)
    return folder / "crops"


def test_only_the_wells_of_the_training_split_are_read(tmp_path: Path) -> None:
    found = read_training_crops(make_set(tmp_path))
    np.testing.assert_array_equal(found.crops, np.concatenate([dots(12, 2, seed=0), dots(12, 2, seed=1)]))
    assert found.channels == ("DNA", "GFP") and found.pixel_size_nm == 645.0
    assert found.levels.pairs.tolist() == [[90.0, 900.0], [80.0, 700.0]]


def test_only_the_rows_of_the_table_are_read(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    rows = (folder / "crops.csv").read_text().splitlines(keepends=True)
    (folder / "crops.csv").write_text("".join([rows[0], *rows[5:]]))  # without four of A1
    found = read_training_crops(folder)
    np.testing.assert_array_equal(found.crops[0], dots(12, 2, seed=0)[4])
    assert len(found.crops) == 20


@pytest.mark.parametrize("channels", [1, 2])
def test_plain_images_are_crops_too(tmp_path: Path, channels: int) -> None:
    crops = dots(16, channels)
    for number, crop in enumerate(crops):
        save(tmp_path / f"{number:02}.tif", crop[0] if channels == 1 else crop, "YX" if channels == 1 else "CYX")
    found = read_training_crops(tmp_path)
    np.testing.assert_array_equal(found.crops, crops)
    assert found.channels == ("channel 0", "channel 1")[:channels] and found.pixel_size_nm is None


def spoilt_table(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        table = folder / "crops.csv"
        text = table.read_text()
        assert old in text
        table.write_text(text.replace(old, new, 1))

    return spoil


def few(folder: Path) -> None:
    table = folder / "crops.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:10]))


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a well in two splits": (spoilt_table("A1,none,train", "A1,none,test"), "well A1 has two of split"),
    "another split": (spoilt_table("none,train", "none,training"), "a split is train or test, got training"),
    "no index": (spoilt_table("A1.tif,0", "A1.tif,first"), "do not fit each other"),
    "a file elsewhere": (spoilt_table("A1.tif,0", "../A1.tif,0"), "a file beside it is meant"),
    "a crop twice": (spoilt_table("A1.tif,1,", "A1.tif,0,"), "crop 0 of A1.tif is there twice"),
    "a missing file": (lambda folder: (folder / "A1.tif").unlink(), "A1.tif"),
    "another size": (lambda folder: save(folder / "A2.tif", dots(12, 2, side=64), "TCYX"), "do not fit each other"),
    "NaN": (lambda folder: save(folder / "A2.tif", np.nan * dots(12, 2), "TCYX"), "NaN"),
    "too few": (few, "9 crops to learn from: at least 16"),
    "no description": (lambda folder: (folder / "crops.json").unlink(), "it has no crops.json"),
    "a damaged description": (lambda folder: (folder / "crops.json").write_text("{"), "cannot be read"),
    "none to learn from": (
        lambda folder: (folder / "crops.csv").write_text((folder / "crops.csv").read_text().replace("train", "test")),
        "no crop of the train split",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_set_is_said(tmp_path: Path, case: str) -> None:
    spoil, words = WRONG[case]
    folder = make_set(tmp_path)
    spoil(folder)
    with pytest.raises((UsageError, ImageReadError), match=words):
        read_training_crops(folder)


def test_an_empty_channel_is_named(tmp_path: Path) -> None:
    pixels = dots(36, 2)
    pixels[:, 1] = 7.0
    with pytest.raises(UsageError, match="'GFP' is empty: all its pixels are 7"):
        read_training_crops(make_set(tmp_path, pixels))


def test_no_folder_and_no_crops(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="not a folder"):
        read_training_crops(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no crops"):
        read_training_crops(tmp_path)


@pytest.mark.parametrize(("shape", "words"), [((33, 33), "33 x 33"), ((48, 48), "48 x 48"), ((32, 64), "32 x 64")])
def test_crops_that_are_no_square_of_a_power_of_two_are_refused(
    tmp_path: Path, shape: tuple[int, int], words: str
) -> None:
    random = np.random.default_rng(0)
    for number in range(16):
        save(tmp_path / f"{number}.tif", random.normal(size=shape).astype(np.float32), "YX")
    with pytest.raises(UsageError, match=f"crops of {words} pixels: .* 32, 64, 128 or 256"):
        read_training_crops(tmp_path)


def test_a_plain_crop_with_a_further_axis_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "one.tif", dots(3, 2), "TCYX")
    with pytest.raises(UsageError, match="a crop is"):
        read_training_crops(tmp_path)
