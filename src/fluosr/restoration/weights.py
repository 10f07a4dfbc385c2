"""Weights of an RRDBNet from a user's file under the published names; nothing is unpickled."""

from __future__ import annotations

import re
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from fluosr.errors import ModelError
from fluosr.networks.restorer import in_channels_last
from fluosr.networks.rrdb import UNSHUFFLED, RRDBNet, Weights, one_channel

PREFIXES = ("params_ema.", "params.")  # the first that is there is taken: averaged weights restore better
PICKLED = (b"PK\x03\x04", b"\x80")  # torch's zip archives and the bare pickles of before
ARCHITECTURE = "RRDBNet of Real-ESRGAN (conv_first, body.0.rdb1.conv1, ..., conv_last)"
FIRST, LAST = "conv_first.weight", "conv_last.weight"
DENSE = "body.0.rdb1.conv1.weight"


def read_rrdb(path: Path) -> RRDBNet:
    """An RRDBNet with the weights of a safetensors file; colour ones become one-channel.

    Its scale, blocks, features and growth are what the weights' shapes say. Names may stand under ``params_ema.`` or
    ``params.``. Half precision becomes single.

    Args:
        path: such as the published RealESRGAN_x2plus, converted.

    Returns:
        A network of one channel, in evaluation.

    Raises:
        ModelError: not there, damaged, pickled, or of another architecture.
    """
    weights = _without_prefix(_tensors(path))
    network = _network(path, weights)
    expected = network.state_dict()
    lacking, unknown = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    if lacking or unknown:
        raise _other(path, _named("it lacks", lacking) + _named("it has besides", unknown))
    weights = {name: value.to(torch.float32) for name, value in weights.items()}
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise _other(path, f"; {name} is {tuple(value.shape)}, not {tuple(expected[name].shape)}")
        if not torch.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds NaN or infinite values: its training failed. Take another file.")
    if network.channels != 1:
        weights = one_channel(weights)
        network = _built(network.scale, 1, weights)
    network.load_state_dict(weights, assign=True)
    return in_channels_last(network.eval())


def _tensors(path: Path) -> Weights:
    """What is in the file.

    Raises:
        ModelError: not there, no file, pickled, or damaged.
    """
    if not path.is_file():
        kind = "is no file" if path.exists() else "does not exist"
        raise ModelError(f"{path} {kind}; give the weights' .safetensors file.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if data.startswith(PICKLED):
        converted = path.with_suffix(".safetensors").name
        raise ModelError(
            f"{path} is a pickled file, as torch.save writes; reading one can run any program in it, so it is not "
            "read. Where you trust it, convert it with these two lines of Python, and give "
            f"{converted} instead:\n"
            f"  import torch, safetensors.torch; w = torch.load({path.name!r}, weights_only=True, map_location='cpu')\n"
            "  safetensors.torch.save_file({k: v.contiguous() for k, v in w.get('params_ema', w).items()}, "
            f"{converted!r})"
        )
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} is no safetensors file, or damaged ({str(error)[:200]}). Copy it again from where it came."
        ) from error


def _without_prefix(tensors: Weights) -> Weights:
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return tensors


def _network(path: Path, weights: Weights) -> RRDBNet:
    """The network that the names and shapes describe, not filled yet.

    Raises:
        ModelError: none that this is.
    """
    for name in (FIRST, LAST, DENSE):
        if name not in weights or weights[name].ndim != 4 or 0 in weights[name].shape:
            raise _other(path, f"; {name} is not among its tensors as a convolution's weight")
    channels, inputs = weights[LAST].shape[0], weights[FIRST].shape[1]
    scales = [scale for scale, unshuffled in UNSHUFFLED.items() if channels * unshuffled**2 == inputs]
    if not scales:
        raise _other(path, f"; it takes {inputs} channels in and gives {channels}, which is none of the scales 1, 2, 4")
    return _built(scales[0], channels, weights)


def _built(scale: int, channels: int, weights: Weights) -> RRDBNet:
    numbers = {found[1] for name in weights if (found := re.match(r"body\.(\d+)\.", name))}
    with torch.device("meta"):  # names and shapes only, whatever sizes the file declares
        return RRDBNet(
            torch.Generator("cpu"),
            scale,
            channels=channels,
            blocks=len(numbers),
            features=weights[FIRST].shape[0],
            growth=weights[DENSE].shape[0],
        )


def _named(words: str, names: set[str]) -> str:
    return f"; {words} {len(names)} tensors, such as {min(names)}" if names else ""


def _other(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path} holds no {ARCHITECTURE}{what}. Give weights of that architecture, or train a network of your own."
    )
