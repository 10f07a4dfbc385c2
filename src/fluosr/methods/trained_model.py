"""A trained model as two files: NAME.json with all that is not a weight, NAME.safetensors; nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluosr.errors import CheckpointError, ModelError, UsageError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".json", ".safetensors")


@dataclass(frozen=True)
class ModelKind:
    """Whose models these are.

    Args:
        method: its name.
        version: of the files' layout.
        origin: where they come from, as the end of a sentence, where that is not ``fluosr train METHOD``.
    """

    method: str
    version: int = 1
    origin: str = ""

    @property
    def whence(self) -> str:
        """Where the two files come from, as the end of a sentence."""
        return self.origin or f"that `fluosr train {self.method}` writes; give --model NAME"

    @property
    def words(self) -> str:
        """What the description says that it is."""
        return f"fluosr {self.method} model"


@dataclass(frozen=True, eq=False)
class StoredModel:
    """What was read.

    Args:
        path: of the description.
        description: all that is not a weight.
        tensors: the weights.
        fingerprint: of both files.
    """

    path: Path
    description: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    fingerprint: str

    def refuse_other_weights(self, shapes: Mapping[str, torch.Tensor], described: str) -> None:
        """See that the weights are those of the network that the description builds.

        Args:
            shapes: name -> weight of such a network, of which only the shape counts.
            described: what the network is, for the words.

        Raises:
            ModelError: weights that lack, are too many, or of another shape.
        """
        stored = self.tensors
        wrong = [n for n in {*shapes, *stored} if n not in shapes or n not in stored]
        wrong += [n for n in shapes if n in stored and shapes[n].shape != stored[n].shape]
        if wrong:
            raise ModelError(
                f"{self.path}: its weights are of another network than {described} ({sorted(wrong)[0]} and "
                f"{len(wrong) - 1} others do not fit)."
            )

    def refuse_infinite_weights(self) -> None:
        """See that the weights are numbers.

        Raises:
            ModelError: some are NaN or infinite.
        """
        import torch

        if not all(bool(torch.isfinite(value).all()) for value in self.tensors.values()):
            raise ModelError(f"{self.path}: some of its weights are not finite; it is damaged.")


def model_paths(name: str | Path) -> tuple[Path, Path]:
    """(description, weights) of a model called NAME, NAME.json or NAME.safetensors.

    Raises:
        UsageError: no name.
    """
    text = str(name)
    for suffix in SUFFIXES:
        text = text.removesuffix(suffix)
    if not Path(text).name:
        raise UsageError("no model was named.")
    return Path(text + SUFFIXES[0]), Path(text + SUFFIXES[1])


def packed(kind: ModelKind, description: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[bytes, bytes]:
    """The contents of both files.

    Args:
        kind: whose model it is.
        description: as plain values.
        tensors: the weights.
    """
    import safetensors.torch

    weights = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = safetensors.torch.save(weights, metadata={"format": kind.words})
    head = {"format": kind.words, "format_version": kind.version}
    whole = head | description | {"sha256_of_weights": hashlib.sha256(data).hexdigest()}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(), data


def read_model(kind: ModelKind, name: str | Path) -> StoredModel:
    """Read and check both files.

    Raises:
        ModelError: not there, damaged, not a model of this method, of another version, or of two different models.
    """
    import safetensors
    import safetensors.torch

    places = model_paths(name)
    for place in places:
        if not place.is_file():
            raise ModelError(
                f"{place} does not exist. A model is a pair of files, NAME.json and NAME.safetensors, {kind.whence}."
            )
    try:
        text, data = (place.read_bytes() for place in places)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}.") from error
    described = _description(kind, places[0], text)
    if described.get("sha256_of_weights") != hashlib.sha256(data).hexdigest():
        raise ModelError(
            f"{places[1]} is not what {places[0].name} was written with: one of the two is damaged, or they belong to "
            "different models. Train anew or copy both files together."
        )
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise ModelError(f"{places[1]} is not a safetensors file, or damaged ({error}).") from error
    return StoredModel(places[0], described, tensors, hashlib.sha256(text).hexdigest()[:16])


def fingerprint_array(fingerprint: str) -> np.ndarray:
    """A fingerprint as a checkpoint keeps it."""
    return np.frombuffer(bytes.fromhex(fingerprint), np.uint8)


def refuse_another_model(kept: np.ndarray, fingerprint: str) -> None:
    """See that a stopped run used the model that is there now.

    Raises:
        CheckpointError: the model's files have changed.
    """
    if not np.array_equal(kept, fingerprint_array(fingerprint)):
        raise CheckpointError(
            "the stopped run used another model of this name: resuming would mix two. Run without --resume."
        )


def _description(kind: ModelKind, path: Path, text: bytes) -> dict[str, Any]:
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}).") from error
    if not isinstance(described, dict) or described.get("format") != kind.words:
        raise ModelError(f"{path} is no model of {kind.method}: it does not say {kind.words!r}.")
    if described.get("format_version") != kind.version:
        raise ModelError(
            f"{path} is of version {described.get('format_version')}; this fluosr reads version {kind.version}. Update "
            "fluosr, or train the model anew."
        )
    return described
