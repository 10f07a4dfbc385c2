"""Laws of decorrelation analysis: a known cut-off is found, whatever the shape; noise has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.quality.decorrelation import _flank, decorrelation_analysis

SHAPES = [(256, 256), (199, 301), (150, 257)]


def band_limited(shape, cutoff, *, noise=0.05, seed=0):
    """An image whose spectrum falls as 1 / k and ends at ``cutoff`` (of Nyquist), with white noise."""
    generator = np.random.default_rng(seed)
    radius = 2 * np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    spectrum = np.fft.fft2(generator.standard_normal(shape)) / np.maximum(radius, 0.02) * (radius < cutoff)
    image = np.fft.ifft2(spectrum).real
    return image / image.std() + noise * generator.standard_normal(shape)


def slow_curve(image, radii, sigma_px=None):
    """d(r) by its definition: over the whole Fourier plane, with complex phases."""
    ny, nx = image.shape
    tapered = (image - image.mean()) * np.outer(_flank(ny), _flank(nx))
    fy, fx = np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None, :]
    radius = 2 * np.hypot(fy, fx)
    transform = np.fft.fft2(tapered)
    phases = np.exp(1j * np.angle(transform))
    if sigma_px is not None:
        transform = transform * (1 - np.exp(-2 * (np.pi * sigma_px) ** 2 * (fy**2 + fx**2)))
    plane = (radius < 1) & (radius > 0)
    power = (np.abs(transform[plane]) ** 2).sum()
    curve = []
    for r in radii:
        inside = plane & (radius < r)
        n = inside.sum()
        curve.append((transform[inside] * phases[inside].conj()).real.sum() / np.sqrt(n * power) if n else 0.0)
    return np.array(curve)


@pytest.mark.parametrize("shape", [(96, 96), (75, 110)])
def test_curves_are_those_of_the_definition(shape):
    image = band_limited(shape, 0.4)
    result = decorrelation_analysis(image, 20.0)
    # Rings of an eighth of a coefficient stand for the coefficients themselves; the curves agree to that.
    np.testing.assert_allclose(result.curve[5:], slow_curve(image, result.radii[0])[5:], atol=0.01)
    for k in (0, 4, 8):
        slow = slow_curve(image, result.radii[0], result.high_pass_px[0, k])
        np.testing.assert_allclose(result.high_pass_curves[0, k, 5:], slow[5:], atol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cutoff", [0.25, 0.5, 0.75])
def test_a_known_cutoff_is_found(shape, cutoff):
    result = decorrelation_analysis(band_limited(shape, cutoff), 20.0)
    assert result.reason is None
    assert result.cutoff == pytest.approx(cutoff, abs=0.02)
    assert result.resolution_nm == pytest.approx(40.0 / result.cutoff)
    assert 0.05 < result.peak_height < 1


def test_more_noise_never_reads_finer_by_much():
    found = [decorrelation_analysis(band_limited((256, 256), 0.6, noise=n), 1.0).resolution_nm for n in (0.05, 0.3, 1)]
    assert found[0] < 1.05 * found[1] and found[1] < 1.05 * found[2]


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-50, 50), st.floats(1.0, 500.0))
def test_brightness_offset_and_unit_of_length_do_not_matter(scale, offset, pixel):
    image = band_limited((64, 81), 0.4)
    plain = decorrelation_analysis(image, 20.0).resolution_nm / 20.0
    assert decorrelation_analysis(scale * (image + offset), pixel).resolution_nm / pixel == pytest.approx(plain)


def test_turning_and_mirroring_change_nothing():
    image = band_limited((90, 121), 0.4)
    plain = decorrelation_analysis(image, 20.0)
    turned = decorrelation_analysis(image.T[::-1], 20.0)
    np.testing.assert_allclose(turned.high_pass_curves, plain.high_pass_curves, atol=1e-10)
    assert turned.resolution_nm == pytest.approx(plain.resolution_nm)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (64, 64), (128, 200)])
def test_white_noise_has_no_resolution(shape):
    for seed in range(40):
        result = decorrelation_analysis(np.random.default_rng(seed).standard_normal(shape), 20.0)
        assert result.resolution_nm is None and result.cutoff == 0.0
        assert "noise" in result.reason


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.full((64, 64), 3.0), "constant"),
        (np.zeros((64, 64)), "constant"),
        (np.random.default_rng(0).random((20, 400)), "too small"),
        (np.where(np.arange(4096).reshape(64, 64) == 7, np.nan, 1.0), "finite"),
        (np.eye(64)[:, ::-1] * np.nan, "finite"),
    ],
)
def test_what_cannot_be_judged_says_why(image, word):
    result = decorrelation_analysis(image, 20.0)
    assert result.resolution_nm is None and word in result.reason
    assert result.describe()["reason"] == result.reason


@pytest.mark.parametrize("kind", ["point", "edge", "gradient", "checkers", "wave"])
def test_strange_images_end_in_numbers_or_words(kind):
    y, x = np.indices((70, 83))
    image = {
        "point": (y == 30) & (x == 41),
        "edge": x > 40,
        "gradient": x + 2 * y,
        "checkers": (x + y) % 2,
        "wave": np.cos(x / 3),
    }[kind].astype(float)
    result = decorrelation_analysis(image, 20.0)
    assert (result.resolution_nm is None) != (result.reason is None)
    for values in (result.curve, result.high_pass_curves, result.peaks, result.high_pass_px):
        assert np.isfinite(values).all()


@pytest.mark.parametrize(("shape", "pixel"), [((2, 64, 64), 20.0), ((64, 64), 0.0), ((64, 64), float("nan"))])
def test_wrong_use_is_refused(shape, pixel):
    with pytest.raises(UsageError):
        decorrelation_analysis(np.zeros(shape), pixel)
