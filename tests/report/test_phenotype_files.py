"""Box plots and tables of features: a box for each method and treatment, and figures that stand in the record too."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as images

from fluosr.errors import OutputError
from fluosr.phenotypes.comparison import PhenotypeComparison, compare_conditions
from fluosr.report.phenotype_files import NAMES, effects_markdown, save_features
from fluosr.report.phenotype_plot import phenotype_plot
from tests.plates import crop_set


def compared(treatments: int = 2, methods: int = 1) -> PhenotypeComparison:
    crops = crop_set({f"t{n}": [0.4 * 3**n, 0.4 * 3**n] for n in range(treatments)}, cells=3)
    others = {f"method {n}": crops for n in range(1, methods)}
    return compare_conditions(crops, others, generator=np.random.default_rng(0), classify=False)


def test_more_boxes_make_a_wider_picture_and_ink_is_on_it() -> None:
    pictures = [images.imread(io.BytesIO(phenotype_plot(compared(*shape)))) for shape in ((2, 1), (2, 3), (7, 2))]
    assert pictures[0].shape[1] < pictures[1].shape[1] <= pictures[2].shape[1] * 2
    for picture in pictures:
        assert (picture[..., 3] > 0).mean() > 0.01


def test_a_feature_that_no_cell_has_is_left_out() -> None:
    found = compared()
    found.tables["reference"]["mean_spot_area_um2"][:] = np.nan
    found.tables["reference"]["spot_count"][:] = np.nan
    whole = images.imread(io.BytesIO(phenotype_plot(compared())))
    assert images.imread(io.BytesIO(phenotype_plot(found))).shape[0] < whole.shape[0]


def test_every_method_feature_and_treatment_has_its_row(tmp_path: Path) -> None:
    found = compared(3, 2)
    text = effects_markdown(found)
    effects, differences = text.split("## Effects, less those of reference")
    for part, measures in ((effects, found.effects), (differences, found.effect_differences)):
        rows = [line for line in part.splitlines() if line.startswith(("| reference", "| method 1"))]
        measured = sum(len(of_feature) for method in measures.values() for of_feature in method.values())
        assert len(rows) == measured >= 4 * 2
    assert "too few to resample" in text
    effect = found.effects["reference"]["nucleus_to_ring"]["t2"].hedges_g.interval
    assert f"{effect.value:.3g} ({effect.low:.3g} to {effect.high:.3g})" in text
    assert [path.name for path in save_features(tmp_path / "out", found)] == list(NAMES)


def test_results_of_an_earlier_run_are_replaced_and_files_of_others_are_not(tmp_path: Path) -> None:
    found, folder = compared(), tmp_path / "out"
    save_features(folder, found)
    (folder / "features.csv").write_text("of the run before")
    save_features(folder, found)
    assert (folder / "features.csv").read_text().startswith("method,well,")
    for name in NAMES:
        mine = tmp_path / f"with {name}"
        mine.mkdir()
        (mine / name).write_text("mine")
        with pytest.raises(OutputError, match=f"holds {name}, which no earlier run"):
            save_features(mine, found)
        assert [path.name for path in mine.iterdir()] == [name] and (mine / name).read_text() == "mine"
