"""The camera: photoelectrons to grey values and back, and the noise it adds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr.camera import Camera
from fluosr.errors import UsageError


@given(
    gain=st.floats(0.01, 100),
    offset=st.floats(-500, 2000),
    photons=st.lists(st.floats(0, 1e5), min_size=1, max_size=20),
)
def test_to_adu_and_back(gain, offset, photons):
    camera = Camera(gain, offset)
    photons = np.array(photons)
    adu = camera.to_adu(photons)
    assert adu.dtype == np.float32
    back = camera.to_photons(adu)
    # Single precision rounds the grey value: seven digits of the larger of signal and offset.
    np.testing.assert_allclose(back, photons, atol=4e-7 * (photons.max() + abs(offset) / gain) + 1e-30, rtol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_photons_are_float32_whatever_is_stored(dtype):
    photons = Camera(2.0, 100.0).to_photons(np.array([90, 100, 110], dtype))
    assert photons.dtype == np.float32
    np.testing.assert_allclose(photons, [-5, 0, 5])


def test_exposure_has_the_moments_of_the_model():
    """y = g N + o + g r n: mean g phi + o, variance g^2 (phi + r^2)."""
    camera = Camera(4.0, 100.0, 1.5)
    phi = np.array([0.0, 0.5, 5.0, 50.0])
    y = camera.expose(np.broadcast_to(phi, (40_000, 4)), np.random.default_rng(0)).astype(float)
    variance = 16 * (phi + 1.5**2)
    np.testing.assert_array_less(np.abs(y.mean(0) - (4 * phi + 100)), 4 * np.sqrt(variance / 40_000))
    np.testing.assert_allclose(y.var(0), variance, rtol=0.05)


def test_the_same_seed_gives_the_same_bits():
    first, second = (Camera(2.0, 10.0, 1.0).expose(np.full((5, 5), 3.0), np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "values", [(0.0, 0, 0), (-1.0, 0, 0), (np.nan, 0, 0), (1.0, np.inf, 0), (1.0, 0, -0.1), (1.0, 0, np.nan)]
)
def test_impossible_cameras_are_refused(values):
    with pytest.raises(UsageError):
        Camera(*values)


def test_describe_says_how_each_value_is_known():
    words = Camera(2.0, 100.0, 1.0, (("gain_adu_per_e", "given"),)).describe()
    assert words["gain_adu_per_e"] == 2.0
    assert words["certainty"] == {"gain_adu_per_e": "given"}


GENERATOR = np.random.default_rng(0)
GAIN, OFFSET, READ = 1 + GENERATOR.random((6, 7)), 90 + 20 * GENERATOR.random((6, 7)), GENERATOR.random((6, 7))


def test_maps_say_what_each_pixel_does():
    camera = Camera.of(GAIN, OFFSET, READ)
    photons = np.random.default_rng(1).uniform(0, 100, (5, 6, 7))
    np.testing.assert_allclose(camera.to_adu(photons), photons * GAIN + OFFSET, rtol=1e-6)
    np.testing.assert_allclose(camera.to_photons(camera.to_adu(photons)), photons, atol=1e-4)
    np.testing.assert_allclose(camera.noise_variance(photons), photons + READ**2, rtol=1e-6)
    np.testing.assert_allclose(camera.noise_variance(torch.as_tensor(photons)), photons + READ**2, rtol=1e-6)
    exposed = camera.expose(np.broadcast_to(4.0, (4000, 6, 7)), np.random.default_rng(2)).astype(float)
    np.testing.assert_allclose(exposed.var(0), GAIN**2 * (4.0 + READ**2), rtol=0.12)
    assert camera.gain_adu_per_e == pytest.approx(np.median(GAIN))
    assert camera.read_noise_e == pytest.approx(np.sqrt((READ**2).mean()))


def test_even_maps_are_the_camera_of_these_numbers():
    even, plain = Camera.of(*(np.full((6, 7), v) for v in (2.0, 100.0, 1.5))), Camera.of(2.0, 100.0, 1.5)
    assert plain == Camera(2.0, 100.0, 1.5)
    phi = np.full((6, 7), 3.0)
    frames = [c.expose(phi, np.random.default_rng(0)) for c in (even, plain)]
    assert np.array_equal(*frames)
    np.testing.assert_array_equal(even.to_photons(frames[0]), plain.to_photons(frames[0]))


@given(y=st.integers(0, 4), x=st.integers(0, 5))
def test_maps_are_cut_with_the_field(y, x):
    part = Camera.of(GAIN, OFFSET, 1.0).crop((y, x, 2, 2))
    whole = Camera.of(GAIN, OFFSET, 1.0)
    adu = np.full((6, 7), 150.0)
    np.testing.assert_array_equal(part.to_photons(adu[:2, :2]), whole.to_photons(adu)[y : y + 2, x : x + 2])
    assert Camera(2.0).crop((0, 0, 2, 2)) == Camera(2.0)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((np.where(np.eye(3) > 0, 0.0, 1.0),), "gain_adu_per_e: 3 values cannot be"),
        ((1.0, np.full((3, 3), np.nan)), "offset_adu"),
        ((1.0, 0.0, -np.eye(3)), "read_noise_e: 3 values cannot be, the first -1 at pixel y=0, x=0"),
        ((np.ones((3, 3)), np.ones((3, 4))), "different sizes"),
        ((np.ones((2, 3, 3)),), "one .* image"),
    ],
)
def test_maps_that_cannot_be_are_refused(values, word):
    with pytest.raises(UsageError, match=word):
        Camera.of(*values)


def test_describe_tells_maps_apart():
    one, other = (Camera.of(gain).describe()["maps"]["gain_adu_per_e"] for gain in (GAIN, GAIN[::-1]))
    assert one["range"] == other["range"] and one["fingerprint"] != other["fingerprint"]
    assert "maps" not in Camera(2.0).describe()
