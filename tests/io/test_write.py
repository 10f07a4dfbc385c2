"""What is written can be read by others, and nothing is left half."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import OutputError, UsageError
from fluosr.io import write
from fluosr.io.tiff import open_tiff
from fluosr.io.write import write_bytes, write_json, write_movie, write_ome_tiff, write_text, write_tiff, write_together


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((30, 41))


def test_ome_tiff_carries_values_name_and_pixel_size(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "new" / "folder" / "x.ome.tif"
    write_ome_tiff(path, image, 100 / 6, "argo <& so on>")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome and not tif.is_bigtiff
        assert tif.series[0].axes == "YX"
        np.testing.assert_array_equal(tif.asarray(), image.astype(np.float32))
        page = tif.pages.first
        assert page.get_resolution("MICROMETER") == pytest.approx((60, 60), rel=1e-5)
        assert 'Name="argo &lt;&amp; so on' in tif.ome_metadata
    assert open_tiff(path).pixel_size_nm == pytest.approx(100 / 6)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("shape", [(30, 41), (7, 30, 41), (3, 30, 41)])
def test_tiff_is_imagej(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    write_tiff(tmp_path / "x.tif", array, 103.0)
    with tifffile.TiffFile(tmp_path / "x.tif") as tif:
        assert tif.is_imagej
        assert tif.series[0].axes == "TYX"[-len(shape) :]
        assert tif.pages.first.dtype == np.float32
        np.testing.assert_array_equal(tif.asarray(), array.astype(np.float32))
    assert open_tiff(tmp_path / "x.tif").pixel_size_nm == pytest.approx(103.0, rel=1e-5)


def test_an_image_has_two_axes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two axes"):
        write_ome_tiff(tmp_path / "x.tif", np.zeros((2, 3, 4)), 100.0, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16", "float64"])
@pytest.mark.parametrize("big", [False, True])
def test_movie_is_streamed(tmp_path: Path, dtype: str, big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if big:
        monkeypatch.setattr(write, "CLASSIC_BYTES", 1000)
    frames = np.random.default_rng(0).poisson(9.0, (11, 20, 30)).astype(dtype)
    path = tmp_path / "m.tif"
    write_movie(path, (frame for frame in frames), 11, dtype, 65.0, 0.02)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff == big
        assert tif.is_imagej == (not big and dtype in ("uint8", "uint16", "float32"))
    movie = open_tiff(path)
    assert (movie.axes, movie.warnings) == ("TYX", ())
    assert movie.pixel_size_nm == pytest.approx(65.0, rel=1e-5)
    assert movie.frame_interval_s == pytest.approx(0.02)
    assert movie.frames.dtype == dtype
    np.testing.assert_array_equal(movie.frames.read(slice(None)), frames)


def test_movie_without_interval(tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", np.zeros((2, 4, 4)), 2, np.uint16, 100.0, None)
    assert open_tiff(tmp_path / "m.tif").frame_interval_s is None


@pytest.mark.parametrize("n", [0, 2, 3, 5])
def test_movie_of_another_length_is_refused(tmp_path: Path, n: int) -> None:
    with pytest.raises(UsageError, match="frame"):
        write_movie(tmp_path / "m.tif", iter(np.zeros((n, 4, 4))), 4, np.float32, 100.0, None)
    with pytest.raises(UsageError, match="frame"):
        write_movie(tmp_path / "m.tif", [np.zeros((4, 4)), np.zeros((4, 5))], 2, np.float32, 100.0, None)
    assert list(tmp_path.iterdir()) == []


def test_json_is_strict(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"), "inf": np.float32(np.inf), "n": np.int64(3), "x": np.float32(0.5), "yes": np.bool_(True),
        "array": np.array([[1.0, np.nan]]), 5: (1, None), "path": Path("a"), "range": range(2), "µ": "é",
    }  # fmt: skip
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read == {
        "nan": None, "inf": None, "n": 3, "x": 0.5, "yes": True, "array": [[1.0, None]], "5": [1, None], "path": "a",
        "range": [0, 1], "µ": "é",
    }  # fmt: skip


def test_text_and_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "µm\n")
    write_bytes(tmp_path / "x.bin", b"\0\1")
    assert (tmp_path / "x.txt").read_bytes() == "µm\n".encode()
    assert (tmp_path / "x.bin").read_bytes() == b"\0\1"


WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, {}),
    "ome": lambda path: write_ome_tiff(path, np.zeros((5, 5)), 100.0, "x"),
    "tiff": lambda path: write_tiff(path, np.zeros((5, 5)), 100.0),
    "movie": lambda path: write_movie(path, np.zeros((3, 5, 5)), 3, np.uint16, 100.0, None),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="x could not be written: No space left on device"):
        WRITERS[writer](path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some room, or write elsewhere."),
        (errno.EDQUOT, "Free some room, or write elsewhere."),
        (errno.EFBIG, "That drive takes no file so large: write elsewhere."),
        (errno.EACCES, "You have no right to write there: ask for it, or write elsewhere."),
        (errno.EPERM, "You have no right to write there: ask for it, or write elsewhere."),
        (errno.EROFS, "That drive is read-only: write elsewhere."),
        (errno.ENAMETOOLONG, "Choose a shorter name."),
        (errno.EIO, "See whether the drive is well, or write elsewhere."),
    ],
)
def test_what_to_do_follows_from_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError) as raised:
        write_text(tmp_path / "x", "new")
    assert str(raised.value) == f"{tmp_path / 'x'} could not be written: {os.strerror(number)}. {advice}"
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_and_a_file_in_the_way_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"name too long. Choose a shorter name\.$"):
        write_text(tmp_path / ("x" * 300), "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"A part of that path is a file: write elsewhere\.$"):
        write_text(tmp_path / "file" / "x", "")


def test_an_error_that_is_not_the_drives_gets_no_advice_about_it(tmp_path: Path) -> None:
    def frames():
        yield np.zeros((4, 4))
        raise ZeroDivisionError("division by zero")

    with pytest.raises(OutputError, match=r"could not be written: division by zero\.$"):
        write_movie(tmp_path / "m.tif", frames(), 5, np.uint16, 100.0, None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full (/dev/full)")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_device_that_is_really_full(tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "x.part"
    part.symlink_to("/dev/full")
    monkeypatch.setattr(write, "_part_name", lambda _: part)
    with pytest.raises(OutputError, match="No space left"):
        WRITERS[writer](tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        write_text(tmp_path / "file" / "x", "")
    with pytest.raises(OutputError, match="a folder of that name"):
        write_text(tmp_path, "")


def test_two_runs_that_write_one_file_do_not_share_its_temporary_name(tmp_path: Path) -> None:
    frames = np.arange(48, dtype=np.uint16).reshape(3, 4, 4)

    def interrupted_by_another_run():
        yield frames[0]
        write_movie(tmp_path / "m.tif", frames[::-1], 3, np.uint16, 100.0, None)
        yield from frames[1:]

    write_movie(tmp_path / "m.tif", interrupted_by_another_run(), 3, np.uint16, 100.0, None)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.tif"), frames)
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif"]


def test_of_files_that_belong_together_all_or_none_are_replaced(tmp_path: Path) -> None:
    first, second, taken = (tmp_path / name for name in ("first", "second", "taken"))
    taken.mkdir()
    for path in (first, second):
        path.write_bytes(b"old")
    for order in ([first, second, taken], [taken, first, second]):
        with pytest.raises(OutputError, match=f"{taken} cannot be written: a folder"):
            write_together(dict.fromkeys(order, b"new"))
        assert first.read_bytes() == second.read_bytes() == b"old"
    write_together({first: b"one", second: b"two"})
    assert first.read_bytes() == b"one" and second.read_bytes() == b"two"
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "taken"}


def test_a_stopped_run_leaves_nothing(tmp_path: Path) -> None:
    def frames():
        yield np.zeros((4, 4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_movie(tmp_path / "m.tif", frames(), 5, np.uint16, 100.0, None)
    assert list(tmp_path.iterdir()) == []
