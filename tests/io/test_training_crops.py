"""Folders of crops: only the training wells are read, and what is wrong with a folder is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.training_crops import read_training_crops
from tests.generation.dots import dots

HEAD = "file,index,well,treatment,split,y_px,x_px,nucleus_area_px\n"


def save(path: Path, array: np.ndarray, axes: str) -> None:
    tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": axes})


def make_set(folder: Path, channels: int = 2, per_well: int = 12, **changes: Any) -> Path:
    """Wells A1 and A2 to learn from, B1 to test on."""
    rows = []
    for number, (well, split) in enumerate([("A1", "train"), ("A2", "train"), ("B1", "test")]):
        save(folder / f"{well}.tif", dots(per_well, channels, seed=number), "TCYX")
        rows += [f"{well}.tif,{i},{well},none,{split},10,10,50\n" for i in range(per_well)]
    (folder / "crops.csv").write_text(HEAD + "".join(rows))
    described = {"channels": ["DNA", "GFP"][:channels], "pixel_size_nm": 645.0, "software": "fluosr"} | changes
    (folder / "crops.json").write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize("channels", [1, 2])
def test_only_the_wells_of_the_training_split_are_read(tmp_path: Path, channels: int) -> None:
    found = read_training_crops(make_set(tmp_path, channels))
    expected = np.concatenate([dots(12, channels, seed=0), dots(12, channels, seed=1)])
    np.testing.assert_array_equal(found.crops, expected)
    assert found.channels == ("DNA", "GFP")[:channels] and found.pixel_size_nm == 645.0
    for channel, (dark, bright) in enumerate(found.levels):
        assert (dark, bright) == pytest.approx(tuple(np.percentile(expected[:, channel], [0.1, 99.9])))


def test_the_levels_of_a_set_are_its_own_where_it_has_some(tmp_path: Path) -> None:
    found = read_training_crops(make_set(tmp_path, levels=[[90, 900], [80, 700]]))
    assert found.levels.tolist() == [[90.0, 900.0], [80.0, 700.0]]


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


def spoilt_images(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: save(folder / "A2.tif", change(dots(12, 2, seed=1)), "TCYX")


def with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(crops: np.ndarray) -> np.ndarray:
        crops[3, 1, 4, 4] = value
        return crops

    return change


def described(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "crops.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def one_empty_channel(folder: Path) -> None:
    for well in ("A1", "A2"):
        crops = dots(12, 2)
        crops[:, 1] = 7.0
        save(folder / f"{well}.tif", crops, "TCYX")


def few(folder: Path) -> None:
    table = folder / "crops.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:10]))


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a well in two splits": (
        spoilt_table("A1,none,train", "A1,none,test"),
        "well 'A1' is in the splits test and train",
    ),
    "another split": (spoilt_table("none,train", "none,training"), "'training' is neither train nor test"),
    "no column": (spoilt_table("well", "place"), "no column 'well'"),
    "no index": (spoilt_table("A1.tif,0", "A1.tif,first"), "line 2"),
    "a file elsewhere": (spoilt_table("A1.tif,0", "../A1.tif,0"), "no file of this folder"),
    "a crop twice": (spoilt_table("A1.tif,1,", "A1.tif,0,"), "crop 0 of A1.tif is there twice"),
    "an index too far": (spoilt_table("A1.tif,11", "A1.tif,12"), "has 12 crops; crops.csv names one of index 12"),
    "a missing file": (lambda folder: (folder / "A1.tif").unlink(), "A1.tif"),
    "another size": (spoilt_images(lambda c: np.tile(c, 2)), r"\(2, 32, 64\), others of \(2, 32, 32\)"),
    "a channel less": (spoilt_images(lambda c: c[:11, :1]), "no multiple of the 2 channels"),
    "NaN": (spoilt_images(with_value(np.nan)), "crop 15 has values that are not finite"),
    "infinity": (spoilt_images(with_value(np.inf)), "crop 15 has values that are not finite"),
    "an empty channel": (one_empty_channel, "'GFP' is empty: all its pixels are 7"),
    "too few": (few, "9 crops to learn from: at least 16"),
    "no description": (lambda folder: (folder / "crops.json").unlink(), "stands beside crops.csv"),
    "a damaged description": (lambda folder: (folder / "crops.json").write_text("{"), "damaged"),
    "a description of nothing": (lambda folder: (folder / "crops.json").write_text("[]"), "names of the channels"),
    "levels of another set": (described(levels=[[1, 2]]), "for each of 2 channels"),
    "levels that are one": (described(levels=[[1, 2], [5, 5]]), "'GFP' is empty"),
    "a pixel of no size": (described(pixel_size_nm=-1), "'pixel_size_nm' is -1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_set_is_said(tmp_path: Path, case: str) -> None:
    spoil, words = WRONG[case]
    spoil(make_set(tmp_path))
    with pytest.raises((UsageError, ImageReadError), match=words):
        read_training_crops(tmp_path)


def test_no_folder_no_crops_and_nothing_for_training(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="not a folder"):
        read_training_crops(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no crops"):
        read_training_crops(tmp_path)
    make_set(tmp_path)
    table = tmp_path / "crops.csv"
    table.write_text(table.read_text().replace("train", "test"))
    with pytest.raises(UsageError, match="no crop whose split is train"):
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
