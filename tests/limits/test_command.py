"""``fluosr limit``: what it says, what it writes, what it refuses."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest

from fluosr.limits import Criterion, Experiment, Pair, find_limit
from fluosr.limits.table import count_of
from fluosr.optics.psf import GaussianPSF
from fluosr.report.limit_files import save_limit
from fluosr.report.limit_plot import draw_limit
from tests.commands import contents, fluosr

BURSTS = ("--pixel-size", "160", "--photons", "5", "--fano", "100", "--background", "0.2")
QUICK = (*BURSTS, "--length", "200")
OPTICS = ("--fwhm", "324")
FILES = {"limit.json", "limit.csv", "limit.png", "limit.svg"}


def test_it_says_what_is_told_apart_and_writes_it_down(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    arguments = ("limit", *OPTICS, *QUICK, "--separations", "40:120:40", "--wanted", "80", "--output", folder)
    found = fluosr(*arguments)
    assert found.code == 0, found.err
    assert "two lines 80 nm apart are told apart by mean and covariance, not by the mean alone" in found.out
    assert "Frames needed:" in found.out and "The smallest separation told apart with 500 frames" in found.out
    assert "the balance of the two is known to 50 %" in found.out
    assert {path.name for path in folder.iterdir()} == FILES
    record = json.loads((folder / "limit.json").read_text(encoding="utf-8"))
    assert [row["separation_nm"] for row in record["rows"]] == [40.0, 80.0, 120.0]
    assert record["experiment"]["fano_factor"] == 100 and record["wanted"]["separation_nm"] == 80
    with (folder / "limit.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, wanted in zip(rows, record["rows"], strict=True):
        assert {name: pytest.approx(float(value), rel=1e-5) for name, value in row.items()} == wanted
    before = contents(folder)
    assert fluosr(*arguments).code == 0  # its own files are replaced, by the same
    assert contents(folder) == before


def test_the_figures_are_those_of_the_library() -> None:
    found = fluosr("limit", *OPTICS, *QUICK, "--separations", "90", "--equal", "--slope", "--read-noise", "1.5")
    experiment = Experiment(
        psf=GaussianPSF(324.0), pixel_size_nm=160.0, photons=5.0, frames=500, fano_factor=100.0, read_noise_e=1.5,
        background_fraction=0.2,
    )  # fmt: skip
    limit = find_limit(experiment, Pair(length_nm=200.0), [90.0], criterion=Criterion(balanced=math.inf), slope=True)
    (row,) = limit.rows
    assert f"90 {row.bound.mean_nm:.3g} {row.bound.covariance_nm:.3g} {row.bound.gaussian_nm:.3g}" in found.out
    assert f"{row.mean_frames:,} / {row.covariance_frames:,}" in found.out
    assert "balance" not in found.out.partition("Told apart means")[2]


def test_points_and_an_airy_pattern_may_be_asked_for() -> None:
    found = fluosr(
        "limit", "--na", "1.4", "--wavelength", "880", *BURSTS, "--shape", "points", "--separations", "80",
        "--wanted", "80",
    )  # fmt: skip
    assert found.code == 0 and "two points 80 nm apart" in found.out


def test_files_of_another_origin_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "limit.csv").write_text("mine")
    found = fluosr("limit", *OPTICS, *QUICK, "--separations", "80", "-o", tmp_path)
    assert found.code == 1 and "limit.csv, which no earlier run of fluosr left there" in found.err and not found.out
    (tmp_path / "limit.json").write_text("{}")
    assert fluosr("limit", *OPTICS, *QUICK, "--separations", "80", "-o", tmp_path).code == 1
    assert contents(tmp_path) == {"limit.csv": b"mine", "limit.json": b"{}"}
    found = fluosr("limit", *OPTICS, *QUICK, "-o", tmp_path / "limit.csv")
    assert found.code == 1 and "is a file; --output takes a folder" in found.err


def test_a_link_to_nowhere_is_of_another_origin_and_a_folder_stands_in_the_way_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    (tmp_path / "limit.svg").symlink_to(tmp_path / "gone")
    found = fluosr("limit", *OPTICS, *QUICK, "--separations", "80", "-o", tmp_path)
    assert found.code == 1 and "limit.svg, which no earlier run of fluosr left there" in found.err
    (tmp_path / "limit.svg").unlink()
    (tmp_path / "limit.json").write_text('{"kind": "fluosr limit"}')
    (tmp_path / "limit.png").mkdir()
    found = fluosr("limit", *OPTICS, *QUICK, "--separations", "80", "-o", tmp_path)
    assert found.code == 1 and "limit.png is a folder" in found.err and not found.out
    assert {path.name for path in tmp_path.iterdir()} == {"limit.json", "limit.png"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*OPTICS,), ["pixel size", "--pixel-size"]),
        (("--pixel-size", "100"), ["point spread function", "--fwhm"]),
        ((*OPTICS, "--na", "1.4", "--wavelength", "500", *QUICK), ["--fwhm and --na", "exclude"]),
        (("--na", "1.4", *QUICK), ["--na needs --wavelength"]),
        (("--wavelength", "500", *QUICK), ["--wavelength needs --na"]),
        (("--na", "1.4", "--wavelength", "0.5", *QUICK), ["micrometres", "--wavelength 500"]),
        ((*OPTICS, *QUICK, "--fano", "-1"), ["Fano factor", "not be negative nor above", "got -1"]),
        ((*OPTICS, *QUICK, "--photons", "0"), ["photons of the peak must be positive", "got 0"]),
        ((*OPTICS, *QUICK, "--frames", "1"), ["a covariance needs at least 2 frames, got 1"]),
        ((*OPTICS, *QUICK, "--shape", "discs"), ["lines and for points, not for 'discs'"]),
        ((*OPTICS, *QUICK, "--shape", "points", "--length", "300"), ["--length and --width are of lines"]),
        ((*OPTICS, *QUICK, "--separations", "a"), ["--separations a", "40:200:20"]),
        ((*OPTICS, *QUICK, "--separations", "200:40:20"), ["--separations 200:40:20"]),
        ((*OPTICS, *QUICK, "--separations", "1:2:0"), ["--separations 1:2:0"]),
        ((*OPTICS, *QUICK, "--separations", "0,40"), ["a separation lies above 0 nm", "got 0."]),
        ((*OPTICS, *QUICK, "--separations", "40:200:inf"), ["--separations 40:200:inf: write nanometres"]),
        ((*OPTICS, *QUICK, "--separations", "0.001"), ["too close for the arithmetic"]),
        ((*OPTICS, *QUICK, "--separations", "1e5"), ["at most 1200", "smaller separations"]),
        (("--fwhm", "1e5", *QUICK), ["at most 1200", "check the units"]),
        ((*OPTICS, *QUICK, "--output", ""), ["no folder was named"]),
        ((*OPTICS, *QUICK, "--wanted", "-5"), ["above 0 nm", "got -5."]),
        ((*OPTICS, *QUICK, "--told-apart", "0"), ["0.001 to 1000 standard deviations", "got 0."]),
        ((*OPTICS, *QUICK, "--told-apart", "1e300"), ["0.001 to 1000 standard deviations", "got 1e+300."]),
        (("--fwhm", "90", *QUICK), ["smaller than the pixel"]),
    ],
)
def test_what_cannot_be_is_refused_with_2(arguments: tuple[str, ...], words: list[str]) -> None:
    found = fluosr("limit", *arguments)
    assert found.code == 2 and not found.out
    for word in words:
        assert word in found.err


def test_the_end_of_the_search_is_not_said_to_be_the_smallest_separation(tmp_path: Path) -> None:
    bright = ("--photons", "1e9", "--frames", "1000000000")
    found = fluosr(
        "limit", *OPTICS, "--pixel-size", "160", "--shape", "points", *bright, "--separations", "6,60", "-o", tmp_path
    )
    assert found.code == 0, found.err
    assert found.out.count("6.48 nm or less (no closer pair was searched)") == 2
    smallest = json.loads((tmp_path / "limit.json").read_text(encoding="utf-8"))["smallest_separation"]
    assert smallest["mean_or_less"] is True and smallest["covariance_or_less"] is True
    assert "<!-- 6 nm -->" not in (tmp_path / "limit.svg").read_text(encoding="utf-8")  # nothing is marked there


def test_what_takes_long_says_so_after_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("limit", *OPTICS, *QUICK, "--separations", "80,100", "--wanted", "80")
    assert "of computing" not in fluosr(*arguments).err
    monkeypatch.setattr("fluosr.cli.limit.LONG_S", 1e-6)
    assert fluosr(*arguments).err.count("About 1 s of computing.") == 1


def test_the_progress_of_a_limit_grows_to_its_end() -> None:
    seen: list[tuple[int, int]] = []
    find_limit(
        Experiment(pixel_size_nm=160.0), Pair("points"), [60.0, 900.0], wanted_nm=80.0,
        on_progress=lambda stage, done, total: seen.append((done, total)),
    )  # fmt: skip
    done = [at for at, _ in seen]
    assert len(done) == 4 and done == sorted(set(done)) and done[-1] == seen[0][1] and len({n for _, n in seen}) == 1
    assert done[1] - done[0] > done[0]  # 900 nm take a wider window


def test_more_frames_than_any_movie_has_are_not_counted() -> None:
    dark = ("--photons", "1e-9", "--read-noise", "1e9", "--background", "1e9", "--fano", "1e9", "--told-apart", "1000")
    found = fluosr(
        "limit", *OPTICS, "--pixel-size", "160", "--shape", "points", *dark, "--separations", "60", "--wanted", "60"
    )
    assert found.code == 0, found.err
    assert "neither more than 1e9 / more than 1e9" in found.out
    assert "Frames needed: more than 1e9 for the mean alone, more than 1e9 for mean and covariance" in found.out
    assert not re.search(r"\d{2},\d{3}", found.out + found.err)
    assert count_of(10**9) == "1,000,000,000" and count_of(10**9 + 1) == "more than 1e9"


def test_a_refused_call_leaves_no_folder(tmp_path: Path) -> None:
    found = fluosr("limit", *OPTICS, *QUICK, "--separations", "0.001", "-o", tmp_path / "new")
    assert found.code == 2 and not (tmp_path / "new").exists()


def test_the_picture_is_drawn_where_nothing_is_told_apart_and_for_one_separation(tmp_path: Path) -> None:
    hopeless = Experiment(pixel_size_nm=160.0, photons=0.01, frames=2)
    limit = find_limit(hopeless, Pair(length_nm=200.0), [100.0])
    assert limit.smallest.mean_nm == math.inf and "none up to twice" in limit.sentences()[0]
    picture = draw_limit(limit, "png")
    assert picture.startswith(b"\x89PNG") and [int.from_bytes(picture[i : i + 4]) for i in (16, 20)] == [2160, 940]
    assert b"</svg>" in draw_limit(limit, "svg")
    save_limit(limit, tmp_path)
    assert json.loads((tmp_path / "limit.json").read_text(encoding="utf-8"))["smallest_separation"]["mean_nm"] is None
