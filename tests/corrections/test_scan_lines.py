"""Laws of what is read along the lines: a lag undone, phases to 1e-2 px, directions, jitter free of noise's bias."""

import numpy as np
import pytest
import torch

from fluosr.corrections.repeats import open_repeats
from fluosr.corrections.scan_lines import _pairs_apart, find_phase, turned, without_lag
from fluosr.corrections.scan_moments import band_sums, derivative, grouped, moments_of
from fluosr.degradations.scan import lag_lines
from tests.confocal import repeats, sample


@pytest.mark.parametrize("parity", [None, 0, 1])
def test_a_lag_undone_is_the_image_before_it(parity):
    image = np.random.default_rng(0).random((6, 40))
    lagged = lag_lines(torch.tensor(image)[None], torch.tensor([0.8]), longest_px=0.8, return_parity=parity)[0].numpy()
    assert np.allclose(without_lag(lagged, np.exp(-1 / 0.8), parity), image, atol=1e-5)
    assert np.array_equal(turned(turned(image, parity), parity), image)


@pytest.mark.parametrize("phase", [-1.3, -0.2, 0.0, 0.45, 2.0])
def test_the_phase_of_a_still_image_is_found(phase):
    from scipy.ndimage import gaussian_filter, shift

    image = gaussian_filter(sample(3), 1.0)
    image[0::2] = shift(image[0::2], (0, phase), order=5, mode="nearest")
    image[1::2] = shift(image[1::2], (0, -phase), order=5, mode="nearest")
    weight = np.zeros_like(image)
    weight[:, 6:-6] = 1.0
    assert find_phase([image], [weight])[0] == pytest.approx(phase, abs=0.01)


def test_the_derivative_is_that_of_waves_and_does_not_see_its_own_pixel():
    x = np.arange(100.0)
    wave = np.sin(2 * np.pi * 0.15 * x)[None]
    wanted = 2 * np.pi * 0.15 * np.cos(2 * np.pi * 0.15 * x)
    assert np.allclose(derivative(wave)[0, 5:-5], wanted[5:-5], atol=0.01)
    point = np.zeros((1, 9))
    point[0, 4] = 1.0
    assert derivative(point)[0, 4] == 0.0


def test_pairs_apart_are_those_of_a_double_loop():
    generator = np.random.default_rng(1)
    left, right = generator.random((2, 3, 20))
    slow = [sum(left[y, i] * right[y, j] for i in range(20) for j in range(20) if abs(i - j) > 6) for y in range(3)]
    assert np.allclose(_pairs_apart(left, right), slow)


def test_moments_are_those_of_a_plain_loop():
    frames = repeats(5, 5, side=32)
    found = moments_of(open_repeats(frames, "f"))
    e = found.residuals.astype(float)
    d = np.diff(e, axis=0) / np.sqrt(2)
    assert np.allclose(found.variance, (d**2).mean(0) - 1 / 12, rtol=1e-4)
    assert np.allclose(found.along, (d[..., 1:] * d[..., :-1]).mean(0), rtol=1e-3, atol=1e-2)
    assert np.allclose(found.across, (d[:, 1:] * d[:, :-1]).mean(0), rtol=1e-3, atol=1e-2)
    third, half = (e**3).mean(0) * 25 / 12, (e[..., :-1] ** 2 * e[..., 1:]).mean(0) * 25 / 12
    assert np.allclose(found.third, third, rtol=1e-3, atol=1.0)
    assert np.allclose(found.third_along[0], half, rtol=1e-3, atol=1.0)
    # What all pixels share in a frame, in proportion to their brightness, is taken off.
    assert np.abs(e[:, found.repeats.usable].mean(1)).max() < 0.01


def test_bands_and_groups_keep_the_sum():
    image = np.random.default_rng(0).random((37, 5))
    assert band_sums(image).shape == (4,) and band_sums(image).sum() == pytest.approx(image.sum())
    many = [np.random.default_rng(i).random((4, 2)) for i in range(9)]
    assert grouped(many).shape == (9, 2) and grouped(many[:3]).shape == (12, 2)
    assert np.allclose(grouped(many).sum(0), np.concatenate(many).sum(0))
