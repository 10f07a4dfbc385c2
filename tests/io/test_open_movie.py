"""From a file or an array and the facts about the microscope to an Acquisition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.acquisition import ArrayFrames
from fluosr.errors import AcquisitionError, ImageReadError, MissingMetadataError, OpticsError, UsageError
from fluosr.io.fingerprint import fingerprint_of_file
from fluosr.io.movie import open_movie
from fluosr.io.write import write_movie, write_tiff
from fluosr.optics.psf import AiryPSF, GaussianPSF, MeasuredPSF

CAMERA = {"gain": 2.0, "offset": 100.0, "read_noise": 1.2}
OPTICS = {"fwhm_nm": 320.0}
GRID = {"pixel_size_nm": 100.0}


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(3).poisson(130.0, (30, 24, 28)).astype(np.uint16)


@pytest.fixture
def path(tmp_path: Path, frames: np.ndarray) -> Path:
    write_movie(tmp_path / "cell 1.tif", frames, 30, np.uint16, 100.0, 0.02)
    return tmp_path / "cell 1.tif"


def bead(shape: tuple[int, int] = (21, 21), sigma: float = 3.0) -> np.ndarray:
    y, x = np.indices(shape) - (np.array(shape).reshape(2, 1, 1) - 1) / 2
    return np.exp(-(y**2 + x**2) / (2 * sigma**2)) / sigma**2


def test_a_file_with_its_facts(path: Path, frames: np.ndarray) -> None:
    movie = open_movie(path, **OPTICS, **CAMERA)
    assert movie.frames.shape == (30, 24, 28)
    assert movie.pixel_size_nm == pytest.approx(100.0, rel=1e-5)
    assert movie.frame_interval_s == pytest.approx(0.02)
    assert (movie.name, movie.warnings) == ("cell 1", ())
    assert isinstance(movie.psf, GaussianPSF) and movie.psf.fwhm_nm == 320.0
    assert (movie.camera.gain_adu_per_e, movie.camera.offset_adu, movie.camera.read_noise_e) == (2.0, 100.0, 1.2)
    assert set(dict(movie.camera.certainty).values()) == {"given"}
    np.testing.assert_allclose(movie.photons([7])[0], (frames[7] - 100.0) / 2.0)
    assert movie.provenance["path"] == str(path.absolute())
    assert movie.provenance["bytes"] == path.stat().st_size
    assert (movie.provenance["axes"], movie.provenance["frames"]) == ("TYX", [0, 30, 1])
    assert movie.provenance["crop"] == [0, 0, 24, 28]


def test_the_fingerprint_tells_other_data(path: Path, frames: np.ndarray) -> None:
    first = open_movie(path, **OPTICS, **CAMERA).provenance["fingerprint"]
    assert open_movie(path, fwhm_nm=250, **CAMERA).provenance["fingerprint"] == first
    frames[-1, -1, -1] += 1
    write_movie(path, frames, 30, np.uint16, 100.0, 0.02)
    assert open_movie(path, **OPTICS, **CAMERA).provenance["fingerprint"] != first
    assert (
        open_movie(frames, **GRID, **OPTICS, **CAMERA).provenance["fingerprint"]
        != open_movie(frames[:, 1:], **GRID, **OPTICS, **CAMERA).provenance["fingerprint"]
    )


def test_the_fingerprint_of_a_long_file_sees_a_stretch_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "long.bin"
    with path.open("wb") as file:
        file.truncate(40 * 2**20)
    size, first = fingerprint_of_file(path)
    assert size == 40 * 2**20 and fingerprint_of_file(path) == (size, first)
    seen = {first}
    for start in (0, 17 * 2**20, 39 * 2**20):
        with path.open("r+b") as file:
            file.seek(start)
            file.write(b"\1" * 2**20)
        seen.add(fingerprint_of_file(path)[1])
    assert len(seen) == 4


@pytest.mark.parametrize("number", [0, 15, 29])
def test_the_fingerprint_of_an_array_sees_more_than_its_first_frame(frames: np.ndarray, number: int) -> None:
    first = open_movie(frames, **GRID, **OPTICS, **CAMERA).provenance["fingerprint"]
    other = frames.copy()
    other[number:][:2] += 1
    assert open_movie(other, **GRID, **OPTICS, **CAMERA).provenance["fingerprint"] != first


def test_an_array_and_a_source_of_frames(frames: np.ndarray) -> None:
    for given in (frames, ArrayFrames(frames)):
        movie = open_movie(given, **GRID, **OPTICS, **CAMERA)
        assert movie.name == "array"
        np.testing.assert_array_equal(movie.frames.read(slice(2, 4)), frames[2:4])
    for wrong in (frames[0], frames.astype(complex), np.zeros((3, 4, 5, 6)), ["a", "b"]):
        with pytest.raises(AcquisitionError, match=r"\(T, Y, X\)"):
            open_movie(wrong, **GRID, **OPTICS, **CAMERA)
    with pytest.raises(UsageError, match="axes of a file"):
        open_movie(frames, channel=0, **GRID, **OPTICS, **CAMERA)


def test_what_is_missing_is_asked_for_by_name(frames: np.ndarray) -> None:
    with pytest.raises(MissingMetadataError, match="--pixel-size") as caught:
        open_movie(frames, **OPTICS, **CAMERA)
    assert "--fwhm" not in str(caught.value)
    with pytest.raises(MissingMetadataError, match=r"--fwhm .*--na and --wavelength.*--psf"):
        open_movie(frames, **GRID, **CAMERA)
    with pytest.raises(MissingMetadataError, match=r"--pixel-size.*--fwhm"):
        open_movie(frames, **CAMERA)


def test_pixels_that_are_not_square_are_asked_for(tmp_path: Path, frames: np.ndarray) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, frames, imagej=True, resolution=(10, 9), metadata={"axes": "TYX", "unit": "um"})
    with pytest.raises(MissingMetadataError, match=r"111.11 x 100 nm, not square.*--pixel-size"):
        open_movie(path, **OPTICS, **CAMERA)
    assert open_movie(path, **GRID, **OPTICS, **CAMERA).pixel_size_nm == 100.0


def test_another_pixel_size_than_the_file_says_is_used_and_told(path: Path) -> None:
    movie = open_movie(path, pixel_size_nm=108.0, **OPTICS, **CAMERA)
    assert movie.pixel_size_nm == 108.0
    assert "The file says 100 nm per pixel; 108 nm was given" in movie.warnings[0]


def test_another_frame_interval_than_the_file_says_is_used_and_told(tmp_path: Path, frames: np.ndarray) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "finterval": 0.05})
    movie = open_movie(path, frame_interval_s=0.5, **GRID, **OPTICS, **CAMERA)
    assert movie.frame_interval_s == 0.5
    assert "The file says 0.05 s between frames; 0.5 s was given and is used." in movie.warnings
    for given in (None, 0.05):
        same = open_movie(path, frame_interval_s=given, **GRID, **OPTICS, **CAMERA)
        assert same.frame_interval_s == 0.05 and not any("between frames" in words for words in same.warnings)


def test_airy(path: Path) -> None:
    movie = open_movie(path, na=1.4, wavelength_nm=600.0, **CAMERA)
    assert movie.psf == AiryPSF(1.4, 600.0)


def test_optics_that_exclude_each_other(path: Path) -> None:
    for options in (
        {"fwhm_nm": 300, "na": 1.4, "wavelength_nm": 600},
        {"fwhm_nm": 300, "psf": bead()},
        {"na": 1.4, "wavelength_nm": 600, "psf": bead()},
    ):
        with pytest.raises(UsageError, match="exclude each other"):
            open_movie(path, **options, **CAMERA)
    with pytest.raises(UsageError, match="--na needs --wavelength"):
        open_movie(path, na=1.4, **CAMERA)
    with pytest.raises(UsageError, match="--wavelength needs --na"):
        open_movie(path, wavelength_nm=600, **CAMERA)
    with pytest.raises(UsageError, match="none was given"):
        open_movie(path, fwhm_nm=300, psf_pixel_size_nm=50, **CAMERA)
    with pytest.raises(OpticsError, match="fwhm_nm"):
        open_movie(path, fwhm_nm=-300, **CAMERA)


def test_a_psf_is_passed_on(path: Path) -> None:
    psf = GaussianPSF(300.0)
    assert open_movie(path, psf=psf, **CAMERA).psf is psf


def test_a_psf_as_array_needs_its_pixel(path: Path) -> None:
    movie = open_movie(path, psf=bead(), psf_pixel_size_nm=50.0, **CAMERA)
    assert isinstance(movie.psf, MeasuredPSF)
    assert movie.psf.fwhm_nm == pytest.approx(2.3548 * 3 * 50, rel=0.03)
    with pytest.raises(MissingMetadataError, match="--psf-pixel-size"):
        open_movie(path, psf=bead(), **CAMERA)


def test_a_psf_from_a_file(path: Path, tmp_path: Path) -> None:
    write_tiff(tmp_path / "psf.tif", bead(), 50.0)
    movie = open_movie(path, psf=tmp_path / "psf.tif", **CAMERA)
    assert movie.psf.fwhm_nm == pytest.approx(2.3548 * 3 * 50, rel=0.03)
    assert movie.psf.describe()["source"] == str(tmp_path / "psf.tif")
    assert open_movie(path, psf=tmp_path / "psf.tif", psf_pixel_size_nm=40.0, **CAMERA).psf.pixel_size_nm == 40.0
    tifffile.imwrite(tmp_path / "bare.tif", bead().astype(np.float32))
    with pytest.raises(MissingMetadataError, match="pixel size of the PSF"):
        open_movie(path, psf=tmp_path / "bare.tif", **CAMERA)
    with pytest.raises(ImageReadError, match="does not exist"):
        open_movie(path, psf=tmp_path / "absent.tif", **CAMERA)


def test_of_a_psf_stack_the_sharpest_plane_is_taken(path: Path, tmp_path: Path) -> None:
    planes = np.stack([bead(sigma=s) for s in (5.0, 4.0, 3.0, 3.5, 4.5)]).astype(np.float32)
    tifffile.imwrite(
        tmp_path / "psf.tif", planes, imagej=True, resolution=(20, 20), metadata={"axes": "ZYX", "unit": "um"}
    )
    movie = open_movie(path, psf=str(tmp_path / "psf.tif"), **CAMERA)
    assert movie.psf.fwhm_nm == pytest.approx(2.3548 * 3 * 50, rel=0.03)
    assert any("5 planes; the sharpest, plane 2" in warning for warning in movie.warnings)


@pytest.mark.parametrize("crop", [(2, 5, 16, 12), "2,5,16,12", " 2, 5, 16, 12 "])
def test_crop(path: Path, frames: np.ndarray, crop: object) -> None:
    movie = open_movie(path, crop=crop, **OPTICS, **CAMERA)
    np.testing.assert_array_equal(movie.frames.read([3, 1]), frames[[3, 1], 2:18, 5:17])
    assert movie.provenance["crop"] == [2, 5, 16, 12]


@pytest.mark.parametrize("crop", [(0, 0, 25, 10), (-1, 0, 10, 10), (0, 20, 10, 10), (0, 0, 0, 10)])
def test_crop_outside_the_field(path: Path, crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="leaves the field of 24 x 28"):
        open_movie(path, crop=crop, **OPTICS, **CAMERA)


@pytest.mark.parametrize("crop", ["1,2,3", "a,b,c,d", "", (1, 2)])
def test_crop_that_is_none(path: Path, crop: object) -> None:
    with pytest.raises(UsageError, match="--crop is y,x,height,width"):
        open_movie(path, crop=crop, **OPTICS, **CAMERA)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("5:20", slice(5, 20)), (":10", slice(10)), ("20:", slice(20, None)), ("0:30:3", slice(0, 30, 3)),
     ("::2", slice(0, 30, 2)), (slice(3, 9), slice(3, 9)), (range(4, 12, 2), slice(4, 12, 2)),
     (slice(-5, None), slice(25, 30))],
)  # fmt: skip
def test_frames(path: Path, frames: np.ndarray, given: object, expected: slice) -> None:
    movie = open_movie(path, frames=given, **OPTICS, **CAMERA)
    np.testing.assert_array_equal(movie.frames.read(slice(None)), frames[expected])
    assert movie.frame_interval_s == pytest.approx(0.02 * (expected.step or 1))


@pytest.mark.parametrize("given", ["0:31", "10:5", "7:7", "0:10:0", slice(0, 40), range(0, 50), range(9, 0, -1)])
def test_frames_outside_the_movie(path: Path, given: object) -> None:
    with pytest.raises(UsageError, match="frames"):
        open_movie(path, frames=given, **OPTICS, **CAMERA)


@pytest.mark.parametrize("given", ["5", "a:b", "", "1:2:3:4", "-3:5", 7])
def test_frames_that_cannot_be_understood(path: Path, given: object) -> None:
    with pytest.raises(UsageError, match="frames"):
        open_movie(path, frames=given, **OPTICS, **CAMERA)


def test_whole_frames_of_a_file_cut_short_can_be_named(path: Path, frames: np.ndarray) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageReadError, match="--frames 0:16"):
        open_movie(path, **OPTICS, **CAMERA)
    with pytest.raises(ImageReadError, match="--frames 0:16"):
        open_movie(path, frames="3:", **OPTICS, **CAMERA)
    with pytest.raises(UsageError, match="there are 16"):
        open_movie(path, frames="0:17", **OPTICS, **CAMERA)
    movie = open_movie(path, frames="0:16", **OPTICS, **CAMERA)
    np.testing.assert_array_equal(movie.frames.read(slice(None)), frames[:16])
    assert "cut short" in movie.warnings[0]


def test_one_frame_is_no_movie(path: Path) -> None:
    with pytest.raises(AcquisitionError, match="1 frame"):
        open_movie(path, frames="3:4", **OPTICS, **CAMERA)


def test_a_channel_of_a_file(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).poisson(200.0, (6, 2, 16, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "m.ome.tif", stack, metadata={"axes": "TCYX"})
    with pytest.raises(MissingMetadataError, match="--channel"):
        open_movie(tmp_path / "m.ome.tif", **GRID, **OPTICS, **CAMERA)
    movie = open_movie(tmp_path / "m.ome.tif", channel=1, **GRID, **OPTICS, **CAMERA)
    np.testing.assert_array_equal(movie.frames.read([2])[0], stack[2, 1])
    assert movie.name == "m"


def test_the_frame_interval_may_be_given(path: Path) -> None:
    assert open_movie(path, frame_interval_s=0.5, **OPTICS, **CAMERA).frame_interval_s == 0.5


def test_negative_values_are_told_unless_an_offset_explains_them(
    frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fluosr.camera import Camera
    from fluosr.io import movie as module

    monkeypatch.setattr(module, "estimate_the_rest", lambda *_: (Camera(), []))
    below = frames.astype(np.float32) - 130
    assert "negative values" in open_movie(below, **GRID, **OPTICS).warnings[0]
    assert open_movie(below, offset=-200.0, **GRID, **OPTICS).warnings == ()
    assert open_movie(frames, **GRID, **OPTICS).warnings == ()
    assert open_movie(np.full((5, 9, 9), np.nan), **GRID, **OPTICS).warnings == ()


def test_what_is_not_given_of_the_camera_is_estimated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    from fluosr.camera import Camera

    asked = {}

    def estimate_camera(frames, *, gain, offset, read_noise):
        asked.update(shape=frames.shape, gain=gain, offset=offset, read_noise=read_noise)
        return Camera(3.0, 90.0, 1.0), ["The gain is uncertain."]

    fake = types.ModuleType("fluosr.corrections.camera_estimate")
    fake.estimate_camera = estimate_camera
    monkeypatch.setitem(sys.modules, "fluosr.corrections.camera_estimate", fake)
    movie = open_movie(path, gain=3.0, crop="0,0,20,20", **OPTICS)
    assert asked == {"shape": (30, 20, 20), "gain": 3.0, "offset": None, "read_noise": None}
    assert movie.camera.offset_adu == 90.0
    assert movie.warnings == ("The gain is uncertain.",)
