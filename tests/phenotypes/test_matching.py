"""Cells of two sets are the same where they lie in one place, whatever a table has rounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.phenotypes.matching import common_cells
from tests.plates import crop_set

CROPS = crop_set({"control": [1.0] * 2, "drug": [1.0] * 2}, cells=3)


@given(st.lists(st.floats(0, 3), min_size=len(CROPS), max_size=len(CROPS)), st.integers(0, 99))
def test_places_rounded_to_two_digits_are_the_same_places(moved: list[float], seed: int) -> None:
    exact = dataclasses.replace(CROPS, places_px=CROPS.places_px + np.array(moved)[:, None])
    order = np.random.default_rng(seed).permutation(len(CROPS))
    written = dataclasses.replace(exact, places_px=np.round(exact.places_px, 2)).chosen(order)
    rows, notes = common_cells({"exact": exact, "written": written}, "exact")
    assert not notes and (rows["exact"] == np.arange(len(CROPS))).all()
    assert (order[rows["written"]] == rows["exact"]).all()


def test_a_place_beside_a_rounding_edge_is_one_place() -> None:
    beside = CROPS.places_px.copy()
    beside[:, 0] += 0.0501  # 0.1 when rounded to one digit; 0.0499 is 0.0
    near = dataclasses.replace(CROPS, places_px=beside - [0.0002, 0])
    assert len(common_cells({"a": dataclasses.replace(CROPS, places_px=beside), "b": near}, "a")[0]["b"]) == len(CROPS)


def test_cells_elsewhere_or_of_another_well_are_others() -> None:
    away = CROPS.places_px.copy()
    away[:3] += 0.2
    rows, notes = common_cells({"a": CROPS, "b": dataclasses.replace(CROPS, places_px=away)}, "a")
    assert rows["a"].tolist() == rows["b"].tolist() == list(range(3, len(CROPS)))
    assert notes == [f"{len(CROPS) - 3} cells are in all of a, b; the others were left out."]
    other = dataclasses.replace(CROPS, fields=np.array([f"other-{name}" for name in CROPS.fields]))
    with pytest.raises(UsageError, match="no cell in common"):
        common_cells({"a": CROPS, "b": other}, "a")
