"""What ``fluosr info`` says of a file: what is there, what is missing, and what a reconstruction would refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr.errors import FluosrError
from fluosr.io.description import describe_movie
from fluosr.io.movie import open_movie


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(3).poisson(130.0, (40, 16, 18)).astype(np.uint16)


def written(folder: Path, frames: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(folder / "m.tif", frames, **{"photometric": "minisblack", "metadata": {"axes": "TYX"}} | options)
    return folder / "m.tif"


def test_a_plain_movie(tmp_path: Path, frames: np.ndarray) -> None:
    said = describe_movie(written(tmp_path, frames))
    assert said[0] == "m: 40 frames of 16 x 18 pixels, uint16"
    assert "axes: 40 along time; 16 along height; 18 along width" in said
    assert "pixel size: not in the file; give --pixel-size (nm)" in said
    assert any(line.startswith("camera gain (ADU per photoelectron): ") for line in said)
    assert said[-1].startswith("still to be given: --pixel-size (nm); and --fwhm (nm), or --na")
    assert not any("refuse" in line for line in said)


def test_a_part_of_it(tmp_path: Path, frames: np.ndarray) -> None:
    said = describe_movie(written(tmp_path, frames), frames="0:20", crop="0,0,12,10")
    assert "looked at: 20 frames of 12 x 10 pixels" in said


def test_an_axis_taken_as_time_is_called_what_it_is(tmp_path: Path, frames: np.ndarray) -> None:
    path = written(tmp_path, frames, imagej=True, metadata={"axes": "ZYX"})
    assert "axes: 40 along depth, taken as time; 16 along height; 18 along width" in describe_movie(path, time_axis="Z")


def test_pixels_that_are_not_square(tmp_path: Path, frames: np.ndarray) -> None:
    path = written(tmp_path, frames, imagej=True, resolution=(10, 9), metadata={"axes": "TYX", "unit": "um"})
    assert "pixel size: 111.11 x 100 nm, not square; give --pixel-size (nm)" in describe_movie(path)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({}, {}, ["pixel size: 108 nm, given (not in the file)", "frame interval: 0.5 s, given (not in the file)"]),
        (
            {"imagej": True, "resolution": (10, 10), "metadata": {"axes": "TYX", "unit": "um", "finterval": 0.05}},
            {},
            ["pixel size: 108 nm, given (the file says 100 nm)", "frame interval: 0.5 s, given (the file says 0.05 s)"],
        ),
        (
            {"imagej": True, "resolution": (10, 10), "metadata": {"axes": "TYX", "unit": "um", "finterval": 0.05}},
            {"pixel_size_nm": 100.0, "frame_interval_s": 0.05},
            ["pixel size: 100 nm, given", "frame interval: 0.05 s, given"],
        ),
        (
            {"imagej": True, "resolution": (10, 9), "metadata": {"axes": "TYX", "unit": "um"}},
            {},
            ["pixel size: 108 nm, given (the file says 111.11 x 100 nm, not square)"],
        ),
        (
            {"imagej": True, "resolution": (72, 72), "metadata": {"axes": "TYX", "unit": "inch"}},
            {},
            ["pixel size: 108 nm, given (the file says 352.8 µm, as for a print of 72 dpi)"],
        ),
    ],
)  # fmt: skip
def test_what_is_given_is_said_beside_what_the_file_says(
    tmp_path: Path, frames: np.ndarray, options: dict[str, Any], given: dict[str, float], words: list[str]
) -> None:
    said = describe_movie(
        written(tmp_path, frames, **options), **{"pixel_size_nm": 108.0, "frame_interval_s": 0.5} | given
    )
    assert [word for word in words if word not in said] == []


def test_a_mask(tmp_path: Path, frames: np.ndarray) -> None:
    said = describe_movie(written(tmp_path, frames > 130))
    assert "grey values: 0 (darkest), 0 (median), 1 (brightest) ADU" in said
    assert any("this is a mask" in line for line in said)
    opened = open_movie(tmp_path / "m.tif", pixel_size_nm=100, fwhm_nm=300)
    assert any("this is a mask" in warning for warning in opened.warnings)


def test_one_image_repeated(tmp_path: Path, frames: np.ndarray) -> None:
    said = describe_movie(written(tmp_path, np.repeat(frames[:1], 30, axis=0)))
    assert any("refuse" in line and "identical" in line for line in said)


def test_a_printing_resolution_is_no_pixel_size(tmp_path: Path, frames: np.ndarray) -> None:
    path = written(tmp_path, frames, imagej=True, resolution=(72, 72), metadata={"axes": "TYX", "unit": "inch"})
    said = describe_movie(path)
    assert any("print of 72 dpi" in line for line in said)
    assert said[-1].startswith("still to be given: --pixel-size (nm)")
    with pytest.raises(FluosrError, match="print of 72 dpi"):
        open_movie(path, fwhm_nm=300)
    assert open_movie(path, fwhm_nm=300, pixel_size_nm=100).pixel_size_nm == 100


def with_nan(frames: np.ndarray) -> np.ndarray:
    real = frames.astype(np.float32)
    real[17, 3, 4] = np.nan
    return real


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_nan, "frame 17 holds NaN"),  # no frame that a sample would meet
        (lambda frames: np.full(frames.shape, np.nan, np.float32), "frame 0 holds NaN"),
        (lambda frames: frames[0], "1 frame(s); a movie needs at least 2"),
        (lambda frames: frames[:, :3], "the field is 3 x 18 pixels"),
        (lambda frames: frames.astype(np.float64) * 1e12, "values beyond 1e+12"),
    ],
)
def test_what_a_reconstruction_would_refuse(tmp_path: Path, frames: np.ndarray, change: Any, words: str) -> None:
    changed = change(frames)
    path = written(tmp_path, changed, metadata={"axes": "TYX"[-changed.ndim :]})
    lines = describe_movie(path, pixel_size_nm=100.0, fwhm_nm=150.0)
    (refused,) = [line for line in lines if line.startswith("reconstruct would refuse this: ")]
    assert words in refused and "nothing is missing: reconstruct it" not in lines
    with pytest.raises(FluosrError) as caught:
        open_movie(path, pixel_size_nm=100.0, fwhm_nm=150.0).adu(slice(None))
    assert str(caught.value) in refused


def test_a_pixel_size_in_the_wrong_unit(tmp_path: Path, frames: np.ndarray) -> None:
    path = written(tmp_path, frames, imagej=True, resolution=(10, 10), metadata={"axes": "TYX", "unit": "nm"})
    assert any("refuse" in line and "was 0.1 micrometres meant?" in line for line in describe_movie(path))


def test_negative_values(tmp_path: Path, frames: np.ndarray) -> None:
    assert any("negative values" in line for line in describe_movie(written(tmp_path, frames.astype(np.float32) - 130)))
