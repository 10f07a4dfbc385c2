"""Stopped runs kept on disk: tensors as safetensors, and what they belong to as JSON in the same file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluosr.errors import CheckpointError, OutputError
from fluosr.io.write import write_bytes

if TYPE_CHECKING:
    import torch

FILE_NAME = "checkpoint.safetensors"
KEPT_NAME = f"earlier-{FILE_NAME}"  # of a stopped run that a new one was begun over
States = dict[str, dict[str, "torch.Tensor"]]

MOST_DIFFERENCES = 6  # named in an error; the first few tell what happened
LONGEST_VALUE = 40  # characters of a value in an error
IN_WORDS = {"null": "not given", "true": "yes", "false": "no"}


@dataclass(frozen=True)
class Checkpoint:
    """What was kept of a run.

    Args:
        states: stage -> named tensors.
        legs_s: computing time of each leg of the run so far, seconds.
    """

    states: States = field(default_factory=dict)
    legs_s: tuple[float, ...] = ()


def save(folder: Path, kept: Checkpoint, facts: Mapping[str, Any]) -> None:
    """Write all states beside the outputs, then rename: a stop in between leaves the last good one.

    Args:
        folder: the folder of the outputs.
        kept: states and times.
        facts: everything the run's result depends on, as any nesting of names, numbers and texts; what stands under
            "parameters" are the user's options, and is called by its name alone.

    Raises:
        OutputError: no room or no permission.
    """
    import safetensors.torch

    flat = {
        f"{stage}/{key}": value.contiguous().cpu()
        for stage, named in kept.states.items()
        for key, value in named.items()
    }
    metadata = {"facts": json.dumps(facts, sort_keys=True, default=str), "legs_s": json.dumps(list(kept.legs_s))}
    write_bytes(folder / FILE_NAME, safetensors.torch.save(flat, metadata=metadata))


def load(folder: Path, facts: Mapping[str, Any]) -> Checkpoint:
    """Read back what was kept.

    Args:
        folder: the folder of the outputs.
        facts: what the run to be resumed depends on; they must equal those of the run that was stopped.

    Raises:
        CheckpointError: none there, damaged, or from another run; says which facts differ.
    """
    import safetensors

    path = folder / FILE_NAME
    if not path.exists():
        raise CheckpointError(f"nothing to resume: {path} does not exist. Run without --resume.")
    states: States = {}
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            kept, legs = (json.loads(metadata.get(name, "null")) for name in ("facts", "legs_s"))
            if not isinstance(kept, dict) or not isinstance(legs, list):
                raise ValueError("it does not say which run it belongs to")
            found = differences(kept, facts)
            if not found:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    stage, key = name.split("/", 1)
                    states.setdefault(stage, {})[key] = file.get_tensor(name)
            legs_s = tuple(float(seconds) for seconds in legs)
    except (OSError, TypeError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); run without --resume.") from error
    if found:
        more = f"; and {len(found) - MOST_DIFFERENCES} more" if len(found) > MOST_DIFFERENCES else ""
        raise CheckpointError(
            f"{path} comes from another run: {'; '.join(found[:MOST_DIFFERENCES])}{more}. Resuming would mix two runs: "
            "repeat the options of the stopped run, or run without --resume."
        )
    return Checkpoint(states, legs_s)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the facts of two runs, each as "sparsity was 0.7, is 1.4"; empty where they are equal.

    Another method has other parameters, and another movie is seen by another camera: these are not listed then.
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    implied: tuple[str, ...] = ()
    if old.get("method") != new.get("method"):
        implied += ("parameters.",)
    said = []
    if old.get("movie.fingerprint") != new.get("movie.fingerprint"):
        implied += ("movie.", "camera.")
        said.append("the movie is another one, or was changed")
    return said + [
        f"{name.removeprefix('parameters.')} was {_in_words(old.get(name))}, is {_in_words(new.get(name))}"
        for name in dict.fromkeys([*new, *old])  # in the order of the caller, who knows what tells most
        if old.get(name) != new.get(name) and not name.startswith(implied)
    ]


def _leaves(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, JSON text): as text NaN equals NaN, and a tuple the list it was stored as."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, sort_keys=True, default=str)


def _in_words(text: str | None) -> str:
    text = "absent" if text is None else IN_WORDS.get(text, text.strip('"'))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def is_kept(folder: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return (folder / FILE_NAME).exists()


def keep_aside(folder: Path) -> bool:
    """Give the checkpoint of a stopped run another name, so that a new run does not overwrite it; False: there is none.

    Raises:
        OutputError: it cannot be renamed.
    """
    if not is_kept(folder):
        return False
    try:
        os.replace(folder / FILE_NAME, folder / KEPT_NAME)
    except OSError as error:
        raise OutputError(f"cannot rename {folder / FILE_NAME}: {error.strerror}.") from error
    return True


def remove(folder: Path) -> None:
    """Delete the checkpoint of a finished run, if any.

    Raises:
        OutputError: it cannot be deleted.
    """
    try:
        (folder / FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot delete {folder / FILE_NAME}: {error.strerror}.") from error
