"""Pix2Pix as a baseline: what it hands back, what it refuses, and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fluosr.errors import ModelError, UsageError
from fluosr.latent.degradation import Bicubic, Microscope
from fluosr.latent.pix2pix import pix2pix, pix2pix_samples
from fluosr.latent.pix2pix_model import TrainedPix2Pix, load_pix2pix
from fluosr.latent.pix2pix_training import input_of
from fluosr.learning import save_model
from fluosr.methods.base import Run, StopRequested
from fluosr.methods.trained_model import model_paths
from fluosr.optics.psf import GaussianPSF
from tests.generation.test_model import cut, edited, pickled
from tests.latent.pairs import EIGHT, discs, quick_pix2pix
from tests.restorers import seeded


def coarse_of(count: int) -> np.ndarray:
    return EIGHT(torch.from_numpy(discs(count, seed=1))).numpy()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_model(model_paths(tmp_path / "pairs"), quick_pix2pix().model.packed({"log": []}))
    return tmp_path / "pairs"


def test_it_hands_back_images_with_their_misfit_and_its_caution() -> None:
    coarse, model = coarse_of(5), quick_pix2pix().model
    found = pix2pix(model, EIGHT, coarse, Run(seed=2))
    assert found.method == "Pix2Pix" and found.caution == "plausible, not measured" and found.codes is None
    assert found.images.shape == (5, 2, 32, 32) and found.images.dtype == np.float32
    off = np.abs(EIGHT(torch.from_numpy(found.images)).numpy() - coarse).mean((2, 3))
    np.testing.assert_allclose(found.misfit_grey, off, rtol=1e-4)
    np.testing.assert_allclose(found.misfit, (off / 450).mean(1), rtol=1e-4)


def test_without_dropout_it_is_the_network_on_the_enlarged_image_in_grey_values() -> None:
    model, coarse = quick_pix2pix(3, 0.0).model, coarse_of(2)
    dark, half = np.array([100.0, 50.0])[:, None, None], 450.0
    with torch.no_grad():
        made = model.network(input_of(torch.from_numpy((coarse - dark) / half - 1).float(), 8)).numpy()
    found = pix2pix(model, EIGHT, coarse, Run(seed=1))
    np.testing.assert_allclose(found.images, (made + 1) * half + dark, rtol=1e-4)
    assert np.array_equal(found.images, pix2pix(model, EIGHT, coarse, Run(seed=2)).images)  # nothing is drawn
    with pytest.raises(UsageError, match="without dropout: it has one image"):
        pix2pix_samples(model, EIGHT, coarse, 3)


def test_an_image_is_the_seeds_whatever_is_beside_it() -> None:
    coarse, model = coarse_of(6), quick_pix2pix().model
    found = pix2pix(model, EIGHT, coarse, Run(seed=2)).images
    assert np.array_equal(found, pix2pix(model, EIGHT, coarse, Run(seed=2)).images)
    assert not np.allclose(found, pix2pix(model, EIGHT, coarse, Run(seed=3)).images)
    for count in (1, 3):
        np.testing.assert_allclose(pix2pix(model, EIGHT, coarse[:count], Run(seed=2)).images, found[:count], rtol=1e-4)


def test_samples_differ_by_dropout() -> None:
    coarse, model = coarse_of(2), quick_pix2pix().model
    samples = pix2pix_samples(model, EIGHT, coarse, 4, Run(seed=2))
    assert samples.images.shape == (2, 4, 2, 32, 32) and samples.misfit.shape == (2, 4)
    np.testing.assert_allclose(samples.spread, samples.images.std(1, ddof=1))
    assert (samples.spread.mean((1, 2, 3)) > 0).all()
    with pytest.raises(UsageError, match="it takes two at least"):
        pix2pix_samples(model, EIGHT, coarse, 1)


def test_a_request_to_stop_is_heard() -> None:
    with pytest.raises(StopRequested):
        pix2pix(quick_pix2pix().model, EIGHT, coarse_of(1), Run(stop_requested=True))


@pytest.mark.parametrize(
    ("degradation", "shape", "words"),
    [
        (Bicubic(32, 4), (1, 2, 8, 8), "8 times coarser, not 4"),
        (
            Microscope(32, 8, GaussianPSF(2000.0), 645.0),
            (1, 2, 4, 4),
            "another degradation, bicubic reduction, not blur",
        ),
        (EIGHT, (1, 3, 4, 4), "channels DNA, GFP"),
        (EIGHT, (1, 2, 8, 8), r"\(N, 2, 4, 4\)"),
        (EIGHT, (0, 2, 4, 4), r"\(N, 2, 4, 4\)"),
    ],
)
def test_other_sizes_channels_and_degradations_are_refused(
    degradation: Any, shape: tuple[int, ...], words: str
) -> None:
    coarse = np.random.default_rng(0).uniform(100, 900, shape).astype(np.float32)
    with pytest.raises(UsageError, match=words):
        pix2pix(quick_pix2pix().model, degradation, coarse)


def test_an_empty_channel_and_no_numbers_are_refused() -> None:
    coarse = coarse_of(2)
    coarse[1, 0] = 7
    with pytest.raises(UsageError, match="image 1: channel 'DNA' is empty"):
        pix2pix(quick_pix2pix().model, EIGHT, coarse)
    coarse[0, 0, 0, 0] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        pix2pix(quick_pix2pix().model, EIGHT, coarse)


def test_degradations_that_differ_have_other_names() -> None:
    def name(fwhm_nm: float, pixel_nm: float = 645.0) -> str:
        return Microscope(32, 8, GaussianPSF(fwhm_nm), pixel_nm).name

    assert name(2000.0) == name(2000.0) and len({name(2000.0), name(2001.0), name(2000.0, 600.0), EIGHT.name}) == 4


def test_what_is_read_is_what_was_written(stored: Path) -> None:
    found, made, coarse = load_pix2pix(stored), quick_pix2pix().model, coarse_of(2)
    assert found.knowledge == made.knowledge and found.record == {"log": []} and found.fingerprint
    again = pix2pix(found, EIGHT, coarse).images
    np.testing.assert_allclose(again, pix2pix(made, EIGHT, coarse).images, rtol=1e-5)
    assert not any(weight.requires_grad for weight in found.network.parameters())


def known(**values: Any) -> Callable[[Path], object]:
    return edited(lambda d: d["knowledge"].update(values))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda name: name.with_suffix(".safetensors").unlink(), "does not exist"),
    "cut": (cut, "damaged"),
    "pickled": (pickled, "damaged"),
    "another kind": (edited(lambda d: d.update(format="fluosr generator model")), "no model of pix2pix"),
    "another version": (edited(lambda d: d.update(format_version=99)), "version 99"),
    "another network": (known(features=4), "of another network"),
    "another resolution": (known(resolution=48), "another architecture"),
    "huge": (known(features=2**40), "another"),
    "no factor": (known(factor=3), "another architecture"),
    "too large a factor": (known(factor=64), "another architecture"),
    "no degradation": (known(degradation=None), "another architecture"),
    "all dropped": (known(dropout=1.0), "another architecture"),
    "no levels": (known(levels=[[1.0, 1.0], [0.0, 1.0]]), "another architecture"),
    "a word for a number": (known(features="six"), "another architecture"),
    "no knowledge": (edited(lambda d: d.pop("knowledge")), "another architecture"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_no_such_model_are_refused(stored: Path, case: str) -> None:
    spoil, words = WRONG[case]
    spoil(stored)
    with pytest.raises(ModelError, match=words):
        load_pix2pix(stored)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    knowledge = quick_pix2pix().model.knowledge
    broken = TrainedPix2Pix(knowledge.build(seeded()), knowledge)
    with torch.no_grad():
        broken.network.down[0].weight[0, 0, 0, 0] = torch.inf
    save_model(model_paths(tmp_path / "pairs"), broken.packed({}))
    with pytest.raises(ModelError, match="not finite"):
        load_pix2pix(tmp_path / "pairs")


def test_the_record_is_plain_text(stored: Path) -> None:
    described = json.loads(stored.with_suffix(".json").read_text())["knowledge"]
    assert described["factor"] == 8 and described["degradation"] == "bicubic reduction"
    assert described["channels"] == ["DNA", "GFP"] and described["levels"][0] == [100.0, 1000.0]
