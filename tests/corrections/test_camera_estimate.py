"""Photon transfer: the gain is found within its stated error, and nothing is claimed where nothing can be known."""

import re

import numpy as np
import pytest
import tifffile

from fluosr.acquisition import ArrayFrames
from fluosr.camera import TYPICAL_READ_NOISE_E, Camera
from fluosr.corrections.camera_estimate import estimate_camera, pair_statistics
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie


def stored(frames):
    return ArrayFrames(np.clip(np.rint(frames), 0, 65535).astype(np.uint16))


def ramp(camera, *, n_frames=300, peak=60.0, shape=(36, 48), seed=0, fading=0.0):
    expected = np.broadcast_to(np.linspace(1, peak, shape[1]), shape)
    generator = np.random.default_rng(seed)
    levels = np.exp(-fading * np.arange(n_frames) / n_frames)
    return np.stack([camera.expose(expected * level, generator) for level in levels])


def stated_error(camera):
    return float(re.search(r"\+- ([\d.e-]+)", dict(camera.certainty)["gain_adu_per_e"]).group(1))


@pytest.mark.parametrize("gain", [0.5, 1.0, 4.0, 10.0])
@pytest.mark.parametrize(("offset", "read_noise"), [(0.0, 1.0), (100.0, 1.0), (100.0, 3.0), (400.0, 2.0)])
@pytest.mark.parametrize("n_frames", [40, 300])
def test_the_gain_of_a_ramp_is_found(gain, offset, read_noise, n_frames):
    frames = stored(ramp(Camera(gain, offset, read_noise), n_frames=n_frames))
    camera, warnings = estimate_camera(frames)
    assert camera.gain_adu_per_e == pytest.approx(gain, rel=0.05)
    assert abs(camera.gain_adu_per_e - gain) < 3 * stated_error(camera)
    assert stated_error(camera) < 0.05 * gain
    assert any("emitters" in w for w in warnings) and any("offset" in w for w in warnings)
    # Whatever was assumed, the noise at a given grey value is that of the movie.
    grey = offset + 30 * gain
    variance = camera.gain_adu_per_e * (grey - camera.offset_adu) + (camera.gain_adu_per_e * camera.read_noise_e) ** 2
    assert variance == pytest.approx(gain * 30 * gain + (gain * read_noise) ** 2, rel=0.06)


