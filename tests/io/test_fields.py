"""Folders of fields: pairs, good images alone, and a split of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.fields import read_fields, read_split
from tests.restoration.fields_at_hand import field


def write_pairs(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        one = field(number)
        assert one.low is not None
        tifffile.imwrite(folder / f"f{number}.tif", one.low.astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
        tifffile.imwrite(folder / f"f{number}-truth.tif", one.high)


def test_pairs_and_good_images_of_one_folder(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", range(3))
    pairs = read_fields(tmp_path / "pairs", paired=True)
    assert [f.name for f in pairs] == ["f0", "f1", "f2"]
    assert all(f.low is not None and f.low.shape == (2, 24, 24) and f.high.shape == (48, 48) for f in pairs)
    alone = read_fields(tmp_path / "pairs", paired=False)
    assert [f.name for f in alone] == ["f0", "f1", "f2"] and all(f.low is None for f in alone)
    np.testing.assert_array_equal(alone[1].high, pairs[1].high)


def test_a_folder_of_good_images(tmp_path: Path) -> None:
    for name in ("b", "a"):
        tifffile.imwrite(tmp_path / f"{name}.tif", field(1).high)
    assert [f.name for f in read_fields(tmp_path, paired=False)] == ["a", "b"]
    learnt, looked_at, warnings = read_split(tmp_path, paired=False, factor=2)
    assert len(learnt) == 2 and not looked_at and not warnings


def test_a_truth_among_good_images_does_not_hide_them(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", range(2))
    for name in ("f0-mean", "f0-background"):  # as `fluosr simulate` leaves them
        tifffile.imwrite(tmp_path / "pairs" / f"{name}.tif", field(7).high)
    assert len(read_fields(tmp_path / "pairs", paired=False)) == 2
    for number in range(2):
        (tmp_path / "pairs" / f"f{number}.tif").unlink()
    assert [f.name for f in read_fields(tmp_path / "pairs", paired=False)] == ["f0", "f1"]
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "pairs" / f"{name}.tif", field(1).high)
    with pytest.raises(UsageError, match=r"f0-truth\.tif beside a\.tif, which has no truth \(2 of 2 files have none\)"):
        read_fields(tmp_path / "pairs", paired=False)


def test_a_split_of_ones_own(tmp_path: Path) -> None:
    write_pairs(tmp_path / "training", range(3))
    write_pairs(tmp_path / "validation", range(3, 5))
    learnt, looked_at, _ = read_split(tmp_path, paired=True, factor=2)
    assert [len(learnt), len(looked_at)] == [3, 2]


def test_pairs_are_checked_by_name(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", range(2))
    with pytest.raises(UsageError, match=r"f0.*must have 96 x 96"):
        read_split(tmp_path / "pairs", paired=True, factor=4)


@pytest.mark.parametrize(
    ("image", "said"),
    [(np.full((48, 48), 7, np.uint16), "bad: the good image is constant"), (np.full((48, 48), np.nan), "bad.*finite")],
)
def test_good_images_alone_are_checked_by_name(tmp_path: Path, image: np.ndarray, said: str) -> None:
    tifffile.imwrite(tmp_path / "fine.tif", field(1).high)
    tifffile.imwrite(tmp_path / "bad.tif", image)
    with pytest.raises(UsageError, match=said):
        read_split(tmp_path, paired=False, factor=2)


def test_clipped_good_images_are_said_and_all_are_float32(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "clipped.tif", field(1).high.clip(max=float(np.quantile(field(1).high, 0.9))))
    tifffile.imwrite(tmp_path / "whole.tif", field(2).high.astype(np.uint16))
    learnt, _, (said,) = read_split(tmp_path, paired=False, factor=2)
    assert said.startswith("clipped: 10 % of the pixels of the good image")
    assert [one.high.dtype for one in learnt] == [np.float32] * 2


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="is not a folder"):
        read_fields(tmp_path / "absent", paired=False)
    with pytest.raises(UsageError, match="holds no TIFF"):
        read_fields(tmp_path, paired=False)
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((5, 8, 8), np.uint16), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UsageError, match="5 images; the good image"):
        read_fields(tmp_path, paired=False)
    with pytest.raises(UsageError, match="no partner"):
        read_fields(tmp_path, paired=True)


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", range(2))
    for name in ("._f0.tif", ".f9-truth.tif", ".DS_Store"):  # as a Mac leaves them on a stick
        (tmp_path / "pairs" / name).write_bytes(b"no TIFF")
    assert [f.name for f in read_fields(tmp_path / "pairs", paired=True)] == ["f0", "f1"]


@pytest.mark.parametrize(("there", "missing"), [("training", "validation"), ("validation", "training")])
def test_half_a_split_is_said(tmp_path: Path, there: str, missing: str) -> None:
    write_pairs(tmp_path / there, range(1))
    with pytest.raises(UsageError, match=f"has a folder {there} and none called {missing}"):
        read_split(tmp_path, paired=True, factor=2)


def test_advice_is_of_options_that_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    write_pairs(folder, range(1))
    frames = np.ones((2, 3, 24, 24), np.uint16)
    tifffile.imwrite(folder / "f0.tif", frames, imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(UsageError, match=r"f0\.tif has the axes TCYX") as raised:
        read_fields(folder, paired=True)
    assert "--" not in str(raised.value)
    tifffile.imwrite(folder / "f0.tif", frames[:, 0], imagej=True, metadata={"axes": "TYX"})
    (folder / "f0.tif").write_bytes((folder / "f0.tif").read_bytes()[:-1000])
    with pytest.raises(ImageReadError, match="cut short") as told:
        read_fields(folder, paired=True)
    assert "--" not in str(told.value)
