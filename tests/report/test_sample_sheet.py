"""Sheets of samples: each image in its place, at the contrast of all, in the colours that are said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from fluosr.report.sample_sheet import GAP_GREY, SampleSheets, in_colour, write_sheet


def test_each_image_is_in_its_place_with_gaps_between(tmp_path: Path) -> None:
    images = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((5, 1, 96, 96))
    sheet = imread(write_sheet(tmp_path / "deep" / "sheet.png", images))[..., :3]
    assert sheet.shape == (2 * 97 - 1, 3 * 97 - 1, 3)
    found = [sheet[97 * (n // 3) + 50, 97 * (n % 3) + 50, 0] for n in range(6)]
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 0.75, 1, GAP_GREY], atol=1 / 255)
    np.testing.assert_allclose(sheet[96], GAP_GREY, atol=1 / 255)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_small_images_are_enlarged_pixel_by_pixel(tmp_path: Path) -> None:
    images = np.full((1, 1, 32, 32), -1.0)
    images[0, 0, 3, 5] = 1.0
    sheet = imread(write_sheet(tmp_path / "sheet.png", images))[..., 0]
    assert sheet.shape == (96, 96) and sheet.sum() == 9 and sheet[9:12, 15:18].all()


@pytest.mark.parametrize(
    ("channels", "colour"), [(1, [0.5, 0.5, 0.5]), (2, [0.5, 1, 0.5]), (3, [1, 1, 0.5]), (4, [1, 1, 0.5])]
)
def test_channels_have_their_colours(channels: int, colour: list[float]) -> None:
    image = np.ones((1, channels, 2, 2))
    image[:, 0] = 0.0
    image[:, 3:] = 7.0
    np.testing.assert_allclose(in_colour(image)[0, 0, 0], colour)


def test_all_sheets_of_a_training_have_its_columns(tmp_path: Path) -> None:
    images = np.zeros((6, 1, 96, 96))
    for columns, shape in ((None, (2, 3)), (2, (3, 2)), (6, (1, 6))):
        sheets = SampleSheets(tmp_path / "cells.samples", resumed=False, columns=columns)
        for seen in (0, 8):
            assert imread(sheets.write(images, seen)).shape[:2] == tuple(97 * count - 1 for count in shape)


def test_sheets_of_an_earlier_training_go_unless_it_is_resumed(tmp_path: Path) -> None:
    images, folder = np.zeros((1, 1, 32, 32)), tmp_path / "cells.samples"
    first = SampleSheets(folder, resumed=False)
    for seen in (0, 8, 16):
        first.write(images, seen)
    (folder / "mine.png").write_bytes(b"mine")
    SampleSheets(folder, resumed=True).write(images, 24)
    assert len(list(folder.iterdir())) == 5
    again = SampleSheets(folder, resumed=False)
    again.write(images, 0)
    again.write(images, 12)
    assert sorted(path.name for path in folder.iterdir()) == ["0000000000.png", "0000000012.png", "mine.png"]
