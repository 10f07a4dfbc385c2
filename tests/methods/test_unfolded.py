"""The method unfolded, its models as files, and ``fluosr train unfolded``."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch

import fluosr
from fluosr.camera import Camera
from fluosr.corrections.movie import correct
from fluosr.errors import (
    CheckpointError,
    FluosrError,
    ImageReadError,
    ModelError,
    OutputError,
    ReconstructionInterrupted,
    UsageError,
)
from fluosr.io.localisations import read_localisations, write_localisations
from fluosr.io.pairs import read_pairs
from fluosr.learning import save_model, train_to_files
from fluosr.localisations import Localisations
from fluosr.methods.base import Run, build_parameters
from fluosr.methods.trained_model import model_paths
from fluosr.methods.unfolded import METHOD, maker
from fluosr.methods.unfolded.lesson import lesson_of
from fluosr.methods.unfolded.model_file import contents, load_model
from fluosr.methods.unfolded.molecules import molecules_in
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.outer_problem import CHOOSING, silver_steps
from fluosr.methods.unfolded.parameters import UnfoldedParameters
from fluosr.methods.unfolded.training import STAGE
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from tests import commands
from tests.methods.unfolded_pairs import FACTOR, pair_of, physics_of, written
from tests.movies import light_of, movie_of

SHORT = {"iterations": 15, "rounds": 2, "validation_share": 0.0}
FACTS = ("--pixel-size", 100, "--fwhm", 300, "--factor", FACTOR)
QUICK = ("--iterations", 15, "--rounds", 2)


def network_of(iterations: int = 127, **changes: Any) -> UnfoldedGradient:
    """A model for the movies of the tests, not trained but well guessed."""
    units = Units(peak=600.0, penalty=45.0, level=10.0)
    network = UnfoldedGradient(physics_of(**changes), Architecture(iterations), units)
    with torch.no_grad():
        network.steps.copy_(silver_steps(iterations))
        network.sparsity.fill_(0.05)
        network.detection.fill_(0.05)
    return network.requires_grad_(False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(model_paths(tmp_path / "model"), contents(network_of(), {"note": "by hand"}))
    return tmp_path / "model"


def test_a_model_comes_back_bit_for_bit(model: Path) -> None:
    own = network_of()
    for name in (model, f"{model}.json", f"{model}.safetensors"):
        found, fingerprint = load_model(name)
        assert found.describe() == own.describe() and len(fingerprint) == 16
        for one, two in zip(found.parameters(), own.parameters(), strict=True):
            assert one.numpy().tobytes() == two.numpy().tobytes() and not one.requires_grad
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.json", "model.safetensors"]
    described = json.loads(model_paths(model)[0].read_text())
    assert described["in_the_papers_numbers"]["lambda"] == pytest.approx(0.05 * 45.0)
    assert described["in_the_papers_numbers"]["sigma_fine_pixels"] == pytest.approx(3.822, abs=1e-3)


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _resave(model: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights with their own sum, as a program other than ours might write them."""
    import hashlib

    data = safetensors.torch.save(weights)
    model_paths(model)[1].write_bytes(data)
    _change(model_paths(model)[0], sha256_of_weights=hashlib.sha256(data).hexdigest())


def _weights(**changes: Any) -> dict[str, torch.Tensor]:
    return {name: value.data.clone() for name, value in network_of().named_parameters()} | changes


