"""The judgement without truth: what is judged when, and that the record holds numbers or words."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fluosr.quality.judge import judge
from fluosr.reconstruction import Reconstruction


def reconstruction(shape=(50, 45), factor=3, *, misfit=0.0, noise=0.004, seed=0, **more):
    generator = np.random.default_rng(seed)
    fine = (shape[0] * factor, shape[1] * factor)
    image = gaussian_filter((generator.random(fine) > 0.98) * 1.0, 1.5)
    seen = gaussian_filter(image, 1.3 * factor).reshape(shape[0], factor, shape[1], factor).sum((1, 3))
    background = np.full(shape, 4.0) + np.linspace(0, 3, shape[1])
    expected = seen + background
    mean = expected + noise * generator.standard_normal(shape) + misfit * seen.std()
    halves = tuple(image + 0.02 * image.max() * generator.standard_normal((2, *fine)))
    more = {"halves": halves} | more
    return Reconstruction(
        image, background, mean, expected, np.full(shape, noise), 100.0 / factor, factor, "test", {}, **more
    )


def test_everything_is_judged_and_recorded():
    quality = judge(reconstruction())
    record = json.loads(json.dumps(quality.describe(), allow_nan=False))
    assert set(record) == {"resolution", "local_resolution", "decorrelation", "error_map", "residuals"}
    whole = record["resolution"]["resolution_nm"]
    assert record["local_resolution"]["median_nm"] == pytest.approx(whole, rel=0.35)
    assert 66 < record["decorrelation"]["resolution_nm"] < 400
    # The background is a slope; it is taken off before the image is compared.
    assert record["error_map"]["rsp"] > 0.99
    assert record["error_map"]["sigma_nm"] == pytest.approx(130.0, rel=0.03)


def test_without_halves_the_image_itself_is_judged():
    quality = judge(reconstruction(halves=None))
    assert quality.resolution is None and quality.local_resolution is None
    assert "halves" in quality.resolution_reason and "halves" in quality.local_resolution_reason
    assert quality.decorrelation.resolution_nm is not None and quality.error_map.rsp > 0.99


def test_halves_that_share_the_pattern_of_the_camera_tell_no_resolution():
    quality = judge(reconstruction(fixed_pattern=3.0))
    assert quality.resolution is None and "fixed pattern" in quality.resolution_reason
    assert quality.local_resolution is None and "fixed pattern" in quality.local_resolution_reason


def test_a_picture_that_never_claimed_photons_is_not_refused_for_its_residuals():
    quality = judge(reconstruction(misfit=5.0, photometric=False))
    assert quality.resolution is not None and not quality.residuals.at_noise_level


@pytest.mark.parametrize(
    ("change", "word"), [({"significance": 1.0}, "no evidence"), ({"misfit": 5.0}, "times the noise")]
)
def test_a_picture_that_means_nothing_has_no_resolution_of_any_kind(change, word):
    quality = judge(reconstruction(**change))
    for judged, reason in (
        (quality.resolution, quality.resolution_reason),
        (quality.local_resolution, quality.local_resolution_reason),
        (quality.decorrelation, quality.decorrelation_reason),
    ):
        assert judged is None and word in reason
    assert quality.error_map.rsp is not None
    json.dumps(quality.describe(), allow_nan=False)


def test_nothing_is_finer_than_the_grains():
    quality = judge(reconstruction(grain_nm=300.0))
    assert quality.decorrelation.resolution_nm >= 300.0
    assert quality.local_resolution.values_nm.min() >= 300.0


def test_small_images_have_no_map_and_say_so():
    quality = judge(reconstruction((20, 60)))
    assert quality.local_resolution is None and "block" in quality.local_resolution_reason
    assert quality.describe()["local_resolution"] == {"median_nm": None, "reason": quality.local_resolution_reason}


def test_dead_pixels_do_not_count_in_the_error_map():
    made = reconstruction()
    made.mean[3, 4], made.standard_error[3, 4] = 1e9, np.inf
    quality = judge(made)
    assert quality.error_map.n_ignored == 1 and quality.error_map.rsp > 0.99
    made.standard_error[:] = np.inf
    made.mean[3, 4] = 5.0
    assert judge(made).error_map.n_ignored == 0
