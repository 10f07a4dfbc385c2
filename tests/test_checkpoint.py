"""Stopped runs on disk: they come back as they were, or are refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr import checkpoint
from fluosr.errors import CheckpointError, OutputError

OWNER = checkpoint.identity(method="fluogan", seed=0)


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


def test_states_come_back_bit_for_bit(tmp_path: Path) -> None:
    kept = states()
    checkpoint.save(tmp_path, kept, OWNER)
    found = checkpoint.load(tmp_path, OWNER)
    assert {stage: set(named) for stage, named in found.items()} == {stage: set(named) for stage, named in kept.items()}
    for stage, named in kept.items():
        for name, tensor in named.items():
            assert found[stage][name].dtype == tensor.dtype
            assert torch.equal(found[stage][name], tensor), (stage, name)


def test_a_run_stopped_before_anything_was_kept_can_be_resumed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {}, OWNER)
    assert checkpoint.load(tmp_path, OWNER) == {}


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing to resume.*Run without --resume"):
        checkpoint.load(tmp_path, OWNER)


def test_another_runs_states_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, states(), OWNER)
    with pytest.raises(CheckpointError, match="another movie, method, version, seed or set of parameters"):
        checkpoint.load(tmp_path, checkpoint.identity(method="fluogan", seed=1))


@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_and_never_crashes(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    checkpoint.save(folder, states(), OWNER)
    path = folder / checkpoint.FILE_NAME
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "at") :]
    else:
        content[data.draw(st.integers(0, len(content) - 1), "at")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(content)
    advice = "--resume"
    try:
        checkpoint.load(folder, OWNER)
    except CheckpointError as error:
        advice = str(error)
    assert "--resume" in advice


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_other_files_of_that_name_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / checkpoint.FILE_NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*without --resume"):
        checkpoint.load(tmp_path, OWNER)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / checkpoint.FILE_NAME).mkdir()
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path, OWNER)
    with pytest.raises(OutputError):
        checkpoint.remove(tmp_path)
    with pytest.raises(OutputError):
        checkpoint.save(tmp_path, states(), OWNER)


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, states(), OWNER)
    before = (tmp_path / checkpoint.FILE_NAME).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        checkpoint.save(tmp_path, {"other": {}}, OWNER)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE_NAME]
    assert (tmp_path / checkpoint.FILE_NAME).read_bytes() == before


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    checkpoint.remove(tmp_path)
    checkpoint.save(tmp_path, states(), OWNER)
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_equal_facts_have_one_identity_in_any_order() -> None:
    first = checkpoint.identity(seed=1, movie={"a": 1, "b": [1.5, None]}, shape=(3, 4))
    assert first == checkpoint.identity(shape=(3, 4), movie={"b": [1.5, None], "a": 1}, seed=1)
    assert first != checkpoint.identity(shape=(3, 4), movie={"b": [1.5, None], "a": 2}, seed=1)
    assert checkpoint.identity(x=np.float64(1.0)) == checkpoint.identity(x=np.float64(1.0))