DAMAGE = {
    "absent": (lambda m: model_paths(m)[0].unlink(), "does not exist"),
    "no weights": (lambda m: model_paths(m)[1].unlink(), "does not exist"),
    "cut": (lambda m: model_paths(m)[0].write_text('{"format": "fluo'), "damaged"),
    "not ours": (lambda m: model_paths(m)[0].write_text("[1, 2]"), "no model of unfolded"),
    "version": (lambda m: _change(model_paths(m)[0], format_version=2), "version 2"),
    "other weights": (lambda m: model_paths(m)[1].write_bytes(b"x" * 99), "damaged, or they belong"),
    "pickled": (
        lambda m: model_paths(m)[1].write_bytes(pickle.dumps({"steps": np.ones(3)})),
        "damaged, or they belong",
    ),
    "architecture": (lambda m: _change(model_paths(m)[0], architecture={"layers": 3}), "architecture"),
    "psf": (lambda m: _change(model_paths(m)[0], physics={"psf": "airy"}), "Gaussian"),
    "units": (lambda m: _change(model_paths(m)[0], units={"peak": -1, "penalty": 1, "level": 1}), "units"),
    "names": (lambda m: _resave(m, {"kernel": torch.ones(3)}), "its weights are kernel"),
    "shape": (lambda m: _resave(m, _weights(steps=torch.ones(3).double())), r"steps is \(3,\)"),
    "type": (lambda m: _resave(m, _weights(width=torch.tensor(1.0))), "float32"),
    "range": (lambda m: _resave(m, _weights(sparsity=torch.tensor(-1.0).double())), "sparsity lies outside"),
    "nan": (lambda m: _resave(m, _weights(width=torch.tensor(torch.nan).double())), "width lies outside"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_no_model_is_said(model: Path, damage: str) -> None:
    harm, words = DAMAGE[damage]
    harm(model)
    with pytest.raises(ModelError, match=words):
        load_model(model)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"fwhm_nm": 360.0}, {}, "FWHM of 300 nm .the data: 360 nm"),
        ({"pixel_size_nm": 110.0}, {}, "pixels of 100 nm"),
        ({"read_noise": 4.0}, {}, "read noise"),
        ({}, {"factor": 4}, "factor of 3 .asked for: 4"),
        ({}, {"semi_blind": True}, "single frames"),
        ({"fwhm_nm": None, "na": 1.2, "wavelength_nm": 650.0}, {}, "Gaussian PSF only"),
        ({}, {"model": None}, "fluosr train unfolded"),
    ],
)
def test_data_of_other_physics_are_refused(
    model: Path, changes: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    movie = movie_of(pair_of(4).frames.astype(np.uint16), **changes)
    with pytest.raises(UsageError, match=words):
        fluosr.reconstruct(movie, "unfolded", **({"model": str(model)} | options))


def test_molecules_are_found_where_they_are(model: Path) -> None:
    """Frame by frame, bright molecules on any background, to a few nanometres; their table draws the counts."""
    random = np.random.default_rng(5)
    frames, truth = [], []
    for number in range(12):
        place = random.uniform(3.0, 9.0, 2)
        photons = random.uniform(500.0, 900.0)
        frames.append(random.poisson(light_of([(*place, photons)], (12, 11), 10.0 + number)))
        truth.append((*place, photons))
    found = fluosr.reconstruct(movie_of(np.stack(frames).astype(np.uint16)), "unfolded", model=str(model), halves=False)
    table = found.localisations
    assert table is not None and (found.factor, found.pixel_size_nm) == (FACTOR, pytest.approx(100 / 3))
    for number, (y, x, photons) in enumerate(truth):
        rows = table.in_frame(number)
        brightest = int(rows.photons.argmax())
        assert np.hypot(rows.y_nm[brightest] - 100 * y, rows.x_nm[brightest] - 100 * x) < 35.0
        assert rows.photons[brightest] == pytest.approx(photons, rel=0.3)
        assert rows.background[brightest] == pytest.approx(10.0 + number, abs=2.5)
        assert len(rows) <= 3
    assert found.maps["molecules_per_pixel"].sum() == len(table)


def test_the_record_says_which_model_and_its_numbers(model: Path) -> None:
    movie = movie_of(pair_of(4).frames.astype(np.uint16))
    found = fluosr.reconstruct(movie, "unfolded", model=str(model), halves=False)
    network, fingerprint = load_model(model)
    assert found.choices["model"]["value"] == str(model) and fingerprint in str(found.choices["model"]["why"])
    assert found.choices["fwhm_nm"]["value"] == pytest.approx(300.0)
    for name, value in network.in_the_papers_numbers().items():
        assert found.choices[name]["value"] == value
    assert METHOD.build(**found.parameters).model_dump() == found.parameters


def test_tables_of_batches_are_joined_only_when_asked_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = correct(movie_of(pair_of(9).frames.astype(np.uint16)), drift=False, bleaching=False, bad_pixels=False)
    parameters = UnfoldedParameters(model=str(model))
    joined, join = [], Localisations.joined
    monkeypatch.setattr(Localisations, "joined", lambda tables: joined.append(len(tables)) or join(tables))
    monkeypatch.setattr(maker, "BATCH_PIXELS", 1)  # a frame at a time
    made = [maker.UnfoldedMaker(movie, *load_model(model), parameters, "cpu") for _ in range(3)]
    for numbers, frames in movie.chunks():
        made[0].add(numbers, frames)
        made[1].add(numbers[:4], frames[:4])
        made[2].restore(made[1].state())
        made[2].add(numbers[4:], frames[4:])
    assert joined == [4]
    for one in (made[0], made[2]):
        one.image(Run(), "image")
    assert joined == [4, 9, 6]
    whole, resumed = (one.localisations for one in (made[0], made[2]))
    assert whole is not None and resumed is not None and len(whole) > 9
    for column in fields(Localisations):
        np.testing.assert_array_equal(getattr(whole, column.name), getattr(resumed, column.name))


def test_connected_pixels_are_one_molecule_at_their_middle() -> None:
    images = np.zeros((3, 6, 8))
    images[0, 2, 2:4] = 10.0, 30.0  # touching
    images[0, 4, 6], images[0, 5, 7] = 8.0, 8.0  # at a corner
    images[2, 0, 0] = 4.9  # under the threshold
    images[2, 3, 0] = 7.0
    found = molecules_in(images, np.array([4, 7, 9]), np.array([1.0, 2.0, 3.0]), 5.0, 25.0)
    np.testing.assert_array_equal(found.frame, [4, 4, 9])
    np.testing.assert_allclose(found.x_nm, [3.25 * 25, 7.0 * 25, 12.5])
    np.testing.assert_allclose(found.y_nm, [62.5, 5.0 * 25, 87.5])
    np.testing.assert_allclose(found.photons, [40.0, 16.0, 7.0])
    np.testing.assert_allclose(found.background, [1.0, 1.0, 3.0])
    assert len(molecules_in(images, np.arange(3), np.zeros(3), 99.0, 25.0)) == 0


def test_variances_are_deconvolved_by_a_semi_blind_model(tmp_path: Path) -> None:
    save_model(model_paths(tmp_path / "model"), contents(network_of(semi_blind=True), {}))
    random = np.random.default_rng(2)
    on = random.random((300, 2)) < 0.3
    frames = [random.poisson(light_of([(6.0, 4.5, 800.0 * a), (6.0, 6.5, 800.0 * b)], (12, 11), 5.0)) for a, b in on]
    movie = movie_of(np.stack(frames).astype(np.uint16))
    options: dict[str, Any] = {"model": str(tmp_path / "model"), "semi_blind": True}
    found = fluosr.reconstruct(movie, "unfolded", **options)
    assert found.localisations is None and not found.photometric
    row = found.image[15:21].sum(0)  # 200 nm apart under 300 nm
    assert row[15:18].sum() < 0.3 * row[12:15].sum() and row[15:18].sum() < 0.3 * row[18:21].sum()
    with pytest.raises(UsageError, match="semi-blind"):
        fluosr.reconstruct(movie, "unfolded", model=options["model"])


def test_a_read_noise_that_was_estimated_is_no_reason_to_refuse(model: Path) -> None:
    frames = pair_of(30).frames.astype(np.uint16)
    with pytest.raises(UsageError, match="read noise"):
        fluosr.reconstruct(movie_of(frames, read_noise=30.0), "unfolded", model=str(model))
    estimated = movie_of(frames, read_noise=None)
    loud = replace(estimated.camera, read_noise_e=30.0)
    assert fluosr.reconstruct(replace(estimated, camera=loud), "unfolded", model=str(model), halves=False).finished


def test_divergences_of_frames_need_a_background(tmp_path: Path) -> None:
    save_model(model_paths(tmp_path / "kl"), contents(network_of(data_term="kullback-leibler"), {}))
    movie = movie_of(pair_of(5).frames.astype(np.uint16))
    with pytest.raises(UsageError, match="needs a background above 0"):
        fluosr.reconstruct(movie, "unfolded", model=str(tmp_path / "kl"), background=0.0)


def test_a_stopped_run_is_not_taken_up_with_another_model(model: Path) -> None:
    movie = movie_of(pair_of(30).frames.astype(np.uint16))
    run = Run()
    fluosr.reconstruct(movie, "unfolded", model=str(model), run=run)
    other = network_of()
    other.sparsity.data.fill_(0.07)
    save_model(model_paths(model), contents(other, {}))
    with pytest.raises(CheckpointError, match="another model"):
        fluosr.reconstruct(movie, "unfolded", model=str(model), run=Run(states=run.states))


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    pairs = {"b": pair_of(2, seed=1), "a": pair_of(3)}
    folder = written(tmp_path / "pairs", pairs, gain=2.0, offset=100.0)
    (folder / "notes.txt").write_text("not a pair")
    shutil.move(folder / "b-truth.tif", folder / "b-truth.ome.tif")
    tifffile.imwrite(folder / "a-background.tif", np.zeros((5, 5), np.float32))
    found = read_pairs(folder, Camera(2.0, 100.0, 0.0), 100.0, FACTOR)
    assert [pair.name for pair in found] == ["a", "b"]
    for pair in found:
        np.testing.assert_allclose(pair.frames, pairs[pair.name].frames, atol=1e-4)
        np.testing.assert_array_equal(pair.truth, pairs[pair.name].truth.astype(np.float32))


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (lambda f: (f / "a.tif").unlink(), UsageError, "a-truth.tif has no partner: a.tif is missing"),
        (lambda f: (f / "a-truth.tif").unlink(), UsageError, "a.tif has no partner: a-truth.tif is missing"),
        (lambda f: shutil.copy(f / "a.tif", f / "a.ome.tif"), UsageError, "have one name"),
        (lambda f: [path.unlink() for path in f.iterdir()], UsageError, "holds no pairs"),
        (lambda f: shutil.rmtree(f), ImageReadError, "is not a folder"),
        (lambda f: (f / "a.tif").write_bytes(b"no image"), ImageReadError, "not a TIFF"),
    ],
)
def test_folders_without_whole_pairs_are_refused(
    tmp_path: Path, harm: Any, error: type[FluosrError], words: str
) -> None:
    folder = written(tmp_path / "pairs", {"a": pair_of(2)})
    harm(folder)
    with pytest.raises(error, match=words):
        read_pairs(folder, Camera(), 100.0, FACTOR)


