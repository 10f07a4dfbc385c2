"""A folder that one command writes into: only what an earlier run of that command left there is replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fluosr.errors import OutputError
from fluosr.io.write import make_folder

HEAD = 200  # characters of a record within which it says its kind


def check_folder(folder: Path, kind: str, record: str, others: Sequence[str]) -> None:
    """Make the folder, and see that it can be written to and holds nothing of another origin under our names.

    Args:
        folder: of the results.
        kind: what the record says that it is, as the first of its entries.
        record: name of the JSON file that marks all of them as ours; it is written first.
        others: names of the other files.

    Raises:
        OutputError: it cannot, or it does.
    """
    make_folder(folder)
    present = [name for name in (record, *others) if os.path.lexists(folder / name)]
    if present and not _is_of(kind, folder / record):
        raise OutputError(
            f"{folder} holds {', '.join(present)}, which no earlier run of fluosr left there; choose another --output, "
            "or move them away."
        )
    if folders := [name for name in present if (folder / name).is_dir()]:
        raise OutputError(f"{folder / folders[0]} is a folder; choose another --output, or move it away.")


def _is_of(kind: str, record: Path) -> bool:
    try:
        return f'"kind": "{kind}"' in record.read_text(encoding="utf-8")[:HEAD]
    except (OSError, UnicodeDecodeError):
        return False
