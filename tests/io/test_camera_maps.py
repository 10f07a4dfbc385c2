"""Maps of the camera from files and arrays: cut with the field, and what is missing estimated through them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.camera import Camera
from fluosr.errors import ImageReadError, UsageError
from fluosr.io.movie import open_movie

GRID = {"pixel_size_nm": 100.0, "fwhm_nm": 300.0}
RNG = np.random.default_rng(0)
SHAPE = (24, 30)
GAIN = (2.0 + RNG.random(SHAPE)).astype(np.float32)
OFFSET = (100 + 30 * RNG.random(SHAPE)).astype(np.float32)


@pytest.fixture
def frames() -> np.ndarray:
    light = np.linspace(5, 60, SHAPE[1])[None, :] * np.ones(SHAPE)
    camera = Camera.of(GAIN, OFFSET, 1.5)
    generator = np.random.default_rng(1)
    return np.stack([camera.expose(light, generator) for _ in range(300)])


@pytest.fixture
def gain_file(tmp_path: Path) -> Path:
    path = tmp_path / "gain.tif"
    tifffile.imwrite(path, GAIN)
    return path


def test_a_file_is_the_array_it_holds(frames: np.ndarray, gain_file: Path) -> None:
    one, other = (open_movie(frames, gain=g, offset=OFFSET, read_noise=1.5, **GRID) for g in (gain_file, GAIN))
    wanted = (frames[:3] - OFFSET) / GAIN
    np.testing.assert_allclose(one.photons(slice(0, 3)), wanted, atol=1e-3)
    np.testing.assert_array_equal(one.photons([0]), other.photons([0]))
    assert dict(one.camera.certainty)["gain_adu_per_e"] == "given"


def test_a_crop_cuts_the_maps_too(frames: np.ndarray, gain_file: Path) -> None:
    crop = (3, 5, 12, 14)
    whole = open_movie(frames, gain=gain_file, offset=OFFSET, read_noise=1.5, **GRID)
    part = open_movie(frames, gain=gain_file, offset=OFFSET, read_noise=1.5, crop=crop, **GRID)
    wanted = whole.photons([0])[:, 3:15, 5:19]
    np.testing.assert_array_equal(part.photons([0]), wanted)
    np.testing.assert_array_equal(whole.select(window=crop).photons([0]), wanted)
    cut = open_movie(frames, gain=GAIN[3:15, 5:19], offset=OFFSET, read_noise=1.5, crop=crop, **GRID)
    np.testing.assert_array_equal(cut.photons([0]), wanted)


def test_what_is_missing_is_estimated_through_the_maps(frames: np.ndarray) -> None:
    movie = open_movie(frames, gain=GAIN, offset=OFFSET, **GRID)
    assert movie.camera.read_noise_e == pytest.approx(1.5, abs=0.4)
    even = (frames - OFFSET) * (2.0 / GAIN) + OFFSET
    movie = open_movie(even, offset=OFFSET, read_noise=1.5, **GRID)
    assert movie.camera.gain_adu_per_e == pytest.approx(2.0, rel=0.05)
    assert movie.camera.maps.offset_adu is not None and movie.camera.maps.gain_adu_per_e is None
    movie = open_movie(even - OFFSET + 100, read_noise=np.full(SHAPE, 1.5), **GRID)
    assert movie.camera.gain_adu_per_e == pytest.approx(2.0, rel=0.1)


def test_maps_that_do_not_fit_are_refused(frames: np.ndarray, gain_file: Path, tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.ones((3, *SHAPE), np.float32), photometric="minisblack")
    for values, error, word in (
        ({"gain": GAIN}, UsageError, "needs the offset"),
        ({"gain": GAIN[:5], "offset": 0.0}, UsageError, "not as large as the movie"),
        ({"gain": 0 * GAIN, "offset": 0.0}, UsageError, "cannot be"),
        ({"gain": -1.0}, UsageError, "gain must be positive"),
        ({"read_noise": stack}, UsageError, "holds 3 images"),
        ({"gain": tmp_path / "none.tif"}, ImageReadError, "none.tif"),
    ):
        with pytest.raises(error, match=word):
            open_movie(frames, **GRID, **values)
