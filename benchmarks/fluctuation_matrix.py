"""Every method where emitters fluctuate little or much, with few or many photons and frames; beside it the limit.

Cells are run in the order of what they decide and kept in a file of their own, so that a run can be stopped and taken
up: the table is made of what there is. ``--minutes 60`` stops after an hour.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from source_hash import source_hash
from tables import FLUCTUATION_METHODS as METHODS
from tables import RESULTS, Cells, Table, acquire, mean_sd, store

import fluosr
from fluosr.acquisition import Acquisition
from fluosr.camera import Camera
from fluosr.emitters import CompoundPoissonEmitters
from fluosr.limits.bound import smallest_separation
from fluosr.limits.scene import Experiment, Pair
from fluosr.methods.registry import method_module
from fluosr.quality.fidelity import fidelity
from fluosr.quality.lines import judge_phantom
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie

SIMULATED_AND_JUDGED = (
    *("fluosr.simulate.movie", "fluosr.simulate.argo", "fluosr.simulate.filaments"),
    *("fluosr.corrections.camera_estimate", "fluosr.quality.fidelity", "fluosr.quality.lines"),
)
KAPPAS, PHOTONS, FRAMES = (1.0, 10.0, 30.0, 100.0), (5.0, 30.0), (100, 500, 2000)
SAMPLES = ("20-nm lines", "100-nm lines", "filaments")
SEPARATIONS_NM = (40.0, 60.0, 80.0, 100.0, 120.0, 150.0, 180.0, 240.0, 300.0)
FACTOR, FINER = 6, 2  # the movie is made on a grid twice as fine as the one that images are made on
LENGTH_NM, TRIM = 1600.0, 0.15
NEAR_NM = 35.0  # a place of the support counts as found when light stands that near
SHARE = 0.8  # of the light, that the support of an image holds
DECIDING = ("20-nm lines", 100.0, 5.0, 500)
COMPARED = ("covariance", "fluogan", "sparse", "richardson-lucy", "esrrf", "sofi", "sparcom", "colorme")
SLOW = ("colorme", "sparcom", "divnoising")
REFUSED = {
    "correlation": 0.0,
    "nrmse": 1.0,
    "jaccard": 0.0,
    "seconds": 0.0,
    "resolved_from_nm": None,
    "error_nm": None,
    "false_split": False,
    "dips": {f"{separation:g}": 0.0 for separation in SEPARATIONS_NM},
    "fell_back": False,
}
WANTED = 0.9  # share of seeds


@dataclass(frozen=True)
class Cell:
    """One method on one movie."""

    sample: str
    kappa: float
    photons: float
    frames: int
    method: str
    seed: int

    @property
    def setting(self) -> tuple[str, float, float, int]:
        """All but method and seed."""
        return self.sample, self.kappa, self.photons, self.frames

    @property
    def key(self) -> str:
        """What it is cached under."""
        return (
            f"{code(self.method)} {self.sample} {self.kappa:g} {self.photons:g} {self.frames} {self.method} {self.seed}"
        )


@cache
def code(method: str) -> str:
    """Of everything that a cell depends on: cells of other code are run anew."""
    return source_hash(method_module(method), *SIMULATED_AND_JUDGED)


def phantom_of(sample: str, seed: int) -> Any:
    """What lies under the microscope."""
    if sample == "filaments":
        return FilamentPhantom(shape=(48, 48), count=10, width_nm=20.0, seed=seed)
    return ArgoPhantom(
        separations_nm=SEPARATIONS_NM,
        line_width_nm=float(sample.split("-")[0]),
        pitch_nm=2230.0,
        line_length_nm=LENGTH_NM,
        margin_nm=400.0,
    )


def movie_of(cell: Cell) -> SimulatedMovie:
    """The movie of a cell: bursts of kappa photons, no bleaching."""
    return SimulatedMovie(
        phantom_of(cell.sample, cell.seed),
        factor=FACTOR * FINER,
        n_frames=cell.frames,
        peak_photons=cell.photons,
        bleaching_time_s=None,
        camera=Camera(gain_adu_per_e=4.0, offset_adu=100.0, read_noise_e=0.5),
        emitters=CompoundPoissonEmitters(cell.kappa),
        seed=cell.seed,
    )


def run(cells: list[Cell]) -> dict[str, dict[str, Any]]:
    """Simulate one movie, reconstruct it with each cell's method."""
    import torch

    torch.set_num_threads(1)
    movie = movie_of(cells[0])
    acquisition = acquire(movie)
    return {cell.key: judged(cell, movie, acquisition) for cell in cells}


