"""Fidelity: perfect for the truth, blind to scale, and exact about displacement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import fourier_shift, gaussian_filter

from fluosr.quality.fidelity import displacement, fidelity


def scene(seed=0, shape=(90, 110)):
    sparse = np.random.default_rng(seed).random(shape) > 0.985
    return gaussian_filter(sparse.astype(float), 2.5) * np.outer(np.hanning(shape[0]), np.hanning(shape[1]))


def moved(image, dy, dx):
    return np.fft.ifft2(fourier_shift(np.fft.fft2(image), (dy, dx))).real


def test_the_truth_agrees_with_itself():
    truth = scene()
    found = fidelity(truth, truth)
    assert (found.correlation, found.nrmse, found.scale, found.photons_ratio) == pytest.approx((1, 0, 1, 1), abs=1e-9)
    assert found.shift_px == pytest.approx((0, 0), abs=1e-9)


@given(scale=st.floats(0.01, 100))
def test_scale_costs_nothing_but_is_told(scale):
    found = fidelity(scale * scene(), scene())
    assert (found.correlation, found.nrmse) == pytest.approx((1, 0), abs=1e-6)
    assert found.scale == pytest.approx(1 / scale)
    assert found.photons_ratio == pytest.approx(scale)


def test_nrmse_and_correlation_are_those_of_the_formula():
    generator = np.random.default_rng(1)
    truth = scene()
    image = truth + 0.5 * truth.std() * generator.standard_normal(truth.shape)
    found = fidelity(image, truth)
    scales = np.linspace(0.01, 2, 2000)
    slow = min(np.linalg.norm(s * image - truth) for s in scales) / np.linalg.norm(truth)
    assert found.nrmse == pytest.approx(slow, rel=1e-4)
    a, b = image - image.mean(), truth - truth.mean()
    assert found.correlation == pytest.approx((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@settings(max_examples=25)
@given(dy=st.floats(-1.5, 1.5), dx=st.floats(-1.5, 1.5), seed=st.integers(0, 20))
def test_displacement_is_found_with_its_sign(dy, dx, seed):
    truth = scene(seed)
    found = displacement(moved(truth, dy, dx), truth)
    assert found == pytest.approx((dy, dx), abs=0.1)


def test_displacement_sees_through_blur_and_noise():
    truth = scene(3)
    noise = 0.02 * truth.max() * np.random.default_rng(0).random(truth.shape)
    image = gaussian_filter(moved(truth, 0.6, -0.4), 3.0) + noise
    assert displacement(image, truth) == pytest.approx((0.6, -0.4), abs=0.12)


def test_empty_images_are_answered_and_wrong_ones_refused():
    truth = scene()
    found = fidelity(np.zeros_like(truth), truth)
    assert (found.correlation, found.scale, found.nrmse, found.shift_px) == (0.0, 0.0, 1.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="constant"):
        fidelity(truth, np.ones_like(truth))
    with pytest.raises(ValueError, match="grids"):
        fidelity(truth[:-1], truth)
