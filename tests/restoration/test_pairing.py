"""Pairs that do not belong together are refused by name; what is clipped is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.restoration.fields import Field
from fluosr.restoration.pairing import check_pair
from tests.restoration.fields_at_hand import field


def low_of(one: Field) -> np.ndarray:
    assert one.low is not None
    return one.low


def test_a_pair_that_belongs_together_passes() -> None:
    assert check_pair(field(1, repeats=1), 2) == []


@pytest.mark.parametrize(("shift", "said"), [((3, 0), "3 pixels along y and 0"), ((0, -4), "0 pixels along y and -4")])
def test_a_shifted_pair_is_refused_with_its_shift(shift: tuple[int, int], said: str) -> None:
    one = field(1, side=96)
    with pytest.raises(UsageError, match=f"shifted.*{said}"):
        check_pair(replace(one, low=np.roll(low_of(one), shift, (1, 2))), 2)


def test_images_of_two_fields_are_refused() -> None:
    with pytest.raises(UsageError, match=r"nothing in common|of another field"):
        check_pair(replace(field(1, side=96), low=field(2, side=96).low), 2)
    noise = np.random.default_rng(0).normal(size=(1, 48, 48)).astype(np.float32)
    with pytest.raises(UsageError, match="nothing in common"):
        check_pair(replace(field(1, side=96), low=noise), 2)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"field 1.*48 x 48.*must have 96 x 96"):
        check_pair(field(1), 4)


@pytest.mark.parametrize("name", ["high", "low"])
def test_constant_and_unfinished_images_are_refused(name: str) -> None:
    one = field(1)
    image = getattr(one, name)
    with pytest.raises(UsageError, match="constant"):
        check_pair(replace(one, **{name: np.full_like(image, 3.0)}), 2)
    broken = image.copy()
    broken[..., 0, 0] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        check_pair(replace(one, **{name: broken}), 2)


def test_saturation_is_said() -> None:
    one = field(1)
    (said,) = check_pair(replace(one, high=one.high.clip(max=float(np.quantile(one.high, 0.9)))), 2)
    assert "10 % of the pixels of the good image" in said
