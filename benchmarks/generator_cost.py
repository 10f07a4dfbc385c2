"""What training a generator costs on one thread, beside figures of another implementation: CPU seconds and memory.

``python benchmarks/generator_cost.py`` for 32 and 64 pixels, a minute; ``--all`` for 128 too.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from tables import Table, store

from fluosr.generation.lesson import bytes_needed
from fluosr.generation.parameters import GeneratorTraining
from fluosr.generation.training import Training
from fluosr.machine import peak_memory_mb, reset_peak_memory

BATCH, FEATURES = 16, 64
ANCHORS_S = {32: 24.0, 64: 89.0, 128: 175.0}  # seconds per 1000 images, one thread, batch 16
STEPS = 16  # one round of lazy regularisation: four path lengths, one R1
PROBABILITY = 0.2  # of augmentation: its cost is there as soon as it is not 0


def measured(side: int) -> tuple[float, float, float]:
    """(CPU seconds per 1000 images, MB above what was held, MB as told to the user) at a side."""
    given = GeneratorTraining.model_validate({"batch": BATCH, "features": FEATURES})
    crops = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 3, side, side)).astype(np.float32))
    reset_peak_memory()
    before = peak_memory_mb()
    training = Training(crops, given, torch.Generator().manual_seed(0), 0)
    training.ada.probability = PROBABILITY
    training.step()  # the first takes longer
    training.steps = 0
    started = time.process_time()
    for _ in range(STEPS):
        training.step()
    seconds = (time.process_time() - started) / (STEPS * BATCH) * 1000
    return seconds, peak_memory_mb() - before, bytes_needed(side, given) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="128 pixels too")
    sides = [32, 64, 128] if parser.parse_args().all else [32, 64]
    torch.set_num_threads(1)
    table = Table(
        "Training a generator on one thread",
        ["side, px", "CPU s per 1000 images", "anchor, s", "ratio", "peak memory, MB", "estimate told, MB"],
        f"Batch {BATCH}, 3 channels, {FEATURES} channels in every layer, codes of 512; {STEPS} steps, which hold four "
        "path length and one R1 regularisation, augmentation on. The anchors are another implementation's, batch 16, "
        "one thread of another machine, its channels not said: from 64 to 128 px they double where the work at equal "
        "channels is fourfold, so its layers of 128 px must have fewer. CPU seconds: the machine had other work.",
    )
    for side in sides:
        seconds, memory, told = measured(side)
        table.rows.append([side, round(seconds, 1), ANCHORS_S[side], seconds / ANCHORS_S[side], memory, told])
    store("generator_cost", "Cost of training a generator", [table], torch=torch.__version__)


if __name__ == "__main__":
    main()
