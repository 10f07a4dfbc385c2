"""``fluosr train pix2pix`` and ``fluosr search --pix2pix``: what they write, what they say, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.image import imread

from fluosr import learning
from fluosr.io.training_crops import read_training_crops
from fluosr.latent.degradation import Bicubic
from fluosr.latent.pix2pix_lesson import lesson_of
from fluosr.latent.pix2pix_model import load_pix2pix
from fluosr.methods.base import Run
from tests.commands import Outcome, contents, fluosr
from tests.generation.dots import dots
from tests.io.test_training_crops import make_set
from tests.latent.pairs import tiny

TINY = ["--features", 4, "--batch", 4, "--look", 8]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops, a model of them, and coarse images."""
    folder = tmp_path_factory.mktemp("pix2pix")
    make_set(folder)
    coarse = Bicubic(32, 4)(torch.from_numpy(dots(2, 2, seed=9))).numpy()
    tifffile.imwrite(folder / "coarse.tif", coarse, photometric="minisblack", metadata={"axes": "TCYX"})
    told = fluosr("train", "pix2pix", folder / "crops", "-o", folder / "pairs", "--factor", 4, "--images", 16, *TINY)
    assert told.code == 0, told.err
    assert "24 crops of 32 x 32 pixels; bicubic reduction" in told.out and "bicubic: " in told.out
    return folder


def searched(place: Path, output: Path, *more: str | Path | float) -> Outcome:
    return fluosr("search", place / "coarse.tif", "--pix2pix", place / "pairs", "-o", output, *more)


def test_a_training_leaves_a_model_its_log_its_curves_and_its_sheets(place: Path) -> None:
    log = [json.loads(line) for line in (place / "pairs.log.jsonl").read_text().splitlines()]
    assert [entry["images"] for entry in log] == [0, 8, 16]
    assert (place / "pairs.log.png").stat().st_size > 1000 and not list(place.glob("*.training"))
    sheets = sorted(path.name for path in (place / "pairs.samples").iterdir())
    assert sheets == ["0000000000.png", "0000000008.png", "0000000016.png"]
    assert imread(place / "pairs.samples" / sheets[-1]).shape[:2] == (8 * 97 - 1, 6 * 97 - 1)
    made, crops = load_pix2pix(place / "pairs"), read_training_crops(place / "crops")  # of the training wells alone
    known = made.knowledge
    assert (known.channels, known.factor, known.pixel_size_nm, known.crops) == (["DNA", "GFP"], 4, 645.0, 24)
    assert made.record is not None and made.record["log"] == log and made.record["crops"] == crops.fingerprint
    np.testing.assert_allclose(made.levels.pairs, crops.levels.pairs)


def test_a_new_training_removes_the_sheets_of_an_earlier_one(place: Path, tmp_path: Path) -> None:
    asked = ["train", "pix2pix", place / "crops", "-o", tmp_path / "pairs", "--factor", 4, *TINY]
    for images, left in ((12, [0, 8, 12]), (8, [0, 8])):
        told = fluosr(*asked, "--images", images)
        assert told.code == 0 and f"side by side: {tmp_path / 'pairs.samples'} Model" in told.out, told.err
        sheets = sorted(path.name for path in (tmp_path / "pairs.samples").iterdir())
        assert sheets == [f"{seen:010}.png" for seen in left]


def test_stopped_and_resumed_the_files_are_the_same(place: Path, tmp_path: Path) -> None:
    lesson = lesson_of(read_training_crops(place / "crops"), Bicubic(32, 4), tiny(images=24))
    _, places = learning.train_to_files(lesson, tmp_path / "whole")
    run = Run()

    def stop(stage: str, done: int, total: int) -> None:
        run.stop_requested = done >= 8

    run.on_progress = stop
    with pytest.raises(learning.ReconstructionInterrupted, match="16 pairs of training are kept"):
        learning.train_to_files(lesson, tmp_path / "parts", run=run)
    _, resumed = learning.train_to_files(lesson, tmp_path / "parts", resume=True)
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in places]


