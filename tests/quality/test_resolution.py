"""Laws of the Fourier ring correlation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal.windows import tukey

from fluosr.errors import UsageError
from fluosr.quality.resolution import TAPER, fourier_ring_correlation

SHAPES = [(64, 64), (48, 65), (51, 33), (33, 120)]
CRITERIA = ["1/7", "2-sigma", "half-bit"]


def band_limited(shape, pixel_nm, finest_nm, generator):
    """White noise with every period under ``finest_nm`` removed."""
    spectrum = np.fft.fft2(generator.standard_normal(shape))
    radius = np.hypot(np.fft.fftfreq(shape[0], pixel_nm)[:, None], np.fft.fftfreq(shape[1], pixel_nm)[None, :])
    return np.fft.ifft2(spectrum * (radius < 1 / finest_nm)).real


def pair(shape, *, pixel_nm=20.0, finest_nm=120.0, snr=20.0, seed=0):
    """One band-limited signal with two draws of white noise; ``snr`` is the power ratio inside the band."""
    generator = np.random.default_rng(seed)
    signal = band_limited(shape, pixel_nm, finest_nm, generator) * np.sqrt(snr)
    return signal + generator.standard_normal(shape), signal + generator.standard_normal(shape)


def slow_reference(first, second, pixel_nm):
    """Ring by ring over the whole Fourier plane, one coefficient after the other."""
    ny, nx = first.shape
    window = np.outer(tukey(ny, TAPER), tukey(nx, TAPER))
    f1, f2 = (np.fft.fft2((i - np.average(i, weights=window)) * window) for i in (first, second))
    qy, qx = np.fft.fftfreq(ny, pixel_nm), np.fft.fftfreq(nx, pixel_nm)
    width = 1 / (min(ny, nx) * pixel_nm)
    rings = min(ny, nx) // 2
    cross, power_1, power_2, count = (np.zeros(rings + 1) for _ in range(4))
    for y in range(ny):
        for x in range(nx):
            ring = int(np.floor(np.hypot(qy[y], qx[x]) / width + 0.5))
            if 1 <= ring <= rings:
                cross[ring] += (f1[y, x] * np.conj(f2[y, x])).real
                power_1[ring] += abs(f1[y, x]) ** 2
                power_2[ring] += abs(f2[y, x]) ** 2
                count[ring] += 1
    return cross[1:] / np.sqrt(power_1[1:] * power_2[1:]), count[1:], np.arange(1, rings + 1) * width


@pytest.mark.parametrize("shape", SHAPES)
def test_rings_equal_a_slow_reference(shape):
    first, second = pair(shape, seed=3)
    result = fourier_ring_correlation(first, second, 20.0)
    correlation, count, frequency = slow_reference(first, second, 20.0)
    np.testing.assert_allclose(result.correlation, correlation, atol=1e-10)
    np.testing.assert_array_equal(result.n_per_ring, count)
    np.testing.assert_allclose(result.frequency_per_nm, frequency)


@pytest.mark.parametrize("snr", [0.5, 2.0, 8.0])
def test_expected_value_is_signal_over_signal_plus_noise(snr):
    curves = []
    for seed in range(8):
        first, second = pair((128, 128), finest_nm=80.0, snr=snr, seed=seed)
        curves.append(fourier_ring_correlation(first, second, 20.0))
    frequency = curves[0].frequency_per_nm
    mean = np.mean([c.correlation for c in curves], axis=0)
    inside = (frequency > 0.1 / 80) & (frequency < 0.9 / 80)
    outside = frequency > 1.1 / 80
    assert np.average(mean[inside], weights=curves[0].n_per_ring[inside]) == pytest.approx(snr / (snr + 1), abs=0.02)
    assert np.average(mean[outside], weights=curves[0].n_per_ring[outside]) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("shape", [(128, 128), (96, 151)])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_resolution_is_the_end_of_the_band(shape, criterion):
    first, second = pair(shape, finest_nm=110.0, snr=3.0)
    result = fourier_ring_correlation(first, second, 20.0, criterion=criterion)
    assert result.reason is None
    # The taper and the smoothing spread a sharp edge by about two rings.
    assert 1 / result.resolution_nm == pytest.approx(1 / 110.0, abs=2.2 * result.frequency_per_nm[0])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_symmetric_in_its_arguments(criterion):
    first, second = pair((48, 65))
    one = fourier_ring_correlation(first, second, 20.0, criterion=criterion)
    two = fourier_ring_correlation(second, first, 20.0, criterion=criterion)
    np.testing.assert_array_equal(one.correlation, two.correlation)
    assert one.resolution_nm == two.resolution_nm


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(-50, 50), st.floats(1.0, 500.0))
def test_brightness_offset_and_unit_of_length_do_not_matter(scale_1, scale_2, offset, pixel):
    first, second = pair((40, 52))
    plain = fourier_ring_correlation(first, second, 20.0)
    other = fourier_ring_correlation(scale_1 * (first + offset), scale_2 * second, pixel)
    np.testing.assert_allclose(other.correlation, plain.correlation, atol=1e-6)
    assert other.resolution_nm / pixel == pytest.approx(plain.resolution_nm / 20.0, rel=1e-4)


def test_turning_and_mirroring_change_nothing():
    first, second = pair((48, 65))
    plain = fourier_ring_correlation(first, second, 20.0)
    turned = fourier_ring_correlation(first.T[::-1], second.T[::-1], 20.0)
    np.testing.assert_allclose(turned.correlation, plain.correlation, atol=1e-10)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("shape", [(16, 16), (50, 266), (64, 64)])
def test_white_noise_has_no_resolution(shape, criterion):
    for seed in range(25):
        generator = np.random.default_rng(seed)
        result = fourier_ring_correlation(*generator.standard_normal((2, *shape)), 20.0, criterion=criterion)
        assert result.resolution_nm is None
        assert not result.finer_than_grid
        assert "noise" in result.reason


@pytest.mark.parametrize("change", [lambda i: i, lambda i: 2 * i + 3, lambda i: -i])
def test_copies_are_not_independent(change):
    image = pair((64, 64))[0].astype(np.float32)
    result = fourier_ring_correlation(image, change(image), 20.0)
    assert result.resolution_nm is None
    assert "not independent" in result.reason


def test_agreement_beyond_the_grid_is_said():
    generator = np.random.default_rng(0)
    signal = generator.standard_normal((64, 64)) * 3
    result = fourier_ring_correlation(*(signal + generator.standard_normal((2, 64, 64))), 20.0)
    assert result.resolution_nm is None and result.finer_than_grid
    assert result.limit_nm == 40.0
    assert "40 nm" in result.reason


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (np.zeros((32, 32)), np.ones((32, 32)), "constant"),
        (np.random.default_rng(0).random((32, 32)), np.full((32, 32), 7.1, np.float32), "constant"),
        (np.random.default_rng(0).random((12, 40)), np.random.default_rng(1).random((12, 40)), "too small"),
        (np.full((32, 32), np.nan), np.random.default_rng(1).random((32, 32)), "finite"),
    ],
)
def test_what_cannot_be_judged_says_why(first, second, word):
    result = fourier_ring_correlation(first, second, 20.0)
    assert result.resolution_nm is None
    assert word in result.reason
    assert result.describe()["reason"] == result.reason


def test_smooth_images_have_no_nan():
    y, x = np.indices((64, 64))
    first = np.exp(-((y - 32.0) ** 2 + (x - 30.0) ** 2) / 200)
    second = np.exp(-((y - 31.0) ** 2 + (x - 31.0) ** 2) / 220)
    result = fourier_ring_correlation(first, second, 20.0)
    for curve in (result.correlation, result.smoothed, result.threshold):
        assert np.isfinite(curve).all()
    assert (result.resolution_nm is None) == (result.reason is not None)


def test_thresholds_follow_their_formulas():
    first, second = pair((64, 64))
    n = fourier_ring_correlation(first, second, 20.0).n_per_ring
    by_name = {c: fourier_ring_correlation(first, second, 20.0, criterion=c).threshold for c in CRITERIA}
    np.testing.assert_allclose(by_name["1/7"], 1 / 7)
    np.testing.assert_allclose(by_name["2-sigma"], 2 / np.sqrt(n / 2))
    np.testing.assert_allclose(by_name["half-bit"], (0.2071 * np.sqrt(n) + 1.9102) / (1.2071 * np.sqrt(n) + 0.9102))


@pytest.mark.parametrize(
    ("arguments", "criterion"),
    [
        ((np.zeros((32, 32)), np.zeros((32, 31)), 20.0), "1/7"),
        ((np.zeros((2, 32, 32)), np.zeros((2, 32, 32)), 20.0), "1/7"),
        ((np.zeros((32, 32)), np.zeros((32, 32)), 0.0), "1/7"),
        ((np.zeros((32, 32)), np.zeros((32, 32)), float("nan")), "1/7"),
        ((np.zeros((32, 32)), np.zeros((32, 32)), 20.0), "0.143"),
    ],
)
def test_wrong_use_is_refused(arguments, criterion):
    with pytest.raises(UsageError):
        fourier_ring_correlation(*arguments, criterion=criterion)
