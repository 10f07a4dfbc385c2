"""``fluosr simulate smlm``, ``score`` and ``convert``, as a hurried user calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fluosr.io.localisations import read_localisations, write_localisations
from fluosr.localisations import Localisations
from tests.commands import contents, fluosr

SMALL = ("--frames", 20, "--height", 24, "--width", 30, "--seed", 1)


def table(path: Path, *rows: tuple[int, float, float]) -> Path:
    frame, x, y = np.array(rows, float).reshape(-1, 3).T
    known = Localisations(frame, x, y, photons=np.full(len(frame), 500.0))
    write_localisations(path, known, pixel_size_nm=100.0, field_shape=(64, 64), n_frames=100)
    return path


@pytest.mark.parametrize("structure", ["points", "filaments", "tubes"])
def test_a_movie_is_made_with_its_truth(tmp_path: Path, structure: str) -> None:
    done = fluosr("simulate", "smlm", *SMALL, "--structure", structure, "--active", 6, "-o", tmp_path / "m.tif")
    assert done.code == 0 and "Wrote 20 frames of 24 x 30 pixels" in done.out and done.err == ""
    assert set(contents(tmp_path)) == {"m.tif", "m-truth.csv", "m-simulation.json"}
    truth = read_localisations(tmp_path / "m-truth.csv")
    assert 60 < len(truth) < 200 and truth.x_nm.max() < 3000 and truth.y_nm.max() < 2400


def test_the_density_is_of_the_field(tmp_path: Path) -> None:
    done = fluosr("simulate", "smlm", *SMALL, "--frames", 400, "--density", 2, "-o", tmp_path / "m.tif")
    assert done.code == 0
    per_um2 = len(read_localisations(tmp_path / "m-truth.csv")) / 400 / (2.4 * 3.0)
    assert per_um2 == pytest.approx(2.0, rel=0.15)


def test_what_takes_long_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.cli.smlm.LONG_S", 0.0)
    done = fluosr("simulate", "smlm", *SMALL, "--active", 6, "-o", tmp_path / "m.tif")
    assert done.code == 0 and "About 1 s of computing and under 1 MB of files." in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--density", 1e6), "lower --photons, --density"),
        (("--density", 0), "--density must be positive"),
        (("--density", -2), "--density must be positive"),
        (("--density", 1, "--active", 5), "exclude each other"),
        (("--active", 0), "positive active"),
        (("--on-time", 0), "positive on_time_frames"),
        (("--height", 2), "--height"),
        (("--structure", "spokes"), "there are points, filaments and tubes"),
        (("--structure", "points", "--count", 3), "--count goes with --structure filaments or tubes"),
        (("--photons", 1e7), "a camera of 16 bits ends at"),
        (("--fwhm", 0), "--fwhm"),
        (("--background-variation", 2), "0 to 1"),
        (("--gain", 0), "gain must be positive"),
    ],
)
def test_a_movie_that_cannot_be_is_refused(tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    done = fluosr("simulate", "smlm", *SMALL, *map(str, arguments), "-o", tmp_path / "m.tif")
    assert done.code == 2 and words in done.err and contents(tmp_path) == {}


def test_a_score_is_a_small_table(tmp_path: Path) -> None:
    truth = table(tmp_path / "t.csv", (0, 100, 100), (0, 900, 100), (1, 500, 500))
    found = table(tmp_path / "f.csv", (0, 103, 104), (1, 500, 500), (1, 2000, 2000))
    done = fluosr("score", found, truth, "--radius", 50)
    assert done.code == 0 and done.err == ""
    assert "Jaccard 50.00 % 50.00 % precision 66.67 % 75.00 % recall 66.67 % 75.00 % RMSE 3.54 nm 2.50 nm" in done.out
    assert "matched 2 found, not there 1 there, not found 1 frames 2" in done.out
    for frames in ("0:1", ":1", "1:"):
        assert "Jaccard 50.00 % 50.00 %" in fluosr("score", found, truth, "--frames", frames).out
    assert "Jaccard 20.00 % 25.00 %" in fluosr("score", found, truth, "--radius", 0).out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--radius", "-1"), 2, "--radius must not be negative"),
        (("--radius", "nan"), 2, "--radius must not be negative"),
        (("--frames", "5"), 2, "write first:last"),
        (("--frames", "5:5"), 2, "no frame is chosen"),
        (("--frames", "-3:2"), 2, "no frame is chosen"),
        (("--frames", "50:60"), 0, "nothing lies in these frames"),
        (("--first-frame", "7"), 2, "--first-frame"),
        (("--first-frame-of-truth", "2"), 2, "--first-frame-of-truth"),
    ],
)
def test_a_score_that_cannot_be_is_told(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    truth = table(tmp_path / "t.csv", (0, 100, 100))
    done = fluosr("score", truth, truth, *arguments)
    assert done.code == code and words in done.err


@pytest.mark.parametrize(
    ("found", "truth", "options"),
    [
        (1, 1, ()),
        (0, 0, ("--first-frame", 0)),
        (1, 0, ("--first-frame-of-truth", 0)),
        (0, 1, ("--first-frame", 0, "--first-frame-of-truth", 1)),
    ],
)
def test_each_table_may_count_its_frames_from_0_or_1(
    tmp_path: Path, found: int, truth: int, options: tuple[object, ...]
) -> None:
    for name, first in (("f.csv", found), ("t.csv", truth)):
        lines = [f"{frame + first},{300 * frame},100" for frame in range(4)]
        (tmp_path / name).write_text("\n".join(["frame,x_nm,y_nm", *lines]))
    done = fluosr("score", tmp_path / "f.csv", tmp_path / "t.csv", *map(str, options))
    assert done.code == 0 and "Jaccard 100.00 %" in done.out and "frames 4" in done.out and done.err == ""
    if found != truth:
        wrong = fluosr("score", tmp_path / "f.csv", tmp_path / "t.csv", "--first-frame", found)
        assert "--first-frame-of-truth" in wrong.err and "Jaccard 100.00 %" not in wrong.out


def test_a_score_of_nothing_says_so(tmp_path: Path) -> None:
    truth, empty = table(tmp_path / "t.csv", (0, 100, 100)), table(tmp_path / "e.csv")
    done = fluosr("score", empty, truth)
    assert done.code == 0 and "there are no localisations" in done.err and "Jaccard 0.00 %" in done.out
    assert "there are no true molecules" in fluosr("score", truth, empty).err
    moved = table(tmp_path / "m.csv", (1, 100, 100))
    assert "do both tables count frames alike (--first-frame," in fluosr("score", moved, truth).err


@pytest.mark.parametrize("place", ["1e30", "1e19", "1e308", "-1e30", "inf"])
def test_places_beyond_any_field_are_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "far.csv").write_text(f"frame,x_nm,y_nm\n1,2,3\n1,4,{place}\n")
    good = table(tmp_path / "t.csv", (0, 100, 100))
    for arguments in (
        ("score", "far.csv", good),
        ("score", good, "far.csv"),
        ("convert", "far.csv", "f.hdf5", "--pixel-size", 100),
    ):
        command, *rest = (tmp_path / a if str(a).startswith("f") else a for a in arguments)
        done = fluosr(command, *rest)
        assert done.code == 1 and "far.csv, line 3: y [nm] is" in done.err
    assert set(contents(tmp_path)) == {"far.csv", "t.csv"}


def test_tables_are_converted_there_and_back(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    first = table(tmp_path / "t.csv", (0, 123.4, 567.8), (3, 900, 100))
    there = fluosr("convert", first, tmp_path / "t.hdf5", "--pixel-size", 107.3, "--field", "64x60", "--frames", 9)
    assert there.code == 0 and "Wrote 2 localisations" in there.out and there.err == ""
    facts = (tmp_path / "t.yaml").read_text()
    assert "Width: 60\nHeight: 64\nFrames: 9\nPixelsize: 107.3\n" in facts
    assert fluosr("convert", tmp_path / "t.hdf5", tmp_path / "back.csv").code == 0
    again, wanted = read_localisations(tmp_path / "back.csv"), read_localisations(first)
    np.testing.assert_array_equal(again.frame, wanted.frame)
    np.testing.assert_allclose(again.x_nm, wanted.x_nm, rtol=1e-6)
    near = fluosr("convert", table(tmp_path / "n.csv", (0, 20, 500)), tmp_path / "n.h5", "--pixel-size", 100)
    assert near.code == 0 and "1 of them lie beyond the field, or less than half a pixel" in near.err
    assert "Width: 1\nHeight: 6\nFrames: 1\n" in (tmp_path / "n.yaml").read_text()


def test_a_plain_table_becomes_thunderstorms(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text("frame,x_nm,y_nm\n0,10,20\n4,30,40\n")
    assert fluosr("convert", tmp_path / "plain.csv", tmp_path / "t.csv", "--first-frame", 0).code == 0
    assert (tmp_path / "t.csv").read_text() == '"id","frame","x [nm]","y [nm]"\n1,1,10.0,20.0\n2,5,30.0,40.0\n'


@pytest.mark.parametrize(
    ("source", "target", "arguments", "code", "words"),
    [
        ("t.csv", "new.hdf5", (), 2, "give --pixel-size"),
        ("t.csv", "new.hdf5", ("--pixel-size", "0"), 2, "pixel size must be positive"),
        ("t.csv", "new.hdf5", ("--pixel-size", "0.107"), 2, "was 107 meant?"),
        ("t.csv", "new.hdf5", ("--pixel-size", "100", "--field", "64"), 2, "--field 64: write height x width"),
        ("t.csv", "new.hdf5", ("--pixel-size", "100", "--frames", "2"), 2, "the movie has 2 frames"),
        ("t.csv", "new.csv", ("--field", "64x64"), 2, "are for Picasso's files"),
        ("t.csv", "t.csv", (), 1, "is already there"),
        ("t.csv", "other.csv", (), 1, "is already there"),
        ("t.csv", "mine.hdf5", ("--pixel-size", "100"), 1, "mine.yaml is already there"),
        ("t.csv", "new.xlsx", (), 2, "end the name with one of them"),
        ("new.csv", "newer.csv", (), 1, "does not exist"),
        ("t.hdf5", "new.h5", ("--pixel-size", "100"), 2, "are both Picasso's"),
        ("t.xlsx", "new.csv", (), 2, "known by how the name ends"),
    ],
)
def test_a_conversion_that_cannot_be_is_refused(
    tmp_path: Path, source: str, target: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    table(tmp_path / "t.csv", (0, 100, 100), (5, 200, 200))
    (tmp_path / "other.csv").write_text("mine")
    (tmp_path / "mine.yaml").write_text("mine")
    before = contents(tmp_path)
    done = fluosr("convert", tmp_path / source, tmp_path / target, *arguments)
    assert done.code == code and words in done.err and contents(tmp_path) == before
