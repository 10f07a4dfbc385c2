"""How often intervals over wells hold the truth: effect sizes, AUCs, and differences of two methods."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import norm
from tables import Table, store

import fluosr
from fluosr.phenotypes.effects import CellValues, effect_difference, effect_size

SEED = 20262


def coverage(runs: int = 600, cells: int = 12) -> list[Table]:
    """How often the intervals of g, of AUC and of differences hold the truth, where wells differ."""
    usual = Table(
        "Intervals over wells: how often they hold the truth",
        [
            "wells of each condition", "interval of g", "g, %", "AUC, %", "difference of g, %", "width of g, median",
            "width of its difference, median", "g found / true, mean", "g by cells, %",
        ],
        f"{runs} simulated experiments with {cells} cells a well: N(0 or 1, 1) about wells of N(0, .5). The difference "
        "is that of g as two methods show the same cells, the second with .8 of the effect and both with errors of "
        "N(0, .3). The last column takes cells for independent data, with the usual error of g.",
    )  # fmt: skip
    for wells in (3, 4, 5, 6, 8, 12, 20):
        usual.rows.append(_coverage(runs, cells, wells, 1.0, 0.5))
    few = Table(
        "Intervals over few wells, whatever the effect and the wells' scatter",
        [
            "wells",
            "scatter of wells / of cells",
            "shift",
            "g, %",
            "AUC, %",
            "difference of g, %",
            "g found / true, mean",
        ],
        f"As above, {runs} experiments each.",
    )
    for wells in (3, 4, 6):
        for between in (0.25, 0.5, 1.0):
            for shift in (1.0, 3.0):
                _, _, g, auc, less, _, _, ratio, _ = _coverage(runs, cells, wells, shift, between)
                few.rows.append([wells, between, shift, g, auc, less, ratio])
    near = Table(
        "Where hardly a cell of two conditions overlaps",
        ["wells", "interval of g", "AUC, true", "AUC, %", "g, %"],
        f"As above, {runs} experiments each, with a shift of 4 and wells of N(0, .5).",
    )
    for wells in (2, 3, 4, 6, 8, 12):
        _, kind, g, auc, *_ = _coverage(runs, cells, wells, 4.0, 0.5)
        near.rows.append([wells, kind, float(norm.cdf(4 / np.sqrt(2 * 1.25))), auc, g])
    return [usual, few, near]


def _coverage(runs: int, cells: int, wells: int, shift: float, between: float) -> list[object]:
    generator = np.random.default_rng(
        np.random.SeedSequence(SEED, spawn_key=(wells, round(10 * shift), round(100 * between)))
    )
    names = np.repeat(np.arange(wells), cells)
    wide = float(np.sqrt(1 + between**2))
    true_g, true_auc = shift / wide, float(norm.cdf(shift / wide / np.sqrt(2)))
    wider = float(np.sqrt(1 + between**2 + 0.3**2))
    held, widths, found_g = np.zeros(4), [], []
    for _ in range(runs):
        own = [generator.normal(np.repeat(s + generator.normal(0, between, wells), cells), 1.0) for s in (0.0, shift)]
        found = effect_size(own[0], names, own[1], names, generator=generator)
        g, n = found.hedges_g.interval, wells * cells
        by_cells = 1.96 * np.sqrt(2 / n + g.value**2 / (4 * n))
        first, second = (
            CellValues(
                own[0] + generator.normal(0, 0.3, n), names, own[1] - weaker + generator.normal(0, 0.3, n), names
            )
            for weaker in (0.0, 0.2 * shift)
        )
        less = effect_difference(first, second, generator=generator).hedges_g.interval
        held += [
            g.holds(true_g), found.auc.interval.holds(true_auc), less.holds(0.2 * shift / wider),
            abs(g.value - true_g) < by_cells,
        ]  # fmt: skip
        widths.append((g.high - g.low, less.high - less.low))
        found_g.append(g.value)
    shares = [f"{100 * share / runs:.1f}" for share in held]
    wide_g, wide_less = np.median(widths, axis=0).tolist()
    ratio = float(np.mean(found_g)) / true_g
    return [wells, found.hedges_g.kind, *shares[:3], wide_g, wide_less, ratio, shares[3]]


def main() -> None:
    started = time.process_time()
    store(
        "phenotype_intervals",
        "Intervals over wells",
        coverage(),
        cpu_seconds=round(time.process_time() - started),
        fluosr=fluosr.__version__,
    )


if __name__ == "__main__":
    main()