def test_a_table_of_molecules_is_a_truth(tmp_path: Path) -> None:
    made = commands.fluosr(
        "simulate", "smlm", "--height", 16, "--width", 16, "--frames", 5, "--structure", "points", "--active", 3,
        "-o", tmp_path / "pairs" / "film.tif",
    )  # fmt: skip
    assert made.code == 0, made.err
    (pair,) = read_pairs(tmp_path / "pairs", Camera(), 100.0, 2)
    table = read_localisations(tmp_path / "pairs" / "film-truth.csv")
    assert pair.truth.shape == (5, 32, 32) and pair.frames.shape == (5, 16, 16)
    for number in range(5):
        assert pair.truth[number].sum() == pytest.approx(table.in_frame(number).photons.sum(), rel=1e-4)
    write_localisations(
        tmp_path / "pairs" / "late.csv", table.shifted(2), pixel_size_nm=100.0, field_shape=(16, 16), n_frames=9
    )
    (tmp_path / "pairs" / "film-truth.csv").unlink()
    (tmp_path / "pairs" / "late.csv").rename(tmp_path / "pairs" / "film-truth.csv")
    with pytest.raises(UsageError, match="and its movie has 5 frames"):
        read_pairs(tmp_path / "pairs", Camera(), 100.0, 2)
    write_localisations(
        tmp_path / "pairs" / "film-truth.csv", Localisations(table.frame, table.x_nm, table.y_nm),
        pixel_size_nm=100.0, field_shape=(16, 16), n_frames=5,
    )  # fmt: skip
    with pytest.raises(UsageError, match=f"film-truth.csv does not say the photons of {len(table)} of its"):
        read_pairs(tmp_path / "pairs", Camera(), 100.0, 2)


