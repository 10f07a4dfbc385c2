"""Laws of the rolling ring correlation: each block is the whole judgement, and none is without a word."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fluosr.errors import UsageError
from fluosr.quality.local_resolution import (
    AT_LIMIT,
    MEASURED,
    NO_STRUCTURE,
    NOT_FINITE,
    REASONS,
    SAME,
    local_resolution,
)
from fluosr.quality.resolution import fourier_ring_correlation


def pair(shape, *, width=1.5, noise=0.1, seed=0):
    generator = np.random.default_rng(seed)
    signal = gaussian_filter(generator.standard_normal(shape), width) * width
    return tuple(signal + noise * generator.standard_normal((2, *shape)))


@pytest.mark.parametrize("criterion", ["1/7", "2-sigma", "half-bit"])
@pytest.mark.parametrize("shape", [(131, 90), (64, 64), (200, 65)])
def test_a_block_is_judged_as_an_image_is(shape, criterion):
    first, second = pair(shape)
    result = local_resolution(first, second, 20.0, criterion=criterion)
    assert result.resolution_nm.shape == (result.y_px.size, result.x_px.size)
    for i, y in enumerate(result.y_px):
        for j, x in enumerate(result.x_px):
            part = np.s_[int(y - 32) : int(y + 32), int(x - 32) : int(x + 32)]
            one = fourier_ring_correlation(first[part], second[part], 20.0, criterion=criterion)
            assert one.resolution_nm is not None and result.code[i, j] == MEASURED
            assert result.resolution_nm[i, j] == pytest.approx(one.resolution_nm, rel=1e-9)


def test_one_block_as_large_as_the_image_is_the_image():
    first, second = pair((51, 73))
    whole = fourier_ring_correlation(first, second, 20.0).resolution_nm
    result = local_resolution(first, second, 20.0, block_px=200)
    assert result.block_px == (51, 73)
    assert result.resolution_nm[0, 0] == pytest.approx(whole)


@pytest.mark.parametrize("shape", [(64, 64), (65, 300), (127, 129), (16, 400), (1000, 70)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_blocks_reach_from_edge_to_edge(shape, overlap):
    first, second = pair(shape)
    result = local_resolution(first, second, 20.0, overlap=overlap)
    for middle, size, block in zip((result.y_px, result.x_px), shape, result.block_px, strict=True):
        assert middle[0] == block / 2 and middle[-1] == size - block / 2
        assert (np.diff(middle) <= block * (1 - overlap) + 1).all()
    assert result.on_pixels().shape == shape
    assert np.isfinite(result.on_pixels()).all() == np.isfinite(result.resolution_nm).all()


def test_sharp_and_blurred_sides_are_told_apart():
    generator = np.random.default_rng(2)
    signal = np.hstack([gaussian_filter(generator.standard_normal((128, 192)), w) * w for w in (1.0, 3.0)])
    result = local_resolution(*(signal + 0.2 * generator.standard_normal((2, 128, 384))), 20.0)
    left = result.resolution_nm[:, result.x_px < 150]
    right = result.resolution_nm[:, result.x_px > 234]
    assert np.nanmax(left) < np.nanmin(right)
    figures = result.describe()
    assert figures["finest_tenth_nm"] <= figures["median_nm"] <= figures["coarsest_tenth_nm"]


def test_every_block_says_what_it_is():
    generator = np.random.default_rng(3)
    first, second = pair((64, 64 * 6))
    parts = [np.s_[:, 64 * k : 64 * (k + 1)] for k in range(6)]
    first[parts[1]] = 5.0  # constant in one
    first[parts[2]], second[parts[2]] = generator.standard_normal((2, 64, 64))
    second[parts[3]] = 2 * first[parts[3]] + 1
    second[parts[4]][7, 9] = np.nan
    sharp = 5 * generator.standard_normal((64, 64))
    first[parts[5]], second[parts[5]] = sharp + generator.standard_normal((2, 64, 64))
    result = local_resolution(first, second, 20.0, overlap=0.0)
    assert result.code[0].tolist() == [MEASURED, NO_STRUCTURE, NO_STRUCTURE, SAME, NOT_FINITE, AT_LIMIT]
    assert np.isfinite(result.resolution_nm[0]).tolist() == [True, False, False, False, False, True]
    assert result.resolution_nm[0, 5] == result.limit_nm == 40.0
    assert result.reason is None
    assert sum(result.counts().values()) == 6 and result.counts()[REASONS[NO_STRUCTURE]] == 2


def test_noise_has_no_map_and_says_why():
    result = local_resolution(*np.random.default_rng(0).standard_normal((2, 300, 500)), 20.0)
    assert np.isnan(result.resolution_nm).all()
    assert "no structure" in result.reason
    assert result.describe()["median_nm"] is None and result.describe()["blocks_with_resolution"] == 0


def test_an_image_too_small_says_so():
    result = local_resolution(*np.random.default_rng(0).standard_normal((2, 12, 100)), 20.0)
    assert result.resolution_nm.size == 0 and "too small" in result.reason
    assert np.isnan(result.on_pixels()).all() and result.on_pixels().shape == (12, 100)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"second": np.zeros((64, 65))}, "one shape"),
        ({"pixel_size_nm": 0.0}, "pixel size"),
        ({"block_px": 8}, "16"),
        ({"overlap": 0.95}, "overlap"),
        ({"criterion": "0.143"}, "criterion"),
    ],
)
def test_wrong_use_is_refused(change, word):
    arguments = {"first": np.zeros((64, 64)), "second": np.zeros((64, 64)), "pixel_size_nm": 20.0} | change
    with pytest.raises(UsageError, match=word):
        local_resolution(**arguments)
