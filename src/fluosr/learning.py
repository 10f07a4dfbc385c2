"""From a lesson to the files of a trained model; stopped trainings are kept and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch

from fluosr import __version__, checkpoint
from fluosr.errors import OutputError, ReconstructionInterrupted
from fluosr.io.lock import only_run_in
from fluosr.io.write import make_folder, write_together
from fluosr.methods.base import Run, StopRequested
from fluosr.methods.lesson import Lesson, Made
from fluosr.methods.trained_model import ModelKind, model_paths
from fluosr.pipeline import choose_device, stop_on_signals

LIVE_LOG = "log.jsonl"  # in the folder of a training, as it goes


@dataclass(frozen=True, eq=False)
class Companions(Generic[Made]):
    """Files beside a model: written with it, and never without it.

    Args:
        suffixes: what follows NAME in each one's name.
        contents: of each, in that order, from what was learnt.
        ours: whether a file of such a name may be replaced.
    """

    suffixes: Sequence[str] = ()
    contents: Callable[[Made], Sequence[bytes]] = lambda made: ()
    ours: Callable[[Path], bool] = lambda path: True


def training_folder(output: Path) -> Path:
    """NAME.training, where what there is of a training lies until it is done."""
    return path_beside(output, ".training")


def train_to_files(
    lesson: Lesson[Made],
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    run: Run | None = None,
    companions: Companions[Made] | None = None,
) -> tuple[Made, tuple[Path, Path]]:
    """Train and write NAME.json and NAME.safetensors; keep what there is in NAME.training when stopped.

    Args:
        lesson: what is to be learnt.
        output: NAME of the model. A model of that name and kind is replaced.
        seed, device: of the training.
        resume: go on from NAME.training.
        command: the command line, for the record.
        run: carries the progress callbacks; seed, device and checkpoints are set here.
        companions: further files to write with the model.

    Returns:
        What was learnt, and where it lies.

    Raises:
        OutputError: the model cannot be written; said before computing where it can be known.
        CheckpointError: nothing to resume, or from another training.
        ReconstructionInterrupted: stopped on request.
        FluosrError: whatever the lesson raises.
    """
    places = model_paths(output)
    companions = companions or Companions()
    computed_on = choose_device(device)
    _check_places(places, lesson.kind)
    kept_in = training_folder(output)
    live, others = kept_in / LIVE_LOG, [path_beside(output, suffix) for suffix in companions.suffixes]
    for path in (*others, live):
        if path.is_dir() or (path.exists() and not companions.ours(path)):
            raise OutputError(f"{path} was not left by a training; choose another --output, or move it away.")
    make_folder(kept_in)
    try:
        with only_run_in(kept_in):
            try:
                run = run or Run()
                run.seed, run.device = seed, computed_on
                facts = {
                    "version": __version__,
                    **lesson.facts,
                    "seed": seed,
                    "device": run.device,
                    "threads": torch.get_num_threads(),
                }
                if resume:
                    run.states = checkpoint.load(kept_in, facts).states
                else:
                    checkpoint.keep_aside(kept_in)
                made = _learnt(lesson, run, kept_in, facts)
                files = lesson.files(made, facts | lesson.record(made) | {"command": command})
                save_model(places, files, dict(zip(others, companions.contents(made), strict=True)))
                checkpoint.remove(kept_in)
            finally:
                if not checkpoint.is_kept(kept_in):  # a log of what cannot be gone on with tells nobody anything
                    with suppress(OSError):
                        live.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # it holds what was kept of this training, or of one that this was begun over
            kept_in.rmdir()
    return made, places


def _learnt(lesson: Lesson[Made], run: Run, kept_in: Path, facts: Mapping[str, Any]) -> Made:
    states = run.states
    run.on_checkpoint = lambda states: checkpoint.save(kept_in, checkpoint.Checkpoint(states), facts)
    try:
        with stop_on_signals(run):
            return lesson.learn(run)
    except StopRequested:
        raise ReconstructionInterrupted(
            f"{lesson.kept(states)} are kept in {kept_in}: continue with the same command and --resume."
        ) from None


def save_model(
    places: tuple[Path, Path], contents: tuple[bytes, bytes], beside: Mapping[Path, bytes] | None = None
) -> None:
    """Write a model's two files, and what goes with them: all on disk, then renamed.

    Should the renaming stop between the two, the description does not fit the weights, which loading notices.

    Args:
        places, contents: of description and weights.
        beside: further files and their contents.

    Raises:
        OutputError: no room or no permission; all files are as they were.
    """
    description, weights = zip(places, contents, strict=True)
    write_together(dict([weights, description]) | dict(beside or {}))


def path_beside(output: Path, suffix: str) -> Path:
    """What lies beside a model of that name, NAME and the suffix."""
    description, _ = model_paths(output)
    return description.with_name(f"{description.name.removesuffix('.json')}{suffix}")


def _check_places(places: tuple[Path, Path], kind: ModelKind) -> None:
    """Refuse to overwrite what is no model of this kind."""
    description, weights = places
    make_folder(description.parent)
    for path in places:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; choose another --output.")
    if weights.exists() and not description.exists():
        raise OutputError(f"{weights} was not left by a training; choose another --output, or move it away.")
    if description.exists():
        try:
            ours = json.loads(description.read_bytes()).get("format") == kind.words
        except (OSError, ValueError, AttributeError, RecursionError):
            ours = False
        if not ours:
            raise OutputError(f"{description} is no model of {kind.method}; choose another --output, or move it away.")
