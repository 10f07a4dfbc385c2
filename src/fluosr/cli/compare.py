"""``fluosr compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import STOPPED, app
from fluosr.cli.options import DEFAULT_OUTPUT, Device, Movie, Output, Seed, input_options, open_chosen, with_options
from fluosr.progress import ProgressBar

if TYPE_CHECKING:
    from fluosr.report.compare_page import Comparison


@app.command()
@with_options(input_options())
def compare(
    movie: Movie,
    *,
    methods: Annotated[
        str,
        typer.Option("--methods", help="names with commas between, or all; see `fluosr methods`"),
    ],
    output: Output = DEFAULT_OUTPUT,
    factor: Annotated[
        int | None, typer.Option("--factor", min=1, max=32, help="fine pixels per camera pixel, common to all methods")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="METHOD.PARAMETER=VALUE for one method; may be repeated")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="keep what is finished in --output, and go on")] = False,
    **options: Any,
) -> None:
    """Run several methods on a movie and show them side by side: writes compare.html, and a folder for each method."""
    from fluosr.settings import parse_methods, parse_settings

    names = parse_methods(methods)
    settings = parse_settings(set_ or [], names)
    from fluosr import comparison

    for name in names:  # what is wrong with a value is said before the movie is opened
        comparison.parameters_of(name, factor or 1, settings.get(name, {}))
    acquisition = open_chosen(movie, options)
    with ProgressBar() as bar:
        found = comparison.compare(
            acquisition,
            names,
            output,
            settings=settings,
            factor=factor,
            seed=seed,
            device=device,
            resume=resume,
            command=["fluosr", *sys.argv[1:]],
            watch=bar.run,
            tell=bar.say,
        )
    _print(found, output)
    if found.stopped:
        typer.echo(f"Stopped. What there was is in {output}; continue with the same command and --resume.", err=True)
        raise typer.Exit(STOPPED)
    if not found.shown:
        raise typer.Exit(1)


def _print(found: Comparison, output: Path) -> None:
    from fluosr.report.compare_page import resolution_words

    if found.nothing_here:
        typer.echo("Nothing here: no method found evidence of structure.")
    for entry in found.entries:
        words = [entry.reason or entry.state]
        if entry.quality is not None and not found.nothing_here:
            words = [f"resolution: {resolution_words(entry.quality)}", entry.quality.residuals.verdict]
        typer.echo(f"{entry.method}: {'; '.join(words)}")
    typer.echo(f"Comparison: {output / 'compare.html'}")