@pytest.mark.parametrize("gain", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("peak", [10.0, 30.0, 100.0])
def test_the_gain_of_a_simulated_movie_is_found(gain, peak):
    phantom = ArgoPhantom(separations_nm=(120.0, 240.0), control=False)
    movie = SimulatedMovie(phantom, camera=Camera(gain, 100.0, 0.5), peak_photons=peak, n_frames=400, factor=4)
    camera, _ = estimate_camera(stored(np.stack(list(movie.frames()))))
    assert camera.gain_adu_per_e == pytest.approx(gain, rel=0.05)
    assert abs(camera.gain_adu_per_e - gain) < 3 * stated_error(camera)


def test_bleaching_and_fixed_patterns_do_not_enter():
    pattern = np.random.default_rng(5).normal(0, 1, (36, 48))
    for fixed in (0.0, pattern):
        camera, _ = estimate_camera(stored(ramp(Camera(3.0, 200.0, 1.0), fading=1.5) + fixed))
        assert camera.gain_adu_per_e == pytest.approx(3.0, rel=0.04)


def test_values_given_are_kept_and_the_rest_follows():
    true = Camera(4.0, 100.0, 2.0)
    frames = stored(ramp(true))
    camera, _ = estimate_camera(frames, offset=100.0)
    assert camera.offset_adu == 100.0
    assert camera.read_noise_e == pytest.approx(2.0, abs=0.3)
    assert dict(camera.certainty)["read_noise_e"].startswith("estimated")
    camera, _ = estimate_camera(frames, read_noise=2.0)
    assert camera.read_noise_e == 2.0 and camera.offset_adu == pytest.approx(100.0, abs=2.0)
    camera, warnings = estimate_camera(frames, gain=4.0, read_noise=2.0)
    assert (camera.gain_adu_per_e, camera.read_noise_e) == (4.0, 2.0)
    assert camera.offset_adu == pytest.approx(100.0, abs=1.0)
    assert not any("gain was estimated" in w for w in warnings)
    camera, _ = estimate_camera(frames, offset=100.0, read_noise=2.0)
    assert camera.gain_adu_per_e == pytest.approx(4.0, rel=0.01)
    assert abs(camera.gain_adu_per_e - 4.0) < 3 * stated_error(camera)


def test_with_all_given_the_movie_is_not_read():
    class Untouchable:
        shape, dtype = (2, 4, 4), np.dtype(np.uint16)

        def read(self, indices):
            raise AssertionError("read")

    camera, warnings = estimate_camera(Untouchable(), gain=2.0, offset=3.0, read_noise=1.0)
    assert (camera.gain_adu_per_e, camera.offset_adu, camera.read_noise_e) == (2.0, 3.0, 1.0)
    assert set(dict(camera.certainty).values()) == {"given"} and not warnings


def test_offset_is_assumed_with_a_typical_read_noise_but_not_above_the_darkest_pixels():
    camera, _ = estimate_camera(stored(ramp(Camera(4.0, 100.0, TYPICAL_READ_NOISE_E))))
    assert camera.offset_adu == pytest.approx(100.0, abs=4.0)
    assert "assumed" in dict(camera.certainty)["offset_adu"]
    quiet = stored(ramp(Camera(4.0, 100.0, 0.0)))
    camera, _ = estimate_camera(quiet)
    assert camera.offset_adu <= np.percentile(quiet.array.mean(0), 2)


@pytest.mark.parametrize("ceiling", [300, 65535])
def test_saturated_and_dead_pixels_are_left_out(ceiling):
    frames = ramp(Camera(4.0, 100.0, 1.0), peak=80.0)
    if ceiling == 65535:
        frames[:, :, -6:] = 70000.0
    frames = np.minimum(frames, ceiling)
    frames[:, :3] = 130.0
    source = stored(frames)
    stats = pair_statistics(source)
    assert stats.saturation_level == ceiling
    camera, warnings = estimate_camera(source, statistics=stats)
    assert camera.gain_adu_per_e == pytest.approx(4.0, rel=0.05)
    assert any("saturated" in w and f"{ceiling}" in w for w in warnings)


@pytest.mark.parametrize("peak", [0.3, 3.0, 30.0])
def test_an_unlimited_movie_has_no_ceiling(peak):
    frames = stored(ramp(Camera(1.0, 0.0, 0.0), peak=peak))
    assert pair_statistics(frames).saturation_level is None


GENERATOR = np.random.default_rng(0)
HOPELESS = {
    "constant": np.full((50, 20, 20), 7, np.uint16),
    "constant float": np.full((50, 20, 20), 0.25),
    "equally bright": GENERATOR.poisson(50, (60, 30, 30)).astype(np.uint16),
    "few pixels": GENERATOR.poisson(np.linspace(1, 50, 36).reshape(6, 6), (60, 6, 6)).astype(np.uint16),
    "noise that ignores the signal": np.linspace(0, 1, 900).reshape(30, 30) + GENERATOR.normal(0, 0.01, (60, 30, 30)),
    "noise that falls with the signal": np.linspace(1, 2, 900).reshape(30, 30)
    + GENERATOR.normal(0, 1, (60, 30, 30)) * np.linspace(0.02, 0.01, 900).reshape(30, 30),
    "negative": np.full((50, 20, 20), -3.0),
}


@pytest.mark.parametrize("name", list(HOPELESS))
def test_what_cannot_be_known_is_not_claimed(name):
    camera, warnings = estimate_camera(ArrayFrames(HOPELESS[name]))
    assert camera.gain_adu_per_e == 1.0
    assert camera.offset_adu == min(0.0, float(HOPELESS[name].mean(0).min()))
    assert any("could not be estimated" in w and "gain of 1" in w for w in warnings)
    assert all(v.startswith("assumed") for v in dict(camera.certainty).values())


def test_one_image_repeated_is_called_so():
    still = np.random.default_rng(0).poisson(np.linspace(1, 50, 400).reshape(1, 20, 20)).astype(np.uint16)
    camera, warnings = estimate_camera(ArrayFrames(np.repeat(still, 30, axis=0)))
    assert camera.gain_adu_per_e == 1.0
    assert any("its frames are all identical" in w for w in warnings)


def test_what_is_given_survives_a_hopeless_movie():
    camera, warnings = estimate_camera(ArrayFrames(HOPELESS["constant"]), gain=3.0)
    assert camera.gain_adu_per_e == 3.0
    assert any("could not be estimated" in w and "gain of 1" not in w for w in warnings)


def test_shared_fluctuations_are_told():
    generator = np.random.default_rng(0)
    light = np.broadcast_to(np.linspace(2, 60, 40), (40, 40))
    frames = np.stack([generator.poisson(light * generator.gamma(8, 1 / 8)) for _ in range(300)]).astype(np.uint16)
    stats = pair_statistics(ArrayFrames(frames))
    assert stats.neighbour_correlation > 0.5
    _, warnings = estimate_camera(ArrayFrames(frames), statistics=stats)
    assert any("vary together" in w for w in warnings)


def test_statistics_are_bounded_and_do_not_depend_on_the_chunks(monkeypatch):
    frames = stored(ramp(Camera(2.0, 50.0, 1.0), n_frames=101))
    whole = pair_statistics(frames, max_frames=60)
    assert whole.n_frames == 60
    monkeypatch.setattr("fluosr.corrections.camera_estimate.CHUNK_BYTES", 1)
    parts = pair_statistics(frames, max_frames=60)
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.variance, whole.variance)
    np.testing.assert_array_equal(parts.maximum, whole.maximum)
    assert parts.saturation_level == whole.saturation_level
    two = pair_statistics(ArrayFrames(frames.array[:2]))
    assert two.n_frames == 2


def test_two_movies_of_one_camera_agree(shared_data):
    """Two recordings of one laboratory, made with one camera, give one gain and one offset."""
    found = []
    for name in ("musij_cardiomyoblast_mito_100f", "musij_014_mito_50f"):
        frames = tifffile.imread(shared_data / "fluctuation" / f"{name}.tif")
        found.append(estimate_camera(ArrayFrames(frames))[0])
    assert found[0].gain_adu_per_e == pytest.approx(found[1].gain_adu_per_e, rel=0.05)
    assert found[0].offset_adu == pytest.approx(found[1].offset_adu, abs=5.0)
