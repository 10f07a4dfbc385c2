"""Stopped runs on disk: they come back as they were, or are refused."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr import checkpoint
from fluosr.errors import CheckpointError, OutputError

FACTS = {"method": "fluogan", "seed": 0, "sparsity": 0.7, "psf": {"model": "gaussian", "fwhm_nm": 300.0}}


def states() -> checkpoint.States:
    return {
        "choice": {"values": torch.tensor([0.7, 1.0], dtype=torch.float64)},
        "image with discriminator": {
            "fista.point.0": torch.rand(4, 5).T,  # not contiguous
            "generator": torch.Generator().manual_seed(3).get_state(),
            "round": torch.tensor([7]),
            "curve.discriminator's slope": torch.zeros(0, dtype=torch.float64),
        },
    }


def save(folder: Path, kept: checkpoint.States | None = None) -> None:
    checkpoint.save(folder, checkpoint.Checkpoint(states() if kept is None else kept), FACTS)


def test_states_come_back_bit_for_bit(tmp_path: Path) -> None:
    kept = states()
    save(tmp_path, kept)
    found = checkpoint.load(tmp_path, FACTS).states
    assert {stage: set(named) for stage, named in found.items()} == {stage: set(named) for stage, named in kept.items()}
    for stage, named in kept.items():
        for name, tensor in named.items():
            assert found[stage][name].dtype == tensor.dtype
            assert torch.equal(found[stage][name], tensor), (stage, name)


def test_a_run_stopped_before_anything_was_kept_can_be_resumed(tmp_path: Path) -> None:
    save(tmp_path, {})
    assert checkpoint.load(tmp_path, FACTS) == checkpoint.Checkpoint()


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing to resume.*Run without --resume"):
        checkpoint.load(tmp_path, FACTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"sparsity": 1.4}, "sparsity was 0.7, is 1.4"),
        ({"sparsity": None}, "sparsity was 0.7, is not given"),
        ({"sparsity": float("nan")}, "sparsity was 0.7, is NaN"),
        ({"parameters": {"seed": 3}}, "seed was absent, is 3"),
        ({"psf": {"model": "gaussian", "fwhm_nm": 310.0}}, "psf.fwhm_nm was 300.0, is 310.0"),
        ({"method": "other", "seed": 1}, "method was fluogan, is other; seed was 0, is 1"),
        ({"movie": {"fingerprint": "0" * 64}}, "the movie is another one, or was changed"),
        ({f"p{i}": True for i in range(9)}, "p5 was absent, is yes; and 3 more"),
    ],
)
def test_another_runs_states_are_refused_saying_what_differs(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    save(tmp_path)
    with pytest.raises(CheckpointError, match="without --resume") as caught:
        checkpoint.load(tmp_path, FACTS | change)
    assert f"comes from another run: {words}" in str(caught.value) or words in str(caught.value)
    assert "was gaussian" not in str(caught.value)


def test_the_times_of_earlier_legs_are_kept(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, checkpoint.Checkpoint({}, (12.5, 3.0)), FACTS)
    assert checkpoint.load(tmp_path, FACTS).legs_s == (12.5, 3.0)


def test_a_file_that_does_not_say_whose_it_is_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"a/b": torch.zeros(2)}, tmp_path / checkpoint.FILE_NAME)
    with pytest.raises(CheckpointError, match="does not say which run it belongs to"):
        checkpoint.load(tmp_path, FACTS)


@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_and_never_crashes(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    save(folder)
    path = folder / checkpoint.FILE_NAME
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "at") :]
    else:
        content[data.draw(st.integers(0, len(content) - 1), "at")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(content)
    advice = "--resume"
    try:
        checkpoint.load(folder, FACTS)
    except CheckpointError as error:
        advice = str(error)
    assert "--resume" in advice


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_other_files_of_that_name_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / checkpoint.FILE_NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*without --resume"):
        checkpoint.load(tmp_path, FACTS)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / checkpoint.FILE_NAME).mkdir()
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path, FACTS)
    with pytest.raises(OutputError):
        checkpoint.remove(tmp_path)
    with pytest.raises(OutputError):
        save(tmp_path)


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path)
    before = (tmp_path / checkpoint.FILE_NAME).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save(tmp_path, {"other": {}})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE_NAME]
    assert (tmp_path / checkpoint.FILE_NAME).read_bytes() == before


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    checkpoint.remove(tmp_path)
    save(tmp_path)
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_equal_facts_are_equal_in_any_order_and_after_storing() -> None:
    first = {"seed": 1, "movie": {"a": 1, "b": [1.5, None]}, "shape": (3, 4), "odd": float("nan")}
    again = {"odd": float("nan"), "shape": [3, 4], "movie": {"b": (1.5, None), "a": 1}, "seed": 1}
    assert checkpoint.differences(first, again) == []
    assert checkpoint.differences(json.loads(json.dumps(first)), again) == []
    assert checkpoint.differences(first, again | {"shape": (3, 5)}) == ["shape was [3, 4], is [3, 5]"]
    assert checkpoint.differences({"x": np.float64(1.0)}, {"x": np.float64(1.0)}) == []
