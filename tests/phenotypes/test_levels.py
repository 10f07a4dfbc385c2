"""Levels: one grey scale for a whole set of crops, the same for arrays and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.errors import UsageError
from fluosr.phenotypes.levels import Levels, grey_ends, levels_of_crops, levels_of_fields


def test_levels_map_dark_to_minus_one_and_bright_to_one_and_back() -> None:
    levels = Levels(np.array([100.0, 7.0]), np.array([300.0, 8.0]))
    grey = np.random.default_rng(1).uniform(0, 400, (3, 2, 4, 5)).astype(np.float32)
    assert levels.to_range(np.stack([np.full((2, 2), 100.0), np.full((2, 2), 8.0)])).tolist() == [
        [[-1.0, -1.0]] * 2,
        [[1.0, 1.0]] * 2,
    ]
    assert levels.to_grey(levels.to_range(grey)) == pytest.approx(grey, rel=1e-4, abs=1e-3)


def test_one_pair_of_levels_holds_for_the_brightest_field_too() -> None:
    generator = np.random.default_rng(2)
    fields = [generator.uniform(50, top, (1, 64, 64)) for top in (100, 100, 1000)]
    levels = levels_of_fields(np.array([grey_ends(field) for field in fields]), ("DNA",))
    assert levels.dark[0] == pytest.approx(50, abs=1) and levels.bright[0] > 990


def test_an_empty_channel_is_named() -> None:
    ends = np.array([[[0.0, 10.0], [3.0, 3.0]]])
    with pytest.raises(UsageError, match=r"channel 1 \(GFP\) is empty: its grey values are 3"):
        levels_of_fields(ends, ("DNA", "GFP"))
    with pytest.raises(UsageError, match="channel 0 is empty"):
        Levels(np.array([5.0]), np.array([5.0]))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arrays_and_tensors_are_mapped_to_the_same_bits_one_pixel_as_another(kind: type) -> None:
    levels = Levels(np.array([100.1, 50.3]), np.array([903.7, 251.9]))
    grey = np.random.default_rng(3).uniform(0, 1000, (3, 2, 4, 5)).astype(kind)
    for convert in (levels.to_range, levels.to_grey):
        whole = convert(grey)
        assert whole.dtype == kind
        assert (convert(torch.from_numpy(grey)).numpy() == whole).all()
        assert (convert(grey[1, :, 2:3, 3:4]) == whole[1, :, 2:3, 3:4]).all()
    for number, (dark, bright) in enumerate(zip(levels.dark, levels.bright, strict=True)):
        expected = 2 * (grey[:, number].astype(float) - dark) / (bright - dark) - 1
        assert levels.to_range(grey)[:, number] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert levels.to_range(np.full((2, 1, 1), 101, np.uint16)).dtype == np.float32


def test_levels_of_crops_are_their_tails_channel_by_channel() -> None:
    crops = np.random.default_rng(4).permutation(20_000).reshape(20, 1, 25, 40).astype(np.float32)
    found = levels_of_crops(np.concatenate([crops, 3 * crops + 7], 1), ("DNA", "GFP"))
    # 20 of 20,000 pixels are a thousandth
    assert found.pairs == pytest.approx(np.array([[20, 19_979], [67, 59_944]]), abs=0.1)
    assert Levels.of_pairs(found.pairs, ("DNA", "GFP")).pairs.tolist() == found.pairs.tolist()


@pytest.mark.parametrize("pairs", [[[0.0, 1.0]], [[0.0, np.inf], [0.0, 1.0]], [0.0, 1.0]])
def test_levels_that_are_no_pairs_of_numbers_are_refused(pairs: list) -> None:
    with pytest.raises(UsageError, match="two numbers for each of 2 channels"):
        Levels.of_pairs(np.array(pairs), ("DNA", "GFP"))
