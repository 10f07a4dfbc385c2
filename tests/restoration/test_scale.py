"""Grey scales: any gain and offset looks the same, and a pair comes onto one scale."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from fluosr.errors import UsageError
from fluosr.restoration.scale import GreyScale, block_mean, on_scale_of
from tests.restoration.fields_at_hand import field


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_gain_and_offset_do_not_matter(gain: float, offset: float) -> None:
    image = np.random.default_rng(0).normal(10.0, 3.0, (20, 30))
    other = gain * image + offset
    np.testing.assert_allclose(GreyScale.of(other).apply(other), GreyScale.of(image).apply(image), atol=1e-7)
    scale = GreyScale.of(image)
    np.testing.assert_allclose(scale.undo(scale.apply(image)), image)
    assert scale.apply(image).mean() == pytest.approx(0.0, abs=1e-12)
    assert scale.apply(image).std() == pytest.approx(1.0)


def test_nothing_is_made_of_nothing() -> None:
    with pytest.raises(UsageError, match="constant"):
        GreyScale.of(np.full((4, 4), 7.0))
    with pytest.raises(UsageError, match="finite"):
        GreyScale.of(np.array([[1.0, np.nan], [2.0, 3.0]]))


def test_block_means_keep_the_mean() -> None:
    image = np.arange(24.0).reshape(4, 6)
    assert block_mean(image, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    with pytest.raises(UsageError, match="multiples of 4"):
        block_mean(image, 4)


def test_a_pair_comes_onto_the_scale_of_its_frames() -> None:
    high = field(1).high
    low = 3.0 * block_mean(high, 2) + 100.0
    np.testing.assert_allclose(on_scale_of(high, low, 2), 3.0 * high + 100.0, rtol=1e-5)


def test_a_blurrier_fast_image_is_not_taken_for_a_dimmer_one() -> None:
    high = field(4, side=192).high
    lines = gaussian_filter(block_mean(high, 2), 0.5, mode="nearest")
    for parity, shift in ((0, 1), (1, -1)):  # return lines out of place
        lines[parity::2] = np.roll(lines[parity::2], shift, axis=1)
    found = on_scale_of(high, 3.0 * lines + 100.0, 2)
    assert np.ptp(found) / np.ptp(high) == pytest.approx(3.0, rel=0.04)


def test_what_does_not_belong_together_is_said() -> None:
    high = field(1).high
    with pytest.raises(UsageError, match="dark where"):
        on_scale_of(high, -block_mean(high, 2), 2)
    with pytest.raises(UsageError, match="constant"):
        on_scale_of(np.ones((4, 4)), np.ones((2, 2)), 2)


def test_large_images_are_not_copied_whole() -> None:
    image = np.random.default_rng(0).normal(10.0, 3.0, (3000, 2000)).astype(np.float32)
    tracemalloc.start()
    scale = GreyScale.of(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.nbytes / 2
    assert (scale.offset, scale.spread) == pytest.approx((image.mean(dtype=float), image.std(dtype=float)), rel=1e-12)
