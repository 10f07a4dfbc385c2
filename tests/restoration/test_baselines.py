"""The baselines: a ramp stays a ramp, a point stays where it was, and no repeat is used twice."""

from __future__ import annotations

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.restoration.baselines import bicubic, frame_means


def keys(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    return np.where(d < 1, near, np.where(d < 2, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2, 0.0))


def slow_bicubic(picture: np.ndarray, scale: int) -> np.ndarray:
    def weights(n: int) -> np.ndarray:
        centres = (np.arange(scale * n) + 0.5) / scale - 0.5
        found = keys(centres[:, None] - np.arange(n)[None])
        return found / found.sum(1, keepdims=True)

    return weights(picture.shape[0]) @ picture @ weights(picture.shape[1]).T


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bicubic_is_keys_cubic(scale: int) -> None:
    pictures = np.random.default_rng(0).random((2, 7, 9)) * 100
    found = bicubic(pictures, scale)
    assert found.shape == (2, 7 * scale, 9 * scale) and found.dtype == np.float32
    np.testing.assert_allclose(found, [slow_bicubic(picture, scale) for picture in pictures], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_ramp_stays_where_it_was(scale: int) -> None:
    y, x = np.mgrid[:12, :14].astype(float)
    fine_y, fine_x = (np.mgrid[: 12 * scale, : 14 * scale] + 0.5) / scale - 0.5
    found = bicubic((3 * y - 2 * x + 40)[None], scale)[0]
    inside = slice(2 * scale, -2 * scale)
    np.testing.assert_allclose(found[inside, inside], (3 * fine_y - 2 * fine_x + 40)[inside, inside], rtol=1e-5)


def test_a_point_stays_inside_its_pixel_and_keeps_its_level() -> None:
    point = np.zeros((1, 11, 11))
    point[0, 4, 6] = 1.0
    found = bicubic(point)[0].astype(float)
    place = np.indices(found.shape)
    centre = [(found * axis).sum() / found.sum() for axis in place]
    assert centre == pytest.approx([4 * 2 + 0.5, 6 * 2 + 0.5], abs=1e-5)
    assert found.sum() == pytest.approx(4, rel=1e-6)
    brightest = np.argwhere(found > 0.999 * found.max())
    assert sorted(map(tuple, brightest // 2)) == [(4, 6)] * 4


def test_means_are_of_separate_repeats() -> None:
    repeats = np.random.default_rng(1).random((7, 4, 5))
    found = frame_means(repeats, 3)
    np.testing.assert_allclose(found, [repeats[:3].mean(0), repeats[3:6].mean(0)], rtol=1e-6)
    np.testing.assert_array_equal(frame_means(repeats, 1), repeats.astype(np.float32))
    assert frame_means(repeats, 7).shape == (1, 4, 5)


def test_what_cannot_be_is_said() -> None:
    for count in (0, 8):
        with pytest.raises(UsageError, match="7 repeats"):
            frame_means(np.ones((7, 4, 5)), count)
    with pytest.raises(UsageError, match="whole numbers"):
        bicubic(np.ones((1, 4, 4)), 0)
    with pytest.raises(UsageError, match=r"\(N, Y, X\)"):
        bicubic(np.ones((4, 4)))
