"""NIQE: its estimators against draws, its score against blur and noise, and references that travel in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from scipy.stats import gennorm

from fluosr.errors import ModelError, UsageError
from fluosr.learning import save_model
from fluosr.methods.trained_model import model_paths
from fluosr.quality.natural_scenes import (
    asymmetric_generalised_gaussian,
    block_features,
    generalised_gaussian,
    normalised,
)
from fluosr.quality.niqe import NiqeReference, fit, load_niqe


def field(seed: int, side: int = 128) -> np.ndarray:
    """Blobs of two sizes on a haze, with a little noise: a sharp field of a fictional microscope."""
    generator = np.random.default_rng(seed)
    places = [generator.random((side, side)) > threshold for threshold in (0.97, 0.997)]
    blobs = sum(gaussian_filter(p.astype(float), s) * s**2 for p, s in zip(places, (1.0, 3.0), strict=True))
    haze = gaussian_filter(generator.random((side, side)), 12)
    return 1000 * blobs + 400 * haze + 2 * generator.standard_normal((side, side))


@pytest.fixture(scope="module")
def reference() -> NiqeReference:
    return fit([field(seed) for seed in range(10)], name="blobs", pixel_size_nm=50, block_px=32)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 5.0])
def test_a_generalised_gaussian_is_found_from_its_draws(shape: float) -> None:
    draws = gennorm.rvs(shape, scale=1.7, size=(3, 40_000), random_state=np.random.default_rng(0))
    found = generalised_gaussian(draws)
    np.testing.assert_allclose(found[0], shape, rtol=0.05)
    np.testing.assert_allclose(found[1], 1.7, rtol=0.12)


@pytest.mark.parametrize("shape", [0.7, 2.0])
@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.5, 2.0), (3.0, 1.0)])
def test_an_asymmetric_one_is_found_from_its_draws(shape: float, left: float, right: float) -> None:
    generator = np.random.default_rng(1)
    size = np.abs(gennorm.rvs(shape, size=(1, 60_000), random_state=generator))
    negative = generator.random(size.shape) < left / (left + right)  # the density is continuous at 0
    draws = np.where(negative, -left * size, right * size)
    mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
    found = [float(values[0]) for values in asymmetric_generalised_gaussian(draws)]
    assert found == pytest.approx([shape, mean, left, right], rel=0.08, abs=0.03)
    assert draws.mean() == pytest.approx(mean, abs=0.05)


def test_normalised_pixels_are_those_of_the_formula() -> None:
    picture = np.random.default_rng(2).random((12, 13)) * 50 + 900
    found, spread = normalised(picture, 3.0)
    taps = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    padded = np.pad(picture, 3, mode="edge")
    for y, x in ((0, 0), (5, 7), (11, 12)):
        around = padded[y : y + 7, x : x + 7]
        mean = (window * around).sum()
        deviation = np.sqrt((window * (around - mean) ** 2).sum())
        assert spread[y, x] == pytest.approx(deviation, rel=1e-6)
        assert found[y, x] == pytest.approx((picture[y, x] - mean) / (deviation + 3.0), rel=1e-6)


def test_blocks_are_taken_row_by_row_and_know_nothing_of_order() -> None:
    picture = field(0, 96)
    whole = block_features(picture, 32)
    assert whole.features.shape == (9, 36) and whole.n_blank == 0
    # A block's features turn with it: right and below change places.
    turned = block_features(picture.T, 32)
    order = np.arange(9).reshape(3, 3).T.ravel()
    swapped = np.concatenate([half + np.r_[0:2, 6:10, 2:6, 10:18] for half in (0, 18)])
    np.testing.assert_allclose(turned.features[order], whole.features[:, swapped], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned.sharpness[order], whole.sharpness)


def test_the_score_is_its_formula(reference: NiqeReference) -> None:
    picture = field(50)
    found = block_features(picture, 32).features
    apart = found.mean(0) - reference.mean
    middle = (np.cov(found.T) + reference.covariance) / 2
    assert reference.score(picture) == pytest.approx(np.sqrt(apart @ np.linalg.solve(middle, apart)), rel=1e-6)


def test_blur_and_noise_cost_the_more_the_stronger(reference: NiqeReference) -> None:
    fresh = [field(seed) for seed in range(60, 64)]
    generator = np.random.default_rng(3)

    def mean_score(pictures: list[np.ndarray]) -> float:
        return float(np.mean([reference.score(picture) for picture in pictures]))

    blurred = [mean_score([gaussian_filter(picture, sigma) for picture in fresh]) for sigma in (0.0, 0.8, 1.6, 3.0)]
    noisy = [
        mean_score([picture + sigma * generator.standard_normal(picture.shape) for picture in fresh])
        for sigma in (0.0, 10.0, 30.0, 90.0)
    ]
    assert (np.diff(blurred) > 0).all() and (np.diff(noisy) > 0).all(), (blurred, noisy)
    own = mean_score([field(seed) for seed in range(4)])
    assert own < 0.7 * min(blurred[1], noisy[1]), (own, blurred, noisy)


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e4))
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    picture = field(4, 64)
    plain, other = block_features(picture, 32), block_features(gain * picture + offset * gain, 32)
    np.testing.assert_allclose(other.features, plain.features, rtol=1e-5, atol=1e-7)


def test_what_is_left_over_and_what_is_blank_does_not_count() -> None:
    picture = field(5, 64)
    np.testing.assert_array_equal(
        block_features(np.pad(picture, ((0, 31), (0, 9))), 32).features, block_features(picture, 32).features
    )
    dark = np.zeros((64, 64))
    dark[4:28, 4:28] = picture[4:28, 4:28]
    found = block_features(dark, 32)
    assert found.n_blank == 3 and len(found.features) == 1


def test_a_reference_survives_its_files(reference: NiqeReference, tmp_path: Path) -> None:
    save_model(model_paths(tmp_path / "niqe"), reference.contents())
    found = load_niqe(tmp_path / "niqe")
    assert found.describe() == reference.describe()
    assert found.describe() == {
        "name": "blobs",
        "n_fields": 10,
        "pixel_size_nm": 50.0,
        "block_px": 32,
        "n_blocks": reference.n_blocks,
    }
    assert found.metric == "NIQE against blobs"
    assert found.score(field(70)) == reference.score(field(70))


def test_damaged_references_are_refused(reference: NiqeReference, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not exist.*save_model"):
        load_niqe(tmp_path / "niqe")
    description, weights = places = model_paths(tmp_path / "niqe")
    for change, words in (
        ({"block_px": "many"}, "damaged"),
        ({"block_px": 33}, "block cannot be"),
        ({"format": "fluosr unfolded model"}, "no model of niqe"),
    ):
        save_model(places, reference.contents())
        description.write_text(json.dumps(json.loads(description.read_text()) | change))
        with pytest.raises(ModelError, match=words):
            load_niqe(tmp_path / "niqe")
    save_model(places, reference.contents())
    weights.write_bytes(b"pickle")
    with pytest.raises(ModelError, match="damaged, or they belong"):
        load_niqe(tmp_path / "niqe")


def test_what_has_no_niqe_is_said(reference: NiqeReference) -> None:
    with pytest.raises(UsageError, match=r"30 x 128 pixels are too small.*32 or more"):
        reference.score(field(0)[:30])
    for constant in (0.0, 0.1, 1e6):
        with pytest.raises(UsageError, match="constant"):
            reference.score(np.full((64, 64), constant))
    with pytest.raises(UsageError, match="NaN"):
        reference.score(np.full((64, 64), np.nan))
    with pytest.raises(UsageError, match="even side of 16"):
        block_features(field(0), 33)
    with pytest.raises(UsageError, match=r"in 2 fields.* needs 37 or more"):
        fit([field(0, 64), field(1, 64)], name="two", pixel_size_nm=50, block_px=32)
    with pytest.raises(UsageError, match=r"picture 1 .* too small"):
        fit([field(0), field(0)[:20]], name="one", pixel_size_nm=50, block_px=32)
    with pytest.raises(UsageError, match="0 sharp blocks"):
        fit([], name="none", pixel_size_nm=50)
    with pytest.raises(UsageError, match=r"picture 1 .* constant"):
        fit([field(0), np.ones((128, 128))], name="one", pixel_size_nm=50, block_px=32)
    with pytest.raises(UsageError, match="needs a name"):
        fit([field(0)], name=" ", pixel_size_nm=50)
    with pytest.raises(UsageError, match="pixel size"):
        fit([field(0)], name="x", pixel_size_nm=0)
