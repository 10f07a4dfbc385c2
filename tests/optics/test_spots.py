"""Points between the pixels: their light is integrated, nowhere lost, and stays where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from fluosr.optics import spots
from fluosr.optics.psf import gaussian_integrals
from fluosr.optics.spots import light_of_points


def by_whole_profiles(field: tuple[int, int], y: np.ndarray, x: np.ndarray, n: np.ndarray, sigma: float) -> np.ndarray:
    """The same from profiles over the whole field, nothing cut off."""
    rows, columns = (
        gaussian_integrals(np.arange(size), 1.0, places[:, None], sigma)
        for size, places in zip(field, (y, x), strict=True)
    )
    return (n[:, None] * rows).T @ columns


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 30), st.floats(0.2, 4.0))
def test_light_is_that_of_the_whole_gaussian(seed: int, count: int, sigma: float) -> None:
    random = np.random.default_rng(seed)
    field = (17, 24)
    y, x = random.uniform(-10.0, 34.0, (2, count))  # many lie beyond the field
    photons = random.uniform(0.0, 1000.0, count)
    wanted = by_whole_profiles(field, y, x, photons, sigma)
    np.testing.assert_allclose(light_of_points(field, y, x, photons, sigma), wanted, rtol=1e-9, atol=1e-7)


@given(st.floats(12.0, 28.0), st.floats(12.0, 28.0), st.floats(0.3, 1.5))
def test_photons_are_kept_and_stay_where_they_were(y: float, x: float, sigma: float) -> None:
    light = light_of_points((40, 40), np.array([y]), np.array([x]), np.array([500.0]), sigma)
    assert light.sum() == pytest.approx(500.0, rel=1e-9)
    # The mean of pixel centres is that of the point to the error of sampling, which a PSF of a pixel makes tiny.
    if sigma > 0.8:
        centres = np.arange(40) + 0.5
        assert light.sum(1) @ centres / 500 == pytest.approx(y, abs=1e-3)
        assert light.sum(0) @ centres / 500 == pytest.approx(x, abs=1e-3)


def test_a_pixel_holds_the_integral_over_its_area() -> None:
    y, x, sigma = 4.3, 5.9, 1.1
    light = light_of_points((9, 12), np.array([y]), np.array([x]), np.array([1.0]), sigma)
    for i, j in ((4, 5), (2, 7), (8, 11)):

        def density(u: float, v: float) -> float:
            return float(np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2))

        assert light[i, j] == pytest.approx(dblquad(density, i, i + 1, j, j + 1)[0], rel=1e-7)


def test_many_points_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    y, x, photons = random.uniform(0, 20, (3, 50))
    whole = light_of_points((20, 20), y, x, photons, 1.0)
    monkeypatch.setattr(spots, "ENTRIES_AT_A_TIME", 900)
    np.testing.assert_allclose(light_of_points((20, 20), y, x, photons, 1.0), whole, rtol=1e-12)
    assert light_of_points((20, 20), *np.zeros((3, 0)), 1.0).sum() == 0.0
