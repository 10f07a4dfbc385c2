"""``fluosr train flow`` and ``fluosr search``: what they write, what they say, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.image import imread

from fluosr.latent.degradation import Bicubic
from fluosr.learning import save_model
from fluosr.methods.trained_model import model_paths
from tests.commands import Outcome, contents, fluosr
from tests.latent.small import made_generator
from tests.restorers import seeded

SMALL = ["--codes", 400, "--transforms", 2, "--hidden", 8, "--epochs", 2]
QUICK = ["--factor", 4, "--iterations", 4, "--start-codes", 100, "--samples", 3]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator, a flow on its codes, and coarse images of it."""
    folder = tmp_path_factory.mktemp("latent")
    for seed in (0, 1):
        made = made_generator(seed)
        save_model(model_paths(folder / f"cells{seed}"), made.packed({}))
    told = fluosr("train", "flow", folder / "cells0", "-o", folder / "flow", *SMALL)
    assert told.code == 0, told.err
    assert "log density of held-out codes" in told.out and "chi-squared with 6 degrees: Z " in told.out
    coarse = Bicubic(32, 4)(made_generator().samples(2, seeded(3))).numpy()
    tifffile.imwrite(folder / "coarse.tif", coarse, photometric="minisblack", metadata={"axes": "TCYX"})
    return folder


def searched(
    place: Path, output: Path, *more: str | float, image: str = "coarse.tif", generator: str = "cells0"
) -> Outcome:
    models = ["--generator", place / generator, "--flow", place / "flow"]
    return fluosr("search", place / image, *models, "-o", output, *QUICK, *more)


def test_it_leaves_images_their_spread_a_picture_and_a_record(place: Path, tmp_path: Path) -> None:
    told = searched(place, tmp_path / "out")
    assert told.code == 0, told.err
    assert "plausible, not measured" in told.out and "misfit" in told.out
    images, spread = (tifffile.imread(tmp_path / "out" / f"{name}.ome.tif") for name in ("plausible", "spread"))
    assert images.shape == spread.shape == (2, 2, 32, 32) and (spread >= 0).all()
    record = json.loads((tmp_path / "out" / "search.json").read_text())
    assert record["caution"] == "plausible, not measured" and record["method"] == "RLS"
    coarse = tifffile.imread(place / "coarse.tif")
    made_coarse = Bicubic(32, 4)(torch.from_numpy(images)).numpy()
    for n, entry in enumerate(record["images"]):
        own = np.abs(made_coarse[n] - coarse[n])
        assert list(entry["misfit_grey"].values()) == pytest.approx(own.mean((1, 2)).tolist(), rel=1e-3)
        assert len(entry["misfit_of_samples"]) == 3 and entry["mean_spread_grey"].keys() == {"DNA", "GFP"}
    assert imread(tmp_path / "out" / "plausible.png").shape[1] > 900
    first = contents(tmp_path / "out")
    again = searched(place, tmp_path / "out")  # what an earlier search left is replaced, by the same
    assert again.code == 0 and contents(tmp_path / "out")["search.json"] == first["search.json"]


def test_a_blur_and_an_ablation_are_options(place: Path, tmp_path: Path) -> None:
    told = searched(place, tmp_path / "out", "--fwhm", 2000, "--weight-w", 0, "--weight-cross", 0)
    assert told.code == 0, told.err
    record = json.loads((tmp_path / "out" / "search.json").read_text())
    assert record["method"] == "w/o regularisation" and record["fwhm_nm"] == 2000


def test_what_does_not_fit_is_refused_before_anything_is_written(place: Path, tmp_path: Path) -> None:
    other = searched(place, tmp_path / "out", generator="cells1")
    assert other.code == 1 and "of another generator" in other.err
    factor = searched(place, tmp_path / "out", "--factor", 3)
    assert factor.code == 2 and "factor: 3 is none of 2, 4, 8, 16, 32" in factor.err
    tifffile.imwrite(place / "odd.tif", np.ones((3, 8, 8), np.float32), photometric="minisblack")
    odd = searched(place, tmp_path / "out", image="odd.tif")
    assert odd.code == 2 and "no multiple of the 2 channels" in odd.err
    wide = searched(place, tmp_path / "out", "--factor", 8)
    assert wide.code == 2 and "a factor of 8 need (N, 2, 4, 4), channels DNA, GFP" in wide.err
    assert not (tmp_path / "out").exists()


def test_files_of_another_origin_are_left_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plausible.png").write_text("mine")
    told = searched(place, tmp_path / "out")
    assert told.code == 1 and "which no earlier run of fluosr left there" in told.err
    assert contents(tmp_path / "out") == {"plausible.png": b"mine"}
