"""The commands for tables of localisations: ``fluosr score`` and ``fluosr convert``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluosr.cli.app import app
from fluosr.errors import MissingMetadataError, OutputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fluosr.localisations import Localisations
    from fluosr.quality.localisation import MovieScore

PixelSize = Annotated[
    float | None, typer.Option("--pixel-size", help="camera pixel, nm; for Picasso's files (default: the file's)")
]
FirstFrame = Annotated[
    int, typer.Option("--first-frame", min=0, max=1, help="number of the first frame in CSV files: 1, or 0")
]


@app.command()
def score(
    found: Annotated[Path, typer.Argument(help="localisations to judge: .csv, .csv.gz, .hdf5", show_default=False)],
    truth: Annotated[Path, typer.Argument(help="the true ones, likewise", show_default=False)],
    *,
    radius: Annotated[float, typer.Option("--radius", help="how far apart a match may be, nm")] = 100.0,
    frames: Annotated[
        str | None, typer.Option("--frames", help="first:last, from 0, the last not included (default: all)")
    ] = None,
    pixel_size: PixelSize = None,
    first_frame: FirstFrame = 1,
    first_frame_of_truth: Annotated[
        int | None,
        typer.Option(
            "--first-frame-of-truth",
            min=0,
            max=1,
            help="the same for the table of the truth, where it counts otherwise (default: as --first-frame)",
        ),
    ] = None,
) -> None:
    """Say how well molecules were found, against their true places: Jaccard index, error, efficiency."""
    from fluosr.io.localisations import read_localisations
    from fluosr.quality.localisation import score_localisations

    chosen = None if frames is None else _frames(frames)
    if not (math.isfinite(radius) and radius >= 0):
        raise UsageError(f"--radius must not be negative (nm), got {radius:g}.")
    ours = read_localisations(found, pixel_size_nm=pixel_size, first_frame=first_frame)
    first = first_frame if first_frame_of_truth is None else first_frame_of_truth
    true = read_localisations(truth, pixel_size_nm=pixel_size, first_frame=first)
    judged = score_localisations(ours, true, radius, frames=chosen)
    for line in _lines(judged):
        typer.echo(line)
    for note in _notes(ours, true, judged):
        typer.echo(f"Note: {note}", err=True)


def _frames(text: str) -> range:
    try:
        first, last = (int(part) if part.strip() else None for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--frames {text}: write first:last, such as 0:100.") from None
    chosen = range(first or 0, 2**31 if last is None else last)
    if chosen.start < 0 or not chosen:
        raise UsageError(f"--frames {text}: no frame is chosen; write first:last, from 0, such as 0:100.")
    return chosen


def _lines(judged: MovieScore) -> list[str]:
    pooled = judged.pooled
    rows: list[tuple[str, str, str]] = [("", "all molecules", "mean of frames")]
    figures = (
        ("Jaccard", "jaccard", 100.0, " %"),
        ("precision", "precision", 100.0, " %"),
        ("recall", "recall", 100.0, " %"),
        ("RMSE", "rmse_nm", 1.0, " nm"),
        ("efficiency", "efficiency", 1.0, ""),
    )
    for name, figure, scale, unit in figures:
        whole, mean = (
            "-" if math.isnan(value) else f"{scale * value:.2f}{unit}"
            for value in (getattr(pooled, figure), judged.mean(figure))
        )
        rows.append((name, whole, mean))
    rows += [
        ("matched", f"{pooled.true_positives}", ""),
        ("found, not there", f"{pooled.false_positives}", ""),
        ("there, not found", f"{pooled.misses}", ""),
        ("frames", f"{len(judged.frames)}", ""),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}".rstrip() for a, b, c in rows]


def _notes(found: Localisations, true: Localisations, judged: MovieScore) -> list[str]:
    """What a hurried reader of these figures should know."""
    tables = (("localisations", found), ("true molecules", true))
    notes = [f"there are no {what}." for what, table in tables if not len(table)]
    if notes or not judged.frames:
        return notes or ["nothing lies in these frames."]
    apart = abs(int(found.frame[-1]) - int(true.frame[-1]))
    if judged.pooled.jaccard < 0.05 and judged.pooled.true_positives < 0.2 * len(found):
        notes.append(
            "hardly anything matches: do both tables count frames alike (--first-frame, --first-frame-of-truth), from "
            "the same corner, in nm, and is --radius wide enough?"
            + (f" Their last frames are {apart} apart." if apart else "")
        )
    return notes


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="localisations: .csv, .csv.gz, .hdf5", show_default=False)],
    target: Annotated[
        Path, typer.Argument(help="what to write: .csv (ThunderSTORM) or .hdf5 (Picasso)", show_default=False)
    ],
    *,
    pixel_size: PixelSize = None,
    field: Annotated[
        str | None,
        typer.Option(
            "--field", help="height x width of the movie, camera pixels: 64x64 (default: what holds them all)"
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="frames of the movie (default: up to the last that is used)")
    ] = None,
    first_frame: FirstFrame = 1,
) -> None:
    """Convert localisations between ThunderSTORM's CSV and Picasso's HDF5."""
    from fluosr.io.localisations import check_pixel_size, is_picasso, read_localisations, write_localisations
    from fluosr.io.thunderstorm import write_csv

    _check_target(source, target)
    if not is_picasso(target):
        if field is not None or frames is not None:
            raise UsageError("--field and --frames are for Picasso's files; a CSV does not say what movie it is of.")
        table = read_localisations(source, pixel_size_nm=pixel_size, first_frame=first_frame)
        write_csv(target, table)
    else:
        if pixel_size is None:
            raise MissingMetadataError("Picasso's files count in camera pixels: give --pixel-size (nm).")
        check_pixel_size(pixel_size)
        shape = None if field is None else _field(field)
        table = read_localisations(source, first_frame=first_frame)
        if shape is None:
            shape = _size(table.y_nm, pixel_size), _size(table.x_nm, pixel_size)
        write_localisations(
            target,
            table,
            pixel_size_nm=pixel_size,
            field_shape=shape,
            n_frames=frames or int(table.frame.max(initial=0)) + 1,
        )
        y, x = table.y_nm / pixel_size, table.x_nm / pixel_size
        hidden = int(((y < 0.5) | (x < 0.5) | (y >= shape[0] + 0.5) | (x >= shape[1] + 0.5)).sum())
        if hidden:
            typer.echo(
                f"Note: {hidden} of them lie beyond the field, or less than half a pixel from its upper or left "
                "border: Picasso leaves such out.",
                err=True,
            )
    typer.echo(f"Wrote {len(table):,} localisations: {target}")


def _size(places_nm: np.ndarray, pixel_size_nm: float) -> int:
    return max(1, math.floor(places_nm.max(initial=0.0) / pixel_size_nm) + 1)


def _field(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise UsageError(f"--field {text}: write height x width in camera pixels, such as 64x64.")
    return height, width


def _check_target(source: Path, target: Path) -> None:
    """A file that is there is never written over: two names given the wrong way round would cost a table."""
    from fluosr.io.localisations import check_name, is_picasso

    check_name(target)
    if is_picasso(source) and is_picasso(target):
        raise UsageError(f"{source} and {target} are both Picasso's: there is nothing to convert; copy it.")
    for path in (target, *([target.with_suffix(".yaml")] if is_picasso(target) else [])):
        if path.exists():
            raise OutputError(f"{path} is already there; choose another name, or delete it first.")
