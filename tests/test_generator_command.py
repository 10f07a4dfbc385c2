"""``fluosr train generator``: what it writes, what it says, stopping and resuming, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from fluosr import learning
from fluosr.generation.lesson import lesson_of
from fluosr.generation.model import load_generator
from fluosr.io.training_crops import read_training_crops
from fluosr.methods.base import Run
from tests.commands import fluosr
from tests.generation.dots import tiny
from tests.io.test_training_crops import make_set

TINY = ["--features", "4", "--latent-features", "6", "--batch", "4", "--look", "8"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("crops"))


def test_it_leaves_a_model_its_log_its_curves_and_its_samples(crops: Path, tmp_path: Path) -> None:
    told = fluosr("train", "generator", crops, "-o", tmp_path / "cells", "--images", 16, "--score-images", 8, *TINY)
    assert told.code == 0, told.err
    assert "24 crops of 32 x 32 pixels" in told.out and "KID (fluosr-random-conv), n = 8: " in told.out
    assert "GFP: grey values" in told.out and "Warning" not in told.err
    log = [json.loads(line) for line in (tmp_path / "cells.log.jsonl").read_text().splitlines()]
    assert [entry["images"] for entry in log] == [0, 8, 16]
    assert (tmp_path / "cells.log.png").stat().st_size > 1000
    sheets = sorted(path.name for path in (tmp_path / "cells.samples").iterdir())
    assert sheets == ["0000000000.png", "0000000008.png", "0000000016.png"]
    assert imread(tmp_path / "cells.samples" / sheets[-1]).shape[:2] == (8 * 97 - 1, 8 * 97 - 1)
    made = load_generator(tmp_path / "cells")
    assert made.knowledge.channels == ["DNA", "GFP"] and made.knowledge.pixel_size_nm == 645.0
    assert made.record is not None and made.record["log"] == log
    grey = made.samples(2, torch.Generator().manual_seed(0))
    assert grey.shape == (2, 2, 32, 32) and not list(tmp_path.glob("*.training"))
    np.testing.assert_allclose(made.levels.pairs, read_training_crops(crops).levels.pairs)


def test_stopped_and_resumed_the_files_are_the_same(crops: Path, tmp_path: Path) -> None:
    parameters = tiny(images=24)
    whole, places = learning.train_to_files(lesson_of(read_training_crops(crops), parameters), tmp_path / "whole")
    run = Run()

    def stop(stage: str, done: int, total: int) -> None:
        run.stop_requested = done >= 8

    run.on_progress = stop
    lesson = lesson_of(read_training_crops(crops), parameters)
    with pytest.raises(learning.ReconstructionInterrupted, match="16 crops of training are kept"):
        learning.train_to_files(lesson, tmp_path / "parts", run=run)
    _, resumed = learning.train_to_files(lesson, tmp_path / "parts", resume=True)
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in places]
    assert whole.log[-1]["images"] == 24


def test_augmentation_that_leaks_is_told(crops: Path, tmp_path: Path) -> None:
    often = ["--augment-target", -1, "--augment-interval", 1, "--augment-images", 8]
    told = fluosr("train", "generator", crops, "-o", tmp_path / "a", "--images", 16, "--score-images", 0, *TINY, *often)
    assert told.code == 0 and "Warning: the probability of augmentation rose to 1.00 (above 0.8 from 8" in told.err
    log = [json.loads(line) for line in (tmp_path / "a.log.jsonl").read_text().splitlines()]
    assert ["warning" in entry for entry in log] == [False, True, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch", "0"], "batch"),
        (["--mixing", "2"], "mixing"),
        (["--resume"], "resume"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    crops: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    told = fluosr("train", "generator", crops, "-o", tmp_path / "cells", *options)
    assert told.code != 0 and words in told.err
    assert not list(tmp_path.iterdir())


def test_a_log_of_another_origin_is_left_alone(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "cells.log.jsonl").write_text("notes\n")
    told = fluosr("train", "generator", crops, "-o", tmp_path / "cells", "--images", 4, *TINY)
    assert told.code == 1 and "cells.log.jsonl was not left by a training" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["cells.log.jsonl"]


def test_a_folder_without_crops_and_a_model_of_another_kind(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = fluosr("train", "generator", tmp_path / "empty", "-o", tmp_path / "cells")
    assert told.code == 2 and "holds no crops" in told.err
    (tmp_path / "cells.json").write_text("{}")
    told = fluosr("train", "generator", crops, "-o", tmp_path / "cells", "--images", 4, *TINY)
    assert told.code == 1 and "no model of generator" in told.err
