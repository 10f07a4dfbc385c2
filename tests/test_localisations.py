"""The table of localisations: ordered, checked, cut and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.localisations import Localisations


def table(n: int, seed: int = 0) -> Localisations:
    random = np.random.default_rng(seed)
    x, y, photons, background, uncertainty = random.uniform(0.0, 800.0, (5, n))
    return Localisations(random.integers(0, 5, n), x, y, photons, background, uncertainty)


def test_rows_are_ordered_by_frame_and_stay_together() -> None:
    made = Localisations(np.array([3, 0, 1, 0]), [30.0, 1.0, 10.0, 2.0], [31.0, 4.0, 11.0, 5.0], photons=[3, 1, 2, 4])
    np.testing.assert_array_equal(made.frame, [0, 0, 1, 3])
    np.testing.assert_array_equal(made.x_nm, [1.0, 2.0, 10.0, 30.0])
    np.testing.assert_array_equal(made.photons, [1, 4, 2, 3])
    assert np.isnan(made.background).all() and np.isnan(made.uncertainty_nm).all()


@given(st.integers(0, 40), st.integers(0, 10))
def test_frames_joined_are_the_whole(n: int, seed: int) -> None:
    whole = table(n, seed)
    again = Localisations.joined([whole.in_frame(number) for number in range(5)])
    for name in ("frame", "x_nm", "photons", "uncertainty_nm"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    np.testing.assert_array_equal(whole.shifted(7).frame, whole.frame + 7)


def test_what_is_drawn_is_all_light_inside_the_field() -> None:
    made = table(200)
    image = made.rendered((4, 8), 3, 100.0)
    assert image.shape == (12, 24)
    inside = (made.y_nm < 400.0) & (made.x_nm < 800.0)
    assert image.sum() == pytest.approx(made.photons[inside].sum(), rel=1e-5)
    for drawn in (Localisations.none().rendered, Localisations.none().counted):
        assert drawn((4, 8), 2, 100.0).shape == (8, 16) and not drawn((4, 8), 2, 100.0).any()


@given(st.integers(0, 60), st.integers(0, 10))
def test_molecules_are_counted_whether_their_photons_are_known_or_not(n: int, seed: int) -> None:
    made = table(n, seed)
    unknown = Localisations(made.frame, made.x_nm, made.y_nm, photons=np.where(np.arange(n) % 2, made.photons, np.nan))
    image = unknown.counted((4, 8), 2, 100.0)
    expected = np.zeros((8, 16))
    for x, y in zip(made.x_nm, made.y_nm, strict=True):
        if y < 400.0:
            expected[int(y // 50), int(x // 50)] += 1.0
    np.testing.assert_array_equal(image, expected)
    alike = Localisations(made.frame, made.x_nm, made.y_nm, photons=np.full(n, 7.0))
    np.testing.assert_array_equal(alike.rendered((4, 8), 2, 100.0), 7.0 * image)


@pytest.mark.parametrize(("photons", "words"), [([], "2 of 2 molecules"), ([500.0, np.nan], "1 of 2 molecules")])
def test_light_that_is_not_known_is_not_drawn(photons: list[float], words: str) -> None:
    made = Localisations(np.array([0, 1]), [250.0, 1.0], [150.0, 1.0], photons=np.array(photons))
    with pytest.raises(UsageError, match=rf"{words} are not known.*counted\(\)"):
        made.rendered((4, 8), 2, 100.0)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (([0.5], [1.0], [1.0]), "whole"),
        (([-1], [1.0], [1.0]), "not below 0"),
        (([np.nan], [1.0], [1.0]), "whole"),
        (([np.inf], [1.0], [1.0]), "whole"),
        (([1e300], [1.0], [1.0]), "beyond 2"),
        (([0], [np.nan], [1.0]), "row 0: x_nm is nan"),
        (([1, 0, 0], [1.0, 2.0, 3.0], [1.0, 2.0, -np.inf]), "row 2: y_nm is -inf"),
        (([0], [1e30], [1.0]), "row 0: x_nm is 1e.30"),
        (([0], [1.0], [1e19]), "a metre"),
        (([0, 1], [1.0], [1.0, 2.0]), "2 frame numbers, but 1 values of x_nm"),
    ],
)
def test_what_cannot_be_is_refused(columns: tuple[list[float], ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Localisations(*(np.array(column) for column in columns))
