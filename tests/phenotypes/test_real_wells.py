"""Real translocation wells (BBBC013): the ratio tells the controls apart, cell by cell; nuclear area does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.phenotypes.comparison import compare_conditions
from fluosr.phenotypes.plate import Plate, PlateField, cut_plate


def test_controls_are_told_apart_by_the_ratio(shared_data: Path) -> None:
    fields = []
    for name, file in (("negative", "neg_control_16wells"), ("positive", "pos_control_8wells")):
        for well in (0, 3):
            path = shared_data / "treatments" / f"bbbc013_{file}.tif"
            image = tifffile.imread(path, key=range(2 * well, 2 * well + 2))[:, :256, :256].astype(np.float32)
            fields.append(PlateField(f"{name}-{well}", name, path.name, lambda image=image: image))  # type: ignore[misc]
    plate = Plate(fields, ("FKHR-GFP", "DRAQ"), None)
    cut = cut_plate(plate, nuclei=1, protein=0, size_px=64, test_share=0.5, generator=np.random.default_rng(0))
    assert cut.crops.diameter_px == pytest.approx(16, abs=1)
    found = compare_conditions(cut.crops, generator=np.random.default_rng(0))
    ratio, area = (found.effects["reference"][name]["positive"] for name in ("nucleus_to_ring", "nucleus_area_px"))
    assert ratio.auc.interval.value > 0.98 and abs(area.auc.interval.value - 0.5) < 0.15
    ratios = found.tables["reference"]["nucleus_to_ring"]
    medians = [np.nanmedian(ratios[cut.crops.treatments == name]) for name in ("negative", "positive")]
    assert 0.5 < medians[0] < 1.1 and medians[1] > 4
