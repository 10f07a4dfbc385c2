"""Features of single cells: against the truth of simulated assays, and on real translocation wells (BBBC013)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import norm
from tables import DATA, Table, store

import fluosr
from fluosr.io.plates import open_plate
from fluosr.phenotypes.comparison import compare_conditions
from fluosr.phenotypes.crops import cut_crops
from fluosr.phenotypes.effects import effect_size
from fluosr.phenotypes.features import FAINT, CellMeasure, as_compared
from fluosr.phenotypes.levels import grey_ends, levels_of_fields
from fluosr.phenotypes.nuclei import find_nuclei
from fluosr.phenotypes.plate import cut_plate
from fluosr.phenotypes.wells import WellFigure
from fluosr.simulate.assays import ASSAYS, AssayWell
from fluosr.simulate.culture import CellCulture

SIDE, PIXEL_NM, SIZE = 320, 400.0, 64
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0)
WELLS = 3  # at each strength
TREATMENTS = DATA / "treatments"
TRUTHS = {  # of each assay: the feature, and what is true of it
    "translocation": (("nucleus_to_ring", "light_ratio"),),
    "golgi": (("spot_count", "spots"), ("mean_spot_area_um2", "mean_spot_area_um2")),
}


def simulated(assay: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[list[int]]]:
    """(features, truth) of every cell that gives a crop, and [true nuclei, found, matched] of each well."""
    wells = [
        AssayWell(
            assay, CellCulture((SIDE, SIDE), PIXEL_NM, 100 * number + seed), strength=strength, seed=seed + number
        )
        for number, strength in enumerate(STRENGTHS)
        for seed in range(WELLS)
    ]
    images = [well.image().astype(np.float32) for well in wells]
    levels = levels_of_fields(np.array([grey_ends(image) for image in images]), wells[0].channels)
    faint = FAINT * float(levels.bright[1] - levels.dark[1])
    found: dict[str, list[float]] = {}
    true: dict[str, list[float]] = {}
    counts = []
    for number, (well, image) in enumerate(zip(wells, images, strict=True)):
        nuclei = find_nuclei(image[0], pixel_size_nm=PIXEL_NM)
        labels = well.labels()[0].astype(int)
        border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        whole = np.setdiff1d(np.unique(labels), border)
        own = []  # the true nucleus of each that was found; 0 for none
        for index in range(len(nuclei)):
            mine = nuclei.labels == index + 1
            shares = np.bincount(labels[mine], minlength=2)
            best = 1 + int(shares[1:].argmax())
            own.append(best if shares[best] > 0.5 * (mine | (labels == best)).sum() else 0)
        counts.append([len(whole), len(nuclei), int(np.isin(whole, own).sum()), sum(o > 0 for o in own)])
        crops, which = cut_crops(image, nuclei, SIZE)
        measure = CellMeasure(0, 1, float(levels.dark[1]), faint, nuclei.diameter_px, PIXEL_NM)
        table, truth = measure.measure(crops), well.truth()
        for row, index in enumerate(which):
            place = np.flatnonzero(truth["cell"] == own[index])
            if not len(place):
                continue
            for name, values in table.items():
                found.setdefault(name, []).append(float(values[row]))
            for name, values in truth.items():
                true.setdefault(name, []).append(float(values[place[0]]))
            true.setdefault("well", []).append(number)
            true.setdefault("wanted", []).append(STRENGTHS[number // WELLS])
    return {k: np.array(v) for k, v in found.items()}, {k: np.array(v) for k, v in true.items()}, counts


def against_truth() -> list[Table]:
    """Nuclei, features and effects on simulated wells."""
    nuclei = Table(
        "Nuclei of simulated wells",
        ["assay", "wells", "true, whole", "recall", "found", "precision", "area / true"],
        "A nucleus is matched where it covers more than half of both together.",
    )
    features = Table(
        "Features of single cells against their truth",
        ["assay", "feature", "cells", "not measured", "correlation", "slope", "median found / true"],
        "Correlation and slope of base-2 logarithms (of nuclear areas: the values). The true ratio is that of the "
        "light before blur, haze and background; true spots are stacks that touch.",
    )
    effects = Table(
        "Effects at known strengths",
        ["assay", "feature", "strength against 0", "g, from the truth", "g, measured (95 %)", "AUC (95 %)"],
        f"{WELLS} wells of {SIDE} x {SIDE} pixels at each strength; intervals over wells, Student's.",
    )
    for assay in ASSAYS:
        found, true, counts = simulated(assay)
        whole, seen, recalled, right = np.array(counts).sum(0)
        share = float(np.mean(found["nucleus_area_um2"] / true["nucleus_area_um2"]))
        nuclei.rows.append([assay, len(counts), whole, recalled / whole, seen, right / seen, share])
        measure = CellMeasure(0, 1, 0.0, 1.0, 20.0, PIXEL_NM)
        kinds = {feature.name: feature for feature in measure.features}
        for name, truth in (*TRUTHS[assay], ("nucleus_area_um2", "nucleus_area_um2")):
            logs = name != "nucleus_area_um2"
            a, b = (np.log2(v) if logs else v for v in (true[truth], np.where(found[name] > 0, found[name], np.nan)))
            there = np.isfinite(a) & np.isfinite(b)
            slope = float(np.polyfit(a[there], b[there], 1)[0])
            ratio = float(np.median(found[name][there] / true[truth][there]))
            correlation = float(np.corrcoef(a[there], b[there])[0, 1])
            features.rows.append([assay, name, len(a), int((~there).sum()), correlation, slope, ratio])
        for name, truth in TRUTHS[assay]:
            values, known = (as_compared(kinds[name], table[key]) for table, key in ((found, name), (true, truth)))
            for strength in STRENGTHS[1:]:
                sides = [true["wanted"] == s for s in (0.0, strength)]
                measured, ideal = (
                    effect_size(
                        v[sides[0]], true["well"][sides[0]], v[sides[1]], true["well"][sides[1]],
                        generator=np.random.default_rng(0),
                    )
                    for v in (values, known)
                )  # fmt: skip
                effects.rows.append(
                    [
                        assay,
                        name,
                        strength,
                        ideal.hedges_g.interval.value,
                        shown(measured.hedges_g),
                        shown(measured.auc),
                    ]
                )
    return [nuclei, features, effects]


def shown(figure: WellFigure) -> str:
    """A figure and the ends of its interval."""
    interval = figure.interval
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def coverage(runs: int = 600, cells: int = 12, between: float = 0.5) -> Table:
    """How often the intervals of g and AUC hold the truth, where wells differ."""
    table = Table(
        "Intervals over wells: how often they hold the truth",
        ["wells of each condition", "interval", "g, %", "AUC, %", "width of g, median", "g by cells, %"],
        f"{runs} simulated experiments with {cells} cells a well: N(0 or 1, 1) about wells of N(0, {between:g}). The "
        "last column takes cells for independent data, with the usual error of g.",
    )
    true_g, true_auc = 1 / np.sqrt(1 + between**2), float(norm.cdf(1 / np.sqrt(2 * (1 + between**2))))
    for wells in (3, 5, 8, 12, 20):
        generator = np.random.default_rng(11)
        held, widths = np.zeros(3), []
        for _ in range(runs):
            sides = []
            for shift in (0.0, 1.0):
                middles = shift + generator.normal(0, between, wells)
                sides.append((generator.normal(np.repeat(middles, cells), 1.0), np.repeat(np.arange(wells), cells)))
            found = effect_size(*sides[0], *sides[1], generator=generator)
            g, n = found.hedges_g.interval, wells * cells
            by_cells = 1.96 * np.sqrt(2 / n + g.value**2 / (4 * n))
            held += [g.holds(true_g), found.auc.interval.holds(true_auc), abs(g.value - true_g) < by_cells]
            widths.append(g.high - g.low)
        shares = [f"{100 * share / runs:.1f}" for share in held]
        table.rows.append([wells, found.hedges_g.kind, *shares[:2], float(np.median(widths)), shares[2]])
    return table


def quartiles(values: np.ndarray) -> list[str]:
    """The quartiles of what was measured, as text."""
    there = values[np.isfinite(values)]
    return [f"{value:.3g}" for value in np.percentile(there, (25, 50, 75))] if len(there) else ["-"] * 3


def real() -> list[Table]:
    """BBBC013: controls, dose row, classifiers."""
    negative, positive, doses = (
        TREATMENTS / f"bbbc013_{name}.tif"
        for name in ("neg_control_16wells", "pos_control_8wells", "doses_rowC_9wells")
    )
    plate = open_plate([f"{negative}:negative", f"{positive}:positive"], ("FKHR-GFP", "DRAQ"))
    cut = cut_plate(plate, nuclei=1, protein=0, size_px=SIZE, test_share=0.5, generator=np.random.default_rng(0))
    crops = cut.crops
    found = compare_conditions(crops, name="real", generator=np.random.default_rng(0))
    treatments = np.array([field.treatment for field in plate.fields])
    wells = Table(
        "BBBC013, controls: nuclei and crops",
        [
            "treatment",
            "wells",
            "nuclei a well, mean",
            "fewest",
            "most",
            f"crops of {SIZE} px",
            "nuclear area, px (median)",
        ],
        f"Nuclear diameter measured: {crops.diameter_px:.3g} pixels.",
    )
    features = Table(
        "BBBC013, controls: features of cells",
        ["feature", "treatment", "25 %", "median", "75 %", "not measured", "Hedges' g (95 %)", "AUC (95 %)"],
        "g of base-2 logarithms but for counts and areas of nuclei; intervals over wells, from the bootstrap.",
    )
    for name in ("negative", "positive"):
        of_wells = np.array(cut.found)[treatments == name]
        mine = crops.treatments == name
        area = float(np.median(crops.areas_px[mine]))
        row = [name, len(of_wells), float(of_wells.mean()), of_wells.min(), of_wells.max(), int(mine.sum()), area]
        wells.rows.append(row)
    for feature in found.features:
        effect = found.effects["real"][feature.name]["positive"]
        for name in ("negative", "positive"):
            values = found.tables["real"][feature.name][crops.treatments == name]
            effects = [shown(effect.hedges_g), shown(effect.auc)] if name == "positive" else ["", ""]
            missing = int((~np.isfinite(values)).sum())
            features.rows.append([feature.name, name, *quartiles(values), missing, *effects])
    judged = Table(
        "BBBC013, controls: classifiers",
        ["sees", "balanced accuracy (95 %)", "AUC", "test cells"],
        "Trained on half of the wells of each control, judged on the other half; intervals over wells.",
    )
    for kind, methods in found.accuracies.items():
        accuracy = methods["real"]
        judged.rows.append([kind, shown(accuracy.balanced), accuracy.auc, " + ".join(map(str, accuracy.cells))])
    row = open_plate([f"{doses}:{','.join(f'dose {n}' for n in range(1, 10))}"], ("FKHR-GFP", "DRAQ"))
    return [wells, features, judged, dose_row([field.read() for field in row.fields], found.measure)]


def dose_row(fields: Sequence[np.ndarray], measure: CellMeasure) -> Table:
    """The wells of the row in their order, measured as the controls were."""
    table = Table(
        "BBBC013, row C: doses in their order",
        ["well", "nuclei", "crops", "25 %", "ratio, median", "75 %", "ratio above 2"],
        "One well each: no interval over wells can be given.",
    )
    for number, field in enumerate(fields, start=1):
        nuclei = find_nuclei(field[1], diameter_px=measure.diameter_px)
        crops, _ = cut_crops(field, nuclei, SIZE)
        ratios = measure.measure(crops)["nucleus_to_ring"]
        ratios = ratios[np.isfinite(ratios)]
        table.rows.append([f"dose {number}", len(nuclei), len(crops), *quartiles(ratios), float((ratios > 2).mean())])
    return table


def main() -> None:
    started = time.process_time()
    tables = [*against_truth(), coverage()]
    if TREATMENTS.is_dir():
        tables += real()
    else:
        print("the real wells are left out: set FLUOSR_DATA to the folder of the reference data")
    store(
        "phenotype_features",
        "Features of single cells, and effects of treatments",
        tables,
        cpu_seconds=round(time.process_time() - started),
        fluosr=fluosr.__version__,
    )


if __name__ == "__main__":
    main()