def test_a_model_is_trained_and_used_from_the_command_line(tmp_path: Path) -> None:
    pairs = written(tmp_path / "pairs", {"a": pair_of(3), "b": pair_of(2, seed=1)}, gain=2.0, offset=50.0)
    name = tmp_path / "models" / "mine"
    camera = ("--gain", 2, "--offset", 50)
    done = commands.fluosr("train", "unfolded", pairs, "--output", name, *FACTS, *camera, *QUICK)
    assert done.code == 0, done.err
    assert "loss:" in done.out and "mine.json" in done.out
    assert sorted(path.name for path in name.parent.iterdir()) == ["mine.json", "mine.safetensors"]
    record = json.loads((name.parent / "mine.json").read_text())["training"]
    assert record["pairs"]["names"] == ["a", "b"] and record["pairs"]["images"] == 5
    tifffile.imwrite(tmp_path / "movie.tif", (2 * pair_of(8, seed=3).frames + 50).astype(np.uint16))
    options = ("--pixel-size", 100, "--fwhm", 300, "--read-noise", 0, *camera, "--output", tmp_path / "out")
    made = commands.fluosr("reconstruct", tmp_path / "movie.tif", "--method", "unfolded", "--model", name, *options)
    assert made.code == 0, made.err
    assert (tmp_path / "out" / "maps" / "molecules_per_pixel.tif").is_file()
    refused = commands.fluosr("reconstruct", tmp_path / "movie.tif", "--method", "unfolded", *options)
    assert refused.code == 2 and "fluosr train unfolded" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--factor", 4), "Check --factor"),
        (("--data-term", "kullback-leibler", "--background", 0), "needs a background above 0"),
        (("--iterations", 0), "iterations"),
        (("--loss", "beauty"), "loss"),
        (("--fwhm", 0.3), "nanometres"),
    ],
)
def test_wrong_options_of_a_training_are_told_without_a_traceback(
    tmp_path: Path, options: tuple[Any, ...], words: str
) -> None:
    pairs = written(tmp_path / "pairs", {"a": pair_of(2)})
    done = commands.fluosr("train", "unfolded", pairs, "--output", tmp_path / "m", *FACTS, *QUICK, *options)
    assert done.code == 2 and words in done.err and "Traceback" not in done.err
    assert not (tmp_path / "m.json").exists()