def judged(cell: Cell, movie: SimulatedMovie, acquisition: Acquisition) -> dict[str, Any]:
    """What a method makes of a movie; a method that refuses says why."""
    more = {"calibrate": False} if cell.method == "divnoising" else {}
    started = time.process_time()
    try:
        made = fluosr.reconstruct(
            acquisition, cell.method, seed=cell.seed, device="cpu", factor=FACTOR, halves=False, **more
        )
    except fluosr.errors.FluosrError as error:
        return REFUSED | {"error": str(error)}
    seconds = time.process_time() - started
    y, x = movie.phantom.field_shape
    truth = movie.truth.reshape(y * FACTOR, FINER, x * FACTOR, FINER).sum((1, 3))
    fine_nm = movie.phantom.pixel_size_nm / FACTOR
    true = fidelity(made.image, truth)
    found: dict[str, Any] = {
        "correlation": true.correlation,
        "nrmse": true.nrmse,
        "jaccard": jaccard(made.image, truth, fine_nm),
        "seconds": seconds,
    }
    kappa = made.choices.get("fano", {}).get("value")
    if kappa is not None:
        found["kappa"] = kappa
    if cell.method == "covariance":
        found["fell_back"] = "fell_back" in made.choices
    if isinstance(movie.phantom, ArgoPhantom):
        verdict = judge_phantom(made.image, fine_nm, movie.phantom)
        found |= {
            "resolved_from_nm": verdict.resolved_from_nm,
            "error_nm": verdict.separation_error_nm,
            "false_split": bool(verdict.false_split),
            "found_nm": {f"{p.separation_nm:g}": p.found_nm for p in verdict.pairs if p.separation_nm},
            "dips": {f"{p.separation_nm:g}": p.dip for p in verdict.pairs if p.separation_nm},
        }
    return found


def jaccard(image: np.ndarray, truth: np.ndarray, fine_nm: float) -> float:
    """Of the supports: the brightest pixels with 80 % of an image's light, and all of the truth's, 35 nm forgiven."""
    from scipy.ndimage import distance_transform_edt

    ordered = np.sort(image.ravel())[::-1]
    if not ordered[0] > 0:
        return 0.0
    level = ordered[min(len(ordered) - 1, int(np.searchsorted(np.cumsum(ordered), SHARE * ordered.sum())))]
    found, there = image >= max(level, 1e-12), truth > 0.25 * truth.max()
    near_found = distance_transform_edt(~found) * fine_nm <= NEAR_NM
    near_there = distance_transform_edt(~there) * fine_nm <= NEAR_NM
    precision, recall = near_there[found].mean(), near_found[there].mean()
    return float(1.0 / (1.0 / precision + 1.0 / recall - 1.0)) if precision * recall > 0 else 0.0


def plan(seeds: int, deciding_seeds: int) -> Iterator[Cell]:
    """All cells, those that decide first."""
    quick = [name for name in COMPARED if name not in SLOW]
    slow = [name for name in METHODS if name not in quick]
    for methods in (quick, COMPARED):
        for seed in range(deciding_seeds):
            for method in methods:
                yield Cell(*DECIDING, method, seed)
    for seed in range(seeds):
        for methods in (quick, slow):
            for frames in (500, 100, 2000):
                for sample in SAMPLES:
                    for photons in PHOTONS:
                        for kappa in reversed(KAPPAS):
                            for method in methods:
                                yield Cell(sample, kappa, photons, frames, method, seed)


def resolved(cells: list[dict[str, Any]], wanted: float = WANTED) -> float | None:
    """The smallest separation from which on every pair is resolved in 90 % of the seeds; None where there is none."""
    ordered = sorted(cell.get("resolved_from_nm") or np.inf for cell in cells)
    value = float(ordered[int(np.ceil(wanted * len(ordered))) - 1])
    return None if np.isinf(value) else value


@cache
def limit(setting: tuple[str, float, float, int]) -> tuple[float, float]:
    """Part of the Cramer-Rao bound: the smallest separation (nm) from the mean alone, from mean and covariance."""
    sample, kappa, photons, frames = setting
    found = smallest_separation(
        Experiment(photons=photons, frames=frames, fano_factor=kappa),
        Pair(length_nm=LENGTH_NM * (1 - 2 * TRIM), width_nm=float(sample.split("-")[0])),
    )
    return found.mean_nm, found.covariance_nm


