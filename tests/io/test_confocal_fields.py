"""Simulated fields on disk: none of another simulation or origin among them, and a record of those that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.errors import OutputError, UsageError
from fluosr.io import confocal_fields
from fluosr.io.confocal_fields import RECORD, save_fields
from fluosr.simulate.confocal_fields import ConfocalField
from tests.commands import contents

FAST = ScanningMicroscope(180.0, 250.0, dose_photons=3.0, offset_adu=100.0, gain_adu_per_e=40.0)


def fields(structure: str, *seeds: int) -> list[ConfocalField]:
    return [ConfocalField(structure, (16, 16), FAST, seed=seed) for seed in seeds]


def recorded(folder: Path) -> list[tuple[str, int, int]]:
    entries = json.loads((folder / RECORD).read_text())["fields"]
    return [(entry["structure"], entry["seed"], entry["repeats"]) for entry in entries]


def test_fields_of_another_simulation_do_not_stay_among_the_new(tmp_path: Path) -> None:
    save_fields(tmp_path, fields("nuclei", 0, 1, 2, 3, 4), 2)
    before = contents(tmp_path)
    for structure, seeds, said in (
        ("membranes", (0,), "nuclei-0000, nuclei-0001, nuclei-0002, ..."),
        ("nuclei", (0, 1, 2, 3), "nuclei-0004"),
    ):
        with pytest.raises(OutputError, match=rf"would stay among these \({said}\): delete them"):
            save_fields(tmp_path, fields(structure, *seeds), 2)
    assert contents(tmp_path) == before
    save_fields(tmp_path, fields("nuclei", 0, 1, 2, 3, 4, 5), 3)
    assert recorded(tmp_path) == [("nuclei", seed, 3) for seed in range(6)]
    assert not any(contents(tmp_path).get(name) == data for name, data in before.items() if "truth" not in name)


def test_no_field_is_no_simulation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no field"):
        save_fields(tmp_path / "new", [], 2)
    assert not any(tmp_path.iterdir())


def test_files_of_another_origin_stay(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"speed": 3}')
    with pytest.raises(OutputError, match="left by no simulation of fields"):
        save_fields(tmp_path, fields("nuclei", 0), 2)
    (tmp_path / RECORD).unlink()
    save_fields(tmp_path, fields("nuclei", 0), 2)
    (tmp_path / "nuclei-0001.tif").write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="no earlier simulation left there"):
        save_fields(tmp_path, fields("nuclei", 0, 1), 2)
    assert contents(tmp_path) == before


def test_a_stopped_simulation_records_the_fields_that_are_there(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_fields(tmp_path, fields("nuclei", 0, 1, 2), 2, done=stop)
    assert recorded(tmp_path) == [("nuclei", 0, 2), ("nuclei", 1, 2)] and len(list(tmp_path.glob("*.tif"))) == 4
    save_fields(tmp_path, fields("nuclei", 0, 1, 2), 2)
    with pytest.raises(KeyboardInterrupt):
        save_fields(tmp_path, fields("nuclei", 0, 1, 2), 5, done=stop)
    assert recorded(tmp_path) == [("nuclei", 0, 5), ("nuclei", 1, 5), ("nuclei", 2, 2)]


def test_a_killed_simulation_leaves_no_record_of_fields_that_it_never_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    save = confocal_fields._save

    def watched(*given: Any) -> Any:
        seen.append(recorded(tmp_path))
        return save(*given)

    monkeypatch.setattr(confocal_fields, "_save", watched)
    save_fields(tmp_path, fields("nuclei", 0, 1), 2)
    save_fields(tmp_path, fields("nuclei", 0, 1), 5)
    assert seen == [
        [("nuclei", 0, 2)],
        [("nuclei", 0, 2), ("nuclei", 1, 2)],
        [("nuclei", 0, 5), ("nuclei", 1, 2)],
        [("nuclei", 0, 5), ("nuclei", 1, 5)],
    ]


def test_a_field_that_fails_leaves_no_half_pair_and_nothing_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OutputError("full")

    monkeypatch.setattr("fluosr.io.confocal_fields.write_ome_tiff", full)
    with pytest.raises(OutputError, match="full"):
        save_fields(tmp_path / "new", fields("nuclei", 0), 2)
    assert not any(tmp_path.iterdir())
