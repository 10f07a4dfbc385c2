"""Fields are split whole, and none stands in two splits under any disguise."""

from __future__ import annotations

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.restoration.fields import Field, refuse_leaks, split_fields
from tests.restoration.fields_at_hand import field


def test_a_split_is_of_fields_and_depends_on_the_seed_alone() -> None:
    fields = [field(n) for n in range(10)]
    training, validation = split_fields(fields, 0.3, np.random.default_rng(1))
    names = [[f.name for f in part] for part in (training, validation)]
    assert len(names[1]) == 3 and sorted(names[0] + names[1]) == sorted(f.name for f in fields)
    again = split_fields(fields, 0.3, np.random.default_rng(1))
    assert [[f.name for f in part] for part in again] == names
    assert split_fields(fields, 0.0, np.random.default_rng(1))[1] == []


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_fields_cannot_be_split(count: int) -> None:
    with pytest.raises(UsageError, match="field"):
        split_fields([field(n) for n in range(count)], 0.2, np.random.default_rng(0))


def test_one_name_in_two_splits_is_a_leak() -> None:
    with pytest.raises(UsageError, match="field 3 is in both training and test"):
        refuse_leaks({"training": [field(2), field(3)], "test": [field(3)]})


@pytest.mark.parametrize("factor", [1.0, 0.37])
@pytest.mark.parametrize("shift", [(0, 0), (7, -12)])
def test_one_place_under_two_names_is_a_leak(factor: float, shift: tuple[int, int]) -> None:
    one = field(1, side=96)
    other = Field("another", np.roll(one.high, shift, (0, 1)) * factor + 5.0, one.low)
    with pytest.raises(UsageError, match="same place"):
        refuse_leaks({"training": [field(2, side=96), one], "validation": [other]})


def test_different_places_are_no_leak() -> None:
    refuse_leaks({"training": [field(n) for n in range(4)], "validation": [field(n) for n in range(4, 8)]})
    blank = Field("blank", np.zeros((48, 48), np.float32))
    refuse_leaks({"training": [field(1)], "validation": [blank], "test": [field(3, side=64)]})
