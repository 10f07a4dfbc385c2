"""Crops: centred and whole; and wells that never lie in two splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.phenotypes.crops import cut_crops
from fluosr.phenotypes.nuclei import Nuclei
from fluosr.phenotypes.wells import split_wells
from tests.plates import crop_set


def nuclei_at(*centres: tuple[float, float], border: bool = False) -> Nuclei:
    places = np.array(centres).reshape(-1, 2)
    count = len(places)
    return Nuclei(np.zeros((64, 80), np.int32), places, np.full(count, 50), np.full(count, border), 10.0)


@given(y=st.integers(0, 63), x=st.integers(0, 79))
def test_a_crop_is_whole_and_its_nucleus_in_the_middle_or_there_is_none(y: int, x: int) -> None:
    image = np.zeros((2, 64, 80), np.float32)
    image[:, y, x] = 1
    crops, which = cut_crops(image, nuclei_at((y, x)), 32)
    if 16 <= y <= 48 and 16 <= x <= 64:
        assert which.tolist() == [0] and crops.shape == (1, 2, 32, 32)
        assert (crops[0, :, 16, 16] == 1).all() and crops.sum() == 2
    else:
        assert not len(which) and crops.shape == (0, 2, 32, 32)


def test_a_nucleus_cut_by_the_border_has_no_crop_and_neighbours_stay_in_the_picture() -> None:
    image = np.random.default_rng(0).normal(size=(2, 64, 80)).astype(np.float32)
    assert not len(cut_crops(image, nuclei_at((30, 30), border=True), 32)[1])
    crops, which = cut_crops(image, nuclei_at((30, 30), (34, 40)), 32)
    assert which.tolist() == [0, 1]
    assert (crops[0][:, 4:, 10:] == crops[1][:, :-4, :-10]).all()


@pytest.mark.parametrize("size", [16, 48, 512])
def test_sizes_that_no_network_takes_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="take 32, 64, 128 or 256"):
        cut_crops(np.zeros((2, 64, 80)), nuclei_at((30, 30)), size)


def test_a_crop_larger_than_the_field_is_refused() -> None:
    with pytest.raises(UsageError, match="128 pixels do not fit into a field of 64 x 80"):
        cut_crops(np.zeros((2, 64, 80)), nuclei_at((30, 30)), 128)


def test_a_well_in_two_splits_or_of_two_treatments_is_refused() -> None:
    crops = crop_set({"a": [1.0, 1.0], "b": [1.0, 1.0]}, cells=2)
    mixed = crops.splits.copy()
    mixed[0] = "test"
    with pytest.raises(UsageError, match="well a-0 has two of split: test and train"):
        replace(crops, splits=mixed)
    other = crops.treatments.copy()
    other[0] = "b"
    with pytest.raises(UsageError, match="well a-0 has two of treatment"):
        replace(crops, treatments=other)


def test_parts_that_do_not_fit_are_refused() -> None:
    crops = crop_set({"a": [1.0, 1.0], "b": [1.0, 1.0]}, cells=2)
    with pytest.raises(UsageError, match="tables of"):
        replace(crops, wells=crops.wells[:-1])
    with pytest.raises(UsageError, match="names and"):
        replace(crops, channels=("DNA",))
    with pytest.raises(UsageError, match="channel of the protein is number 2"):
        replace(crops, protein=2)
    assert len(crops.of_split("test")) + len(crops.of_split("train")) == len(crops)


@given(
    wells=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_wells_are_split_whole_with_the_same_share_of_each_treatment(wells: list[int], share: float, seed: int) -> None:
    treatments = {f"{t}-{n}": f"t{t}" for t, count in enumerate(wells) for n in range(count)}
    splits = split_wells(treatments, share, np.random.default_rng(seed))
    assert splits.keys() == treatments.keys()
    for number, count in enumerate(wells):
        tested = sum(splits[f"{number}-{n}"] == "test" for n in range(count))
        assert 1 <= tested <= count - 1
        assert abs(tested - share * count) <= 1
    assert splits == split_wells(treatments, share, np.random.default_rng(seed))


def test_one_well_of_a_treatment_cannot_be_split_unless_all_go_one_way() -> None:
    treatments = {"A01": "control", "A02": "control", "B01": "drug"}
    with pytest.raises(UsageError, match="treatment drug has one well, B01"):
        split_wells(treatments, 0.25, np.random.default_rng(0))
    assert set(split_wells(treatments, 1.0, np.random.default_rng(0)).values()) == {"test"}
    with pytest.raises(UsageError, match="between 0 and 1"):
        split_wells(treatments, 1.5, np.random.default_rng(0))
