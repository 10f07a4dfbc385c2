"""What training Pix2Pix costs on one thread: CPU seconds per 1000 pairs and memory.

``python benchmarks/pix2pix_cost.py``: half a minute.
"""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import torch
from tables import Table, store

from fluosr.latent.degradation import Bicubic
from fluosr.latent.pix2pix_lesson import bytes_needed
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.latent.pix2pix_training import Pix2PixRun
from fluosr.machine import peak_memory_mb, reset_peak_memory

CHANNELS, FACTOR = 3, 8
PAIRS = 64  # timed, and at least four steps
CASES = ((32, 16, 4), (64, 16, 4), (64, 16, 16), (64, 64, 4), (128, 16, 4))  # side, width, batch


def measured(side: int, features: int, batch: int) -> tuple[float, float, float]:
    """(CPU seconds per 1000 pairs, MB above what was held, MB as told to the user)."""
    torch.set_num_threads(1)
    given = Pix2PixTraining.model_validate({"features": features, "batch": batch})
    crops = torch.from_numpy(np.random.default_rng(0).normal(size=(64, CHANNELS, side, side)).astype(np.float32))
    reset_peak_memory()
    before = peak_memory_mb()
    training = Pix2PixRun(crops, Bicubic(side, FACTOR), given, torch.Generator().manual_seed(0), 0)
    training.step()  # the first takes longer
    kept = training.tensors()  # as a lesson keeps them
    steps = max(4, PAIRS // batch)
    started = time.process_time()
    for _ in range(steps):
        training.step()
    seconds = (time.process_time() - started) / (steps * batch) * 1000
    kept = training.tensors()
    memory = peak_memory_mb() - before
    del kept
    return seconds, memory, bytes_needed(side, CHANNELS, given) / 2**20


def main() -> None:
    table = Table(
        "Training Pix2Pix on one thread",
        ["side, px", "channels of the first layer", "batch", "CPU s per 1000 pairs", "peak memory, MB", "told, MB"],
        f"{CHANNELS} channels of the image, {FACTOR}x bicubic; generator, discriminator, and the making of the pairs. "
        "64 channels are the paper's. Peak memory holds two checkpoints, as a training does at most. CPU seconds: the "
        "machine had other work.",
    )
    # Each in a process of its own: memory that one gave back would hide what the next takes.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(measured, CASES, chunksize=1)
    for case, (seconds, memory, told) in zip(CASES, found, strict=True):
        table.rows.append([*case, round(seconds, 1), round(memory), round(told)])
    store("pix2pix_cost", "Cost of training Pix2Pix", [table], torch=torch.__version__)


if __name__ == "__main__":
    main()
