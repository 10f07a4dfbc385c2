"""Features of single cells: against the truth of simulated assays, and on real translocation wells (BBBC013)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from tables import DATA, Table, store

import fluosr
from fluosr.io.plates import open_plate
from fluosr.phenotypes.comparison import compare_conditions
from fluosr.phenotypes.crops import cut_crops
from fluosr.phenotypes.effects import effect_size
from fluosr.phenotypes.features import FAINT, CellMeasure
from fluosr.phenotypes.ground import empty_ground, ground_of
from fluosr.phenotypes.levels import grey_ends
from fluosr.phenotypes.nuclei import find_nuclei
from fluosr.phenotypes.plate import cut_plate
from fluosr.phenotypes.wells import WellFigure
from fluosr.simulate.assays import ASSAYS, AssayWell, PlateMicroscope
from fluosr.simulate.culture import CellCulture

SIDE, PIXEL_NM, SIZE = 320, 400.0, 64
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0)
WELLS = 3  # at each strength
SEED = 20261  # of all wells
DIM_PHOTONS = 100.0
REDUCED = (8, 16)
TREATMENTS = DATA / "treatments"
TRUTHS = {  # of each assay: the feature, and what is true of it
    "translocation": (("nucleus_to_ring", "light_ratio"),),
    "golgi": (("spot_count", "spots"), ("mean_spot_area_um2", "mean_spot_area_um2")),
}


def wells_of(assay: str, photons: float = PlateMicroscope.photons) -> list[AssayWell]:
    """``WELLS`` at each strength, the strengths in their order; every well has cells, response and noise of its own."""
    seeds = np.random.SeedSequence(SEED, spawn_key=(list(ASSAYS).index(assay), round(photons)))
    return [
        AssayWell(
            assay,
            CellCulture((SIDE, SIDE), PIXEL_NM, int(culture)),
            strength=strength,
            microscope=PlateMicroscope(photons=photons),
            seed=int(rest),
        )
        for strength, (culture, rest) in zip(
            np.repeat(STRENGTHS, WELLS).tolist(),
            (child.generate_state(2) for child in seeds.spawn(len(STRENGTHS) * WELLS)),
            strict=True,
        )
    ]


@dataclass
class Measured:
    """Simulated wells, cells found in them, and the truth.

    Attributes:
        features: name -> (n,) of every cell that gives a crop; with the dark end as background, too.
        dark: likewise, with the dark end of all pixels for the background.
        truth: name -> (n,); with the number of the well and its strength ("wanted").
        counts: [true nuclei, found, matched, right] of each well.
        levels: (dark end, empty ground) of the protein's channel.
    """

    features: dict[str, np.ndarray]
    dark: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    counts: list[list[int]]
    levels: tuple[float, float]


def simulated(assay: str, photons: float = PlateMicroscope.photons) -> Measured:
    """Every cell of the wells that gives a crop, measured against two backgrounds, and what is true of it."""
    wells = wells_of(assay, photons)
    images = [well.image().astype(np.float32) for well in wells]
    found_in = [find_nuclei(image[0], pixel_size_nm=PIXEL_NM) for image in images]
    ends = np.array([grey_ends(image) for image in images])
    ground = ground_of([empty_ground(*both) for both in zip(images, found_in, strict=True)], ends)
    dark_end = float(np.median(ends[:, 1, 0]))
    faint, diameter = FAINT * float(ground.reach[1]), found_in[0].diameter_px
    rulers = [CellMeasure(0, 1, level, faint, diameter, PIXEL_NM) for level in (float(ground.level[1]), dark_end)]
    tables: list[dict[str, list[float]]] = [{}, {}]
    true: dict[str, list[float]] = {}
    counts = []
    for number, (well, image, nuclei) in enumerate(zip(wells, images, found_in, strict=True)):
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
        measured, truth = [ruler.measure(crops) for ruler in rulers], well.truth()
        for row, index in enumerate(which):
            place = np.flatnonzero(truth["cell"] == own[index])
            if not len(place):
                continue
            for table, one in zip(tables, measured, strict=True):
                for name, values in one.items():
                    table.setdefault(name, []).append(float(values[row]))
            for name, values in truth.items():
                true.setdefault(name, []).append(float(values[place[0]]))
            true.setdefault("well", []).append(number)
            true.setdefault("wanted", []).append(well.strength)
    arrays = [{name: np.array(values) for name, values in table.items()} for table in (*tables, true)]
    return Measured(arrays[0], arrays[1], arrays[2], counts, (dark_end, float(ground.level[1])))


def backgrounds(bright: Measured) -> Table:
    """What the ratio owes to where the background is taken from."""
    table = Table(
        "Background: the ratio against its truth",
        [
            "photons, usual", "background", "grey values", "slope", "found / true, ratios below 1/2",
            "found / true, ratios above 2",
        ],
        "The same simulated translocation wells; slope of base-2 logarithms, medians of what was found over the true "
        "ratio of light. The dark end is the median of the wells' .5 % quantiles.",
    )  # fmt: skip
    for photons, one in ((PlateMicroscope.photons, bright), (DIM_PHOTONS, simulated("translocation", DIM_PHOTONS))):
        true = np.log2(one.truth["light_ratio"])
        for name, level, values in (
            ("dark end", one.levels[0], one.dark),
            ("empty ground", one.levels[1], one.features),
        ):
            found = np.log2(values["nucleus_to_ring"])
            there = np.isfinite(found)
            slope = float(np.polyfit(true[there], found[there], 1)[0])
            low, high = (
                float(np.median(2 ** (found - true)[there & side])) if (there & side).any() else "-"
                for side in (true < -1, true > 1)
            )
            table.rows.append([photons, name, level, slope, low, high])
    return table


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
    grounds = []
    for assay in ASSAYS:
        one = simulated(assay)
        found, true, counts = one.features, one.truth, one.counts
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
            values, known = (measure.as_compared(kinds[name], t[key]) for t, key in ((found, name), (true, truth)))
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
        if assay == "translocation":
            grounds.append(backgrounds(one))
    return [nuclei, features, *grounds, effects]


def shown(figure: WellFigure) -> str:
    """A figure and the ends of its interval."""
    interval = figure.interval
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


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
    found = compare_conditions(crops, name="real", reduce=REDUCED, generator=np.random.default_rng(0))
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
        f"Nuclear diameter measured: {crops.diameter_px:.3g} pixels. Background of the protein: "
        f"{found.measure.background:.3g} grey values, its dark end {crops.levels.dark[0]:.3g}.",
    )
    features = Table(
        "BBBC013, controls: features of cells",
        ["feature", "treatment", "25 %", "median", "75 %", "not measured", "Hedges' g (95 %)", "AUC (95 %)"],
        "g of base-2 logarithms but for counts and areas of nuclei; intervals over wells.",
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
        ["sees", "crops", "balanced accuracy (95 %)", "less that of the real (95 %)", "AUC (95 %)", "test cells"],
        "Trained on half of the wells of each control, judged on the other half; intervals over wells, of differences "
        "on the same wells. 1/8 and 1/16 are the crops reduced by these factors, by classifiers trained on such; "
        "coarse pixels are their grey values.",
    )
    for kind, methods in found.accuracies.items():
        for method, accuracy in methods.items():
            less = found.accuracy_differences.get(kind, {}).get(method)
            difference = "" if less is None else shown(less.balanced)
            cells = " + ".join(map(str, accuracy.cells))
            judged.rows.append([kind, method, shown(accuracy.balanced), difference, shown(accuracy.auc), cells])
    coarse = Table(
        "BBBC013, controls: the ratio at low resolution",
        [
            "crops",
            "negative, median",
            "positive, median",
            "Hedges' g (95 %)",
            "less that of the real (95 %)",
            "not measured",
        ],
        "The same cells, reduced by bicubic interpolation, enlarged again and measured by the same ruler.",
    )
    for method, crop_set in found.sets.items():
        values = found.tables[method]["nucleus_to_ring"]
        medians = [quartiles(values[crop_set.treatments == name])[1] for name in ("negative", "positive")]
        measured = found.effects[method]["nucleus_to_ring"].get("positive")
        less_g = found.effect_differences.get(method, {}).get("nucleus_to_ring", {}).get("positive")
        figures = [
            "-" if measured is None else shown(measured.hedges_g),
            "" if less_g is None else shown(less_g.hedges_g),
        ]
        coarse.rows.append([method, *medians, *figures, int((~np.isfinite(values)).sum())])
    row = open_plate([f"{doses}:{','.join(f'dose {n}' for n in range(1, 10))}"], ("FKHR-GFP", "DRAQ"))
    return [wells, features, judged, coarse, dose_row([field.read() for field in row.fields], found.measure)]


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
    tables = against_truth()
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
