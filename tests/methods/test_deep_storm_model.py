"""Deep-STORM's models: trained from the command line, kept in files, used on a movie, refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch

from fluosr.errors import CheckpointError, FluosrError, MemoryLimitError, ModelError, UsageError
from fluosr.learning import save_model, train_to_files
from fluosr.machine import peak_memory_mb, reset_peak_memory
from fluosr.methods.base import Estimate, Run
from fluosr.methods.deep_storm.examples import Instrument, draw_examples
from fluosr.methods.deep_storm.fitting import fitting_model
from fluosr.methods.deep_storm.lesson import LearntDeepStorm, lesson_of
from fluosr.methods.deep_storm.maker import DeepStormMaker
from fluosr.methods.deep_storm.model import TrainedDeepStorm, load_model
from fluosr.methods.deep_storm.parameters import DeepStormParameters, DeepStormTraining
from fluosr.methods.deep_storm.training import WEIGHTS_PER_FILTER_SQUARED, Schedule, bytes_needed
from fluosr.methods.trained_model import model_paths
from fluosr.networks.deep_storm import DeepStorm
from tests import commands
from tests.movies import movie_of

INSTRUMENT = Instrument(100.0, 320.0, 2)
SHORT = {"iterations": 24, "batch": 2, "side_px": 8, "filters": 2}


def trained() -> TrainedDeepStorm:
    network = DeepStorm(torch.Generator().manual_seed(0), 2).eval()
    with torch.no_grad():
        last = network.layers[-1]
        assert isinstance(last, torch.nn.Conv2d)
        last.weight.abs_()  # maps then are not below zero
    return TrainedDeepStorm(network, INSTRUMENT, 2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(model_paths(tmp_path / "model"), trained().packed({"note": "by hand"}))
    return tmp_path / "model"


def test_a_model_comes_back_from_its_files(model: Path) -> None:
    found, own = load_model(model), trained()
    assert found.instrument == INSTRUMENT and found.filters == 2 and len(found.fingerprint) == 16
    for name, value in own.network.state_dict().items():
        assert torch.equal(value, found.network.state_dict()[name]), name


def change(path: Path, **values: Any) -> None:
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | values))


def resave(model: Path, tensors: dict[str, torch.Tensor]) -> None:
    import hashlib

    data = safetensors.torch.save(tensors)
    model_paths(model)[1].write_bytes(data)
    change(model_paths(model)[0], sha256_of_weights=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda m: model_paths(m)[1].unlink(), "fluosr train deep-storm"),
        (lambda m: model_paths(m)[0].write_text("{"), "damaged"),
        (lambda m: change(model_paths(m)[0], format="fluosr unfolded model"), "no model of deep-storm"),
        (lambda m: change(model_paths(m)[0], filters=3), "another network"),
        (lambda m: change(model_paths(m)[0], filters=-3), "architecture"),
        (lambda m: change(model_paths(m)[0], instrument={"psf": 1}), "architecture"),
        (
            lambda m: change(model_paths(m)[0], instrument=vars(Instrument(100.0, 320.0, 2)) | {"factor": 0}),
            "the factor at least 1",
        ),
        (lambda m: model_paths(m)[1].write_bytes(b"pickle"), "damaged, or they belong"),
        (lambda m: resave(m, {"layers": torch.ones(2)}), "another network"),
        (
            lambda m: resave(m, {name: v * torch.nan for name, v in trained().network.state_dict().items()}),
            "not finite",
        ),
    ],
)
def test_what_is_no_model_is_said(model: Path, harm: Any, words: str) -> None:
    harm(model)
    with pytest.raises(ModelError, match=words):
        load_model(model)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": None}, "fluosr train deep-storm"),
        ({"factor": 3}, "a factor of 2"),
        ({"fwhm_nm": 400.0}, "a FWHM of 320 nm"),
        ({"pixel_size_nm": 110.0}, "pixels of 100 nm"),
    ],
)
def test_data_of_another_microscope_are_refused(model: Path, given: dict[str, Any], words: str) -> None:
    optics = {name: given.pop(name) for name in ("fwhm_nm", "pixel_size_nm") if name in given}
    movie = movie_of(np.ones((5, 16, 16), np.float32), **optics)
    with pytest.raises(UsageError, match=words):
        fitting_model(movie, DeepStormParameters(**({"model": str(model)} | given)))


def learnt(folder: Path, **options: Any) -> tuple[LearntDeepStorm, tuple[Path, Path]]:
    lesson = lesson_of(100.0, 320.0, 2, DeepStormTraining(**SHORT))
    return train_to_files(lesson, folder / "model", device="cpu", **options)


def test_a_stopped_training_is_resumed_to_the_same_files(tmp_path: Path) -> None:
    _, whole = learnt(tmp_path / "whole")
    run = Run()
    run.on_progress = lambda stage, done, total: setattr(run, "stop_requested", done >= 12)
    with pytest.raises(FluosrError, match="20 steps of training are kept"):
        learnt(tmp_path / "broken", run=run)
    with pytest.raises(CheckpointError, match="seed"):
        learnt(tmp_path / "broken", resume=True, seed=1)
    _, resumed = learnt(tmp_path / "broken", resume=True)
    for one, two in zip(whole, resumed, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_memory_and_time_of_a_training_are_told_once() -> None:
    told: list[Estimate] = []
    parameters = DeepStormTraining(**(SHORT | {"filters": 16, "side_px": 24, "batch": 8, "iterations": 4}))
    reset = reset_peak_memory()
    before = peak_memory_mb()
    lesson_of(100.0, 320.0, 4, parameters).learn(Run(on_estimate=told.append))
    (estimate,) = told
    assert 0.0 < estimate.seconds < 60.0
    assert estimate.n_bytes == bytes_needed(4, Schedule(4, 8, 24, filters=16))
    if reset:  # else the peak may be that of another test
        assert (peak_memory_mb() - before) * 2**20 < 1.5 * estimate.n_bytes


def test_a_training_larger_than_the_memory_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluosr.machine.available_memory_bytes", lambda: 10_000)
    with pytest.raises(MemoryLimitError, match=r"2 filters on 2 examples of 8 x 8 .* lower --batch"):
        learnt(tmp_path)
    assert not any(tmp_path.iterdir())
    assert bytes_needed(2, Schedule(filters=64)) > 2 * bytes_needed(2, Schedule(filters=32))
    weights = sum(value.numel() for value in DeepStorm(torch.Generator(), 32).parameters() if value.ndim == 4)
    assert weights == pytest.approx(32**2 * WEIGHTS_PER_FILTER_SQUARED, rel=1e-3)


def test_a_device_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    lesson = lesson_of(100.0, 320.0, 2, DeepStormTraining(**SHORT))
    with pytest.raises(UsageError, match="no such kind of device"):
        train_to_files(lesson, tmp_path / "new" / "model", device="nonsense")
    assert not any(tmp_path.iterdir())


def test_an_empty_table_is_told_and_a_network_that_overflows_is_no_image() -> None:
    loud = trained()
    with torch.no_grad():
        for value in loud.network.parameters():
            value.mul_(1e30)
    movie = movie_of(np.random.default_rng(0).poisson(9.0, (6, 16, 16)).astype(np.float32))
    corrected = type("Movie", (), {"acquisition": movie, "field_shape": (16, 16)})()
    quiet = DeepStormMaker(corrected, trained(), "quiet", 10.0, "cpu")
    quiet.add(np.arange(6), movie.photons(slice(0, 6)))
    quiet.image(Run(), "image")
    assert quiet.localisations is not None and not len(quiet.localisations)
    assert "table of molecules is empty" in quiet.warnings[0]
    maker = DeepStormMaker(corrected, loud, "loud", 0.2, "cpu")
    maker.add(np.arange(6), movie.photons(slice(0, 6)))
    with pytest.raises(ModelError, match="gives no numbers"):
        maker.image(Run(), "image")


def test_frames_in_parts_give_the_molecules_of_the_whole() -> None:
    frames, _ = draw_examples(INSTRUMENT, 7, 16, torch.Generator().manual_seed(0))
    movie = movie_of(frames.numpy())
    corrected = type("Movie", (), {"acquisition": movie, "field_shape": (16, 16)})()

    def fed(*parts: slice) -> DeepStormMaker:
        maker = DeepStormMaker(corrected, trained(), "mine", 1e-4, "cpu")
        for part in parts:
            maker.add(np.arange(10, 17)[part], frames.numpy()[part])
        return maker

    whole, parts = fed(slice(0, 7)), fed(slice(0, 3), slice(3, 7))
    assert len(whole.molecules) > 0 and set(whole.molecules.frame) <= set(range(10, 17))
    np.testing.assert_allclose(whole.molecules.x_nm, parts.molecules.x_nm, rtol=1e-5)
    restored = fed()
    restored.restore({key: np.array(value) for key, value in whole.state().items()})
    np.testing.assert_array_equal(restored.image(Run(), "image"), whole.image(Run(), "image"))
    np.testing.assert_array_equal(restored.molecules.y_nm, whole.molecules.y_nm)


def test_a_model_is_trained_and_used_from_the_command_line(tmp_path: Path) -> None:
    name = tmp_path / "models" / "mine"
    few = [word for key, value in SHORT.items() for word in (f"--{key.replace('_', '-')}", value)]
    optics = ("--pixel-size", 100, "--fwhm", 320)
    done = commands.fluosr("train", "deep-storm", *optics, "--factor", 2, "--output", name, *few)
    assert done.code == 0, done.err
    assert "held-out loss" in done.out
    assert sorted(path.name for path in name.parent.iterdir()) == ["mine.json", "mine.safetensors"]
    frames, _ = draw_examples(INSTRUMENT, 6, 16, torch.Generator().manual_seed(0))
    tifffile.imwrite(tmp_path / "movie.tif", frames.numpy().clip(0).astype(np.uint16))
    out = ("--output", tmp_path / "out", "--gain", 1, "--offset", 0, "--read-noise", 1)
    made = commands.fluosr(
        "reconstruct", tmp_path / "movie.tif", "--method", "deep-storm", "--model", name, *optics, *out
    )
    assert made.code == 0, made.err
    assert "fingerprint" in json.loads((tmp_path / "out" / "run.json").read_text())["choices"]["model"]["why"]
    refused = commands.fluosr(
        "train", "deep-storm", *optics, "--output", name, "--least-density", 3, "--most-density", 1
    )
    assert refused.code == 2 and "in this order" in refused.err