def test_a_search_by_it_leaves_the_same_files_as_any(place: Path, tmp_path: Path) -> None:
    told = searched(place, tmp_path / "out", "--factor", 4, "--samples", 3)
    assert told.code == 0, told.err
    assert "by Pix2Pix; misfit" in told.out and "plausible, not measured" in told.out
    assert "the network's dropout alone, which is no uncertainty" in told.out
    images, spread = (tifffile.imread(tmp_path / "out" / f"{name}.ome.tif") for name in ("plausible", "spread"))
    assert images.shape == spread.shape == (2, 2, 32, 32) and (spread >= 0).all()
    record = json.loads((tmp_path / "out" / "search.json").read_text())
    assert record["method"] == "Pix2Pix" and record["pix2pix"] == load_pix2pix(place / "pairs").fingerprint
    coarse = tifffile.imread(place / "coarse.tif")
    own = np.abs(Bicubic(32, 4)(torch.from_numpy(images)).numpy() - coarse).mean((2, 3))
    for entry, expected in zip(record["images"], own, strict=True):
        assert list(entry["misfit_grey"].values()) == pytest.approx(expected.tolist(), rel=1e-3)
        assert len(entry["misfit_of_samples"]) == 3
    first = contents(tmp_path / "out")["search.json"]
    assert searched(place, tmp_path / "out", "--factor", 4, "--samples", 3).code == 0
    assert contents(tmp_path / "out")["search.json"] == first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--factor", 8], "trained for images 4 times coarser, not 8"),
        (["--factor", 4, "--fwhm", 2000], "another degradation, bicubic reduction"),
        (["--factor", 4, "--iterations", 3, "--data-weight", 2], "--iterations, --data-weight: of the search"),
        (["--factor", 4, "--generator", "cells"], "either --generator and --flow, or --pix2pix alone"),
        (["--factor", 3], "factor: 3 is none of"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    place: Path, tmp_path: Path, options: list[str | float], words: str
) -> None:
    told = searched(place, tmp_path / "out", *options)
    assert told.code == 2 and words in told.err
    assert not (tmp_path / "out").exists()


def test_neither_a_generator_nor_pix2pix_is_too_little(place: Path) -> None:
    told = fluosr("search", place / "coarse.tif", "--factor", 4, "--flow", "flow")
    assert told.code == 2 and "either --generator and --flow, or --pix2pix alone" in told.err


def test_without_dropout_there_is_no_search_and_with_a_blur_there_is(place: Path, tmp_path: Path) -> None:
    asked = ["--factor", 4, "--fwhm", 2000, "--images", 4, *TINY]
    for name, dropout in (("sure", 0), ("blurred", 0.5)):
        told = fluosr("train", "pix2pix", place / "crops", "-o", tmp_path / name, "--dropout", dropout, *asked)
        assert told.code == 0 and "blur by a PSF (model gaussian, fwhm_nm 2000.0), pixels of 645 nm" in told.out
    blurred = ["search", place / "coarse.tif", "--factor", 4, "--fwhm", 2000, "--pix2pix"]
    told = fluosr(*blurred, tmp_path / "sure", "-o", tmp_path / "out")
    assert told.code == 2 and "trained without dropout" in told.err and not (tmp_path / "out").exists()
    assert fluosr(*blurred, tmp_path / "blurred", "-o", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--factor", 3], "factor: 3 is none of 2, 4, 8, 16, 32"),
        (["--factor", 4, "--batch", 0], "batch"),
        (["--factor", 4, "--resume"], "resume"),
        (["--batch", 4], "--factor"),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    place: Path, tmp_path: Path, options: list[str | float], words: str
) -> None:
    told = fluosr("train", "pix2pix", place / "crops", "-o", tmp_path / "pairs", *options)
    assert told.code != 0 and words in told.err and not list(tmp_path.iterdir())
