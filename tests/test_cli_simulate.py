"""The simulations from the command line: movies with their truth, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.commands import fluosr


def test_simulate_argo_writes_the_movie_and_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "argo.tif"
    found = fluosr(
        "simulate", "argo", "--output", path, "--frames", "12", "--separations", "120,240", "--line-length", "1000",
        "--photons", "20", "--angle", "20", "--seed", "4",
    )  # fmt: skip
    assert found.code == 0, found.err
    names = {"argo.tif", "argo-truth.ome.tif", "argo-background.tif", "argo-phantom.json"}
    assert {p.name for p in path.parent.iterdir()} == names
    assert all(name in found.out for name in names)
    frames, truth = tifffile.imread(path), tifffile.imread(path.parent / "argo-truth.ome.tif")
    assert frames.dtype == np.uint16 and len(frames) == 12
    assert truth.shape == (6 * frames.shape[1], 6 * frames.shape[2])
    phantom = json.loads((path.parent / "argo-phantom.json").read_text())
    assert phantom["phantom"]["kind"] == "ArgoPhantom"
    assert phantom["phantom"]["separations_nm"] == [120.0, 240.0] and phantom["seed"] == 4
    again = fluosr("info", path)
    assert again.code == 0 and "12 frames of" in again.out and "pixel size: 100 nm" in again.out


@pytest.mark.parametrize("kind", ["poisson", "double-poisson", "fano", "gamma", "blinking"])
def test_simulate_filaments_with_emitters_of_any_kind(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "gain.tif", np.linspace(1, 3, 20 * 24, dtype=np.float32).reshape(20, 24))
    fano = () if kind in ("poisson", "double-poisson") else ("--fano", "20")
    found = fluosr(
        "simulate", "filaments", "-o", tmp_path / "f.tif", "--height", "20", "--width", "24", "--frames", "6",
        "--fluctuations", kind, *fano, "--gain", tmp_path / "gain.tif", "--factor", "2",
    )  # fmt: skip
    assert found.code == 0, found.stderr
    assert tifffile.imread(tmp_path / "f.tif").shape == (6, 20, 24)
    record = json.loads((tmp_path / "f-phantom.json").read_text())
    assert record["emitters"]["fano_factor"] == pytest.approx({"poisson": 0.0, "double-poisson": 1.0}.get(kind, 20.0))
    assert record["phantom"]["kind"] == "FilamentPhantom"
    assert record["camera"]["maps"]["gain_adu_per_e"]["shape"] == [20, 24]


def test_simulated_values_that_saturate_are_counted(tmp_path: Path) -> None:
    quick = ("--frames", "5", "--separations", "120", "--line-length", "600", "--no-control", "--background", "0")
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif", *quick, "--photons", "100", "--gain", "640")
    assert found.code == 0, found.err
    saturated = int((tifffile.imread(tmp_path / "a.tif") == 65535).sum())
    phantom = json.loads((tmp_path / "a-phantom.json").read_text())
    assert phantom["saturated"] == saturated > 0 and f"Note: {saturated} values" in found.err
    assert phantom["below_zero"] > 0 and f"Note: {phantom['below_zero']} values" in found.err
    assert "lower --photons" in found.err and "raise --offset" in found.err


def test_a_simulation_larger_than_memory_or_disk_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif", "--line-length", "100000000")
    assert found.code == 1 and "GiB of memory" in found.err
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20))
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif")
    assert found.code == 1 and "0.0009766 GiB are free there" in found.err
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_simulates_the_same_movie(tmp_path: Path) -> None:
    quick = ("--frames", "3", "--separations", "120", "--line-length", "600", "--no-control")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fluosr("simulate", "argo", "-o", tmp_path / f"{name}.tif", *quick, "--seed", seed).code == 0
    first, second, other = (tifffile.imread(tmp_path / f"{name}.tif") for name in "abc")
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_simulation_overwrites_nothing_but_a_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "argo-truth.ome.tif").write_bytes(b"mine")
    command = ("simulate", "argo", "--separations", "120", "--frames", "2", "--output", "argo.tif")
    done = fluosr(*command)
    assert done.code == 1 and "no earlier simulation" in done.err
    assert (tmp_path / "argo-truth.ome.tif").read_bytes() == b"mine"
    (tmp_path / "argo-truth.ome.tif").unlink()
    assert fluosr(*command).code == 0
    assert fluosr(*command).code == 0


@pytest.mark.parametrize("name", ["movie.png", "movie", "movie.tif.gz"])
def test_a_movie_is_not_written_under_another_ending(tmp_path: Path, name: str) -> None:
    for kind in (("filaments", "--height", "12", "--width", "16"), ("smlm", "--height", "16", "--width", "16")):
        done = fluosr("simulate", *kind, "--frames", "2", "--output", tmp_path / name)
        assert done.code == 2 and "the movie is a TIFF, call it" in done.err and "movie.tif" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".TIF"])
def test_the_endings_of_a_tiff_are_taken(tmp_path: Path, ending: str) -> None:
    movie = ("simulate", "filaments", "--frames", "2", "--height", "12", "--width", "16")
    assert fluosr(*movie, "--output", tmp_path / f"movie{ending}").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--background", "inf"), "the background is a finite number of 0 or more, got inf"),
        (("--frame-rate", "inf"), "Invalid value for '--frame-rate': Input should be less than or equal to 1000000"),
        (("--frame-rate", "nan"), "Invalid value for '--frame-rate'"),
        (("--fluctuations", "blinking", "--off-time", "inf"), "must be positive and not above 1e+09 seconds, got inf"),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_what_it_may_be(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = fluosr("simulate", "filaments", "--frames", "2", "--output", tmp_path / "movie.tif", *options)
    assert done.code == 2 and words in done.err and list(tmp_path.iterdir()) == []
