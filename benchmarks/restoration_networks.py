"""Which network: each learns from the same recorded pairs in the same steps; how good it is, and what restoring costs.

The pairs are those of the set MITO in ``restoration_tables.py``. A network a cell, kept in a file of their own, so that
a run can be stopped and taken up; RRDB-23 takes the better part of an hour. ``--networks nafnet,span`` asks for some.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from restoration_tables import EDITION as DATA_EDITION
from restoration_tables import PIXEL_NM, SCALE, fields
from tables import Cells, Table, store

import fluosr
from fluosr.methods.base import Run
from fluosr.networks.restorers import build_restorer
from fluosr.quality.score_table import MethodScores
from fluosr.restoration.judging import judged, restored_by, table_of
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.tiles import restore

EDITION = 1
NETWORKS = ("nafnet", "span", "rrdb-6", "rrdb-23")
TRAINING = {"iterations": 1200, "evaluation": 200, "batch": 8, "patch": 24, "validation_share": 0.0}
SIDE = 512  # of the image whose restoration is timed
TIMES = 3  # that it is, one network after another in each round


def key(network: str) -> str:
    """What a cell is cached under."""
    return f"{DATA_EDITION}.{EDITION} {network}"


def run(network: str) -> dict[str, Any]:
    """Learn, restore the test fields, judge."""
    lesson = lesson_of(
        list(fields("MITO", "training")),
        SCALE,
        RestorationTraining(arm="paired", network=network, **TRAINING),
        validation=list(fields("MITO", "validation")),
        pixel_size_nm=PIXEL_NM,
    )
    started = time.process_time()
    found = lesson.learn(Run(seed=0))
    learning_s = time.process_time() - started
    scores, _ = judged(restored_by(found.model.network), fields("MITO", "test"))
    return {
        "learning_s": learning_s,
        "steps": max(entry["step"] for entry in found.log.entries),
        "fields": scores.fields.tolist(),
        "metrics": {name: values.tolist() for name, values in scores.metrics.items()},
    }


def seconds(networks: list[str]) -> dict[str, list[float]]:
    """CPU-s for one image of 512 x 512 pixels to 1024 x 1024, networks side by side in each round."""
    image = np.random.default_rng(0).uniform(size=(SIDE, SIDE)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    built = {name: build_restorer(name, generator, SCALE) for name in networks}
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(TIMES):
        for name, network in built.items():
            started = time.process_time()
            restore(network.eval(), image)
            taken[name].append(time.process_time() - started)
    return taken


def tables(found: dict[str, dict[str, Any]], taken: dict[str, list[float]]) -> list[Table]:
    """One row a network."""
    generator = torch.Generator().manual_seed(0)
    there = [name for name in NETWORKS if key(name) in found]
    scores = {
        name: MethodScores(
            np.array(found[key(name)]["fields"]),
            {metric: np.array(values) for metric, values in found[key(name)]["metrics"].items()},
        )
        for name in there
    }
    made = table_of(scores, 0)
    slowest = max(taken, key=lambda name: float(np.median(taken[name])))
    shown = Table(
        "Networks after the same steps on the same pairs",
        (
            *("", "parameters", *made.metrics, "steps", "training, CPU-s"),
            *("512 -> 1024, CPU-s", f"times less than {slowest}"),
        ),
        f"MITO, paired arm, scale {SCALE}, seed 0: at most {TRAINING['iterations']} steps of {TRAINING['batch']} "
        f"patches of {TRAINING['patch']} x {TRAINING['patch']} pixels on the absolute error, all else at its default, "
        "the rate of learning too: it suits the light ones, and none was looked for for the others. Means over 8 test "
        f"fields with 95 % intervals. Restoring: the median (least to largest) of {TIMES} rounds in one run, one "
        "thread.",
    )
    reference = float(np.median(taken[slowest]))
    for name in there:
        network = build_restorer(name, generator, SCALE)
        own, cell = taken[name], found[key(name)]
        row = [
            f"{value.interval.value:.4g} ({value.interval.low:.4g} to {value.interval.high:.4g})"
            for value in (made.cells[name][metric] for metric in made.metrics)
        ]
        shown.rows.append(
            [
                *(name, f"{sum(p.numel() for p in network.parameters()):,}", *row),
                *(cell["steps"], f"{cell['learning_s']:.0f}"),
                f"{np.median(own):.1f} ({min(own):.1f} to {max(own):.1f})",
                f"{reference / np.median(own):.1f}",
            ]
        )
    return [shown]


def main() -> None:
    """Run what is missing, then store the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no network after so many; 0: run all")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="with commas")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = Cells("restoration_networks", arguments.minutes)
    found.fill(
        ((key(name), partial(run, name)) for name in arguments.networks.split(",")),
        lambda cell: {name: float(np.mean(values)) for name, values in cell["metrics"].items()},
    )
    if found:
        made = tables(found, seconds(list(NETWORKS)))
        store("restoration_networks", "The choice of the default network", made, version=fluosr.__version__)


if __name__ == "__main__":
    main()
