"""TIFFs of every maker: their frames, axes, pixel size, and what is refused."""

from __future__ import annotations

import logging
import struct
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import AcquisitionError, ImageReadError, MissingMetadataError, UsageError
from fluosr.io import tiff
from fluosr.io.damage import decoder_errors
from fluosr.io.tiff import open_tiff


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(3).poisson(30.0, (9, 20, 24)).astype(np.uint16)


def write_pages(path: Path, stack: np.ndarray, bigtiff: bool = False, byteorder: str = "<", **options) -> Path:
    """A plain TIFF, one directory a frame, no word about axes."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tif:
        for frame in stack:
            tif.write(frame, contiguous=False, metadata=None, **options)
    return path


def bare_tiff(data: bytes, tags: dict[int, tuple[int, int, bytes]], next_page: int = 0) -> bytes:
    """A TIFF of one directory: header, tags (type, count, value), what does not fit into them, then the data."""
    tags = dict(sorted({**tags, 273: (4, 1, bytes(4))}.items()))
    start = 8 + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for code, (kind, count, value) in tags.items():
        if len(value) > 4:
            entries += struct.pack("<HHII", code, kind, count, start + len(extra))
            extra += value
        else:
            entries += struct.pack("<HHI", code, kind, count) + value.ljust(4, b"\0")
    offset = start + len(extra)
    entries = entries.replace(struct.pack("<HHII", 273, 4, 1, 0), struct.pack("<HHII", 273, 4, 1, offset))
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags))
    return head + entries + struct.pack("<I", next_page) + extra + data


def grey_tags(height: int, width: int, bits: int, compression: int = 1, stored: int | None = None) -> dict:
    long = lambda n: (4, 1, struct.pack("<I", n % 2**32))  # noqa: E731
    return {
        256: long(width), 257: long(height), 258: long(bits), 259: long(compression), 262: long(1), 277: long(1),
        278: long(height), 279: long(height * width * bits // 8 if stored is None else stored),
    }  # fmt: skip


def assert_holds(movie: tiff.TiffMovie, expected: np.ndarray) -> None:
    assert movie.frames.shape == expected.shape
    assert movie.frames.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(movie.frames.read(slice(None)), expected)
    np.testing.assert_array_equal(movie.frames.read(slice(1, 8, 3)), expected[1:8:3])
    np.testing.assert_array_equal(movie.frames.read([4, 0, 0, 5, 6]), expected[[4, 0, 0, 5, 6]])
    assert movie.frames.read([]).shape == (0, *expected.shape[1:])


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


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    cases = {
        "absent.tif": (None, "does not exist"),
        "empty.tif": (b"", "is empty"),
        "image.png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image.*fluosr reads TIFF.*Fiji"),
        "film.nd2": (b"\xda\xce\xbe\x0a" + bytes(20), "a Nikon ND2 file"),
        "film.czi": (b"ZISRAWFILE" + bytes(20), "a Zeiss CZI file"),
        "stack.npy": (b"\x93NUMPY" + bytes(20), "numpy.load"),
        "words.tif": (b"this is no picture", "not a TIFF"),
        "header.tif": (b"II*\0", "first bytes"),
        "lost.tif": (b"II*\0\xff\xff\xff\0" + bytes(50), "no image is left"),
    }
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageReadError, match=message):
            open_tiff(tmp_path / name)
    with pytest.raises(ImageReadError, match="is a folder"):
        open_tiff(tmp_path)
    with pytest.raises(ImageReadError, match="device or a pipe"):
        open_tiff("/dev/null")


@pytest.mark.parametrize("kind", ["plain", "plain deflate", "imagej", "shaped", "ome", "ome deflate"])
def test_a_file_cut_short_says_how_many_frames_are_whole(tmp_path: Path, frames: np.ndarray, kind: str) -> None:
    path = tmp_path / ("m.ome.tif" if "ome" in kind else "m.tif")
    if "plain" in kind:
        write_pages(path, frames, compression="zlib" if "deflate" in kind else None)
    else:
        options = {"compression": "zlib"} if "deflate" in kind else {}
        tifffile.imwrite(path, frames, imagej=kind == "imagej", metadata={"axes": "TYX"}, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(ImageReadError, match=r"the first \d+ are whole|its first \d frames are whole") as caught:
        open_tiff(path)
    assert "--frames 0:" in str(caught.value)
    movie = open_tiff(path, allow_truncated=True)
    n = movie.frames.shape[0]
    # Of an OME-TIFF the directories, which alone say where its frames lie, stand at the end.
    assert (1 if kind == "ome" else 3) <= n <= 6
    assert "cut short" in movie.warnings[-1]
    np.testing.assert_array_equal(movie.frames.read(slice(None)), frames[:n])


def test_a_file_cut_before_its_first_frame_ends_is_refused(tmp_path: Path, frames: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True)
    (tmp_path / "m.tif").write_bytes((tmp_path / "m.tif").read_bytes()[:700])
    with pytest.raises(ImageReadError):
        open_tiff(tmp_path / "m.tif", allow_truncated=True)


def test_a_file_cut_after_it_was_opened(tmp_path: Path, frames: np.ndarray) -> None:
    for options in ({}, {"compression": "zlib"}):
        path = write_pages(tmp_path / "m.tif", frames, **options)
        movie = open_tiff(path)
        path.write_bytes(path.read_bytes()[:2500])
        with pytest.raises(ImageReadError, match=r"ends inside frame|cannot be read"):
            movie.frames.read(slice(None))
        path.unlink()
        with pytest.raises(ImageReadError):
            movie.frames.read([0])


def test_one_damaged_frame_does_not_hide_the_others(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_pages(tmp_path / "m.tif", frames, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[4].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 20] = bytes(20)
    path.write_bytes(data)
    movie = open_tiff(path)
    np.testing.assert_array_equal(movie.frames.read([3, 5]), frames[[3, 5]])
    with pytest.raises(ImageReadError, match="damaged"):
        movie.frames.read([4])


def test_more_bytes_declared_than_the_file_holds(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(bare_tiff(bytes(1000), grey_tags(60_000, 60_000, 16)))
    with pytest.raises(ImageReadError, match=r"60000 x 60000 pixels .*cannot hold"):
        open_tiff(tmp_path / "m.tif")


def test_a_compressed_frame_larger_than_its_bytes_can_become(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(bare_tiff(bytes(1000), grey_tags(20_000, 20_000, 16, compression=8, stored=1000)))
    with pytest.raises(ImageReadError, match="cannot hold"):
        open_tiff(tmp_path / "m.tif")


def test_a_frame_too_large_for_the_memory(tmp_path: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pages(tmp_path / "m.tif", frames, compression="zlib")
    monkeypatch.setattr(tiff, "available_memory_bytes", lambda: 3000)
    with pytest.raises(ImageReadError, match="quarter of the free memory"):
        open_tiff(path)


def test_memory_is_measured() -> None:
    assert 2**26 < tiff.available_memory_bytes() < 2**50


def test_directories_in_a_circle(tmp_path: Path) -> None:
    """A circle longer than the hundred directories that tifffile looks back over."""
    entries = struct.pack("<HHHI4s", 1, 256, 4, 1, b"\4\0\0\0")
    chain = b"".join(entries + struct.pack("<I", 8 + 18 * ((i + 1) % 200 or 150)) for i in range(200))
    (tmp_path / "m.tif").write_bytes(b"II*\0\x08\0\0\0" + chain)
    start = time.monotonic()
    with pytest.raises(ImageReadError, match="in a circle"):
        open_tiff(tmp_path / "m.tif")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "change",
    [
        ('SizeT="9"', 'SizeT="4000000000"'),
        ('PlaneCount="9"', 'PlaneCount="2000000000"'),
        ("</Image>", '</Image><StructuredAnnotations><XMLAnnotation ID="A" Namespace="modulo"><Value><Modulo>'
         '<ModuloAlongT Type="phase" Start="0" End="1e12"/></Modulo></Value></XMLAnnotation></StructuredAnnotations>'),
    ],
)  # fmt: skip
def test_a_description_that_speaks_of_billions(tmp_path: Path, frames: np.ndarray, change: tuple[str, str]) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", frames, metadata={"axes": "TYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = tif.ome_metadata
    assert change[0] in xml
    write_pages(tmp_path / "b.ome.tif", frames, description=xml.replace(*change))
    tracemalloc.start()
    with pytest.raises(ImageReadError, match="description speaks of"):
        open_tiff(tmp_path / "b.ome.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_a_jpeg_that_claims_to_be_larger_than_its_page(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_pages(tmp_path / "m.tif", frames.astype(np.uint8), compression="jpeg")
    data = path.read_bytes()
    size = struct.pack(">HH", 20, 24)
    assert size in data
    path.write_bytes(data.replace(b"\x08" + size, b"\x08" + struct.pack(">HH", 65_000, 65_000)))
    with pytest.raises(ImageReadError, match="65000 x 65000"):
        open_tiff(path).frames.read([0])


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(bare_tiff(bytes(1000), grey_tags(20, 24, 8, compression=34887)))
    with pytest.raises(ImageReadError, match="LERC"):
        open_tiff(tmp_path / "m.tif")


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
