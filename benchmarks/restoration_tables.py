"""The restoration benchmark of Cooper et al. as a protocol on simulated video-rate confocal: arms, zero-shot, few-shot.

Cells are run in the order of what they decide and kept in a file of their own, so that a run can be stopped and taken
up: the tables are made of what there is. ``--minutes 60`` stops after an hour.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import RESULTS, Cells, Table, store

import fluosr
from fluosr.acquisition import ArrayFrames
from fluosr.corrections.repeats import open_repeats
from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.io.arms import chosen_arm
from fluosr.io.scan_calibration import calibrate, write_calibration
from fluosr.learning import save_model
from fluosr.methods.base import Run
from fluosr.methods.trained_model import model_paths
from fluosr.quality.features import RandomConvolutions
from fluosr.quality.niqe import NiqeReference
from fluosr.quality.niqe import fit as fit_niqe
from fluosr.quality.score_table import MethodScores
from fluosr.restoration.few_shot import pairs_of
from fluosr.restoration.fields import Field
from fluosr.restoration.judging import Make, distances, enlarged_mean, judged, restored_by, table_of
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.model import TrainedRestorer, load_restorer
from fluosr.restoration.parameters import RestorationTraining
from fluosr.simulate.confocal_fields import ConfocalField

MODELS = RESULTS / "restoration_tables.models"
EDITION = 2  # of data and settings: cells of another one are run anew
SIDE, SCALE, PIXEL_NM = 256, 2, 180.0
SETS = {"MITO": "mitochondria", "MPM": "multiphoton", "MEM": "membranes", "NUC": "nuclei"}
FIELDS = {"training": 12, "validation": 4, "test": 8}
FIRST_SEED = {"training": 0, "validation": 100, "test": 200}
REPEATS = {"training": 100, "validation": 1, "test": 5}
CALIBRATED_ON, CALIBRATED_REPEATS = 4, 10  # training fields, repeats of each
SHOTS = (200, 400, 800, None)
BLOCK_PX = 48  # of NIQE: at 96 few fields have blocks enough
BASE = {"iterations": 1500, "evaluation": 150, "validation_share": 0.0, "seed": 0}
TUNED = {"iterations": 400, "evaluation": 100, "learning_rate": 3e-4, "validation_share": 0.0}
SEEDS = (0, 1, 2)


def microscope(name: str) -> ScanningMicroscope:
    """The fast scan; the deep arm has half the light, more background and a wider PSF."""
    deep = name == "MPM"
    return ScanningMicroscope(
        pixel_size_nm=PIXEL_NM,
        fwhm_nm=320.0 if deep else 250.0,
        dose_photons=1.5 if deep else 3.0,
        factor=SCALE,
        background_photons=0.6 if deep else 0.3,
        phase_px=0.6,
        jitter_px=0.12,
        lag_px=0.6,
        gain_adu_per_e=40.0,
        excess_noise=1.3,
        offset_adu=100.0,
        read_noise_adu=8.0,
    )


@dataclass(frozen=True)
class Cell:
    """One training or baseline, judged on the test fields of one set.

    Args:
        name: of the row.
        tested: the set.
        arm: of a training, or "" for a baseline.
        pairs: of the set that the base is trained on further; 0: the base as it is; None: all.
        seed: of the training.
    """

    name: str
    tested: str
    arm: str = ""
    pairs: int | None = 0
    seed: int = 0

    @property
    def key(self) -> str:
        """What it is cached under."""
        return f"{EDITION} {self.tested} {self.name} {self.seed}"


def cells() -> list[Cell]:
    """All, those that decide first."""
    made = [Cell(f"{arm} arm", "MITO", arm, None) for arm in ("paired", "physics", "synthetic")]
    made += [Cell(name, own) for own in SETS for name in BASELINES]
    made += [Cell("GAN", "MITO", "gan", None)]
    made += [
        Cell(f"{arm} arm", "MITO", arm, None, seed) for seed in SEEDS[1:] for arm in ("physics", "paired", "synthetic")
    ]
    for own in ("NUC", "MEM", "MPM"):
        made.append(Cell("zero-shot", own, "base"))
        made += [Cell("all pairs" if n is None else f"{n} pairs", own, "tuned", n) for n in SHOTS]
    return made


@cache
def fields(name: str, split: str) -> tuple[Field, ...]:
    """The fields of a set and a split; each seed is another place."""
    fast = microscope(name)
    made = []
    for number in range(FIELDS[split]):
        one = ConfocalField(SETS[name], (SIDE, SIDE), fast, seed=FIRST_SEED[split] + number)
        low = one.fast_frames(REPEATS[split]).astype(np.float32)
        made.append(Field(f"{name} {split} {number}", one.slow_frame().astype(np.float32), low))
    return tuple(made)


@cache
def calibration() -> Path:
    """Of MITO's fast scans, from repeats of some training fields alone: the truth is not asked."""
    repeats = [
        open_repeats(ArrayFrames(field.low[:CALIBRATED_REPEATS]), field.name)
        for field in fields("MITO", "training")[:CALIBRATED_ON]
        if field.low is not None
    ]
    path = MODELS / "calibration.json"
    write_calibration(path, calibrate(repeats, offset_adu=None))
    return path