def tables(cells: dict[str, dict[str, Any]], seeds: int) -> list[Table]:
    """The deciding cell; one row a setting; the filaments; what has not been run at all is left out."""
    made = [_deciding(cells, seeds), _lines(cells, seeds), _filaments(cells, seeds)]
    return [table for table in made if table.rows]


def _good(cells: dict[str, dict[str, Any]], setting: tuple[Any, ...], method: str, seeds: int) -> list[dict[str, Any]]:
    found = [cells.get(Cell(*setting, method, seed).key) for seed in range(seeds)]
    return [cell for cell in found if cell is not None]


def _deciding(cells: dict[str, dict[str, Any]], seeds: int) -> Table:
    sample, kappa, photons, frames = DECIDING
    mean_nm, both_nm = limit(DECIDING)
    made = Table(
        f"Where the covariance carries most: {sample}, kappa {kappa:g}, {photons:g} photons, {frames} frames",
        ("method", "seeds", "resolved in 90 % from, nm", "60 nm", "80 nm", "100 nm", "120 nm", "150 nm", "180 nm",
         "false splits", "error of d, nm", "correlation", "NRMSE", "Jaccard", "CPU, s"),
        f"Lines {LENGTH_NM:.0f} nm long under a PSF of 324 nm, 100-nm pixels, L = 6, every parameter at its default "
        "but for DivNoising, which goes without its calibration; camera estimated from the movie. What a method "
        "refuses it has not resolved. The smallest separation from which on every pair dips by 26 % in nine of ten "
        "seeds; share of the seeds in which a pair of that distance dips so; single lines that do; mean error of the "
        "distances of the resolved pairs; mean ± sd over seeds. "
        f"Limit (bound of d's sd at most d / 2, balance known to 50 %): {mean_nm:.0f} nm from the mean alone, "
        f"{both_nm:.0f} nm from mean and covariance.",
    )  # fmt: skip
    for method in METHODS:
        good = _good(cells, DECIDING, method, seeds)
        if not good:
            continue
        value = resolved(good)
        shares = [
            f"{sum(c['dips'][d] >= 0.26 for c in good) / len(good):.2f}"
            for d in ("60", "80", "100", "120", "150", "180")
        ]
        errors = [c["error_nm"] for c in good if c["error_nm"] is not None]
        made.rows.append(
            [
                method,
                len(good),
                "none" if value is None else f"{value:.0f}",
                *shares,
                f"{sum(c['false_split'] for c in good)}/{len(good)}",
                mean_sd(errors, 1) if errors else "",
                *(mean_sd([c[name] for c in good], 2) for name in ("correlation", "nrmse", "jaccard")),
                mean_sd([c["seconds"] for c in good], 0),
            ]
        )
    made.rows.sort(key=lambda row: 1e9 if row[2] == "none" else float(row[2]))
    return made


def _settings(samples: tuple[str, ...]) -> Iterator[tuple[str, float, float, int]]:
    for sample in samples:
        for photons in PHOTONS:
            for frames in FRAMES:
                for kappa in KAPPAS:
                    yield sample, kappa, photons, frames


def _lines(cells: dict[str, dict[str, Any]], seeds: int) -> Table:
    methods = METHODS
    made = Table(
        "Smallest separation resolved in 90 % of the seeds, nm",
        ("sample", "photons", "frames", "kappa", "seeds", *methods, "fell back", "limit: mean", "limit: both"),
        "Settings and columns as above; '-': no pair up to 300 nm, or not the widest; empty: not run yet. 'Fell back': "
        "movies in which covariance fitted the mean frame alone. WARNING: images of beads or spots dip by chance: what "
        "lies below the limit, or below the width of the lines, is no resolution.",
    )
    for setting in _settings(SAMPLES[:2]):
        by_method = {name: _good(cells, setting, name, seeds) for name in methods}
        counts = [len(good) for good in by_method.values() if good]
        if not counts:
            continue
        shown = ["" if not good else _text(resolved(good)) for good in by_method.values()]
        back = sum(cell["fell_back"] for cell in by_method["covariance"])
        ends = [f"{value:.0f}" for value in limit(setting)]
        sample, kappa, photons, frames = setting
        made.rows.append([sample, photons, frames, kappa, _range(counts), *shown, f"{back}", *ends])
    return made


