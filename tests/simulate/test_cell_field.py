"""What fields of cells share: textures of variance 1 at their scales, lattices of points, and the numbers refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_field import CellField, scattered, smooth_noise


@pytest.mark.parametrize("sigma", [0.0, 1.5, 6.0])
def test_smooth_noise_has_variance_one_and_forgets_over_its_width(sigma):
    noise = smooth_noise((400, 300), (0.0, sigma), np.random.default_rng(0))
    free = noise.size / max(1.0, 2 * math.sqrt(math.pi) * sigma)  # independent values
    assert noise.var() == pytest.approx(1, abs=4.5 * math.sqrt(2 / free))
    for lag in (1, 4, 9):
        wanted = math.exp(-(lag**2) / 4 / sigma**2) if sigma else 0.0
        assert (noise[:, lag:] * noise[:, :-lag]).mean() == pytest.approx(wanted, abs=4.5 / math.sqrt(free))
    assert (noise[1:] * noise[:-1]).mean() == pytest.approx(0, abs=4.5 / math.sqrt(free))


def test_noise_narrower_than_its_waves_is_as_strong():
    noise = smooth_noise((5000, 3), (0.0, 20.0), np.random.default_rng(0))
    assert noise.var() == pytest.approx(1, abs=0.1)


def test_a_texture_is_the_same_on_any_grid():
    field = CellField((40, 30), 90.0)
    texture = field.texture({400.0: 1.0, 1500.0: 0.5}, np.random.default_rng(0))
    coarse, fine = (texture.at(*np.meshgrid(*field.coordinates(Grid((40, 30), f)), indexing="ij")) for f in (1, 3))
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-12)
    assert texture.values.std() == pytest.approx(1, abs=0.5)


def test_coordinates_are_middles_of_pixels_from_the_fields_corner():
    y, x = CellField((4, 3), 100.0).coordinates(Grid((4, 3), 2, 1))
    np.testing.assert_allclose(y, np.arange(-75.0, 500.0, 50.0))
    np.testing.assert_allclose(x, np.arange(-75.0, 400.0, 50.0))


def test_what_is_smooth_is_seen_finer_where_it_was():
    field, grid = CellField((30, 20), 100.0), Grid((30, 20), 4, 2)
    y, x = field.coordinates(Grid((30, 20), 1, 2))
    fine_y, fine_x = field.coordinates(grid)
    found = field.seen_finer(2 * y[:, None] - x[None, :], grid)
    assert found.shape == grid.shape
    np.testing.assert_allclose(found[2:-2, 2:-2], (2 * fine_y[:, None] - fine_x[None, :])[2:-2, 2:-2])


def test_scattered_points_fill_the_field_and_keep_apart():
    field = np.array([90_000.0, 60_000.0])
    for seed in range(3):
        points = scattered(field, 5000.0, 0.1, 10_000.0, np.random.default_rng(seed))
        wanted = (field + 20_000).prod() / (5000.0**2 * math.sqrt(0.75))
        assert len(points) == pytest.approx(wanted, rel=0.1)
        distances = cKDTree(points).query(points, k=2)[0][:, 1]
        assert np.quantile(distances, 0.02) > 2000 and distances.max() < 6500
        assert (points > -10_000).all() and (points < field + 10_000).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (0, 5)},
        {"shape": (5,)},
        {"pixel_size_nm": 0.0},
        {"pixel_size_nm": math.nan},
        {"shape": (10**6, 10**6)},
    ],
)
def test_fields_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        CellField(**wrong)
