"""The training of Deep-STORM, ready to begin."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from fluosr.machine import refuse_beyond_memory
from fluosr.methods.base import Estimate, Run
from fluosr.methods.deep_storm.examples import Instrument, draw_examples
from fluosr.methods.deep_storm.model import KIND, TrainedDeepStorm
from fluosr.methods.deep_storm.parameters import DeepStormTraining
from fluosr.methods.deep_storm.training import SAFE_POINT, Schedule, Training, bytes_needed
from fluosr.methods.lesson import Lesson

STAGE = "training"
TRIED = 2  # steps before it is said how long all take


@dataclass(frozen=True, eq=False)
class LearntDeepStorm:
    """A trained model, and the held-out loss on the way to it."""

    model: TrainedDeepStorm
    curve: list[float]


def lesson_of(
    pixel_size_nm: float, fwhm_nm: float, factor: int, parameters: DeepStormTraining
) -> Lesson[LearntDeepStorm]:
    """Learning from simulated frames of one microscope.

    Args:
        pixel_size_nm, fwhm_nm: of the microscope; a Gaussian PSF.
        factor: L, fine pixels per camera pixel.
        parameters: what the frames show, and how long to learn.

    Raises:
        UsageError: an instrument that cannot be.
        OpticsError: a PSF that does not fit the pixel or the examples.
        MemoryLimitError: said when the learning begins.
    """
    instrument = Instrument(
        pixel_size_nm,
        fwhm_nm,
        factor,
        (parameters.least_density, parameters.most_density),
        parameters.photons,
        parameters.photon_spread,
        (parameters.least_background, parameters.most_background),
        parameters.read_noise,
    )
    schedule = Schedule(
        parameters.iterations, parameters.batch, parameters.side_px, parameters.learning_rate, parameters.filters
    )

    needed = bytes_needed(factor, schedule)

    def learn(run: Run) -> LearntDeepStorm:
        what = (
            f"training with {schedule.filters} filters on {schedule.batch} examples of {schedule.side_px} x "
            f"{schedule.side_px} pixels at factor {factor}"
        )
        refuse_beyond_memory(what, needed, run.device, "lower --batch, --side-px, --factor or --filters")
        seed = run.stream_seed("deep-storm") % 2**63
        training = Training(partial(draw_examples, instrument), factor, schedule, seed, run.device)
        if (kept := run.recall(STAGE)) is not None:
            training.restore(kept)
        begun = training.iteration
        while not training.finished:
            started = time.perf_counter()
            training.step()
            if training.iteration == begun + TRIED:  # the first step takes longer
                each_s = time.perf_counter() - started
                run.estimate(Estimate(each_s * (schedule.iterations - training.iteration), needed))
            run.progress(STAGE, training.iteration, schedule.iterations)
            if training.iteration % SAFE_POINT == 0:
                run.keep(STAGE, training.tensors())
        return LearntDeepStorm(TrainedDeepStorm(training.best_network(), instrument, schedule.filters), training.curve)

    def files(made: LearntDeepStorm, record: dict[str, Any]) -> tuple[bytes, bytes]:
        return made.model.packed(record)

    def record(made: LearntDeepStorm) -> dict[str, Any]:
        return {"held_out_loss": [value if math.isfinite(value) else None for value in made.curve]}

    def kept(states: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        return f"{int(states[STAGE]['iteration']) if STAGE in states else 0} steps of training"

    facts = {"instrument": asdict(instrument), "parameters": parameters.model_dump()}
    return Lesson(KIND, facts, learn, files, record, kept)
