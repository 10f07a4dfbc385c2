"""Simulated plates are written well after well: no well's maps outlive its files."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import tifffile

from fluosr.io.assay_plates import save_plate
from fluosr.simulate.assay_plate import plate_of
from fluosr.simulate.culture import CellCulture, CultureMaps


def test_one_well_is_in_memory_at_a_time(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    drawn: list[weakref.ref[CultureMaps]] = []
    of_culture = CellCulture.maps

    def maps(*given) -> CultureMaps:  # type: ignore[no-untyped-def]
        drawn.append(weakref.ref(of := of_culture(*given)))
        return of

    monkeypatch.setattr(CellCulture, "maps", maps)
    alive = []

    def done(count: int) -> None:
        gc.collect()
        alive.append(sum(ref() is not None for ref in drawn))

    wells = plate_of("translocation", 2, 1, culture=CellCulture((32, 32), 500.0), seed=5)
    save_plate(tmp_path / "plate", wells, seed=5, done=done)
    assert len(drawn) == 2 and alive == [1, 1]
    assert (tifffile.imread(tmp_path / "plate" / "A02.ome.tif") == wells[1][2].image()).all()
