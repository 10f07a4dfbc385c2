"""A reconstruction kept whole: what was saved comes back, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import fluosr
from fluosr.errors import ImageReadError
from fluosr.io.saved import load_notes, load_reconstruction, save_reconstruction
from fluosr.io.write import write_bytes
from fluosr.localisations import Localisations
from fluosr.quality.judge import judge
from fluosr.reconstruction import Reconstruction
from tests.movies import cross_movie


@pytest.fixture(scope="module")
def made() -> Reconstruction:
    made = fluosr.reconstruct(cross_movie(), "mean", factor=2)
    return replace(
        made,
        maps={"density_per_um2": made.image * 2},
        localisations=Localisations([0, 2], [1.0, 2.0], [3.0, 4.0], photons=[5.0, float("nan")]),
        history={"misfit": [2.0, float("nan")]},
    )


def same(first: object, second: object) -> bool:
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and first.dtype == second.dtype and first.tobytes() == second.tobytes()
    if isinstance(first, Localisations):
        return isinstance(second, Localisations) and same(vars(first), vars(second))
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and list(first) == list(second) and all(same(first[k], second[k]) for k in first)
        )
    if isinstance(first, list | tuple):
        return isinstance(second, list | tuple) and len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)


def test_what_was_saved_comes_back(made: Reconstruction, tmp_path: Path) -> None:
    save_reconstruction(tmp_path / "a" / "r.safetensors", made, notes={"facts": {"seed": 3}})
    again = load_reconstruction(tmp_path / "a" / "r.safetensors")
    for field in fields(Reconstruction):
        assert same(getattr(made, field.name), getattr(again, field.name)), field.name
    assert judge(again).describe() == judge(made).describe()
    assert load_notes(tmp_path / "a" / "r.safetensors") == {"facts": {"seed": 3}}


def test_without_halves_and_the_rest_it_comes_back_too(made: Reconstruction, tmp_path: Path) -> None:
    bare = replace(made, halves=None, uncertainty=None, maps={}, significance=None)
    save_reconstruction(tmp_path / "r.safetensors", bare)
    again = load_reconstruction(tmp_path / "r.safetensors")
    assert (again.halves, again.uncertainty, again.maps, again.significance) == (None, None, {}, None)


@pytest.mark.parametrize("kind", ["absent", "empty", "cut", "other", "folder"])
def test_anything_else_is_refused_in_words(kind: str, made: Reconstruction, tmp_path: Path) -> None:
    from safetensors.numpy import save

    path = tmp_path / "r.safetensors"
    save_reconstruction(path, made)
    data = path.read_bytes()
    if kind in ("absent", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        write_bytes(path, {"empty": b"", "cut": data[: len(data) // 2], "other": save({"a": np.zeros(3)})}[kind])
    for load in (load_reconstruction, load_notes):
        with pytest.raises(ImageReadError, match="is not there" if kind == "absent" else "is damaged"):
            load(path)
