"""A limit on disk: the record, the table, and the picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fluosr.io.own_files import check_folder
from fluosr.io.write import write_bytes, write_json, write_text
from fluosr.limits.table import Limit

KIND = "fluosr limit"
RECORD, OTHERS = "limit.json", ("limit.csv", "limit.png", "limit.svg")


def check_limit_folder(folder: Path) -> None:
    """Make the folder, and see that it can be written to and holds nothing of another origin under our names.

    Raises:
        OutputError: it cannot, or it does.
    """
    check_folder(folder, KIND, RECORD, OTHERS)


def save_limit(limit: Limit, folder: Path) -> tuple[Path, ...]:
    """Write ``limit.json``, ``limit.csv``, ``limit.png`` and ``limit.svg``; those of an earlier run are replaced.

    Returns:
        What was written.

    Raises:
        OutputError: no room or no permission, or files of another origin would be overwritten.
    """
    from fluosr.report.limit_plot import draw_limit

    check_limit_folder(folder)
    write_json(folder / RECORD, {"kind": KIND, **limit.describe(), "summary": limit.sentences()})
    table = io.StringIO()
    rows = [row.describe() for row in limit.rows]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        [{name: value if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()} for row in rows]
    )
    write_text(folder / "limit.csv", table.getvalue())
    write_bytes(folder / "limit.png", draw_limit(limit, "png"))
    write_bytes(folder / "limit.svg", draw_limit(limit, "svg"))
    return tuple(folder / name for name in (RECORD, *OTHERS))
