"""From pairs of frames and truth to the files of a trained model; stopped trainings are kept and resumed."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from fluosr import __version__, checkpoint
from fluosr.errors import OutputError, ReconstructionInterrupted
from fluosr.io.lock import only_run_in
from fluosr.io.model import save_model
from fluosr.io.write import make_folder
from fluosr.methods.base import Run, StopRequested
from fluosr.methods.unfolded.model_file import FORMAT, model_paths
from fluosr.methods.unfolded.network import UnfoldedGradient
from fluosr.methods.unfolded.pairs import Example, Pair, examples_of
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training import train
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.pipeline import choose_device, stop_on_signals


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model and where it lies.

    Args:
        network: with the best weights.
        history: losses before the first round and after each.
        best_round: whose weights these are.
        files: NAME.json, NAME.safetensors.
    """

    network: UnfoldedGradient
    history: dict[str, list[float]]
    best_round: int
    files: tuple[Path, Path]


def train_to_files(
    pairs: list[Pair],
    output: Path,
    physics: Physics,
    parameters: TrainingParameters,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    run: Run | None = None,
) -> TrainedModel:
    """Train and write NAME.json and NAME.safetensors; keep what there is in NAME.training when stopped.

    Args:
        pairs: see :class:`Pair`.
        output: NAME of the model. A model of that name is replaced.
        physics: of the pairs.
        parameters, seed, device: how to train.
        resume: go on from NAME.training.
        command: the command line, for the record.
        run: carries the progress callbacks; seed, device and checkpoints are set here.

    Raises:
        UsageError: pairs that do not fit each other or the physics.
        OutputError: the model cannot be written; said before computing where it can be known.
        CheckpointError: nothing to resume, or from another training.
        ReconstructionInterrupted: stopped on request.
    """
    examples = examples_of(pairs, physics)
    description, weights = model_paths(output)
    _check_place(description, weights)
    kept_in = description.with_name(f"{description.name.removesuffix('.json')}.training")
    make_folder(kept_in)
    with only_run_in(kept_in):
        run = run or Run()
        run.seed, run.device = seed, choose_device(device)
        facts = {
            "version": __version__,
            "parameters": parameters.model_dump(),
            "physics": physics.describe(),
            "seed": seed,
            "device": run.device,
            "threads": torch.get_num_threads(),
            "pairs": _fingerprint(examples),
        }
        if resume:
            run.states = checkpoint.load(kept_in, facts).states
        else:
            checkpoint.keep_aside(kept_in)
        states = run.states
        run.on_checkpoint = lambda states: checkpoint.save(kept_in, checkpoint.Checkpoint(states), facts)
        try:
            with stop_on_signals(run):
                made = train(examples, physics, parameters, run)
        except StopRequested:
            rounds = len(states["training"]["losses"]) - 1
            raise ReconstructionInterrupted(
                f"{rounds} rounds of training are kept in {kept_in}: continue with the same command and --resume."
            ) from None
        record = facts | {
            "pairs": {"names": [pair.name for pair in pairs], "images": len(examples), "sha256": facts["pairs"]},
            "history": {name: [v if math.isfinite(v) else None for v in curve] for name, curve in made.history.items()},
            "best_round": made.best_round,
            "learned": list(made.learned),
            "command": command,
        }
        files = save_model(output, made.network, record)
        checkpoint.remove(kept_in)
    with suppress(OSError):  # it still holds what was kept of a training that this one was begun over
        kept_in.rmdir()
    return TrainedModel(made.network, made.history, made.best_round, files)


def _check_place(description: Path, weights: Path) -> None:
    """Refuse to overwrite what is no model."""
    make_folder(description.parent)
    for path in (description, weights):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; choose another --output.")
    if weights.exists() and not description.exists():
        raise OutputError(f"{weights} was not left by a training; choose another --output, or move it away.")
    if description.exists():
        try:
            ours = json.loads(description.read_bytes()).get("format") == FORMAT
        except (OSError, ValueError, AttributeError, RecursionError):
            ours = False
        if not ours:
            raise OutputError(f"{description} is no model; choose another --output, or move it away.")


def _fingerprint(examples: list[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        for image in (example.frame, example.truth):
            digest.update(repr(tuple(image.shape)).encode() + image.contiguous().numpy().tobytes())
        digest.update(repr(example.background).encode())
    return digest.hexdigest()
