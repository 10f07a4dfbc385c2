"""Features of blocks, by a loop; what they see and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.quality.blocks import BlockBrightness


def test_means_and_deviations_block_by_block() -> None:
    pictures = np.random.default_rng(0).normal(size=(3, 33, 40))
    found = BlockBrightness().features(pictures)
    assert found.shape == (3, 128)
    for number, picture in enumerate(pictures):
        for row in range(8):
            for column in range(8):
                block = picture[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
                assert found[number, 8 * row + column] == pytest.approx(block.mean())
                assert found[number, 64 + 8 * row + column] == pytest.approx(block.std())


def test_brightness_and_place_count_and_the_order_within_a_block_does_not() -> None:
    pictures = np.random.default_rng(0).uniform(size=(2, 32, 32))
    found = BlockBrightness().features(pictures)
    np.testing.assert_allclose(BlockBrightness().features(3 * pictures), 3 * found)
    assert not np.allclose(BlockBrightness().features(pictures[:, ::-1]), found)
    within = pictures.reshape(2, 8, 4, 32)[:, :, ::-1].reshape(2, 32, 32)
    np.testing.assert_allclose(BlockBrightness().features(within), found)


@pytest.mark.parametrize("pictures", [np.zeros((2, 15, 40)), np.full((2, 32, 32), np.nan)])
def test_pictures_that_are_too_small_or_not_finite_are_refused(pictures: np.ndarray) -> None:
    with pytest.raises(UsageError, match="fluosr-blocks-8x8"):
        BlockBrightness().features(pictures)
