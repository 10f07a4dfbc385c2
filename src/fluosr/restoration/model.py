"""A trained restorer as JSON and safetensors: its network, what it was trained on, and what it does to the pixel."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fluosr.errors import FluosrError, ModelError
from fluosr.methods.trained_model import ModelKind, model_paths, packed, read_model
from fluosr.networks.restorer import SCALES, Restorer
from fluosr.networks.restorers import build_restorer, restorer_options
from fluosr.restoration.weights import read_rrdb

KIND = ModelKind("restoration", origin="that `fluosr train restoration` writes; give its NAME")


@dataclass(frozen=True)
class Knowledge:
    """What a restorer was trained on.

    Args:
        network: its name.
        options: of the network.
        scale: how many times finer its images are.
        arm: where its bad images came from: paired, synthetic or physics; "published" of weights from elsewhere.
        pixel_size_nm: of the bad images; None where it was not said.
        fields: how many it learnt from.
    """

    network: str
    options: dict[str, Any]
    scale: int
    arm: str
    pixel_size_nm: float | None
    fields: int


@dataclass(frozen=True, eq=False)
class TrainedRestorer:
    """A network that restores, and what it knows.

    Args:
        network: ready to be asked.
        knowledge: what it was trained on.
        fingerprint: of its files; empty where it was not read from files.
        record: how it was trained, as its file says.
    """

    network: Restorer
    knowledge: Knowledge
    fingerprint: str = ""
    record: dict[str, Any] | None = None

    def packed(self, record: dict[str, Any]) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors.

        Args:
            record: how it was trained, as plain values.
        """
        return packed(KIND, {"knowledge": asdict(self.knowledge), "training": record}, self.network.state_dict())


def load_restorer(name: str | Path) -> TrainedRestorer:
    """The model called NAME.

    Raises:
        ModelError: not there, damaged, of another version or architecture.
    """
    stored = read_model(KIND, name)
    try:
        known = Knowledge(**stored.description["knowledge"])
        _check(known)
        restorer_options(known.network, known.options)
        with torch.device("meta"):  # its shapes, before any memory is taken for them
            shapes = build_restorer(known.network, torch.Generator(), known.scale, options=known.options).state_dict()
    except (KeyError, TypeError, ValueError, FluosrError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another architecture ({error}).") from error
    stored.refuse_other_weights(shapes, known.network)
    stored.refuse_infinite_weights()
    network = build_restorer(known.network, torch.Generator().manual_seed(0), known.scale, options=known.options)
    network.load_state_dict(stored.tensors)
    return TrainedRestorer(network.eval(), known, stored.fingerprint, stored.description.get("training"))


def _check(known: Knowledge) -> None:
    """See that what was read is of the kinds that it should be.

    Raises:
        ValueError: it is not; says what.
    """
    pixel = known.pixel_size_nm
    right = {
        "network": isinstance(known.network, str),
        "options": isinstance(known.options, dict),
        "scale": type(known.scale) is int and known.scale in SCALES,  # true and false are no numbers here
        "arm": isinstance(known.arm, str),
        "pixel_size_nm": pixel is None or (type(pixel) in (int, float) and 0 < pixel < math.inf),
        "fields": type(known.fields) is int and known.fields >= 0,
    }
    wrong = [f"{name} cannot be {getattr(known, name)!r:.40}" for name, fits in right.items() if not fits]
    if wrong:
        raise ValueError("; ".join(wrong))


def restorer_from(name: Path) -> TrainedRestorer:
    """A model to begin a training with: one of this project, or published weights of an RRDBNet.

    Args:
        name: NAME of a model, or a safetensors file.

    Raises:
        ModelError: neither; see :func:`load_restorer` and :func:`fluosr.restoration.weights.read_rrdb`.
    """
    places = model_paths(name)
    if not name.is_file() and not any(place.exists() for place in places):
        raise ModelError(
            f"{places[0]} does not exist. A training begins with the NAME of a model that `fluosr train restoration` "
            "wrote, or with a .safetensors file of published RRDBNet weights."
        )
    if places[0].exists() or not name.is_file():
        return load_restorer(name)
    network = read_rrdb(name)
    growth, features = network.state_dict()["body.0.rdb1.conv1.weight"].shape[:2]
    blocks = len(network.body)
    options = {"blocks": blocks, "features": features, "growth": growth}
    kind = "rrdb-23" if blocks == restorer_options("rrdb-23", {}).model_dump()["blocks"] else "rrdb-6"
    fingerprint = hashlib.sha256(name.read_bytes()).hexdigest()[:16]
    return TrainedRestorer(network, Knowledge(kind, options, network.scale, "published", None, 0), fingerprint)
