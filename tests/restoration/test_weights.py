"""Weights from a user's file: published names load and fold; what is damaged, pickled or another's is refused."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fluosr.errors import ModelError
from fluosr.networks.rrdb import RRDBNet, Weights
from fluosr.restoration.weights import read_rrdb
from tests.restorers import seeded


def network(scale: int = 2, channels: int = 3) -> RRDBNet:
    return RRDBNet(seeded(), scale, channels=channels, blocks=2, features=5, growth=3).eval()


def saved(path: Path, weights: Weights, prefix: str = "") -> Path:
    safetensors.torch.save_file({prefix + name: value.contiguous() for name, value in weights.items()}, path)
    return path


def image() -> torch.Tensor:
    return torch.rand(1, 1, 8, 12, generator=seeded(1))


@pytest.mark.parametrize("prefix", ["", "params.", "params_ema."])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_colour_weights_load_as_one_channel(tmp_path: Path, scale: int, prefix: str) -> None:
    colour = network(scale)
    found = read_rrdb(saved(tmp_path / "w.safetensors", colour.state_dict(), prefix))
    assert (found.scale, found.channels, len(found.body), found.training) == (scale, 1, 2, False)
    with torch.inference_mode():
        expected = colour(image().expand(1, 3, 8, 12)).mean(dim=1, keepdim=True)
        torch.testing.assert_close(found(image()), expected)


def test_grey_weights_load_as_they_are(tmp_path: Path) -> None:
    grey = network(2, 1)
    found = read_rrdb(saved(tmp_path / "w.safetensors", grey.state_dict())).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in grey.state_dict().items())


def test_averaged_weights_are_taken_where_both_are_there(tmp_path: Path) -> None:
    last, averaged = network(2, 1).state_dict(), network(2, 1).state_dict()
    averaged["conv_hr.bias"] = averaged["conv_hr.bias"] + 1.0
    both = {f"params.{k}": v for k, v in last.items()} | {f"params_ema.{k}": v for k, v in averaged.items()}
    found = read_rrdb(saved(tmp_path / "w.safetensors", both)).state_dict()
    assert torch.equal(found["conv_hr.bias"], averaged["conv_hr.bias"])


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    halves = {name: value.half() for name, value in network().state_dict().items()}
    found = read_rrdb(saved(tmp_path / "w.safetensors", halves))
    assert {value.dtype for value in found.state_dict().values()} == {torch.float32}
    assert all(weight.requires_grad for weight in found.parameters())


def without(weights: Weights, name: str) -> Weights:
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: without(w, "conv_hr.bias"), "lacks 1 tensors, such as conv_hr.bias"),
        (lambda w: without(w, "conv_first.weight"), "conv_first.weight is not among"),
        (lambda w: without(w, "body.0.rdb1.conv1.weight"), "body.0.rdb1.conv1.weight is not among"),
        (lambda w: w | {"upsampler.weight": torch.zeros(1)}, "besides 1 tensors, such as upsampler.weight"),
        (lambda w: w | {"body.999.rdb1.conv1.bias": torch.zeros(3)}, "lacks"),
        (lambda w: w | {"conv_first.weight": torch.zeros(5, 7, 3, 3)}, "takes 7 channels in and gives 3"),
        (lambda w: w | {"conv_first.weight": torch.zeros(5, 12, 5, 5)}, r"conv_first.weight is \(5, 12, 5, 5\)"),
        (lambda w: w | {"conv_first.weight": torch.zeros(5)}, "conv_first.weight is not among"),
        (lambda w: w | {"conv_up1.bias": torch.full((5,), torch.nan)}, "conv_up1.bias holds NaN"),
        (lambda w: {f"model.{k}": v for k, v in w.items()}, "conv_first.weight is not among"),
        (lambda w: {}, "conv_first.weight is not among"),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, change: Callable[[Weights], Weights], words: str
) -> None:
    path = saved(tmp_path / "w.safetensors", change(network().state_dict()))
    with pytest.raises(ModelError, match=words) as caught:
        read_rrdb(path)
    assert str(path) in str(caught.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", network().state_dict())
    whole = path.read_bytes()
    for harmed in (b"", whole[:7], whole[:500], whole[:-4], b"\xff" * 64, whole[:8] + b"[" + whole[9:]):
        path.write_bytes(harmed)
        with pytest.raises(ModelError, match="damaged"):
            read_rrdb(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_rrdb(tmp_path / "absent.safetensors")
    with pytest.raises(ModelError, match="is no file"):
        read_rrdb(tmp_path)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.pth", "renamed.safetensors"])
def test_a_pickle_is_told_from_its_contents_and_never_run(tmp_path: Path, name: str) -> None:
    for protocol in (2, 5):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "harm"), protocol))
        with pytest.raises(ModelError, match="pickled file"):
            read_rrdb(path)
    assert not (tmp_path / "harm").exists()


def test_the_two_lines_convert_what_torch_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour, path = network(), tmp_path / "x2plus.pth"
    torch.save({"params_ema": colour.state_dict()}, path)
    with pytest.raises(ModelError, match="pickled file") as caught:
        read_rrdb(path)
    lines = re.findall(r"^  (.+)$", str(caught.value), re.MULTILINE)
    assert len(lines) == 2 and "weights_only=True" in lines[0]
    monkeypatch.chdir(tmp_path)
    exec("\n".join(lines), {})
    found = read_rrdb(tmp_path / "x2plus.safetensors").state_dict()
    assert torch.equal(found["conv_hr.weight"], colour.state_dict()["conv_hr.weight"])
