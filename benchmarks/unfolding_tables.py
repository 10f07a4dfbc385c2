"""The tables of the unfolding paper: places or values learnt, on simulated and ISBI frames, and the semi-blind one.

Cells are run in the order of what they decide and kept in a file of their own, so that a run can be stopped and taken
up: the tables are made of what there is. ``--minutes 60`` stops after an hour.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from tables import Cells, Table, store
from unfolding_data import (
    BACKGROUNDS,
    BRIGHTEST,
    CELLS,
    DIMMEST,
    FACTOR,
    ISBI_FWHM_NM,
    ISBI_NOISE,
    ISBI_TEST,
    ISBI_TRAINING,
    L2,
    PATTERN_FRAMES,
    PATTERN_NOISE,
    PATTERNS,
    SEMI_BLIND_GUESS,
    SEMI_BLIND_SIGMA,
    SIMULATED_SIGMA,
    STORM,
    Cell,
    isbi,
)
from unfolding_runs import run

import fluosr

TITLES = {
    "1": "Experiment 1: simulated frames, 75 to 150 active pixels, Gaussian noise",
    "2a": "Experiment 2a: ISBI 2013 positions, Gaussian noise",
    "2b": "Experiment 2b: ISBI 2013 positions, Poisson noise, low background",
    "2c": "Experiment 2c: ISBI 2013 positions, Poisson noise, high background",
    "3": "Experiment 3: about 20 active molecules a frame, Poisson noise",
}


def tables(cells: dict[str, dict[str, Any]]) -> list[Table]:
    """One for each experiment of which there is anything."""
    made = [_places(name, title, cells) for name, title in TITLES.items()]
    made += [_light(cells), _semi_blind(cells), _speed(cells)]
    return [table for table in made if table.rows]


def _places(experiment: str, title: str, cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title,
        ("loss", "data term", "what is counted", "J_0", "J_2", "J_4", "Avg", "PSNR, dB", "the paper's Avg (J_0 / J_2 / "
         "J_4), PSNR", "lambda", "tau", "K", "rounds", "training, CPU-s"),
        _note(experiment) + _of_nothing(experiment, cells),
    )  # fmt: skip
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment != experiment or found is None or cell.paper is None or cell.light != 1.0:
            continue
        counted = {"pixels_all": "all light", "pixels": "pixels above tau", "molecules": "middles of patches"}
        if cell.loss == L2:
            counted["pixels"] = "pixels above the training frames' best level"
        if cell.loss == STORM:
            counted["molecules"] = "peaks of its map"
        for name, words in counted.items():
            if name not in found:
                continue
            first = name == next(n for n in counted if n in found)
            j0, j2, j4, average, decibel = cell.paper
            more = [f"{average:.3f} ({j0:.3f} / {j2:.3f} / {j4:.3f}), {decibel:.2f}"]
            if cell.loss == STORM:
                more += ["", "", "", "", f"{found['training_s']:.0f}"]
            else:
                numbers, rounds = found["numbers"], len(found["history"]["loss"]) - 1
                more += [f"{numbers['lambda']:.3g}", f"{found['threshold']:.3g}", dict(cell.more)["iterations"]]
                more += [rounds, f"{found['training_s']:.0f}"]
            values = [f"{v:.3f}" for v in found[name]]
            decibels = f"{found['psnr']:.2f}" if first and "psnr" in found else ""
            data_term = "" if cell.loss == STORM else cell.data_term
            shown = more if first else [""] * len(more)
            table.rows.append([cell.loss, data_term, words, *values, decibels, *shown])
    return table


def _light(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        "How much light experiments 2b and 2c need, localisation loss, least squares",
        ("experiment", "photons per grey value", "photons of a molecule, mean", "J_0", "J_2", "J_4", "Avg",
         "the paper's Avg (J_0 / J_2 / J_4)"),
        "The paper does not say how bright its molecules are. The tables above take grey values for photons; here they "
        "are so many photons each, background and all else as above." + _own_light(cells),
    )  # fmt: skip
    true = isbi()
    for cell in CELLS:
        found = cells.get(cell.key)
        asked = cell.experiment in ("2b", "2c") and cell.loss == "localisation" and cell.data_term == "least-squares"
        if found is not None and asked and cell.paper is not None:
            j0, j2, j4, average, _ = cell.paper
            values = [f"{v:.3f}" for v in found["pixels"]]
            photons = f"{cell.light * true[true > 0].mean():.0f}"
            shown = [cell.experiment, f"{cell.light:g}", photons, *values]
            table.rows.append([*shown, f"{average:.3f} ({j0:.3f} / {j2:.3f} / {j4:.3f})"])
    table.rows.sort(key=lambda row: (row[0], float(row[1])))
    return table


def _of_nothing(experiment: str, cells: dict[str, dict[str, Any]]) -> str:
    found = cells.get(Cell("empty", "").key)
    if found is None or experiment not in found:
        return ""
    return (
        f" l2 with least squares stays at a nearly empty image: whatever the penalty, its loss on the training frames "
        f"is {found[experiment]:.3f} times that of empty images or more."
    )


def _own_light(cells: dict[str, dict[str, Any]]) -> str:
    found = cells.get(Cell("light", "").key)
    if found is None:
        return ""
    return (
        f" The movie's own molecules have {found['photons_mean']:.0f} photons on average (median "
        f"{found['photons_median']:.0f}) above {found['background']:.1f} of background in a pixel: its grey values at "
        f"the true places, over the gain of {found['gain']:.2f} ADU that its noise shows ({found['frames']} frames)."
    )


def _note(experiment: str) -> str:
    where = {
        "1": "10 frames to learn from, 25 to test on; l2 learns from 8 frames with 4 active pixels, as in the paper; "
        f"sigma of the PSF {SIMULATED_SIGMA} fine pixels, noise of standard deviation {ISBI_NOISE:g}. ",
        "3": "100 test frames of random places (the paper's own positions are not at hand). ",
    }.get(
        experiment,
        f"{ISBI_TRAINING} frames to learn from, {ISBI_TEST} of the other {361 - ISBI_TRAINING} to test on; FWHM "
        f"{ISBI_FWHM_NM} nm" + (f", noise of standard deviation {ISBI_NOISE:g}. " if experiment == "2a" else ". "),
    )
    background = f"Background {BACKGROUNDS[experiment]:g} photons. " if experiment in ("2b", "2c", "3") else ""
    return (
        f"64 x 64 camera pixels, L = {FACTOR}. {where}{background}True values between {DIMMEST:g} and {BRIGHTEST:g}. "
        "Chosen here, the paper's being unknown: K, noise, these values, eps = .001 of the brightest pixel, "
        "delta = .1, w = .7 tau, x_0 = 0, and the steps' start: the best of even and of silver steps, for least "
        "squares in experiments 2 and 3 even ones of 1.3 / |A|^2. Jaccard index per frame, one to one, the closest "
        "first, within 0, 2 and 4 fine pixels. The paper counts pixels; what the "
        "method calls molecules are the middles of touching pixels above a level that suits the training frames. "
        "Deep-STORM: this project's, trained for 2000 steps on simulated frames of the same light, background and "
        "noise, with .5 to 10 molecules per um2 spread evenly; its maps are no light, so they have no PSNR."
    )


def _semi_blind(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        "Experiment 4: semi-blind deconvolution of variances, 10 test patterns of filaments",
        ("what is counted", "J_0", "J_2", "J_4", "Avg", "sigma found, pixels", "true sigma", "first guess"),
        f"{PATTERNS} movies of {PATTERN_FRAMES} frames, 48 x 48 pixels of 40 nm; blinking molecules on filaments; "
        f"Gaussian noise of standard deviation {PATTERN_NOISE:g}, whose variance is taken as known. A pixel is true "
        "where the variance of the emission is above 0.",
    )
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment == "4" and found is not None:
            first, true = SEMI_BLIND_GUESS * SEMI_BLIND_SIGMA, SEMI_BLIND_SIGMA
            for name, words in (("before", "all light"), ("after", "pixels above tau")):
                sigma = [f"{found['sigma']:.3f}", f"{true:g}", f"{first:g}"] if name == "after" else [""] * 3
                table.rows.append([words, *(f"{v:.3f}" for v in found[name]), *sigma])
    return table


def _speed(cells: dict[str, dict[str, Any]]) -> Table:
    table = Table("Speed, one CPU thread", ("what", "CPU-s"), "Each the least of three runs; the movie once.")
    for cell in CELLS:
        found = cells.get(cell.key)
        if cell.experiment == "speed" and found is not None:
            ratio = found["dense_s"] / found["own_s"]
            table.rows += [
                ["one iteration, 16 images of 256 x 256 fine pixels and their margin", f"{found['own_s']:.4f}"],
                ["two dense convolutions of them (conv2d), no margin", f"{found['dense_s']:.4f} ({ratio:.0f} times)"],
                [
                    f"{found['frames']} frames of 64 x 64 pixels, K = {found['iterations']}, molecules included",
                    f"{found['movie_s']:.1f}",
                ],
            ]
    return table


def main() -> None:
    """Run what is missing, then store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    parser.add_argument("--only", default="", help="experiments, with commas; 'none': only make the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells("unfolding_tables", arguments.minutes)
    only = arguments.only.split(",") if arguments.only else [cell.experiment for cell in CELLS]
    cells.fill(
        ((cell.key, partial(run, cell)) for cell in CELLS if cell.experiment in only),
        lambda cell: {name: value for name, value in cell.items() if name not in ("history", "numbers")},
    )
    store("unfolding_tables", "Unfolded projected gradient descent", tables(cells), version=fluosr.__version__)


if __name__ == "__main__":
    main()
