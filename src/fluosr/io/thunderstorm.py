"""Localisations as CSV: ThunderSTORM's columns, and plain tables of frame, x_nm, y_nm.

ThunderSTORM's coordinates begin, as ours, at the outer corner of the first pixel: its fit adds 1/2 to the index of a
pixel's centre (``MultipleLocationsImageFitting.java`` of zitmen/thunderstorm). Its frames count from 1, ours from 0.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.damage import first_bytes
from fluosr.io.write import StrPath, write_lines
from fluosr.localisations import COLUMNS, Localisations, beyond_any_field

FIRST_FRAME = 1  # as ThunderSTORM counts
GZIP = b"\x1f\x8b"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a spreadsheet's "Unicode text" begins
ROWS_AT_A_TIME = 65_536
HEADS = {
    "frame": ("frame",),
    "x_nm": ("x [nm]", "x_nm"),
    "y_nm": ("y [nm]", "y_nm"),
    "photons": ("intensity [photon]", "photons"),
    "background": ("offset [photon]", "background"),
    "uncertainty_nm": ("uncertainty [nm]", "uncertainty_xy [nm]", "uncertainty_nm"),
}  # the first of each is what is written
NEEDED = ("frame", "x_nm", "y_nm")


def read_csv(path: Path, first_frame: int = FIRST_FRAME) -> Localisations:
    """The localisations of a CSV file, which may be compressed by gzip.

    Columns are found by name, in any order, quoted or not, parted by commas, semicolons or tabs; those that are not
    known are passed over. What a row leaves empty, and a column that is not there, is not known (NaN). The text is
    UTF-8, or UTF-16 with a byte-order mark.

    Args:
        path: the file.
        first_frame: the number that the file gives to the first frame of the movie: 1 in ThunderSTORM's, 0 in some.

    Raises:
        ImageReadError: absent, damaged, or not such a table; the line is named.
        UsageError: frames before ``first_frame``.
    """
    opened = gzip.open if first_bytes(path, 2, "table") == GZIP else open
    try:
        with opened(path, "rb") as data:
            encoding = "utf-16" if data.read(2) in UTF_16 else "utf-8-sig"
        # Names and numbers are ASCII: what is no text stands in a column that is passed over, or is told of later.
        with opened(path, "rt", encoding=encoding, errors="replace", newline="") as text:
            return _read(path, text, first_frame)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImageReadError(f"{path} is cut short or damaged ({error}); copy it again.") from error
    except OSError as error:
        raise ImageReadError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read(path: Path, text: TextIO, first_frame: int) -> Localisations:
    head = text.readline(100_000)
    parted_by = max(",;\t", key=head.count)
    names = [name.strip().lower() for row in csv.reader([head], delimiter=parted_by) for name in row]
    places = {}
    for column, aliases in HEADS.items():
        known = [names.index(alias) for alias in aliases if alias in names]
        if known:
            places[column] = known[0]
    absent = [HEADS[column][0] for column in NEEDED if column not in places]
    if absent:
        raise ImageReadError(
            f"{path} has no column {' nor '.join(map(repr, absent))}; its first line is {head.strip()[:120]!r}. A "
            "table of localisations begins with a line of names, among them frame, x [nm] and y [nm] (or x_nm, y_nm)."
        )
    twice = [names[place] for place in places.values() if names.count(names[place]) > 1]
    if twice:
        raise ImageReadError(f"{path} has two columns named {twice[0]!r}; which of them is meant? Remove the other.")
    reader = csv.reader(text, delimiter=parted_by)
    parts: list[Localisations] = []
    while True:
        try:
            rows = [(reader.line_num + 1, row) for row in itertools.islice(reader, ROWS_AT_A_TIME)]
        except (csv.Error, ValueError) as error:
            raise ImageReadError(f"{path}, line {reader.line_num + 1}: {error}; it is no table of numbers.") from error
        if not rows:
            return Localisations.joined(parts)
        rows = [row for row in rows if row[1]]
        for line, row in rows:
            if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :]):
                raise ImageReadError(
                    f"{path}, line {line}: {len(row)} values, where the first line names {len(names)} columns. Decimal "
                    "commas in a table that commas divide do that, or a file that was cut short."
                )
        parts.append(_part(path, rows, places, first_frame))


def _part(path: Path, rows: list[tuple[int, list[str]]], places: Mapping[str, int], first_frame: int) -> Localisations:
    """Some of the rows as a table; each row with its line's number."""
    columns = {}
    for column, place in places.items():
        try:
            columns[column] = np.array([row[place] for _, row in rows], dtype=np.float64)
        except (ValueError, IndexError):
            columns[column] = np.array([_number(path, line, row, column, place) for line, row in rows])
    for column in NEEDED:
        bad = np.flatnonzero(~np.isfinite(columns[column]))
        if bad.size:
            raise ImageReadError(f"{path}, line {rows[bad[0]][0]}: {HEADS[column][0]} is not a finite number.")
    for column in ("x_nm", "y_nm"):
        bad = beyond_any_field(columns[column])
        if bad.size:
            raise ImageReadError(
                f"{path}, line {rows[bad[0]][0]}: {HEADS[column][0]} is {columns[column][bad[0]]:g} nm, and no field "
                "reaches beyond a metre. Delete the row, or correct it."
            )
    frame = columns.pop("frame") - first_frame
    bad = np.flatnonzero((frame < 0) | (frame != np.rint(frame)) | (frame > 2**53))
    if bad.size:
        line, number = rows[bad[0]][0], frame[bad[0]] + first_frame
        if number == np.rint(number) and 0 <= number < first_frame:
            raise UsageError(
                f"{path}, line {line}: frame {number:g}, where the first frame is number {first_frame}. If this file "
                "counts from 0, give --first-frame 0 (first_frame=0); if only the truth of a score does, "
                "--first-frame-of-truth 0."
            )
        raise UsageError(f"{path}, line {line}: frame {number:g}; frames are whole numbers from {first_frame} on.")
    return Localisations(frame, **columns)