def training(folder: Path, **options: Any) -> Any:
    parameters = build_parameters("training", TrainingParameters, SHORT)
    return train_to_files(lesson_of([pair_of(3)], physics_of(), parameters), folder / "model", device="cpu", **options)


@pytest.mark.parametrize(("stage", "rounds"), [(CHOOSING, 0), (STAGE, 1)])
def test_a_stopped_training_is_kept_and_resumed_to_the_same_files(tmp_path: Path, stage: str, rounds: int) -> None:
    _, whole = training(tmp_path / "whole")
    run = Run()
    run.on_progress = lambda now, done, total: setattr(run, "stop_requested", now == stage)
    with pytest.raises(ReconstructionInterrupted, match=f"^{rounds} rounds of training are kept.*--resume"):
        training(tmp_path / "broken", run=run)
    assert not (tmp_path / "broken" / "model.json").exists()
    with pytest.raises(CheckpointError, match="seed"):
        training(tmp_path / "broken", resume=True, seed=1)
    _, resumed = training(tmp_path / "broken", resume=True)
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == ["model.json", "model.safetensors"]
    for one, two in zip(whole, resumed, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_what_is_no_model_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"important": true}')
    with pytest.raises(OutputError, match="no model"):
        training(tmp_path)
    assert (tmp_path / "model.json").read_text() == '{"important": true}'
    (tmp_path / "model.json").rename(tmp_path / "model.safetensors")
    with pytest.raises(OutputError, match="not left by a training"):
        training(tmp_path)
