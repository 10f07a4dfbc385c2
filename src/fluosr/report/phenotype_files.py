"""Features and effects on disk: every cell as CSV, effects as Markdown and JSON, and the box plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fluosr.io.own_files import check_folder
from fluosr.io.write import write_bytes, write_json, write_lines, write_text
from fluosr.phenotypes.comparison import PhenotypeComparison
from fluosr.phenotypes.wells import WellFigure
from fluosr.report.phenotype_plot import phenotype_plot

KIND = "fluosr features"
NAMES = ("effects.json", "effects.md", "features.csv", "features.png")
MANY = (
    "{count} intervals of effects stand here, each right by itself in 95 of 100 experiments. They are not corrected "
    "for their number: where nothing differs about {missed:.2g} of them would miss 0 all the same. Choose the feature "
    "that the assay was made for before looking, or ask more of each the more there are (Holm's rule)."
)


def check_features_folder(folder: Path) -> None:
    """Make the folder, and see that it holds nothing of another origin under our names.

    Raises:
        OutputError: it cannot, or it does.
    """
    check_folder(folder, KIND, NAMES[0], NAMES[1:])


def save_features(folder: Path, found: PhenotypeComparison) -> list[Path]:
    """Write ``effects.json``, ``effects.md``, ``features.csv`` and ``features.png``; those of an earlier run go.

    Args:
        folder: made where it is not there.
        found: what was measured.

    Raises:
        OutputError: they cannot be written, or files of another origin have their names.
    """
    check_features_folder(folder)
    record, text, table, picture = (folder / name for name in NAMES)
    write_json(record, {"kind": KIND, **found.describe()})
    write_text(text, effects_markdown(found))
    write_lines(table, _cells(found))
    write_bytes(picture, phenotype_plot(found))
    return [record, text, table, picture]


def effects_markdown(found: PhenotypeComparison) -> str:
    """Medians of the control and each treatment, effects with their 95 % intervals over wells, and the classifiers.

    With several methods also what each has more or less than the first, on the same wells.
    """
    first = next(iter(found.sets))
    lines = ["# Features by treatment", "", f"Control: {found.control}. Intervals: 95 %, over wells.", ""]
    lines += _effects(found)
    paired = [
        [method, feature.words, treatment, _figure(less.hedges_g), _figure(less.auc)]
        for method in found.effect_differences
        for feature in found.features
        for treatment, less in found.effect_differences[method][feature.name].items()
    ]
    if paired:
        lines += ["", f"## Effects, less those of {first}", ""]
        lines += ["Wells are drawn once for both. Where the interval is without 0, the two methods differ.", ""]
        lines += _table(["method", "feature", "treatment", "Hedges' g, difference", "AUC, difference"], paired)
    if found.accuracies:
        lines += ["", "## Classifiers", "", _learnt_from(found, first), ""]
        lines += _classifiers(found)
    notes = _notes(found)
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def _effects(found: PhenotypeComparison) -> list[str]:
    rows = []
    for method, crops in found.sets.items():
        for feature in found.features:
            values = found.tables[method][feature.name]
            for treatment, effect in found.effects[method][feature.name].items():
                medians = [_median(values[crops.treatments == name]) for name in (found.control, treatment)]
                counts = [f"{first} + {second}" for first, second in (effect.cells, effect.left_out)]
                figures = [_figure(effect.hedges_g), _figure(effect.auc)]
                rows.append([method, feature.words, treatment, *medians, *figures, *counts])
    heads = ["method", "feature", "treatment", "median, control", "median", "Hedges' g", "AUC", "cells", "not measured"]
    return _table(heads, rows)


def _learnt_from(found: PhenotypeComparison, first: str) -> str:
    text = f"Trained on the training wells of {first}, judged on the test wells of each."
    if found.bounds:
        text += (
            f" {', '.join(found.bounds)}: trained on training wells of that resolution. Coarse pixels are the grey "
            "values of the reduced crops themselves; the other classifiers of pixels see no brightness."
        )
    return text


def _classifiers(found: PhenotypeComparison) -> list[str]:
    rows = []
    for kind, judged in found.accuracies.items():
        for method, accuracy in judged.items():
            less = found.accuracy_differences.get(kind, {}).get(method)
            differences = ["", ""] if less is None else [_figure(less.balanced), _figure(less.auc)]
            cells = f"{accuracy.cells[0]} + {accuracy.cells[1]}"
            figures = [_figure(accuracy.balanced), differences[0], _figure(accuracy.auc), differences[1]]
            rows.append([kind, method, *figures, cells])
    heads = ["sees", "method", "balanced accuracy", "AUC", "cells"]
    if not any(found.accuracy_differences.values()):
        return _table(heads, [[row[0], row[1], row[2], row[4], row[6]] for row in rows])
    first = next(iter(found.sets))
    return _table([*heads[:3], f"less that of {first}", "AUC", f"less that of {first}", "cells"], rows)


def _notes(found: PhenotypeComparison) -> list[str]:
    notes = list(found.notes)
    features = [of_feature for of_method in found.effects.values() for of_feature in of_method.values()]
    effects = [effect for of_feature in features for effect in of_feature.values()]
    for effect in effects:
        if effect.hedges_g.note and effect.hedges_g.note not in notes:
            notes.append(effect.hedges_g.note)
    count = sum(effect.hedges_g.kind != "none" for effect in effects)
    if count > 1:
        notes.append(MANY.format(count=count, missed=0.05 * count))
    return notes


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]


def _cells(found: PhenotypeComparison) -> Iterator[str]:
    """Lines of the table of cells."""
    names = [feature.name for feature in found.features]

    def line(values: Sequence[object]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        return text.getvalue()

    yield line(["method", "well", "treatment", "split", "field", "y_px", "x_px", *names])
    for method, crops in found.sets.items():
        columns = [found.tables[method][name] for name in names]
        for row in range(len(crops)):
            place = [f"{value:.2f}" for value in crops.places_px[row]]
            values = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in columns]
            known = [crops.wells[row], crops.treatments[row], crops.splits[row], crops.fields[row]]
            yield line([method, *known, *place, *values])


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
