"""The camera: photoelectrons to grey values and back, and the noise it adds."""

import numpy as np
import pytest
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
