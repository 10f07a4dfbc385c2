"""The trained model's files, and every way in which they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fluosr.errors import ModelError, UsageError
from fluosr.generation.model import Knowledge, TrainedGenerator, load_generator
from fluosr.learning import save_model
from fluosr.methods.trained_model import model_paths
from tests.restorers import seeded

KNOWN = Knowledge(32, ["DNA", "GFP"], [[100.0, 900.0], [50.0, 250.0]], 6, 2, 4, 645.0, 64, 1000)


def model() -> TrainedGenerator:
    return TrainedGenerator(KNOWN.build(seeded()), KNOWN)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_model(model_paths(tmp_path / "cells"), model().packed({"log": []}))
    return tmp_path / "cells"


def test_what_is_read_is_what_was_written(stored: Path) -> None:
    found, z = load_generator(stored), torch.randn(3, 6, generator=seeded(1))
    torch.testing.assert_close(found.network(z), model().network(z).detach())
    assert found.knowledge == KNOWN and found.record == {"log": []} and found.fingerprint
    assert not any(weight.requires_grad for weight in found.network.parameters())
    again = load_generator(stored.with_suffix(".json"))
    assert torch.equal(again.samples(2, seeded()), found.samples(2, seeded()))


def test_grey_values_and_the_networks_range_are_joined_by_the_levels() -> None:
    made = model()
    grey = torch.zeros(1, 2, 32, 32)
    grey[:, 0], grey[:, 1] = 100.0, 250.0
    ranged = made.to_range(grey)
    assert bool((ranged[:, 0] == -1).all() and (ranged[:, 1] == 1).all())
    torch.testing.assert_close(made.to_grey(ranged), grey)
    random = np.random.default_rng(0).uniform(0, 900, (3, 2, 4, 4))
    np.testing.assert_allclose(made.levels.to_grey(made.levels.to_range(random)), random)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 2, 64, 64), (2, 32, 32), (1, 2, 32, 31)])
def test_crops_of_other_sizes_or_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"2 channels \(DNA, GFP\) and 32 x 32 pixels"):
        model().to_range(torch.zeros(shape))


def edited(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def edit(name: Path) -> None:
        path = name.with_suffix(".json")
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(json.dumps(whole))

    return edit


def cut(name: Path) -> None:
    path = name.with_suffix(".safetensors")
    path.write_bytes(path.read_bytes()[:-100])


def pickled(name: Path) -> None:
    torch.save({"a": torch.zeros(3)}, name.with_suffix(".json"))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda name: name.with_suffix(".safetensors").unlink(), "does not exist"),
    "cut": (cut, "damaged"),
    "pickled": (pickled, "damaged"),
    "another kind": (edited(lambda d: d.update(format="fluosr restoration model")), "no model of generator"),
    "another version": (edited(lambda d: d.update(format_version=99)), "version 99"),
    "another network": (edited(lambda d: d["knowledge"].update(features=8)), "of another network"),
    "another resolution": (edited(lambda d: d["knowledge"].update(resolution=48)), "another architecture"),
    "half a pixel": (edited(lambda d: d["knowledge"].update(resolution=32.0)), r"resolution cannot be 32\.0"),
    "a depth that is no number": (edited(lambda d: d["knowledge"].update(mapping_depth=True)), "depth cannot be True"),
    "a channel for all": (edited(lambda d: d["knowledge"].update(channels="ab")), "channels cannot be 'ab'"),
    "a size in words": (edited(lambda d: d["knowledge"].update(pixel_size_nm="645")), "pixel_size_nm cannot be '645'"),
    "huge": (edited(lambda d: d["knowledge"].update(features=2**40)), "another"),
    "no levels": (edited(lambda d: d["knowledge"].update(levels=[[1.0, 1.0], [0.0, 1.0]])), "another architecture"),
    "a word for a number": (edited(lambda d: d["knowledge"].update(latent_features="six")), "another architecture"),
    "no knowledge": (edited(lambda d: d.pop("knowledge")), "another architecture"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_no_such_model_are_refused(stored: Path, case: str) -> None:
    spoil, words = WRONG[case]
    spoil(stored)
    with pytest.raises(ModelError, match=words):
        load_generator(stored)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    broken = model()
    with torch.no_grad():
        broken.network.synthesis.constant[0, 0, 0] = torch.nan
    save_model(model_paths(tmp_path / "cells"), broken.packed({}))
    with pytest.raises(ModelError, match="not finite"):
        load_generator(tmp_path / "cells")
