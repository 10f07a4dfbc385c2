"""Which axis of a TIFF is time, how the others are chosen, and images that are no movie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import AcquisitionError, ImageReadError, MissingMetadataError, UsageError
from fluosr.io.tiff import open_tiff
from tests.io.tiffs import assert_holds, noisy_frames, write_pages


@pytest.fixture
def frames() -> np.ndarray:
    return noisy_frames()


def test_a_depth_axis_is_not_taken_for_time(tmp_path: Path, frames: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(MissingMetadataError, match=r"9 images lie along Z .*--time-axis Z") as caught:
        open_tiff(tmp_path / "m.tif")
    assert caught.value.exit_code == 2
    assert_holds(open_tiff(tmp_path / "m.tif", time_axis="Z"), frames)
    assert_holds(open_tiff(tmp_path / "m.tif", time_axis="any"), frames)
    with pytest.raises(UsageError, match=r"no axis C longer than one; it has Z \(depth\) = 9"):
        open_tiff(tmp_path / "m.tif", time_axis="C")
    with pytest.raises(UsageError, match="one letter"):
        open_tiff(tmp_path / "m.tif", time_axis="depth")


def test_an_axis_without_label_may_be_called_time(tmp_path: Path, frames: np.ndarray) -> None:
    movie = open_tiff(write_pages(tmp_path / "m.tif", frames), time_axis="T")
    assert_holds(movie, frames)
    assert movie.warnings == ()


@pytest.mark.parametrize("kind", ["imagej", "ome", "ome deflate"])
def test_channels_and_planes_are_chosen_by_name(tmp_path: Path, kind: str) -> None:
    stack = np.random.default_rng(1).integers(0, 999, (7, 3, 2, 16, 18)).astype(np.uint16)
    path = tmp_path / ("m.tif" if kind == "imagej" else "m.ome.tif")
    compression = "zlib" if "deflate" in kind else None
    tifffile.imwrite(path, stack, imagej=kind == "imagej", metadata={"axes": "TZCYX"}, compression=compression)
    with pytest.raises(
        MissingMetadataError, match=r"T \(time\) = 7, Z \(depth\) = 3, C \(channel\) = 2.*--channel 0 to 1; --z 0 to 2"
    ):
        open_tiff(path)
    with pytest.raises(MissingMetadataError, match="--channel 0 to 1"):
        open_tiff(path, z=1)
    assert_holds(open_tiff(path, z=1, channel=1), stack[:, 1, 1])
    assert_holds(open_tiff(path, z=2, channel=0), stack[:, 2, 0])
    with pytest.raises(UsageError, match=r"--channel 2 is not there; the file has 2 \(0 to 1\)"):
        open_tiff(path, z=1, channel=2)
    with pytest.raises(MissingMetadataError, match="--channel"):
        open_tiff(path, time_axis="T")


def test_channel_0_of_a_file_without_channels(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_pages(tmp_path / "m.tif", frames)
    assert_holds(open_tiff(path, channel=0, z=0), frames)
    with pytest.raises(UsageError, match="--z 1"):
        open_tiff(path, z=1)


def test_two_unlabelled_axes_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.stack([frames, frames]), photometric="minisblack")
    with pytest.raises(MissingMetadataError, match="several axes"):
        open_tiff(tmp_path / "m.tif")


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_refused(tmp_path: Path, planar: str) -> None:
    shape = (5, 16, 16, 3) if planar == "contig" else (5, 3, 16, 16)
    tifffile.imwrite(tmp_path / "m.tif", np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(AcquisitionError, match="colour image"):
        open_tiff(tmp_path / "m.tif")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((5, 16, 16), np.complex64))
    with pytest.raises(AcquisitionError, match="complex64"):
        open_tiff(tmp_path / "m.tif")


def test_several_images_in_one_file_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "m.ome.tif", ome=True) as tif:
        tif.write(frames, metadata={"axes": "TYX", "Name": "position 1"})
        tif.write(frames, metadata={"axes": "TYX", "Name": "position 2"})
    with pytest.raises(ImageReadError, match="2 separate images or positions"):
        open_tiff(tmp_path / "m.ome.tif")
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        for image in (*frames[:3], frames[3, :8]):
            tif.write(image, contiguous=False, metadata=None)
    with pytest.raises(ImageReadError, match=r"image 3 \(8 x 24 .*not stored like the first \(20 x 24"):
        open_tiff(tmp_path / "m.tif")


def test_a_thumbnail_beside_the_frames_is_passed_over(tmp_path: Path, frames: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        tif.write(frames[0, ::4, ::4], subfiletype=1, contiguous=False, metadata=None)
        for frame in frames:
            tif.write(frame, contiguous=False, metadata=None)
    assert_holds(open_tiff(tmp_path / "m.tif"), frames)
