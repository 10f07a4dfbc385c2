"""TIFFs that are cut short, damaged or lie about themselves: what is whole is read, the rest is said."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError
from fluosr.io import tiff
from fluosr.io.tiff import open_tiff
from tests.io.tiffs import bare_tiff, grey_tags, noisy_frames, write_pages


@pytest.fixture
def frames() -> np.ndarray:
    return noisy_frames()


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
