"""The training of a generator, ready to begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fluosr.generation.crops import TrainingCrops
from fluosr.generation.judging import SampleJudge, made_of
from fluosr.generation.model import KIND, Knowledge, TrainedGenerator
from fluosr.generation.parameters import GeneratorTraining
from fluosr.generation.probability import LEAKS_ABOVE
from fluosr.generation.training import Training
from fluosr.machine import refuse_beyond_memory
from fluosr.methods.base import Estimate, Run
from fluosr.methods.lesson import Lesson
from fluosr.networks.stylegan2_generator import channels_at, sides_to

STAGE = "training"
SAFE_POINT = 4  # steps from one to the next
SHEET = 64  # samples
FLOAT_BYTES = 4
# Copies of each weight: itself, its gradient, two moments, the average, and most of these twice for checkpoints.
WEIGHT_COPIES = 12
# What is kept of a layer's features for gradients, and what there is besides: rounded up from what
# benchmarks/generator_cost.py measures.
FEATURE_COPIES, BESIDES_BYTES = 16, 200 * 2**20


@dataclass(frozen=True, eq=False)
class LearntGenerator:
    """A trained model, and its log."""

    model: TrainedGenerator
    log: list[dict[str, Any]]

    @property
    def warnings(self) -> list[str]:
        """What its user should know of it, by its log."""
        leaky = [entry for entry in self.log if entry["augmentation"] > LEAKS_ABOVE]
        if not leaky:
            return []
        highest = max(entry["augmentation"] for entry in leaky)
        return [
            f"the probability of augmentation rose to {highest:.2f} (above {LEAKS_ABOVE:g} from {leaky[0]['images']} "
            "crops on): the generator may make crops that are turned, scaled or brightened as none of yours. Look at "
            "the samples. The crops are too few for so long a training: more crops, or fewer --images."
        ]


def bytes_needed(resolution: int, parameters: GeneratorTraining) -> int:
    """Memory of a training besides its crops, roughly."""
    sides = sides_to(resolution)
    widths = [channels_at(side, parameters.features) for side in sides]
    weights = sum(2 * 2 * 9 * width**2 for width in widths) + parameters.latent_features * 2 * sum(widths)
    features = sum(width * side**2 for width, side in zip(widths, sides, strict=True))
    return BESIDES_BYTES + FLOAT_BYTES * (WEIGHT_COPIES * weights + FEATURE_COPIES * parameters.batch * features)


def lesson_of(
    crops: TrainingCrops,
    parameters: GeneratorTraining,
    *,
    on_log: Callable[[list[dict[str, Any]]], None] | None = None,
    on_samples: Callable[[np.ndarray, int], object] | None = None,
) -> Lesson[LearntGenerator]:
    """Learning a generator from crops.

    Args:
        crops: all of them are learnt from.
        parameters: what is learnt, and how.
        on_log: is given the log whenever it has grown.
        on_samples: is given samples (64, C, R, R) in the network's range, always of the same codes, and the number of
            crops shown so far, at every look.

    Raises:
        MemoryLimitError: said when the learning begins.
        UsageError: the training diverges.
    """
    needed = bytes_needed(crops.resolution, parameters) + crops.crops.nbytes  # they are put into the network's range

    def learn(run: Run) -> LearntGenerator:
        refuse_beyond_memory("this training", needed, run.device, "lower --batch or --features")
        looks = run.generator("looks")
        codes = torch.randn(SHEET, parameters.latent_features, generator=looks)
        data = crops.levels.to_range(crops.crops)
        judge = SampleJudge(data, parameters.score_images, parameters.latent_features, looks)
        seed = run.stream_seed("steps") % 2**63
        training = Training(torch.from_numpy(data), parameters, run.generator("weights"), seed, run.device)
        if (kept := run.recall(STAGE)) is not None:
            training.restore(kept)
        begun, started = training.steps, time.perf_counter()
        tried = parameters.r1_interval  # steps, so that each regularisation had its turn
        while True:
            if training.look_due and not (training.log and training.log[-1]["step"] == training.steps):
                training.note(judge.scores(training.average))
                if on_log is not None:
                    on_log(training.log)
                if on_samples is not None:
                    on_samples(made_of(training.average, codes), training.seen)
            if training.finished:
                break
            if training.steps % SAFE_POINT == 0:
                run.keep(STAGE, training.tensors())
            training.step()
            if training.steps == begun + tried:
                each_s = (time.perf_counter() - started) / tried
                left = (parameters.images - training.seen) / parameters.batch
                run.estimate(Estimate(each_s * left, needed))
            run.progress(STAGE, min(training.seen, parameters.images), parameters.images)
        known = Knowledge(
            crops.resolution,
            list(crops.channels),
            crops.levels.pairs.tolist(),
            parameters.latent_features,
            parameters.mapping_depth,
            parameters.features,
            crops.pixel_size_nm,
            len(crops.crops),
            training.seen,
        )
        return LearntGenerator(TrainedGenerator(training.average.cpu(), known), training.log)

    def files(made: LearntGenerator, record: dict[str, Any]) -> tuple[bytes, bytes]:
        return made.model.packed(record)

    def record(made: LearntGenerator) -> dict[str, Any]:
        return {"log": made.log}

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        steps = int(states[STAGE]["steps"]) if STAGE in states else 0
        return f"{steps * parameters.batch} crops of training"

    facts = {
        "parameters": parameters.model_dump(mode="json"),
        "crops": crops.fingerprint,
        "channels": list(crops.channels),
    }
    return Lesson(KIND, facts, learn, files, record, kept)
