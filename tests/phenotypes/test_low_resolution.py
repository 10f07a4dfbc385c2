"""The low-resolution bound: the reduction that the search knows, its own classifiers, and a place in every table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fluosr.errors import UsageError
from fluosr.io.crop_sets import write_crop_set
from fluosr.latent.degradation import Bicubic
from fluosr.phenotypes.comparison import compare_conditions
from fluosr.phenotypes.low_resolution import coarse_values, low_resolution
from fluosr.restoration.baselines import bicubic
from tests.commands import fluosr
from tests.plates import crop_set

RATIOS = {"control": [0.4] * 4, "drug": [2.5] * 4}


@pytest.mark.parametrize("factor", [2, 8, 16])
def test_crops_are_reduced_as_the_search_reduces_and_enlarged_as_its_baseline(factor: int) -> None:
    crops = crop_set(RATIOS, cells=2)
    coarse = Bicubic(32, factor)(torch.from_numpy(crops.pixels).double())
    found = low_resolution(crops, factor)
    expected = np.stack([bicubic(coarse[:, channel].numpy(), factor) for channel in range(2)], axis=1)
    assert found.pixels == pytest.approx(expected, rel=1e-6)
    assert crops.ground is not None and found.ground is crops.ground
    signal = np.maximum(coarse.numpy() - 100, 0.01 * crops.ground.reach[:, None, None])
    assert coarse_values(crops, factor) == pytest.approx(np.log2(signal).reshape(len(crops), -1))


def test_grey_values_of_many_coarse_pixels_are_not_learnt_from() -> None:
    crops = crop_set(RATIOS, cells=1)
    wide = dataclasses.replace(crops, pixels=np.pad(crops.pixels, ((0, 0), (0, 0), (16, 16), (16, 16))))
    assert coarse_values(wide, 2) is None and np.shape(coarse_values(wide, 4)) == (8, 2 * 16**2)


@pytest.mark.parametrize("factor", [0, 1, 3, 32, -8])
def test_other_factors_are_refused(factor: int) -> None:
    with pytest.raises(UsageError, match=f"crops of 32 pixels can be reduced by 2, 4, 8, 16; got {factor}"):
        low_resolution(crop_set(RATIOS, cells=1), factor)


def test_a_bound_learns_from_coarse_cells_and_tells_what_they_tell() -> None:
    # A class that only fine stripes of one sum tell apart: sharp cells show it, coarse ones cannot.
    crops = crop_set({"control": [1.0] * 4, "drug": [1.0] * 4}, cells=8)
    stripes = 40.0 * np.hanning(32) * (-1.0) ** np.arange(32)
    striped = crops.pixels + np.where(crops.treatments == "drug", 1, 0)[:, None, None, None] * stripes
    found = compare_conditions(
        crops.with_pixels(striped), reduce=[8], name="sharp", generator=np.random.default_rng(0)
    ).accuracies
    assert found["pixels"]["sharp"].balanced.interval.value == 1
    assert abs(found["pixels"]["sharp 1/8"].balanced.interval.value - 0.5) < 0.2
    assert abs(found["coarse pixels"]["sharp 1/8"].balanced.interval.value - 0.5) < 0.2
    # A sharp classifier would see no coarse cell as it is; the bound's own does, where they differ.
    bright = compare_conditions(crop_set(RATIOS, cells=8), reduce=[8], name="sharp", generator=np.random.default_rng(0))
    assert bright.bounds == ("sharp 1/8",) and list(bright.sets) == ["sharp", "sharp 1/8"]
    for kind in ("pixels", "coarse pixels"):
        assert bright.accuracies[kind]["sharp 1/8"].balanced.interval.value > 0.9


def test_reduced_crops_stand_beside_the_others_in_table_and_record(tmp_path: Path) -> None:
    write_crop_set(tmp_path / "crops", crop_set(RATIOS, cells=3))
    options = ("--reduce", 4, "--reduce", 8, "--split", "test", "-o", tmp_path / "out")
    done = fluosr("features", tmp_path / "crops", *options)
    assert done.code == 0, done.err
    for name in ("crops 1/4", "crops 1/8"):
        assert f"| {name} | nucleus-to-ring ratio | drug |" in done.out and f"| coarse pixels | {name} |" in done.out
    record = json.loads((tmp_path / "out" / "effects.json").read_text())
    assert record["low_resolution_bounds"] == ["crops 1/4", "crops 1/8"]
    assert record["classifiers"]["pixels"]["crops 1/8"]["auc"]["kind"] == "jackknife"
    assert "crops 1/4," in (tmp_path / "out" / "features.csv").read_text()
    refused = fluosr("features", tmp_path / "crops", "--reduce", 5, "-o", tmp_path / "other")
    assert refused.code == 2 and "can be reduced by 2, 4, 8, 16; got 5" in refused.err
    assert not (tmp_path / "other").exists()
