from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fluosr.errors import OpticsError
from fluosr.optics.interpolation import (
    catmull_rom_half_pixels,
    catmull_rom_upsample,
    catmull_rom_weights,
    fourier_half_pixels,
    fourier_upsample,
)

Upsample = Callable[[np.ndarray, int], np.ndarray]
ways = pytest.mark.parametrize("upsample", [catmull_rom_upsample, fourier_upsample])
half_ways = pytest.mark.parametrize("read", [catmull_rom_half_pixels, fourier_half_pixels])


def frame(shape: tuple[int, ...] = (7, 9)) -> np.ndarray:
    return np.random.default_rng(1).random(shape)


@ways
@pytest.mark.parametrize("factor", [1, 3, 5])
def test_pixel_centres_keep_their_values(upsample: Upsample, factor: int) -> None:
    fine = upsample(frame(), factor)
    assert fine.shape == (7 * factor, 9 * factor)
    middle = factor // 2
    np.testing.assert_allclose(fine[middle::factor, middle::factor], frame(), atol=1e-12)


@ways
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_even_frame_stays_even_to_the_border(upsample: Upsample, factor: int) -> None:
    np.testing.assert_allclose(upsample(np.full((4, 5), 3.7), factor), 3.7, rtol=1e-12)


@ways
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_mean_is_kept(upsample: Upsample, factor: int) -> None:
    inside = np.zeros((12, 13))
    inside[4:8, 4:9] = frame((4, 5))
    assert upsample(inside, factor).mean() == pytest.approx(inside.mean(), rel=1e-12)


@ways
@pytest.mark.parametrize("factor", [2, 3])
def test_the_mirrored_frame_gives_the_mirrored_image(upsample: Upsample, factor: int) -> None:
    np.testing.assert_allclose(upsample(frame()[::-1, ::-1], factor), upsample(frame(), factor)[::-1, ::-1])


@ways
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_spot_stays_where_it_was(upsample: Upsample, factor: int) -> None:
    y, x = np.mgrid[:24, :24] + 0.5
    fine = upsample(np.exp(-((y - 12.3) ** 2 + (x - 11.6) ** 2) / 4.0), factor)
    places = (np.arange(24 * factor) + 0.5) / factor
    centroid = np.array([fine.sum(1) @ places, fine.sum(0) @ places]) / fine.sum()
    np.testing.assert_allclose(centroid, [12.3, 11.6], atol=1e-3)


@ways
def test_frames_of_a_stack_are_read_one_by_one(upsample: Upsample) -> None:
    stack = frame((2, 3, 6, 5))
    together = upsample(stack, 2)
    np.testing.assert_allclose(together[1, 2], upsample(stack[1, 2], 2))


@ways
def test_single_precision_stays_and_counts_become_real(upsample: Upsample) -> None:
    assert upsample(frame().astype(np.float32), 3).dtype == np.float32
    assert upsample(np.ones((4, 4), np.uint16), 3).dtype == np.float64


@ways
@pytest.mark.parametrize("factor", [0, -2, 1.5])
def test_a_factor_that_is_none_is_refused(upsample: Upsample, factor: int) -> None:
    with pytest.raises(OpticsError, match="whole number"):
        upsample(frame(), factor)


def test_the_fourier_series_is_exact_for_waves_that_mirror() -> None:
    def wave(places: np.ndarray) -> np.ndarray:
        return 2.0 + np.cos(np.pi * 3 * places / 8) - 0.5 * np.cos(np.pi * 7 * places / 8)

    coarse, fine = np.arange(8) + 0.5, (np.arange(32) + 0.5) / 4
    np.testing.assert_allclose(
        fourier_upsample(np.outer(wave(coarse), wave(coarse)), 4), np.outer(wave(fine), wave(fine))
    )


def test_catmull_rom_is_the_cubic_through_two_pixels_with_the_slopes_of_their_neighbours() -> None:
    before, left, right, after = 1.0, 3.0, -2.0, 0.5
    for s in (0.0, 0.2, 0.5, 0.9):
        hermite = (
            (2 * s**3 - 3 * s**2 + 1) * left
            + (s**3 - 2 * s**2 + s) * (right - before) / 2
            + (3 * s**2 - 2 * s**3) * right
            + (s**3 - s**2) * (after - left) / 2
        )
        assert catmull_rom_weights(s) @ [before, left, right, after] == pytest.approx(hermite)


def test_catmull_rom_keeps_a_parabola() -> None:
    def parabola(places: np.ndarray) -> np.ndarray:
        return 1.0 - places + 0.3 * places**2

    fine = catmull_rom_upsample(np.outer(parabola(np.arange(9) + 0.5), np.ones(9)), 4)[:, 5]
    expected = parabola((np.arange(36) + 0.5) / 4)
    np.testing.assert_allclose(fine[8:-8], expected[8:-8])


@half_ways
def test_half_pixels_hold_the_pixels_and_agree_with_the_fine_grid(read: Callable[[np.ndarray], np.ndarray]) -> None:
    values = read(frame())
    assert values.shape == (15, 19)
    np.testing.assert_allclose(values[1::2, 1::2], frame(), atol=1e-12)
    np.testing.assert_allclose(read(frame()[::-1]), values[::-1], atol=1e-12)


def test_half_pixels_of_the_fourier_series() -> None:
    y, x = np.arange(8) + 0.5, np.arange(6) + 0.5
    fine_y, fine_x = np.arange(17) / 2, np.arange(13) / 2
    coarse = np.outer(np.cos(np.pi * 5 * y / 8), 1 + np.cos(np.pi * 2 * x / 6))
    expected = np.outer(np.cos(np.pi * 5 * fine_y / 8), 1 + np.cos(np.pi * 2 * fine_x / 6))
    np.testing.assert_allclose(fourier_half_pixels(coarse), expected, atol=1e-12)


def test_half_pixels_of_catmull_rom_are_the_midpoints_of_four() -> None:
    row = np.array([[1.0, 4.0, 2.0, 8.0]])
    values = catmull_rom_half_pixels(np.repeat(row, 3, 0))
    assert values[3, 4] == pytest.approx((9 * 4 + 9 * 2 - 1 - 8) / 16)
    assert values[3, 0] == pytest.approx((9 * 1 + 9 * 1 - 4 - 4) / 16)  # the border, between a pixel and its reflection