@cache
def niqe(name: str) -> NiqeReference:
    """Of the good images of a set's training fields."""
    pictures = [field.high for field in fields(name, "training")]
    return fit_niqe(pictures, name=f"{name}, training fields", pixel_size_nm=PIXEL_NM / SCALE, block_px=BLOCK_PX)


BASELINES: dict[str, int] = {"bicubic": 1, "mean of 5, bicubic": 5}


def trained(cell: Cell) -> TrainedRestorer:
    """The cell's model, from its file where it was trained before."""
    name = MODELS / f"{EDITION}-{cell.tested}-{cell.arm}-{cell.pairs}-{cell.seed}"
    if model_paths(name)[0].exists():
        return load_restorer(name)
    if cell.arm == "base":
        return trained(Cell("paired arm", "MITO", "paired", None))
    start, more, learnt = None, {}, list(fields(cell.tested, "training"))
    values = {key: value for key, value in BASE.items() if key != "seed"}
    arm = "paired" if cell.arm in ("tuned", "gan") else cell.arm
    if cell.arm == "tuned":
        start, values = trained(Cell("paired arm", "MITO", "paired", None)), TUNED
        if cell.pairs is not None:
            learnt = pairs_of(learnt, cell.pairs, np.random.default_rng([7, cell.pairs]))
    if cell.arm == "gan":
        start = trained(Cell("paired arm", "MITO", "paired", None))
        more = {"iterations": 1, "gan_iterations": 400, "discriminator_features": 24}
    if arm != "paired":
        learnt = [Field(field.name, field.high) for field in learnt]
    physics = {"calibration": calibration(), "pixel_size_nm": PIXEL_NM} if arm == "physics" else {}
    made = chosen_arm(arm, learnt, SCALE, **physics)
    looked_at = list(fields(cell.tested, "validation"))
    if arm != "paired":  # what a user of that arm has: good images, whose bad ones are made as those learnt from
        looked_at = [Field(field.name, field.high) for field in looked_at]
    lesson = lesson_of(
        learnt,
        SCALE,
        RestorationTraining(arm=arm, **(values | more)),
        validation=looked_at,
        start=start,
        degrade=made.degrade,
        degradation=made.facts,
        pixel_size_nm=PIXEL_NM,
    )
    started = time.process_time()
    found = lesson.learn(Run(seed=cell.seed))
    record = {"log": found.log.entries, "learning_s": time.process_time() - started}
    save_model(model_paths(name), found.model.packed(record))
    return load_restorer(name)


def run(cell: Cell) -> dict[str, Any]:
    """Train where needed, restore the test fields, judge."""
    record: dict[str, Any] = {}
    if cell.arm:
        model = trained(cell)
        record = model.record or {}
        make: Make = restored_by(model.network)
    else:
        make = enlarged_mean(BASELINES[cell.name], SCALE)
    test = fields(cell.tested, "test")
    started = time.process_time()
    scores, pictures = judged(make, test, niqe=niqe(cell.tested))
    return {
        "learning_s": record.get("learning_s"),  # of a model that was there already too, without simulating its fields
        "judging_s": time.process_time() - started,
        "log": record.get("log", []),
        "fields": scores.fields.tolist(),
        "metrics": {name: values.tolist() for name, values in scores.metrics.items()},
        "distances": dict(distances(pictures, test, RandomConvolutions(), np.random.default_rng(0))),
    }


