"""From a lesson to the files of a trained model; stopped trainings are kept and resumed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import torch

from fluosr import __version__, checkpoint
from fluosr.errors import OutputError, ReconstructionInterrupted
from fluosr.io.lock import only_run_in
from fluosr.io.write import make_folder, write_bytes
from fluosr.methods.base import Run, StopRequested
from fluosr.methods.lesson import Lesson, Made
from fluosr.methods.trained_model import ModelKind, model_paths
from fluosr.pipeline import choose_device, stop_on_signals


def train_to_files(
    lesson: Lesson[Made],
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    run: Run | None = None,
) -> tuple[Made, tuple[Path, Path]]:
    """Train and write NAME.json and NAME.safetensors; keep what there is in NAME.training when stopped.

    Args:
        lesson: what is to be learnt.
        output: NAME of the model. A model of that name and kind is replaced.
        seed, device: of the training.
        resume: go on from NAME.training.
        command: the command line, for the record.
        run: carries the progress callbacks; seed, device and checkpoints are set here.

    Returns:
        What was learnt, and where it lies.

    Raises:
        OutputError: the model cannot be written; said before computing where it can be known.
        CheckpointError: nothing to resume, or from another training.
        ReconstructionInterrupted: stopped on request.
        FluosrError: whatever the lesson raises.
    """
    places = model_paths(output)
    computed_on = choose_device(device)
    _check_places(places, lesson.kind)
    kept_in = places[0].with_name(f"{places[0].name.removesuffix('.json')}.training")
    make_folder(kept_in)
    try:
        with only_run_in(kept_in):
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
            states = run.states
            run.on_checkpoint = lambda states: checkpoint.save(kept_in, checkpoint.Checkpoint(states), facts)
            try:
                with stop_on_signals(run):
                    made = lesson.learn(run)
            except StopRequested:
                raise ReconstructionInterrupted(
                    f"{lesson.kept(states)} are kept in {kept_in}: continue with the same command and --resume."
                ) from None
            save_model(places, lesson.files(made, facts | lesson.record(made) | {"command": command}))
            checkpoint.remove(kept_in)
    finally:
        with suppress(OSError):  # it holds what was kept of this training, or of one that this was begun over
            kept_in.rmdir()
    return made, places


def save_model(places: tuple[Path, Path], contents: tuple[bytes, bytes]) -> None:
    """Write a model's two files, each beside its name, then renamed.

    Should the writing stop between the two, the description does not fit the weights, which loading notices.

    Args:
        places, contents: of description and weights.

    Raises:
        OutputError: no room or no permission; the file that could not be written is as it was.
    """
    for place, data in reversed(list(zip(places, contents, strict=True))):
        write_bytes(place, data)


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
