"""``fluosr few-shot``: how many pairs of a new kind of sample a trained restorer needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import app
from fluosr.cli.options import Device, Seed, folder_named, with_options
from fluosr.cli.train import built, parameter_options
from fluosr.errors import UsageError
from fluosr.progress import ProgressBar
from fluosr.restoration.parameters import RestorationTraining

FIXED = ("arm", "network", "blocks", "features", "validation_share")  # what the base and the folders decide
ALL = "all"


@app.command("few-shot")
@with_options([o for o in parameter_options(RestorationTraining) if o.name not in FIXED])
def few_shot(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="model of another kind of sample", show_default=False)],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="folder with training, validation and test, each of pairs",
            show_default=False,
        ),
    ],
    *,
    pairs: Annotated[
        str, typer.Option("--pairs", help="numbers of pairs to learn from, with commas")
    ] = "200,400,800,all",
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the table")
    ] = Path("few-shot"),
    seed: Seed = 0,
    device: Device = "auto",
    **options: Any,
) -> None:
    """Judge a model on a new kind of sample as it is, and after learning from few and from all pairs of it."""
    from fluosr.io.fields import read_test_split
    from fluosr.methods.base import Run
    from fluosr.pipeline import choose_device
    from fluosr.quality.features import RandomConvolutions
    from fluosr.report.score_files import check_score_folder, save_few_shot
    from fluosr.restoration.few_shot import few_shot as rows_of
    from fluosr.restoration.judging import distance_intervals, table_of
    from fluosr.restoration.model import restorer_from
    from fluosr.restoration.perceptual import load_perceptual

    counts = _counts(pairs)
    model = restorer_from(base)
    known = model.knowledge
    given = {name: value for name, value in options.items() if value is not None}
    parameters = built("few-shot", RestorationTraining, {**given, "arm": "paired", "network": known.network})
    perceptual = None if parameters.perceptual is None else load_perceptual(parameters.perceptual)
    splits, warnings = read_test_split(source, factor=known.scale)
    for warning in warnings:
        typer.echo(f"Warning: {warning}", err=True)
    model.network.to(choose_device(device))
    shots, more = [], {}
    check_score_folder(output)
    with _removed_if_empty(output), ProgressBar() as bar:

        def run_of(name: str) -> Run:
            run = bar.run(name)
            run.device = choose_device(device)
            return run

        for shot in rows_of(model, *splits, counts, parameters, perceptual=perceptual, seed=seed, run_of=run_of):
            shots.append(shot)
            more[shot.name] = distance_intervals(shot.pictures, splits[2], RandomConvolutions(), seed)
            figures = ", ".join(f"{name} {values.mean():.4g}" for name, values in shot.scores.metrics.items())
            typer.echo(f"{shot.name}: {figures}")
    table = table_of({shot.name: shot.scores for shot in shots}, seed)
    written = save_few_shot(output, table, {shot.name: shot.pairs for shot in shots}, more)
    typer.echo(f"Wrote {', '.join(map(str, written))}")


def _counts(text: str) -> list[int | None]:
    found: list[int | None] = []
    for part in map(str.strip, text.split(",")):
        if part != ALL and not (part.isdecimal() and int(part) > 0):
            raise UsageError(
                f"--pairs {text}: a number of pairs is whole and positive, or {ALL!r}; {part!r} is neither."
            )
        found.append(None if part == ALL else int(part))
    return list(dict.fromkeys(found))


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it holds what was there before
            folder.rmdir()
        raise
