"""Features and effects on disk: every cell as CSV, effects as Markdown and JSON, and the box plots."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from fluosr.io.write import make_folder, write_bytes, write_json, write_text
from fluosr.phenotypes.comparison import PhenotypeComparison
from fluosr.phenotypes.wells import WellFigure
from fluosr.report.phenotype_plot import phenotype_plot

NAMES = ("features.csv", "effects.md", "effects.json", "features.png")


def save_features(folder: Path, found: PhenotypeComparison) -> list[Path]:
    """Write ``features.csv``, ``effects.md``, ``effects.json`` and ``features.png``; those of an earlier run go.

    Args:
        folder: made where it is not there.
        found: what was measured.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder)
    table, text, record, picture = (folder / name for name in NAMES)
    write_text(table, _cells(found))
    write_text(text, effects_markdown(found))
    write_json(record, found.describe())
    write_bytes(picture, phenotype_plot(found))
    return [table, text, record, picture]


def effects_markdown(found: PhenotypeComparison) -> str:
    """Medians of the control and each treatment, effects with their 95 % intervals over wells, and the classifiers."""
    heads = ["method", "feature", "treatment", "median, control", "median", "Hedges' g", "AUC", "cells", "not measured"]
    rows = [heads, ["---"] * len(heads)]
    notes = list(found.notes)
    for method, crops in found.sets.items():
        for feature in found.features:
            values = found.tables[method][feature.name]
            for treatment, effect in found.effects[method][feature.name].items():
                medians = [_median(values[crops.treatments == name]) for name in (found.control, treatment)]
                counts = [f"{first} + {second}" for first, second in (effect.cells, effect.left_out)]
                figures = [_figure(effect.hedges_g), _figure(effect.auc)]
                rows.append([method, feature.words, treatment, *medians, *figures, *counts])
                if effect.hedges_g.note and effect.hedges_g.note not in notes:
                    notes.append(effect.hedges_g.note)
    lines = ["# Features by treatment", "", f"Control: {found.control}. Intervals: 95 %, over wells.", ""]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if found.accuracies:
        lines += ["", "## Classifiers", ""]
        lines += ["Trained on the training wells of the first method, judged on the test wells of each.", ""]
        lines += ["| sees | method | balanced accuracy | AUC | cells |", "|---|---|---|---|---|"]
        for kind, judged in found.accuracies.items():
            for method, accuracy in judged.items():
                cells = f"{accuracy.cells[0]} + {accuracy.cells[1]}"
                lines.append(f"| {kind} | {method} | {_figure(accuracy.balanced)} | {accuracy.auc:.3f} | {cells} |")
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def _cells(found: PhenotypeComparison) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = [feature.name for feature in found.features]
    table.writerow(["method", "well", "treatment", "split", "field", "y_px", "x_px", *names])
    for method, crops in found.sets.items():
        columns = [found.tables[method][name] for name in names]
        for row in range(len(crops)):
            place = [f"{value:.2f}" for value in crops.places_px[row]]
            values = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in columns]
            known = [crops.wells[row], crops.treatments[row], crops.splits[row], crops.fields[row]]
            table.writerow([method, *known, *place, *values])
    return text.getvalue()


def _median(values: np.ndarray) -> str:
    there = values[np.isfinite(values)]
    return f"{np.median(there):.3g}" if len(there) else "-"


def _figure(figure: WellFigure) -> str:
    found = figure.interval
    if not np.isfinite(found.value):
        return "-"
    if not np.isfinite([found.low, found.high]).all():
        return f"{found.value:.3g} (no interval)"
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})"
