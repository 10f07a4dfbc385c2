"""The training of a restorer, ready to begin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.lesson import Lesson
from fluosr.networks.restorers import build_restorer, restorer_options
from fluosr.restoration.examples import Degrade, DegradedExamples, Examples, PairedExamples
from fluosr.restoration.fields import Field, refuse_leaks, split_fields
from fluosr.restoration.model import KIND, Knowledge, TrainedRestorer
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.perceptual import PerceptualLoss
from fluosr.restoration.training import Log, Training

STAGE = "training"
SAFE_POINT = 10  # steps from one to the next


@dataclass(frozen=True, eq=False)
class LearntRestorer:
    """A trained model, and its log."""

    model: TrainedRestorer
    log: Log


def lesson_of(
    fields: Sequence[Field],
    scale: int,
    parameters: RestorationTraining,
    *,
    validation: Sequence[Field] = (),
    start: TrainedRestorer | None = None,
    degrade: Degrade | None = None,
    degradation: Mapping[str, Any] | None = None,
    pixel_size_nm: float | None = None,
    perceptual: PerceptualLoss | None = None,
    on_log: Callable[[list[dict[str, Any]]], None] | None = None,
) -> Lesson[LearntRestorer]:
    """Learning from fields.

    Args:
        fields: with frames for the paired arm, good images alone for the others.
        validation: fields that are only looked at; where none are given, some are kept aside.
        scale: s.
        parameters: what is learnt, and how.
        start: a model whose weights the training begins with; by default they are drawn.
        degrade: makes bad images from good ones, for the arms that need it.
        degradation: what it does, as plain values, for the record.
        pixel_size_nm: of the bad images, where known.
        perceptual: a further loss of the second stage.
        on_log: is given the log whenever it has grown.

    Raises:
        UsageError: fields that leak or do not fit, no such network, another network or scale than the model to begin
            with has, a patch larger than an image, a perceptual loss that is named but not given.
    """
    if (parameters.arm == "paired") != (degrade is None):
        raise UsageError(f"the arm {parameters.arm!r} and what makes the bad images do not go together.")
    if (parameters.perceptual is None) != (perceptual is None):
        raise UsageError("a perceptual loss needs both: its weights, and the parameter that names their file.")
    refuse_leaks({"training": fields, "validation": validation})
    options = {"blocks": parameters.blocks, "features": parameters.features}
    given = {name: value for name, value in options.items() if value is not None}
    if start is not None:
        _refuse_another(start.knowledge, parameters.network, scale, given)
        given = start.knowledge.options
    chosen = restorer_options(parameters.network, given).model_dump()

    def examples_of(some: Sequence[Field]) -> Examples:
        if degrade is None:
            return PairedExamples(some, scale, augment=bool(parameters.augment))
        return DegradedExamples(some, scale, degrade, augment=parameters.augment is not False)

    def learn(run: Run) -> LearntRestorer:
        learnt, looked_at = list(fields), list(validation)
        if not looked_at:
            split = np.random.default_rng(run.stream_seed("split"))
            learnt, looked_at = split_fields(fields, parameters.validation_share, split)
        weights, looks, steps = (run.generator(name) for name in ("weights", "looks", "steps"))
        network = build_restorer(parameters.network, weights, scale, options=chosen)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        pairs = examples_of(looked_at).whole(looks) if looked_at else []
        training = Training(network, examples_of(learnt), pairs, parameters, steps, run.device, perceptual)
        if (kept := run.recall(STAGE)) is not None:
            training.restore(kept)
        told, total = 0, parameters.iterations + parameters.gan_iterations
        while not training.finished:
            training.step()
            if on_log is not None and len(training.log.entries) > told:
                on_log(training.log.entries)
            told = len(training.log.entries)
            run.progress(STAGE, training.steps, total)
            if training.steps % SAFE_POINT == 0:
                run.keep(STAGE, training.tensors())
        known = Knowledge(parameters.network, chosen, scale, parameters.arm, pixel_size_nm, len(learnt))
        return LearntRestorer(TrainedRestorer(training.result().cpu(), known), training.log)

    def files(made: LearntRestorer, record: dict[str, Any]) -> tuple[bytes, bytes]:
        return made.model.packed(record)

    def record(made: LearntRestorer) -> dict[str, Any]:
        return {"log": made.log.entries}

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        return f"{int(states[STAGE]['counts'][0]) if STAGE in states else 0} steps of training"

    facts = {
        "parameters": parameters.model_dump(mode="json"),
        "scale": scale,
        "start": None if start is None else start.fingerprint,
        "degradation": dict(degradation or {}),
        "perceptual": None if perceptual is None else perceptual.fingerprint,
        "fields": {field.name: _fingerprint(field) for field in fields},
        "validation": {field.name: _fingerprint(field) for field in validation},
    }
    return Lesson(KIND, facts, learn, files, record, kept)


def _refuse_another(known: Knowledge, network: str, scale: int, options: Mapping[str, Any]) -> None:
    other = {name: value for name, value in options.items() if known.options.get(name) != value}
    if known.network != network or known.scale != scale or other:
        has = ", ".join(f"{name} {value}" for name, value in known.options.items())
        raise UsageError(
            f"the model to begin with is {known.network} ({has}) at scale {known.scale}: give --network "
            f"{known.network} --scale {known.scale}, and leave its other options away."
        )


def _fingerprint(field: Field) -> str:
    arrays = [field.high] if field.low is None else [field.high, field.low]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]
