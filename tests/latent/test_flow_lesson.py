"""Fitting a flow to a generator's codes, its files, and whose flow it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fluosr.errors import ModelError, ReconstructionInterrupted
from fluosr.latent.flow_lesson import drawn_codes, lesson_of
from fluosr.latent.flow_model import load_flow
from fluosr.learning import save_model, train_to_files
from fluosr.methods.base import Run
from fluosr.methods.trained_model import model_paths
from tests.latent.small import QUICK, made_generator, quick_flow
from tests.restorers import seeded


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_model(model_paths(tmp_path / "flow"), quick_flow().model.packed({"note": 1}))
    return tmp_path / "flow"


def test_fitted_it_beats_a_gaussian_on_fresh_codes() -> None:
    learnt, codes = quick_flow(), drawn_codes(made_generator().network, 2000, seeded(9))
    flow = learnt.model.of(made_generator())
    gaussian = torch.distributions.MultivariateNormal(codes.mean(0), codes.T.cov())
    assert float(flow.log_prob(codes).mean()) > float(gaussian.log_prob(codes).mean()) + 0.1
    assert learnt.curve[0] < max(learnt.curve) and len(learnt.curve) <= QUICK.epochs + 1


def test_stopped_and_resumed_the_files_are_the_same(tmp_path: Path) -> None:
    few = QUICK.model_copy(update={"codes": 300, "epochs": 4})
    lesson = lesson_of(made_generator(), few)
    _, places = train_to_files(lesson, tmp_path / "whole")
    run = Run()

    def stop(stage: str, done: int, total: int) -> None:
        run.stop_requested = done >= 2

    run.on_progress = stop
    with pytest.raises(ReconstructionInterrupted, match="2 passes of fitting are kept"):
        train_to_files(lesson, tmp_path / "parts", run=run)
    _, resumed = train_to_files(lesson, tmp_path / "parts", resume=True)
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in places]


def test_it_ends_when_held_out_codes_gain_nothing() -> None:
    wild = QUICK.model_copy(update={"codes": 100, "held_out": 0.5, "hidden": 256, "epochs": 200, "patience": 2})
    learnt = lesson_of(made_generator(), wild).learn(Run())
    assert len(learnt.curve) < 200 and learnt.curve.index(max(learnt.curve)) == len(learnt.curve) - 3


def test_what_is_read_is_what_was_written(stored: Path) -> None:
    found, made = load_flow(stored), quick_flow().model
    w = drawn_codes(made_generator().network, 5, seeded(1))
    assert torch.equal(found.of(made_generator()).log_prob(w), made.of(made_generator()).log_prob(w))
    assert found.record == {"note": 1} and found.fingerprint and found.knowledge == made.knowledge


def test_the_flow_of_another_generator_is_refused(stored: Path) -> None:
    with pytest.raises(ModelError, match="of another generator"):
        load_flow(stored).of(made_generator(seed=1))


@pytest.mark.parametrize(
    "change",
    [{"hidden": 10**9}, {"transforms": 10**9}, {"latent_features": 7}, {"generator": 3}, {"more": 1}],
    ids=str,
)
def test_a_description_of_another_flow_is_refused(stored: Path, change: dict[str, object]) -> None:
    path = stored.with_suffix(".json")
    description = json.loads(path.read_text())
    description["knowledge"] |= change
    path.write_text(json.dumps(description))
    with pytest.raises(ModelError, match="damaged, or of another architecture"):
        load_flow(stored)
