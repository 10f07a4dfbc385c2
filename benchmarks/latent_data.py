"""Crops of two simulated assays and of real wells: some to learn a generator from, some for classifiers, some to test.

Wells, never cells, are dealt out. The three parts share no well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from tables import DATA, RESULTS

from fluosr.io.plates import open_plate
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.plate import Plate, PlateField, cut_plate
from fluosr.simulate.assay_plate import plate_of
from fluosr.simulate.assays import AssayWell
from fluosr.simulate.culture import CellCulture

KEPT = RESULTS / "latent_tables.models"
EDITION = 1  # of data and settings: what was kept of another one is made anew
SIMULATED = ("translocation", "golgi")
REAL = "BBBC013"
ASSAYS = (*SIMULATED, REAL)
PRIMARY = {"translocation": "nucleus_to_ring", "golgi": "mean_spot_area_um2", REAL: "nucleus_to_ring"}
PIXEL_NM, FIELD_PX = 400.0, 512
WELLS = {"generator": 32, "judged": 24}  # of each simulated assay, half of them treated
SEEDS = {"generator": 11, "judged": 12}
STRENGTH = 0.8
TEST_SHARE = 0.5  # of the wells that no generator saw


@dataclass(frozen=True, eq=False)
class AssayCrops:
    """Cells of one assay.

    Args:
        learnt: that a generator and pairs are learnt from; its levels hold for all.
        classified: of wells that classifiers learn from.
        test: of wells that nothing was learnt from.
    """

    learnt: CropSet
    classified: CropSet
    test: CropSet


@cache
def crops_of(assay: str, size_px: int) -> AssayCrops:
    """Of an assay, from a file where they were cut before."""
    return _real(size_px) if assay == REAL else _simulated(assay, size_px)


def _simulated(assay: str, size_px: int) -> AssayCrops:
    sets = {}
    for part, wells in WELLS.items():
        fields = [
            PlateField(name, treatment, name, _Image(well, KEPT / f"{EDITION}-{assay}-{part}-{name}.npy"), "train")
            for name, treatment, well in plate_of(
                assay,
                wells,
                wells // 2,
                strength=STRENGTH,
                culture=CellCulture((FIELD_PX, FIELD_PX), PIXEL_NM),
                seed=SEEDS[part],
            )
        ]
        channels = plate_of(assay, 1, 0)[0][2].channels
        sets[part] = _cut(Plate(fields, channels, PIXEL_NM), size_px)
    return _dealt(sets["generator"], sets["judged"])


def _real(size_px: int) -> AssayCrops:
    names = {"neg_control_16wells": "negative", "pos_control_8wells": "positive"}
    files = [f"{DATA / 'treatments' / f'bbbc013_{name}.tif'}:{treatment}" for name, treatment in names.items()]
    plate = open_plate(files, ("FKHR-GFP", "DRAQ"))
    every = _cut(plate, size_px, nuclei=1, protein=0)
    first = np.isin(every.wells, _half(every))
    return _dealt(every.chosen(first), every.chosen(~first))


@dataclass(frozen=True, eq=False)
class _Image:
    """A simulated well's image, taken once."""

    well: AssayWell
    path: Path

    def __call__(self) -> np.ndarray:
        if not self.path.exists():
            np.save(self.path, self.well.image())
        return np.load(self.path, allow_pickle=False).astype(np.float32)


def _cut(plate: Plate, size_px: int, nuclei: int = 0, protein: int = 1) -> CropSet:
    return cut_plate(
        plate, nuclei=nuclei, protein=protein, size_px=size_px, test_share=0.0, generator=np.random.default_rng(0)
    ).crops


def _half(crops: CropSet) -> Sequence[str]:
    """Every second well of each treatment."""
    names = [sorted(set(crops.wells[crops.treatments == treatment])) for treatment in sorted(set(crops.treatments))]
    return [well for wells in names for well in wells[::2]]


def _dealt(learnt: CropSet, judged: CropSet) -> AssayCrops:
    """Classifiers and tests from other wells than the generator, on its levels."""
    mine = np.isin(judged.wells, _half(judged))
    shared = {"levels": learnt.levels, "ground": learnt.ground}
    parts = [
        replace(judged.chosen(which), **shared, splits=np.full(which.sum(), split))
        for which, split in ((mine, "train"), (~mine, "test"))
    ]
    return AssayCrops(learnt, *parts)
