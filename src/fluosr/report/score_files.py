"""Tables of scores on disk: Markdown to read, JSON to reckon with, and the curve over the number of pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fluosr.corrections.intervals import Interval
from fluosr.io.own_files import check_folder
from fluosr.io.write import write_bytes, write_json, write_text
from fluosr.quality.score_table import ScoreTable
from fluosr.report.drawing import BLUE, CRISP, INK, ORANGE, dress, png_of

KIND = "fluosr few-shot"
RECORD, TEXT, PICTURE = "few-shot.json", "few-shot.md", "few-shot.png"
Distances = Mapping[str, Mapping[str, Interval]]  # method -> distance -> its value and interval


def check_score_folder(folder: Path) -> None:
    """Make the folder, and see that it can be written to and holds nothing of another origin under our names.

    Raises:
        OutputError: it cannot, or it does.
    """
    check_folder(folder, KIND, RECORD, (TEXT, PICTURE))


def save_few_shot(folder: Path, table: ScoreTable, pairs: Mapping[str, int | None], more: Distances) -> list[Path]:
    """Write ``few-shot.md``, ``few-shot.json`` and ``few-shot.png``; those of an earlier run are replaced.

    Args:
        folder: made where it is not there.
        table: a method a row.
        pairs: for each method the pairs that it learnt from; None of baselines.
        more: for each method figures of the whole set, such as FID, with their intervals; infinite ends where there
            is none.

    Raises:
        OutputError: they cannot be written, or files of another origin would be overwritten.
    """
    check_score_folder(folder)
    distances = {method: {name: each.describe() for name, each in row.items()} for method, row in more.items()}
    record = {"kind": KIND, **table.describe(), "pairs": dict(pairs), "of_all_pictures": distances}
    write_json(folder / RECORD, record)
    write_text(folder / TEXT, markdown(table, pairs, more))
    write_bytes(folder / PICTURE, curve(table, pairs))
    return [folder / name for name in (TEXT, RECORD, PICTURE)]


def markdown(table: ScoreTable, pairs: Mapping[str, int | None], more: Distances) -> str:
    """A row for each method: means over fields, then figures of all pictures, with their 95 % intervals."""
    others = list(dict.fromkeys(name for row in more.values() for name in row))
    heads = ["", "pairs", *table.metrics, *others]
    rows = [heads, ["---"] * len(heads)]
    for method, cells in table.cells.items():
        count = pairs.get(method)
        shown = [_cell(cells[metric].interval) if metric in cells else "" for metric in table.metrics]
        rest = [_cell(more[method][name]) if name in more.get(method, {}) else "" for name in others]
        rows.append([method, "" if count is None else str(count), *shown, *rest])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    note = f"Means over {len(table.fields)} fields, with 95 % intervals over fields (frames of a field are one)."
    if any(name.startswith("FID") for name in others):
        note += " FID rises as pictures grow fewer, and a mean of frames makes fewer: compare KID there."
        note += " Their intervals leave out one field after the other, which takes three fields."
    return "# Few-shot protocol\n\n" + note + "\n\n" + "\n".join(lines) + "\n"


def curve(table: ScoreTable, pairs: Mapping[str, int | None]) -> bytes:
    """PNG: each metric over the number of pairs, with intervals; baselines as lines."""
    metrics = table.metrics
    figure = Figure(figsize=(4.8 * len(metrics), 3.6), dpi=100 * CRISP)
    learnt = sorted((count, method) for method, count in pairs.items() if count is not None)
    for number, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), number + 1)
        found = [table.cells[method][metric].interval for _, method in learnt]
        places, values = range(len(learnt)), [each.value for each in found]
        ends = [[each.value - each.low for each in found], [each.high - each.value for each in found]]
        axes.errorbar(places, values, yerr=ends, color=BLUE, marker="o", markersize=4, linewidth=1.8, capsize=3)
        for method, count in pairs.items():
            if count is None:
                axes.axhline(table.cells[method][metric].interval.value, color=ORANGE, linewidth=1, linestyle=":")
                axes.annotate(
                    method, (0, table.cells[method][metric].interval.value), xycoords=("axes fraction", "data"),
                    xytext=(3, 3), textcoords="offset points", color=INK, fontsize=8,
                )  # fmt: skip
        axes.set_xticks(list(places), [str(count) for count, _ in learnt])
        dress(axes, metric, "pairs learnt from", "")
    figure.tight_layout()
    return png_of(figure)


def _cell(found: Interval) -> str:
    ends = f" ({found.low:.4g} to {found.high:.4g})" if math.isfinite(found.low) else ""
    return f"{found.value:.4g}{ends}"
