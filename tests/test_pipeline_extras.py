"""Maps and localisations of a run: written, placed, and those of an earlier run removed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr import pipeline
from fluosr.acquisition import Acquisition
from fluosr.errors import OutputError
from fluosr.io.localisations import read_localisations
from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.registry import get_method
from fluosr.pipeline import LOCALISATIONS, Result, as_recorded, remove_result, run_to_folder
from tests.movies import cross_movie
from tests.pipeline_runs import run_quickly

# Maps.


def with_maps(*names: str) -> Any:
    """A method that makes maps of these names beside its image."""
    real = get_method("mean").load()

    def make(acquisition: Acquisition, parameters: Any, run: Run) -> Any:
        made = real(acquisition, parameters, run)
        return replace(made, maps=dict.fromkeys(names, 2 * made.image))

    return replace(get_method("mean"), load=lambda: make)


def run_with_maps(output: Path, patch: pytest.MonkeyPatch, *names: str) -> Result:
    patch.setattr(pipeline, "get_method", lambda name: with_maps(*names))
    return run_to_folder(cross_movie(), output, method="mean", make_report=False)


def test_every_map_is_written_and_those_of_an_earlier_run_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with_maps(tmp_path, monkeypatch, "density_per_um2", "shift_nm")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"density_per_um2.tif", "shift_nm.tif"}
    with tifffile.TiffFile(tmp_path / "maps" / "shift_nm.tif") as tif:
        np.testing.assert_array_equal(tif.asarray(), 2 * result.reconstruction.image)
        numerator, denominator = tif.pages.first.tags["XResolution"].value
        assert 1000 * denominator / numerator == pytest.approx(result.reconstruction.pixel_size_nm, rel=1e-4)
    assert json.loads((tmp_path / "run.json").read_text())["maps"] == ["density_per_um2", "shift_nm"]
    (tmp_path / "maps" / "mine.tif").write_bytes(b"mine")
    run_with_maps(tmp_path, monkeypatch, "shift_nm")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"shift_nm.tif", "mine.tif"}


@pytest.mark.parametrize("name", ["../run", "a/b", "", "a b", "a.b", "/etc"])
def test_a_map_whose_name_is_no_files_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="no name for a file"):
        run_with_maps(tmp_path / "out", monkeypatch, name)
    assert (tmp_path / "out" / "reconstruction.ome.tif").exists() and not (tmp_path / "out" / "maps").exists()


def test_a_folder_of_maps_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="holds maps, which no earlier run"):
        run_quickly(cross_movie(), tmp_path)


# Localisations.


def run_with_molecules(output: Path, patch: pytest.MonkeyPatch, table: Localisations | None) -> Result:
    real = get_method("mean").load()

    def make(acquisition: Acquisition, parameters: Any, run: Run) -> Any:
        return replace(real(acquisition, parameters, run), localisations=table)

    patch.setattr(pipeline, "get_method", lambda name: replace(get_method("mean"), load=lambda: make))
    return run_to_folder(cross_movie(), output, method="mean", make_report=False)


def test_localisations_are_written_and_those_of_an_earlier_run_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Localisations([0, 4], [100.0, 250.0], [300.0, 1.5], photons=[700.0, 800.0])
    run_with_molecules(tmp_path, monkeypatch, table)
    again = read_localisations(tmp_path / LOCALISATIONS)
    np.testing.assert_array_equal(again.photons, table.photons)
    assert json.loads((tmp_path / "run.json").read_text())["localisations"] == 2
    run_with_molecules(tmp_path, monkeypatch, Localisations.none())
    assert len(read_localisations(tmp_path / LOCALISATIONS)) == 0
    run_with_molecules(tmp_path, monkeypatch, None)
    assert not (tmp_path / LOCALISATIONS).exists()
    (tmp_path / LOCALISATIONS).write_text("mine")  # the record says that no run of ours left it
    run_with_molecules(tmp_path, monkeypatch, None)
    assert (tmp_path / LOCALISATIONS).read_text() == "mine"


def deletions(result: Result) -> list[str]:
    return [warning for warning in result.reconstruction.warnings if "deleted" in warning]


def test_what_goes_of_an_earlier_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with_molecules(tmp_path, monkeypatch, Localisations([0], [100.0], [300.0]))
    assert deletions(run_with_molecules(tmp_path, monkeypatch, Localisations.none())) == []
    said = deletions(run_with_maps(tmp_path, monkeypatch, "density_per_um2", "shift_nm"))
    assert [text.rpartition(": ")[2] for text in said] == ["localisations.csv."]
    (said,) = deletions(run_with_maps(tmp_path, monkeypatch))
    assert said.endswith("was deleted: maps/density_per_um2.tif, maps/shift_nm.tif.")
    assert said in json.loads((tmp_path / "run.json").read_text())["warnings"]
    assert deletions(run_with_maps(tmp_path, monkeypatch)) == []


def test_what_its_owner_took_away_is_not_said_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with_molecules(tmp_path, monkeypatch, Localisations([0], [100.0], [300.0]))
    (tmp_path / LOCALISATIONS).rename(tmp_path / "kept.csv")
    assert deletions(run_with_molecules(tmp_path, monkeypatch, None)) == []
    assert (tmp_path / "kept.csv").exists()


def test_localisations_of_a_part_are_placed_in_the_movie_that_was_recorded() -> None:
    movie = cross_movie()
    part = movie.select(frames=range(4, 20, 2), window=(3, 2, 8, 9)).select(frames=range(1, 5))
    placed = as_recorded(Localisations([0, 3], [150.0, 10.0], [250.0, 20.0], photons=[7.0, 8.0]), part)
    np.testing.assert_array_equal(placed.frame, [6, 12])
    np.testing.assert_allclose(placed.x_nm, np.array([150.0, 10.0]) + 2 * movie.pixel_size_nm)
    np.testing.assert_allclose(placed.y_nm, np.array([250.0, 20.0]) + 3 * movie.pixel_size_nm)
    np.testing.assert_array_equal(placed.photons, [7.0, 8.0])
    np.testing.assert_array_equal(part.photons(slice(3, 4))[0], movie.photons(slice(12, 13))[0][3:11, 2:11])


def test_a_result_is_removed_with_its_localisations_and_without_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with_molecules(tmp_path / "ours", monkeypatch, Localisations([0], [100.0], [300.0]))
    remove_result(tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
    run_with_molecules(tmp_path / "theirs", monkeypatch, None)
    (tmp_path / "theirs" / LOCALISATIONS).write_text("mine")
    remove_result(tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == [LOCALISATIONS]


def test_localisations_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / LOCALISATIONS).write_text("mine")
    with pytest.raises(OutputError, match=r"holds localisations\.csv, which no earlier run"):
        run_quickly(cross_movie(), tmp_path)
    assert (tmp_path / LOCALISATIONS).read_text() == "mine"
