"""The residual map and its verdict, and the judgement that joins it with the resolution."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fluosr.errors import UsageError
from fluosr.localisations import Localisations
from fluosr.quality.judge import judge
from fluosr.quality.residuals import residual_map
from fluosr.reconstruction import Reconstruction


def reconstruction(mean, expected, error, **more):
    image = np.zeros((2 * mean.shape[0], 2 * mean.shape[1]), np.float32)
    return Reconstruction(image, np.zeros_like(mean), mean, expected, error, 50.0, 2, "test", {}, **more)


def noisy(shape=(60, 70), *, structure=0.0, scale=1.0, seed=0):
    """A mean frame whose residual is white noise plus ``structure`` times a smooth pattern of unit variance."""
    generator = np.random.default_rng(seed)
    expected = 20 + 10 * generator.random(shape)
    error = 0.1 + 0.2 * generator.random(shape)
    pattern = gaussian_filter(generator.standard_normal(shape), 3)
    z = scale * generator.standard_normal(shape) + structure * pattern / pattern.std()
    return reconstruction(expected + z * error, expected, error), z


def test_map_is_residual_over_its_error():
    made, z = noisy()
    np.testing.assert_allclose(residual_map(made).z, z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", [(10, 12), (60, 70)])
def test_pure_noise_is_at_the_noise_level(seed, shape):
    result = residual_map(noisy(shape, seed=seed)[0])
    assert result.at_noise_level, result.verdict
    assert result.verdict.startswith("At the noise level")
    assert result.reduced_chi_square == pytest.approx(result.rms**2)
    assert abs(result.neighbour_correlation) < 4 / np.sqrt(2 * shape[0] * shape[1])


def test_structure_is_seen_even_where_it_is_weaker_than_the_noise():
    result = residual_map(noisy(structure=0.5)[0])
    assert not result.at_noise_level
    assert result.verdict.startswith("Structure is left: neighbouring pixels err together")
    assert result.neighbour_correlation == pytest.approx(0.2, abs=0.06)  # .25 of 1.25 in power, smooth to one pixel


def test_misfit_larger_than_the_noise():
    result = residual_map(noisy(scale=1.5)[0])
    assert not result.at_noise_level
    assert "1.49 times the noise" in result.verdict
    assert result.fraction_beyond_3 > 0.03


def test_fit_that_follows_the_noise():
    result = residual_map(noisy(scale=0.4)[0])
    assert not result.at_noise_level
    assert result.verdict.startswith("Below the noise level")


@pytest.mark.parametrize(
    ("kind", "left_out", "begins"),
    [
        ({"structure": 0.5}, True, "No test of this image, which shows the molecules found"),
        ({"scale": 1.5}, True, "No test of this image, which shows the molecules found"),
        ({}, False, "At the noise level"),
        ({"scale": 0.4}, False, "Below the noise level"),
    ],
)
def test_light_left_out_is_no_fault_of_an_image_of_molecules(kind, left_out, begins):
    plain = noisy(**kind)[0]
    drawn = noisy(**kind)[0]
    drawn.localisations = Localisations([0], [100.0], [100.0])
    result, as_it_was = residual_map(drawn), residual_map(plain)
    assert result.light_left_out is left_out and not as_it_was.light_left_out
    assert result.verdict.startswith(begins)
    assert (result.rms, result.at_noise_level) == (as_it_was.rms, as_it_was.at_noise_level)
    assert result.describe()["light_left_out"] is left_out


def test_dead_pixels_are_left_out():
    made, z = noisy()
    made.standard_error[0, 0] = np.inf
    made.standard_error[1, :5] = 0.0
    made.mean[2, 2] = np.nan
    made.mean[1, 1] = 1e9
    result = residual_map(made)
    assert result.n_ignored == 7
    assert result.n_pixels == z.size - 7
    assert np.isnan(result.z[0, 0]) and np.isnan(result.z[1, 1]) and np.isnan(result.z[2, 2])
    assert result.at_noise_level


@pytest.mark.parametrize("error", [np.inf, np.nan, 0.0, -1.0])
def test_no_known_noise(error):
    made, _ = noisy((8, 9))
    made.standard_error[:] = error
    result = residual_map(made)
    assert result.rms is None and result.maximum is None
    assert "cannot be judged" in result.verdict
    assert not result.at_noise_level


def test_perfect_fit_has_no_division_by_zero():
    mean = np.full((8, 9), 5.0)
    result = residual_map(reconstruction(mean, mean, np.ones((8, 9))))
    assert result.rms == 0.0 and result.neighbour_correlation is None


def test_shapes_must_agree():
    with pytest.raises(UsageError):
        residual_map(reconstruction(np.zeros((8, 9)), np.zeros((8, 8)), np.ones((8, 9))))


def test_judge_without_halves_says_why():
    quality = judge(noisy()[0])
    assert quality.resolution is None
    assert "halves" in quality.resolution_reason
    assert quality.describe()["resolution"]["reason"] == quality.resolution_reason


def test_judge_with_halves():
    made, _ = noisy()
    generator = np.random.default_rng(5)
    signal = gaussian_filter(generator.standard_normal((120, 140)), 2.0) * 20
    made.halves = tuple(signal + 0.3 * generator.standard_normal((2, 120, 140)))
    quality = judge(made, criterion="half-bit")
    assert quality.resolution.criterion == "half-bit"
    assert 100 < quality.resolution.resolution_nm < 1000
    assert quality.resolution_reason is None
    assert quality.describe()["residuals"]["at_noise_level"] is True


@pytest.mark.parametrize(("scale", "share"), [(3000.0, "100 %"), (8.0, "71 %"), (1.6, "5.7 %")])
def test_shares_of_pixels_and_large_misfits_are_written_as_people_write_them(scale, share):
    verdict = residual_map(noisy(scale=scale)[0]).verdict
    assert f"{share} of the pixels are off" in verdict and "e+" not in verdict
