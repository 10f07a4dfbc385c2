"""TIFFs of every maker: their frames and their pixel size; quickly, quietly, and in little memory."""

from __future__ import annotations

import logging
import struct
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError
from fluosr.io.damage import decoder_errors
from fluosr.io.tiff import open_tiff
from tests.io.tiffs import assert_holds, bare_tiff, grey_tags, noisy_frames, write_pages


@pytest.fixture
def frames() -> np.ndarray:
    return noisy_frames()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 3},
        {"tile": (16, 16)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": 2, "byteorder": ">"},
        {"compression": "lzw", "rowsperstrip": 7},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "jpeg2000"},
        {"compression": "deflate", "tile": (16, 32), "bigtiff": True},
    ],
    ids=str,
)
def test_plain_pages_are_frames_in_time(tmp_path: Path, frames: np.ndarray, options: dict) -> None:
    movie = open_tiff(write_pages(tmp_path / "m.tif", frames, **options))
    assert_holds(movie, frames)
    assert "taken as frames in time" in movie.warnings[0]


def test_packbits_and_jpeg(tmp_path: Path, frames: np.ndarray) -> None:
    small = frames.astype(np.uint8)
    assert_holds(open_tiff(write_pages(tmp_path / "p.tif", small, compression="packbits")), small)
    smooth = np.broadcast_to(np.arange(24, dtype=np.uint8) * 4, (9, 20, 24))
    got = open_tiff(write_pages(tmp_path / "j.tif", smooth, compression="jpeg")).frames.read(slice(None))
    np.testing.assert_allclose(got.astype(int), smooth, atol=4)


@pytest.mark.parametrize("kind", ["bool", *(np.dtype(code).name for code in "bBhHiIlLefd")])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_all_real_types(tmp_path: Path, frames: np.ndarray, kind: str, compression: str | None) -> None:
    stack = (frames > 30) if kind == "bool" else frames.astype(kind)
    assert_holds(open_tiff(write_pages(tmp_path / "m.tif", stack, compression=compression)), stack)


def test_packed_12_bit(tmp_path: Path, frames: np.ndarray) -> None:
    bits = np.unpackbits(frames[0].astype(">u2").view(np.uint8).reshape(20, 24, 2), axis=2)
    packed = np.packbits(bits[:, :, 4:].reshape(20, -1), axis=1).tobytes()
    (tmp_path / "m.tif").write_bytes(bare_tiff(packed, grey_tags(20, 24, 12)))
    np.testing.assert_array_equal(open_tiff(tmp_path / "m.tif").frames.read([0])[0], frames[0])


@pytest.mark.parametrize("byteorder", "<>")
def test_imagej_hyperstack(tmp_path: Path, frames: np.ndarray, byteorder: str) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif", frames, imagej=True, byteorder=byteorder, resolution=(1 / 0.103, 1 / 0.103),
        metadata={"axes": "TYX", "unit": "um", "finterval": 0.05},
    )  # fmt: skip
    movie = open_tiff(tmp_path / "m.tif")
    assert_holds(movie, frames)
    assert movie.pixel_size_nm == pytest.approx(103.0, rel=1e-6)
    assert movie.frame_interval_s == pytest.approx(0.05)
    assert (movie.axes, movie.warnings, movie.metadata["calibration"]) == ("TYX", (), "ImageJ")


@pytest.mark.parametrize(
    ("unit", "per_unit", "nm"),
    [
        ("micron", 10, 100),
        ("\\u00B5m", 10, 100),
        ("nm", 0.01, 100),
        ("cm", 100_000, 100),
        ("mm", 10_000, 100),
        ("pixel", 1, None),
    ],
)
def test_imagej_units(tmp_path: Path, frames: np.ndarray, unit: str, per_unit: float, nm: float | None) -> None:
    metadata = {"axes": "TYX", "unit": unit}
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True, resolution=(per_unit, per_unit), metadata=metadata)
    assert open_tiff(tmp_path / "m.tif").pixel_size_nm == (None if nm is None else pytest.approx(nm, rel=1e-5))