def _filaments(cells: dict[str, dict[str, Any]], seeds: int) -> Table:
    methods = METHODS
    made = Table(
        "Network of filaments, 20 nm wide: correlation with the truth / Jaccard of the supports",
        ("photons", "frames", "kappa", "seeds", *methods),
        "Ten worm-like chains in 48 x 48 pixels, another network for each seed. Jaccard: the brightest pixels with 80 "
        "% of the light against the truth, 35 nm forgiven. Means over seeds.",
    )
    for setting in _settings(SAMPLES[2:]):
        by_method = {name: _good(cells, setting, name, seeds) for name in methods}
        counts = [len(good) for good in by_method.values() if good]
        if not counts:
            continue
        shown = [
            ""
            if not good
            else " / ".join(f"{np.mean([c[name] for c in good]):.2f}" for name in ("correlation", "jaccard"))
            for good in by_method.values()
        ]
        _, kappa, photons, frames = setting
        made.rows.append([photons, frames, kappa, _range(counts), *shown])
    return made


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _range(counts: list[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"


def main() -> None:
    """Run what is missing, then store the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--deciding-seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    parser.add_argument("--methods", default="", help="only these, with commas")
    arguments = parser.parse_args()
    cells = Cells("fluctuation_matrix", arguments.minutes)
    only = arguments.methods.split(",") if arguments.methods else METHODS
    missing = {cell.key: cell for cell in plan(arguments.seeds, arguments.deciding_seeds)}
    todo = [cell for key, cell in missing.items() if key not in cells and cell.method in only]
    movies: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in todo:
        movies.setdefault((*cell.setting, cell.seed, cell.method in SLOW), []).append(cell)
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=20) as pool:
        for results in pool.imap_unordered(run, [] if cells.time_is_up else movies.values()):
            cells.keep(results)
            for key, result in results.items():
                print(key, result.get("resolved_from_nm", ""), result.get("correlation", result), flush=True)
            if cells.time_is_up:
                pool.terminate()
                break
    made = tables(cells, max(arguments.seeds, arguments.deciding_seeds))
    store("fluctuation_matrix", "Methods, fluctuations, photons and frames", made, version=fluosr.__version__)
    if len(made[1].rows) > 1:
        figure(cells, max(arguments.seeds, arguments.deciding_seeds))


def figure(cells: dict[str, dict[str, Any]], seeds: int) -> None:
    """Resolved separation over kappa, one panel for each number of photons and frames; 20-nm lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pictures, axes = plt.subplots(len(PHOTONS), len(FRAMES), figsize=(13, 7.5), sharex=True, sharey=True, squeeze=False)
    top = SEPARATIONS_NM[-1] * 1.25
    for row, photons in zip(axes, PHOTONS, strict=True):
        for axis, frames in zip(row, FRAMES, strict=True):
            for number, method in enumerate(COMPARED):
                points = []
                for kappa in KAPPAS:
                    good = _good(cells, (SAMPLES[0], kappa, photons, frames), method, seeds)
                    if good:
                        points.append((kappa * 1.03**number, resolved(good) or top))
                if points:
                    style = {"lw": 2.5, "zorder": 5, "color": "black"} if method == "covariance" else {"lw": 1.2}
                    axis.plot(*zip(*points, strict=True), "o-", ms=4, label=method, **style)
            ends = [(kappa, *limit((SAMPLES[0], kappa, photons, frames))) for kappa in KAPPAS]
            axis.plot([e[0] for e in ends], [e[1] for e in ends], "k:", lw=1, label="limit: mean alone")
            axis.plot([e[0] for e in ends], [e[2] for e in ends], "k--", lw=1, label="limit: mean and covariance")
            axis.set(xscale="log", yscale="log", ylim=(15, 420), title=f"{photons:g} photons, {frames} frames")
            axis.set_yticks([20, 40, 60, 100, 150, 240, top], ["20", "40", "60", "100", "150", "240", "none"])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("Fano factor of the emitters, kappa (photons)")
        axis.set_xticks(KAPPAS, [f"{kappa:g}" for kappa in KAPPAS])
    for row in axes:
        row[0].set_ylabel("resolved from (nm)")
    handles, labels = max((axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[1]))
    pictures.legend(handles, labels, loc="center right", fontsize=9, frameon=False)
    pictures.suptitle("Pairs of 20-nm lines under a PSF of 324 nm: resolved in 90 % of the seeds")
    pictures.tight_layout(rect=(0, 0, 0.82, 1))
    pictures.savefig(RESULTS / "fluctuation_matrix.png", dpi=110)


if __name__ == "__main__":
    main()
