"""The regularised latent search beside its baselines: quality, classification, features, robustness, uncertainty.

The tables and figures of Gheisari & Genovesio as protocols, on two simulated assays and on real wells (BBBC013), where
the reference data lie. Cells are kept in a file of their own, so that a run can be stopped and taken up: the tables are
made of what there is. ``--minutes 60`` stops after an hour, ``--gpu`` is the large size.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import latent_figures
import latent_runs
import numpy as np
import torch
from latent_data import ASSAYS, KEPT, PRIMARY, REAL
from latent_runs import CPU, DISTURBED, FACTORS, GPU, SEARCHES, Bench, Size, jobs
from tables import DATA, Cells, Table, store

import fluosr
from fluosr.latent.uncertainty import feature_intervals, widening_for

COMPARED = ("bicubic", "Pix2Pix", "BRGM (pixel)", "PULSE", "w/o regularisation", "RLS")
CONFIDENCE = 0.9
EXTRACTORS = tuple(extractor.name for extractor in latent_runs.EXTRACTORS)

Found = dict[str, dict[str, Any]]


def interval(figure: dict[str, Any], digits: int = 2) -> str:
    """A figure and its 95 % interval, as text."""
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.{digits}f}"
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def quality(found: Found, size: Size, assays: list[str]) -> Table:
    """Table 1."""
    made = Table(
        "Quality (the paper's table 1)",
        ("assay", "factor", "method", *(f"KID ({name}) x 1000" for name in EXTRACTORS), "MS-SSIM of 3 scales",
         "PSNR, dB", "misfit x 1000", "CPU-s an image"),
        "KID to cells of other wells, by named extractors: neither is the paper's Inception, whose weights are in no "
        "package; LPIPS asks for such weights too and is left out. 'HR' is what the sharp cells themselves have. "
        "Misfit: mean |y - D(image)| of the range from -1 to 1. Rates of Adam as in the table of rates, all else the "
        "papers'.",
    )  # fmt: skip
    for assay in assays:
        for factor in FACTORS:
            for method in (*COMPARED, "HR"):
                cell = found.get(size.key(assay, factor, method))
                if cell is None:
                    continue
                likeness = [f"{np.mean(values):.3g}" for name, values in cell["likeness"].items() if "PSNR" not in name]
                psnr = [f"{np.mean(values):.2f}" for name, values in cell["likeness"].items() if "PSNR" in name]
                made.rows.append(
                    [
                        assay,
                        factor,
                        method,
                        *(f"{1000 * cell['kid'][name]:.3g}" for name in EXTRACTORS),
                        "" if method == "HR" else likeness[-1],
                        "" if method == "HR" else psnr[0],
                        "" if cell["misfit"] is None else f"{1000 * np.mean(cell['misfit']):.2f}",
                        f"{cell['seconds']:.2f}",
                    ]
                )
    return made


def classification(found: Found, size: Size, assays: list[str]) -> Table:
    """Table 2, LR and HR as bounds."""
    made = Table(
        "Balanced accuracy of classifiers (the paper's table 2)",
        ("assay", "factor", "learnt and judged on", "from pixels", "from features or coarse grey values"),
        "LR: learnt on coarse pictures of one third of the wells and judged on coarse pictures of another; all others: "
        "learnt on sharp cells, judged on what the method shows. No well is among those that the generator saw. 95 % "
        "intervals over wells.",
    )
    for assay in assays:
        for factor in FACTORS:
            for method in ("LR", *COMPARED, "HR"):
                cell = found.get(size.key(assay, factor, method))
                if cell is None:
                    continue
                told = {kind: interval(value["balanced_accuracy"]) for kind, value in cell["accuracies"].items()}
                other = told.get("features", told.get("coarse grey values", ""))
                made.rows.append([assay, factor, method, told["pixels"], other])
    return made


def effects(found: Found, size: Size, assays: list[str]) -> Table:
    """Fig. 5 as numbers."""
    made = Table(
        "Effect of the treatment on the assay's feature (the paper's figure 5)",
        ("assay", "feature", "factor", "method", "Hedges' g (95 % over wells)", "|g - g of HR|", "AUC",
         "correlation with HR, cell by cell"),
        "Of the same cells. Ratios and areas of spots by their logarithms.",
    )  # fmt: skip
    for assay in assays:
        name = PRIMARY[assay]
        for factor in FACTORS:
            truth = found.get(size.key(assay, factor, "HR"))
            for method in (*COMPARED, "HR"):
                cell = found.get(size.key(assay, factor, method))
                if cell is None or truth is None:
                    continue
                effect = cell["effects"][name]
                if effect is None:
                    made.rows.append([assay, name, factor, method, "not measured", "", "", ""])
                    continue
                off = abs(effect["value"] - truth["effects"][name]["value"])
                values = [np.log2(np.maximum(np.array(c["features"][name], float), 1e-9)) for c in (cell, truth)]
                there = np.isfinite(values[0]) & np.isfinite(values[1])
                alike = np.corrcoef(values[0][there], values[1][there])[0, 1] if there.sum() > 2 else np.nan
                made.rows.append(
                    [assay, name, factor, method, interval(effect), "" if method == "HR" else f"{off:.2f}",
                     f"{effect['auc']:.2f}", "" if method == "HR" else f"{alike:.2f}"]
                )  # fmt: skip
    return made


def verdicts(found: Found, size: Size, assays: list[str]) -> Table:
    """What is claimed of the search, claim by claim."""
    made = Table(
        "Does the regularised search beat the others?",
        ("assay", "factor", "against", *(f"KID ({name})" for name in EXTRACTORS), "error of g"),
        "'yes' where its figure is the smaller.",
    )
    for assay in assays:
        for factor in FACTORS:
            own = found.get(size.key(assay, factor, "RLS"))
            truth = found.get(size.key(assay, factor, "HR"))
            if own is None or truth is None:
                continue

            def error(cell: dict[str, Any], truth: dict[str, Any] = truth, assay: str = assay) -> float:
                effect = cell["effects"][PRIMARY[assay]]
                return np.inf if effect is None else abs(effect["value"] - truth["effects"][PRIMARY[assay]]["value"])

            for method in ("w/o regularisation", "PULSE", "BRGM (pixel)"):
                cell = found.get(size.key(assay, factor, method))
                if cell is None:
                    continue
                wins = [own["kid"][name] < cell["kid"][name] for name in EXTRACTORS] + [error(own) < error(cell)]
                made.rows.append([assay, factor, method, *("yes" if win else "no" for win in wins)])
    return made


def flows(found: Found, size: Size, assays: list[str]) -> Table:
    """Fig. 1 as numbers."""
    made = Table(
        "Squared norms of codes against chi-squared (the paper's figure 1)",
        ("assay", "numbers of a code", "Z", "W", "element-wise (PULSE)", "flow", "element-wise / flow"),
        "Kolmogorov-Smirnov distance of 5000 fresh codes; of Z it is that of the draw itself. Wanted: 5 times less.",
    )
    for assay in assays:
        cell = found.get(size.key(assay, "norms"))
        if cell is not None:
            d = cell["distances"]
            ratio = d["element-wise"] / d["flow"]
            made.rows.append([assay, cell["degrees"], *(d[n] for n in ("Z", "W", "element-wise", "flow")), ratio])
    return made


def ablation(found: Found, size: Size, assays: list[str]) -> Table:
    """Fig. 7 as numbers."""
    made = Table(
        f"Without its priors (the paper's figure 7), {FACTORS[1]}x",
        ("assay", "variant", *(f"KID ({name}) x 1000" for name in EXTRACTORS), "PSNR, dB", "misfit x 1000",
         "Hedges' g"),
        "The last two rows at the rate of the whole search.",
    )  # fmt: skip
    for assay in assays:
        for method in SEARCHES:
            cell = found.get(size.key(assay, FACTORS[1], method))
            if cell is None:
                continue
            psnr = next(values for name, values in cell["likeness"].items() if "PSNR" in name)
            effect = cell["effects"][PRIMARY[assay]]
            made.rows.append(
                [assay, method, *(f"{1000 * cell['kid'][name]:.3g}" for name in EXTRACTORS), f"{np.mean(psnr):.2f}",
                 f"{1000 * np.mean(cell['misfit']):.2f}", "not measured" if effect is None else interval(effect)]
            )  # fmt: skip
    return made


def robustness(found: Found, size: Size, assays: list[str]) -> Table:
    """Fig. 6 as numbers."""
    made = Table(
        f"Coarse images that were altered (the paper's figure 6), {FACTORS[0]}x",
        ("assay", "altered by", "what was altered x 1000", "result, made coarse, less the unaltered x 1000",
         "PSNR, dB"),
        "Means of absolute differences of the range from -1 to 1. The search knows of the bicubic reduction alone.",
    )  # fmt: skip
    for assay in assays:
        for what in DISTURBED:
            cell = found.get(size.key(assay, "disturbed", what))
            if cell is not None:
                shown = [f"{1000 * np.mean(cell[name]):.1f}" for name in ("altered", "off")]
                made.rows.append([assay, what, *shown, f"{np.mean(cell['psnr']):.2f}"])
    return made


def coverage(found: Found, size: Size, assays: list[str]) -> Table:
    """Fig. 8 as numbers: how often the true feature lies in its interval."""
    made = Table(
        "Intervals of features (the paper's figure 8)",
        ("assay", "factor", "feature", "test cells", f"in the {100 * CONFIDENCE:.0f} % interval of the samples, %",
         "widened by", "in the widened one, %", "half width / spread of the feature"),
        "Samples as the paper draws them; widened by what cells of other wells, whose truth is known, ask for (split "
        "conformal prediction). The last column is 1.64 where an interval tells no more than the assay as a whole.",
    )  # fmt: skip
    for assay in assays:
        for factor in FACTORS:
            cell = found.get(size.key(assay, factor, "uncertainty"))
            if cell is None:
                continue
            for name in dict.fromkeys((PRIMARY[assay], "nucleus_to_ring", "nucleus_area_um2")):
                known, test = (measured_pairs(cell[part]["features"][name]) for part in ("known", "test"))
                if min(len(known[1]), len(test[1])) < 10:
                    continue
                widening = widening_for(*known, confidence=CONFIDENCE)
                plain = feature_intervals(test[0], confidence=CONFIDENCE)
                wide = feature_intervals(test[0], confidence=CONFIDENCE, widening=widening)
                made.rows.append(
                    [assay, factor, name, len(test[1]), f"{100 * plain.coverage(test[1]):.0f}", f"{widening:.2f}",
                     f"{100 * wide.coverage(test[1]):.0f}",
                     f"{np.mean(wide.high - wide.low) / 2 / np.std(test[1]):.2f}"]
                )  # fmt: skip
    return made


def measured_pairs(part: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """((M, n) of plausible images, (M,) truth) of cells in which all could be measured."""
    drawn, truth = np.array(part["drawn"], float), np.array(part["truth"], float)
    there = np.isfinite(drawn).all(1) & np.isfinite(truth)
    return drawn[there], truth[there]


def models(found: Found, size: Size, assays: list[str]) -> list[Table]:
    """What was learnt, and at which rates was searched."""
    learnt = Table(
        "Generators",
        ("assay", "crops learnt from", "images shown", *(f"KID ({name}) x 1000" for name in EXTRACTORS),
         "of the crops themselves"),
        "Of samples to cells of other wells, and of crops of the learnt wells to the same.",
    )  # fmt: skip
    rates = Table(
        "Rates",
        ("assay", "method", "rate", "objective at the rates tried"),
        f"The least objective reached on cells of the generator's wells at {FACTORS[0]}x; no sharp cell was asked.",
    )
    for assay in assays:
        cell = found.get(size.key(assay, "generator"))
        if cell is not None:
            own = " / ".join(f"{1000 * cell['kid_of_crops'][name]:.3g}" for name in EXTRACTORS)
            scores = [f"{1000 * cell['kid'][name]:.3g}" for name in EXTRACTORS]
            learnt.rows.append([assay, cell["crops"], cell["images"], *scores, own])
        for method in ("RLS", "w/o regularisation", "PULSE", "BRGM (pixel)"):
            cell = found.get(size.key(assay, "rate", method))
            if cell is not None:
                tried = ", ".join(f"{rate}: {value:.4g}" for rate, value in cell["objective"].items())
                rates.rows.append([assay, method, cell["rate"], tried])
    return [learnt, rates]


def main() -> None:
    """Run what is missing, then store tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    parser.add_argument("--only", default="", help="assays, with commas; 'none': only make the tables")
    parser.add_argument("--gpu", action="store_true", help="128 pixels on a GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    size = GPU if arguments.gpu else CPU
    name = "latent_tables_gpu" if arguments.gpu else "latent_tables"
    found = Cells(name, arguments.minutes)
    assays = [assay for assay in ASSAYS if assay != REAL or (DATA / "treatments").is_dir()]
    only = arguments.only.split(",") if arguments.only else assays
    for assay in assays:
        if assay in only:
            found.fill(jobs(Bench(assay, size), found), lambda cell: {k: cell[k] for k in ("rate", "kid") if k in cell})
    made = [
        quality(found, size, assays), verdicts(found, size, assays), classification(found, size, assays),
        effects(found, size, assays), ablation(found, size, assays), robustness(found, size, assays),
        coverage(found, size, assays), flows(found, size, assays), *models(found, size, assays),
    ]  # fmt: skip
    store(
        name,
        "Regularised latent search beside its baselines",
        [table for table in made if table.rows],
        size=f"{size.pixels} px on {size.device}, {size.training}, flow {size.fitting}",
        version=fluosr.__version__,
    )
    latent_figures.draw(name, found, size, assays)


if __name__ == "__main__":
    main()