def test_imagej_file_above_4_gb_holds_all_frames_behind_one_directory(tmp_path: Path) -> None:
    n, height, width = 9000, 512, 512  # 4.7 GB, nearly all of it a hole in the file
    note = f"ImageJ=1.54f\nimages={n}\nframes={n}\nhyperstack=true\nunit=nm\n".encode()
    head = bare_tiff(b"", {**grey_tags(height, width, 16), 270: (2, len(note), note)})
    last = np.arange(height * width, dtype="<u2").reshape(height, width)
    path = tmp_path / "big.tif"
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + (n - 1) * last.nbytes)
        file.write(last.tobytes())
    tracemalloc.start()
    movie = open_tiff(path)
    got = movie.frames.read([0, n - 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert movie.frames.shape == (n, height, width)
    np.testing.assert_array_equal(got, [np.zeros_like(last), last])
    assert peak < 20e6


def test_ome_tiff(tmp_path: Path, frames: np.ndarray) -> None:
    metadata = {"axes": "TYX", "PhysicalSizeX": 80.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.08,
                "TimeIncrement": 20.0, "TimeIncrementUnit": "ms"}  # fmt: skip
    tifffile.imwrite(tmp_path / "m.ome.tif", frames, metadata=metadata, compression="zlib")
    movie = open_tiff(tmp_path / "m.ome.tif")
    assert_holds(movie, frames)
    assert (movie.pixel_size_nm, movie.frame_interval_s) == (pytest.approx(80.0), pytest.approx(0.02))
    assert movie.warnings == ()


def test_ome_frame_interval_from_plane_times(tmp_path: Path, frames: np.ndarray) -> None:
    metadata = {"axes": "TYX", "Plane": {"DeltaT": [0.5 * i for i in range(len(frames))]}}
    tifffile.imwrite(tmp_path / "m.ome.tif", frames, metadata=metadata)
    assert open_tiff(tmp_path / "m.ome.tif").frame_interval_s == pytest.approx(0.5)


def write_ome_files(folder: Path, frames: np.ndarray) -> list[Path]:
    """An OME-TIFF of one file a frame; each file carries the whole description."""
    paths = [folder / f"t{i}.ome.tif" for i in range(len(frames))]
    blocks = "".join(
        f'<TiffData FirstT="{i}" IFD="0" PlaneCount="1"><UUID FileName="{path.name}">urn:uuid:{i}</UUID></TiffData>'
        for i, path in enumerate(paths)
    )
    _, height, width = frames.shape
    for i, path in enumerate(paths):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{i}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{width}" SizeY="{height}" SizeZ="1" '
            f'SizeC="1" SizeT="{len(frames)}">{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path, frames[i], description=xml, metadata=None)
    return paths


def test_ome_movie_in_several_files(tmp_path: Path, frames: np.ndarray) -> None:
    paths = write_ome_files(tmp_path, frames)
    for path in (paths[0], paths[5]):
        assert_holds(open_tiff(path), frames)


def test_ome_file_that_is_missing_is_named(tmp_path: Path, frames: np.ndarray) -> None:
    paths = write_ome_files(tmp_path, frames)
    paths[6].unlink()
    with pytest.raises(ImageReadError, match=r"lacks the files t6.ome.tif .* of its 9 frames only the first 6"):
        open_tiff(paths[0])


def test_ome_file_whose_description_lies_elsewhere(tmp_path: Path, frames: np.ndarray) -> None:
    xml = '<OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:2"/></OME>'
    tifffile.imwrite(tmp_path / "m.ome.tif", frames[0], description=xml, metadata=None)
    with pytest.raises(ImageReadError, match=r"described in 'set.companion.ome'"):
        open_tiff(tmp_path / "m.ome.tif")


def test_metamorph_stack(tmp_path: Path, frames: np.ndarray) -> None:
    """UIC1 holds (tag id, value or offset) pairs, UIC2 six numbers a plane; the planes lie end to end."""
    n = len(frames)
    times = b"".join(struct.pack("<6I", 0, 1, 2_455_000, 1000 + 40 * i, 2_455_000, 0) for i in range(n))
    path = tmp_path / "m.stk"
    tags = {**grey_tags(20, 24, 16), 33628: (4, 4, bytes(32)), 33629: (5, n, times)}
    # UIC1 points behind the frames: at the X and Y calibration (rational) and at the unit (length, text).
    at = len(bare_tiff(frames.tobytes(), tags))
    tags[33628] = (4, 4, struct.pack("<8I", 3, 1, 4, at, 5, at + 8, 6, at + 16))
    behind = struct.pack("<4I", 107, 1000, 107, 1000) + struct.pack("<I3s", 3, b"um")
    path.write_bytes(bare_tiff(frames.tobytes(), tags) + behind)
    movie = open_tiff(path)
    assert_holds(movie, frames)
    assert movie.axes == "TYX"
    assert movie.pixel_size_nm == pytest.approx(107.0)
    assert movie.frame_interval_s == pytest.approx(0.04)


def test_resolution_of_a_plain_tiff_is_not_believed(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_pages(tmp_path / "m.tif", frames, resolution=(72, 72), resolutionunit="INCH")
    assert open_tiff(path).pixel_size_nm is None


def test_pixels_that_are_not_square_give_no_pixel_size(tmp_path: Path, frames: np.ndarray) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif", frames, imagej=True, resolution=(10, 9), metadata={"axes": "TYX", "unit": "um"}
    )
    movie = open_tiff(tmp_path / "m.tif")
    assert movie.pixel_size_nm is None
    assert "not square" in movie.warnings[0]
    assert movie.metadata["pixel_sizes_nm"] == pytest.approx((1000 / 9, 100))


def test_white_is_zero_is_told(tmp_path: Path, frames: np.ndarray) -> None:
    movie = open_tiff(write_pages(tmp_path / "m.tif", frames, photometric="miniswhite"))
    assert_holds(movie, frames)
    assert any("white is zero" in warning for warning in movie.warnings)


def test_a_single_image_is_a_movie_of_one_frame(tmp_path: Path, frames: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "m.tif", frames[0])
    assert open_tiff(tmp_path / "m.tif").frames.shape == (1, 20, 24)


def test_the_decoder_logs_nothing_while_it_reads_and_as_ever_outside(
    tmp_path: Path, frames: np.ndarray, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True)
    (tmp_path / "m.tif").write_bytes((tmp_path / "m.tif").read_bytes()[:5000])
    with pytest.raises(ImageReadError):
        open_tiff(tmp_path / "m.tif")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    logger = logging.getLogger("tifffile")
    assert (len(logger.filters), logger.disabled, logger.propagate) == (1, False, True)
    logger.error("somebody else's file")
    with decoder_errors(tmp_path, "read"):
        logger.error("ours")
        thread = threading.Thread(target=logger.error, args=("another thread's file",))
        thread.start()
        thread.join()
    assert [record.getMessage() for record in caplog.records] == ["somebody else's file", "another thread's file"]


def test_a_long_movie_opens_quickly_and_small(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "m.tif", np.zeros((3000, 8, 8), np.uint8), compression="zlib")
    tracemalloc.start()
    movie = open_tiff(path)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert movie.frames.shape == (3000, 8, 8)
    assert size < 2e6