def _number(path: Path, line: int, row: Sequence[str], column: str, place: int) -> float:
    if not row[place].strip() and column not in NEEDED:
        return float("nan")
    try:
        return float(row[place])
    except ValueError:
        raise ImageReadError(
            f"{path}, line {line}: {row[place][:40]!r} is no number ({HEADS[column][0]}). Numbers are written with a "
            "point: 12.5."
        ) from None


def write_csv(path: StrPath, table: Localisations) -> None:
    """A table in ThunderSTORM's columns; those of which nothing is known are left out.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    known = [name for name in COLUMNS[2:] if np.isfinite(getattr(table, name)).any()]
    write_lines(path, csv_lines([(table, {})], known))


def csv_lines(
    blocks: Iterable[tuple[Localisations, Mapping[str, np.ndarray]]], known: Sequence[str], further: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of a CSV in ThunderSTORM's columns, exact to the last bit of each number.

    Args:
        blocks: tables, one after the other, each with its values of the further columns, (N,).
        known: those of photons, background and uncertainty_nm that are written; others are left out, since an empty
            cell is no number to most readers.
        further: names of columns of the caller's own, which stand last.
    """
    names = ["id", *(HEADS[name][0] for name in (*NEEDED, *known)), *further]
    yield ",".join(f'"{name}"' for name in names) + "\n"
    first = 1
    for table, more in blocks:
        columns = [range(first, first + len(table)), (table.frame + FIRST_FRAME).tolist()]
        columns += [_texts(getattr(table, name)) for name in (*COLUMNS[:2], *known)]
        columns += [_texts(np.asarray(more[name])) for name in further]
        first += len(table)
        yield "".join([",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True)])


def _texts(values: np.ndarray) -> list[str]:
    """The shortest text that gives the same number back; NaN as Java's and Python's readers both know it."""
    return ["NaN" if value != value else repr(value) for value in values.tolist()]
