"""Tubes and balls: their light, their profiles, and that bends neither gape nor pile up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.optics.sampling import Grid
from fluosr.simulate.solids import Balls, Tubes

WIDE = 30  # camera pixels of margin: nothing lies beyond


def coordinates(grid: Grid, pixel_nm: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    y, x = (((np.arange(n) + 0.5) / grid.factor - grid.margin) * pixel_nm for n in grid.shape)
    return y[:, None], x[None, :]


@settings(max_examples=12)
@given(factor=st.integers(1, 4), radius=st.sampled_from([20.0, 150.0, 400.0]), seed=st.integers(0, 1000))
def test_tubes_and_balls_carry_their_light_whatever_the_grid(factor, radius, seed):
    generator = np.random.default_rng(seed)
    grid = Grid((12, 15), factor, WIDE)
    theta = generator.uniform(0, 6) + np.cumsum(generator.uniform(-0.05, 0.05, 60))
    curve = 500.0 + np.cumsum(30 * np.stack([np.sin(theta), np.cos(theta)], axis=1), axis=0)
    radii, bright = np.array([[radius], [1.0]]) * generator.uniform(0.5, 1, (2, 59))
    tubes = Tubes.along(curve, radii, bright)
    wanted = math.pi / 2 * (np.hypot(*np.diff(curve, axis=0).T) * radii * bright).sum()
    assert tubes.light_nm2 == pytest.approx(wanted)
    assert tubes.render(grid, 100.0).sum() * (100.0 / factor) ** 2 == pytest.approx(wanted, rel=2e-3)
    balls = Balls(curve[1:], radii, bright)
    assert balls.light_nm2 == pytest.approx((2 * math.pi / 3 * radii**2 * bright).sum())
    assert balls.render(grid, 100.0).sum() * (100.0 / factor) ** 2 == pytest.approx(balls.light_nm2, rel=1e-9)


def test_a_tube_and_a_ball_are_as_bright_as_one_looks_through_them():
    grid = Grid((30, 30), 6)
    y, x = coordinates(grid)
    curve = np.linspace([300.0, -500.0], [2300.0, 3500.0], 90)
    tube = Tubes.along(curve, np.full(89, 400.0), np.full(89, 2.0))
    away = np.abs((y - 300) * 4000 - (x + 500) * 2000) / math.hypot(4000, 2000)
    wanted = 2 * np.sqrt(np.clip(1 - (away / 400) ** 2, 0, None))
    found = tube.render(grid, 100.0, points=12)
    rim = np.abs(away - 400) < 25  # where the profile is steeper than a pixel
    np.testing.assert_allclose(found[~rim], wanted[~rim], atol=0.2)
    assert np.abs(found - wanted).mean() < 0.01
    # As it is commonly sampled, pixels are off by a few per cent of the 2 at the axis, and their mean is not.
    common = tube.render(grid, 100.0)
    assert np.abs(common - found)[found > 0].mean() < 0.1
    assert common.mean() == pytest.approx(found.mean(), rel=1e-3)
    ball = Balls(np.array([[1500.0, 1200.0]]), np.array([700.0]), np.array([1.0]))
    wanted = np.sqrt(np.clip(1 - ((y - 1500) ** 2 + (x - 1200) ** 2) / 700**2, 0, None))
    assert np.abs(ball.render(grid, 100.0) - wanted).max() < 0.3
    assert np.abs(ball.render(grid, 100.0) - wanted).mean() < 0.01


def test_a_bend_neither_gapes_nor_piles_up():
    # A ring as wide as half its radius, of few pieces: each pixel as bright as its distance from the axis says.
    turns = np.linspace(0, 2 * math.pi, 25)
    curve = 1500.0 + 800.0 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    ring = Tubes.along(curve, np.full(24, 400.0), np.ones(24))
    grid = Grid((30, 30), 4)
    y, x = coordinates(grid)
    away = np.hypot(y - 1500, x - 1500) - 800
    wanted = np.sqrt(np.clip(1 - (away / 400) ** 2, 0, None))
    found = ring.render(grid, 100.0)
    inner = np.abs(away) < 300
    # Not where the ring closes: its two ends have directions of their own.
    inner &= ~((np.abs(y - 1500) < 150) & (x > 1500))
    np.testing.assert_allclose(found[inner], wanted[inner], atol=0.25)
    assert np.abs(found - wanted)[inner].mean() < 0.06
    assert found[inner & (away > 200)].mean() == pytest.approx(wanted[inner & (away > 200)].mean(), rel=0.03)


def test_what_crosses_adds_up_and_what_lies_outside_is_not_seen():
    grid = Grid((10, 10), 3)
    one = Tubes.along(np.array([[100.0, 200.0], [900.0, 800.0]]), np.array([90.0]), np.array([1.0]))
    two = Tubes.along(np.array([[900.0, 100.0], [100.0, 700.0]]), np.array([90.0]), np.array([0.5]))
    both = Tubes.joined([one, two])
    np.testing.assert_allclose(both.render(grid, 100.0), one.render(grid, 100.0) + two.render(grid, 100.0))
    far = Tubes.along(np.array([[5000.0, 200.0], [5900.0, 800.0]]), np.array([90.0]), np.array([1.0]))
    assert not far.render(grid, 100.0).any()
    nothing = Tubes.along(
        np.zeros((4, 3, 2)) + np.arange(3)[None, :, None], *np.ones((2, 4, 2)), np.zeros((4, 2), bool)
    )
    assert nothing.light_nm2 == 0 and not nothing.render(grid, 100.0).any()
    assert not Balls(np.zeros((0, 2)), np.zeros(0), np.zeros(0)).render(grid, 100.0).any()