def table(tested: str, found: dict[str, dict[str, Any]], title: str, note: str) -> Table:
    """One set: a row for each method, means over fields with 95 % intervals."""
    there = [cell for cell in cells() if cell.tested == tested and cell.key in found]
    names = {cell.key: cell.name if not cell.seed else f"{cell.name}, seed {cell.seed}" for cell in there}
    scores = {
        names[cell.key]: MethodScores(
            np.array(found[cell.key]["fields"]),
            {metric: np.array(values) for metric, values in found[cell.key]["metrics"].items()},
        )
        for cell in there
    }
    if not scores:
        return Table(title, ())
    made = table_of(scores, 0)
    others = list(found[there[0].key]["distances"])
    shown = Table(title, ("", *made.metrics, *others, "training, CPU-s"), note)
    for cell in there:
        row = [
            f"{value.interval.value:.4g} ({value.interval.low:.4g} to {value.interval.high:.4g})"
            for value in (made.cells[names[cell.key]][metric] for metric in made.metrics)
        ]
        rest = [f"{found[cell.key]['distances'][name]:.3g}" for name in others]
        seconds = found[cell.key].get("learning_s")
        shown_s = "" if seconds is None or cell.arm == "base" else f"{seconds:.0f}"
        shown.rows.append([names[cell.key], *row, *rest, shown_s])
    return shown


def differences(found: dict[str, dict[str, Any]]) -> Table:
    """The arms against the physics arm, field by field, seed by seed."""
    shown = Table(
        "MITO: the physics arm less the others, field by field",
        ("seed", "less", "PSNR after gain and offset, dB", "SSIM after gain and offset"),
        "Means over test fields of the difference, with 95 % intervals: what fields have in common cancels.",
    )
    for seed in SEEDS:
        keys = {arm: Cell(f"{arm} arm", "MITO", arm, None, seed).key for arm in ("physics", "paired", "synthetic")}
        if keys["physics"] not in found:
            continue
        scores = {
            arm: MethodScores(
                np.array(found[key]["fields"]), {m: -np.array(v) for m, v in found[key]["metrics"].items()}
            )
            for arm, key in keys.items()
            if key in found
        }
        against = table_of(scores, 0).against("physics", generator=np.random.default_rng(0))
        for arm, row in against.cells.items():
            values = [row[name].interval for name in shown.columns[2:]]
            shown.rows.append([seed, arm, *(f"{v.value:+.3f} ({v.low:+.3f} to {v.high:+.3f})" for v in values)])
    return shown


def tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    """The paper's tables II to VI as far as there is anything, and the arms against each other."""
    counts = ", ".join(f"{FIELDS[split]} {split} fields of {REPEATS[split]} frames" for split in FIELDS)
    note = (
        f"Simulated video-rate confocal, {SIDE} x {SIDE} pixels of {PIXEL_NM:g} nm, beside a slow scan of twice the "
        f"pixels along each side with 62 times the photons in each: {counts} (the paper: 36, 11 and 3 fields of 100 "
        "frames for MITO). The default network; mean absolute error alone unless it says GAN. PSNR and SSIM after the "
        f"best gain and offset of each picture. NIQE in blocks of {BLOCK_PX} pixels. FID rises as pictures grow fewer, "
        f"and the mean of 5 has one a field where the others have {REPEATS['test']}: compare its KID. Otherwise than "
        "in the paper nothing was learnt from photographs first, the synthetic arm is stopped by degraded good images "
        "and not by recorded frames, and there are no rows of few pairs of MITO."
    )
    made = [
        table("MITO", found, "MITO: the arms, and what they must beat (the paper's table II and VI)", note),
        differences(found),
    ]
    for number, own in zip(("III", "IV", "V"), ("MPM", "MEM", "NUC"), strict=True):
        title = f"{own}: the base of MITO, as it is and trained further (the paper's table {number})"
        note = (
            f"As above; the base is the paired arm of MITO, seed 0. It is trained further for {TUNED['iterations']} "
            f"steps from a rate of {TUNED['learning_rate']:g} on, less than the base itself was (in the paper as much)."
        )
        made.append(table(own, found, title, note))
    return [one for one in made if one.rows]


def main() -> None:
    """Run what is missing, then store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    parser.add_argument("--only", default="", help="sets, with commas; 'none': only make the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    MODELS.mkdir(parents=True, exist_ok=True)
    found = Cells("restoration_tables", arguments.minutes)
    only = arguments.only.split(",") if arguments.only else list(SETS)
    found.fill(
        ((cell.key, partial(run, cell)) for cell in cells() if cell.tested in only),
        lambda cell: {name: float(np.mean(values)) for name, values in cell["metrics"].items()},
    )
    store("restoration_tables", "Restoration trained on the right noise", tables(found), version=fluosr.__version__)


if __name__ == "__main__":
    main()
