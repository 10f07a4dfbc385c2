"""Stopped runs kept on disk: tensors as safetensors, and what they belong to as text beside them in the same file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluosr.errors import CheckpointError, OutputError
from fluosr.io.write import write_bytes

if TYPE_CHECKING:
    import torch

FILE_NAME = "checkpoint.safetensors"
States = dict[str, dict[str, "torch.Tensor"]]


def identity(**facts: Any) -> str:
    """A fingerprint of everything a run's result depends on; equal runs, equal text."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def save(folder: Path, states: States, belongs_to: str) -> None:
    """Write all states beside the outputs, then rename: a stop in between leaves the last good one.

    Raises:
        OutputError: no room or no permission.
    """
    import safetensors.torch

    flat = {
        f"{stage}/{key}": value.contiguous().cpu() for stage, named in states.items() for key, value in named.items()
    }
    write_bytes(folder / FILE_NAME, safetensors.torch.save(flat, metadata={"belongs_to": belongs_to}))


def load(folder: Path, belongs_to: str) -> States:
    """Read the states back.

    Raises:
        CheckpointError: none there, damaged, or from another movie, method, seed or set of parameters.
    """
    import safetensors

    path = folder / FILE_NAME
    if not path.exists():
        raise CheckpointError(f"nothing to resume: {path} does not exist. Run without --resume.")
    states: States = {}
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            owner = (file.metadata() or {}).get("belongs_to")
            if owner == belongs_to:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    stage, key = name.split("/", 1)
                    states.setdefault(stage, {})[key] = file.get_tensor(name)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); run without --resume.") from error
    if owner != belongs_to:
        raise CheckpointError(
            f"{path} comes from another movie, method, version, seed or set of parameters: resuming would mix two "
            "runs. Repeat the options of the stopped run, or run without --resume."
        )
    return states


def remove(folder: Path) -> None:
    """Delete the checkpoint of a finished run, if any.

    Raises:
        OutputError: it cannot be deleted.
    """
    try:
        (folder / FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot delete {folder / FILE_NAME}: {error.strerror}.") from error
