"""The training of Pix2Pix, ready to begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.generation.crops import TrainingCrops
from fluosr.latent.degradation import Degradation
from fluosr.latent.pix2pix_model import KIND, Pix2PixKnowledge, TrainedPix2Pix
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.latent.pix2pix_training import Pix2PixRun, input_of
from fluosr.machine import refuse_beyond_memory
from fluosr.methods.base import Estimate, Run
from fluosr.methods.lesson import Lesson
from fluosr.networks.patch_discriminator import PatchDiscriminator
from fluosr.networks.pix2pix_generator import Pix2PixGenerator, widths_of

STAGE = "training"
SAFE_POINT = 4  # steps from one to the next
TRIED = 8  # steps after which the time is told
SHEET = 16  # crops
FLOAT_BYTES = 4
# Copies of each weight: itself, its gradient, two moments; all but the gradient twice more, for the checkpoint that is
# kept and the next one.
WEIGHT_COPIES = 10
# What is kept of a layer's features for gradients, and what there is besides: rounded up from what
# benchmarks/pix2pix_cost.py measures.
FEATURE_COPIES, BESIDES_BYTES = 16, 200 * 2**20


@dataclass(frozen=True, eq=False)
class LearntPix2Pix:
    """A trained model, and its log."""

    model: TrainedPix2Pix
    log: list[dict[str, Any]]


def bytes_needed(resolution: int, channels: int, parameters: Pix2PixTraining) -> int:
    """Memory of a training besides its crops, roughly."""
    shape = {"resolution": resolution, "channels": channels, "features": parameters.features}
    with torch.device("meta"):
        networks = Pix2PixGenerator(torch.Generator(), **shape), PatchDiscriminator(torch.Generator(), **shape)
    weights = sum(weight.numel() for network in networks for weight in network.parameters())
    widths = widths_of(resolution.bit_length() - 1, parameters.features)
    features = sum(width * (resolution >> number) ** 2 for number, width in enumerate([channels, *widths]))
    return BESIDES_BYTES + FLOAT_BYTES * (WEIGHT_COPIES * weights + FEATURE_COPIES * parameters.batch * features)


def lesson_of(
    crops: TrainingCrops,
    degradation: Degradation,
    parameters: Pix2PixTraining,
    *,
    on_log: Callable[[list[dict[str, Any]]], None] | None = None,
    on_samples: Callable[[np.ndarray, int], object] | None = None,
) -> Lesson[LearntPix2Pix]:
    """Learning from crops and the coarse images that a degradation makes of them.

    Args:
        crops: all of them are learnt from.
        degradation: D, for their resolution.
        parameters: what is learnt, and how.
        on_log: is given the log whenever it has grown.
        on_samples: is given (3 n, C, R, R) in the network's range, of n crops what the network is given, what it makes
            and the crop, and the number of pairs shown so far, at every look.

    Raises:
        MemoryLimitError: said when the learning begins.
        UsageError: a degradation for another resolution; the training diverges.
    """
    side, channels = crops.resolution, len(crops.channels)
    _check(degradation, side)
    needed = bytes_needed(side, channels, parameters) + crops.crops.nbytes  # they are put into the network's range

    def learn(run: Run) -> LearntPix2Pix:
        refuse_beyond_memory("this training", needed, run.device, "lower --batch or --features")
        data = torch.from_numpy(crops.levels.to_range(crops.crops))
        seed = run.stream_seed("steps") % 2**63
        training = Pix2PixRun(data, degradation, parameters, run.generator("weights"), seed, run.device)
        picked = data[torch.randperm(len(data), generator=run.generator("looks"))[:SHEET]]
        if (kept := run.recall(STAGE)) is not None:
            training.restore(kept)
        begun, started = training.steps, time.perf_counter()
        while True:
            if training.look_due and not (training.log and training.log[-1]["step"] == training.steps):
                training.note()
                if on_log is not None:
                    on_log(training.log)
                if on_samples is not None:
                    on_samples(_sheet(training, picked, run.generator("sheet noise")), training.seen)
            if training.finished:
                break
            if training.steps % SAFE_POINT == 0:
                run.keep(STAGE, training.tensors())
            training.step()
            if training.steps == begun + TRIED:
                each_s = (time.perf_counter() - started) / TRIED
                left = (parameters.images - training.seen) / parameters.batch
                run.estimate(Estimate(each_s * left, needed))
            run.progress(STAGE, min(training.seen, parameters.images), parameters.images)
        known = Pix2PixKnowledge(
            side,
            list(crops.channels),
            crops.levels.pairs.tolist(),
            degradation.factor,
            degradation.name,
            parameters.features,
            parameters.dropout,
            crops.pixel_size_nm,
            len(crops.crops),
            training.seen,
        )
        network = training.network.cpu().eval().requires_grad_(False)
        return LearntPix2Pix(TrainedPix2Pix(network, known), training.log)

    def files(made: LearntPix2Pix, record: dict[str, Any]) -> tuple[bytes, bytes]:
        return made.model.packed(record)

    def record(made: LearntPix2Pix) -> dict[str, Any]:
        return {"log": made.log}

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        steps = int(states[STAGE]["steps"]) if STAGE in states else 0
        return f"{steps * parameters.batch} pairs of training"

    facts = {
        "parameters": parameters.model_dump(mode="json"),
        "crops": crops.fingerprint,
        "channels": list(crops.channels),
        "factor": degradation.factor,
        "degradation": degradation.name,
    }
    return Lesson(KIND, facts, learn, files, record, kept)


def _check(degradation: Degradation, side: int) -> None:
    with suppress(RuntimeError):  # of matrices that do not fit
        if degradation(torch.zeros(1, 1, side, side)).shape[-1] * degradation.factor == side:
            return
    raise UsageError(f"the degradation was made for another side than the crops' {side} pixels: make it for theirs.")


@torch.no_grad()
def _sheet(training: Pix2PixRun, sharp: torch.Tensor, generator: torch.Generator) -> np.ndarray:
    """(3 n, C, R, R): of each crop what the network is given, what it makes, and the crop."""
    given = input_of(training.degradation(sharp), training.degradation.factor)
    noise = [values.to(training.device) for values in training.network.noise(len(sharp), generator)]
    made = training.network(given.to(training.device), noise).cpu()
    return torch.stack([given, made, sharp], 1).flatten(0, 1).numpy()
