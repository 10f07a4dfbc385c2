"""Feature extractors: the same numbers everywhere, blind to gain and offset, apart for what differs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate

from fluosr.errors import UsageError
from fluosr.quality.features import FeatureExtractor, NiqeFeatures, RandomConvolutions, _filters
from fluosr.quality.frechet import frechet_distance
from fluosr.quality.natural_scenes import block_features, normalised


def fields(count: int, side: int = 64, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([gaussian_filter(generator.random((side, side)), 1.2) for _ in range(count)]) * 800 + 50


def slow_responses(picture: np.ndarray) -> np.ndarray:
    first, second = (filters.numpy() for filters in _filters())
    constant = np.subtract(*np.quantile(picture, [0.999, 0.001])) / 255
    found = []
    for _ in range(3):
        level, _ = normalised(picture, constant)
        hidden = [np.maximum(correlate(level, one[0], "valid"), 0) for one in first]
        for one in second:
            summed = sum(correlate(part, taps, "valid") for part, taps in zip(hidden, one, strict=True))
            found.append(np.maximum(summed, 0).mean())
        height, width = (side // 2 * 2 for side in picture.shape)
        picture = picture[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return np.array(found)


def test_random_convolutions_are_what_they_say() -> None:
    pictures = fields(2)
    found = RandomConvolutions().features(pictures)
    assert found.shape == (2, 48)
    np.testing.assert_allclose(found, [slow_responses(picture) for picture in pictures], rtol=1e-9, atol=1e-12)
    for filters in _filters():
        np.testing.assert_allclose(filters.sum((1, 2, 3)), 0, atol=1e-12)
        np.testing.assert_allclose((filters**2).sum((1, 2, 3)), 1)


def test_the_name_stands_for_these_numbers() -> None:
    expected = [0.20478182327031247, 0.1771287667723111, 0.15563899165137113, 0.11985971854765681]
    # Whoever changes the filters must give the extractor another name.
    y, x = np.mgrid[:64, :64]
    found = RandomConvolutions().features(((y * x) % 17 + y / 8.0)[None])[0]
    assert found[[0, 17, 30, 47]] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("extractor", [RandomConvolutions(), NiqeFeatures(32)], ids=lambda e: e.name)
def test_gain_and_offset_change_nothing_but_blur_and_noise_do(extractor: FeatureExtractor) -> None:
    sharp = fields(12, 96)
    found = extractor.features(sharp)
    np.testing.assert_allclose(extractor.features(3.7 * sharp - 90), found, rtol=1e-5, atol=1e-7)
    fresh = frechet_distance(extractor.features(fields(12, 96, seed=1)), found)
    noise = np.random.default_rng(2).standard_normal(sharp.shape)
    for worse in (
        [gaussian_filter(sharp, (0, s, s)) for s in (1.0, 2.0)],
        [sharp + s * noise for s in (20.0, 60.0)],
    ):
        distances = [frechet_distance(extractor.features(pictures), found) for pictures in worse]
        assert distances[1] > distances[0] > 2 * fresh, (extractor.name, fresh, distances)


def test_niqe_features_are_those_of_the_blocks() -> None:
    pictures = fields(2)
    wanted = np.concatenate([block_features(picture, 32).features for picture in pictures])
    np.testing.assert_array_equal(NiqeFeatures(32).features(pictures), wanted)
    assert wanted.shape == (8, 36)
    assert NiqeFeatures().name == "niqe-features"
    assert NiqeFeatures(32).name == "niqe-features, blocks of 32 px"


def test_flat_and_small_pictures() -> None:
    assert not RandomConvolutions().features(np.full((1, 28, 31), 0.1)).any()
    with pytest.raises(UsageError, match="must have 28 or more"):
        RandomConvolutions().features(np.zeros((1, 27, 60)))
    with pytest.raises(UsageError, match="no block"):
        NiqeFeatures(32).features(np.zeros((2, 64, 64)))
    with pytest.raises(UsageError, match="must have 96 or more"):
        NiqeFeatures().features(fields(1))
