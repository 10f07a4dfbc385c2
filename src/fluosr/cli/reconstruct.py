"""``fluosr reconstruct``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import STOPPED, app
from fluosr.cli.options import (
    DEFAULT_OUTPUT,
    Device,
    Movie,
    Output,
    Seed,
    input_options,
    method_options,
    open_chosen,
    settings_among,
    with_options,
)
from fluosr.methods.registry import DEFAULT_METHOD, get_method
from fluosr.progress import ProgressBar

if TYPE_CHECKING:
    from fluosr.pipeline import Result


@app.command()
@with_options(input_options(), method_options())
def reconstruct(
    movie: Movie,
    *,
    method: Annotated[str, typer.Option("--method", help="see `fluosr methods`")] = DEFAULT_METHOD,
    output: Output = DEFAULT_OUTPUT,
    preset: Annotated[str | None, typer.Option("--preset", help="parameter values as published: paper")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on with a stopped run in --output")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="write report.html")] = True,
    **options: Any,
) -> None:
    """Reconstruct a movie: writes the image, background, mean frame, run.json and report.html to --output."""
    chosen = get_method(method)
    given = settings_among(options)
    parameters = chosen.build(preset, **given)
    acquisition = open_chosen(movie, options)
    from fluosr.pipeline import idle_parameters, run_to_folder

    notes = idle_parameters(chosen, parameters, given)
    for note in notes:  # now, while it can still be mended; the record and the report have it too
        typer.echo(f"Note: {note}", err=True)
    with ProgressBar() as bar:
        result = run_to_folder(
            acquisition,
            output,
            method=method,
            parameters=parameters,
            seed=seed,
            device=device,
            resume=resume,
            command=["fluosr", *sys.argv[1:]],
            run=bar.run(),
            notes=notes,
            make_report=report,
        )
    _print_result(result, output, report, said=notes)
    if not result.reconstruction.finished:
        typer.echo(f"Stopped. What there was is in {output}; continue with the same command and --resume.", err=True)
        raise typer.Exit(STOPPED)


def _print_result(result: Result, output: Path, report: bool, said: list[str]) -> None:
    quality, record = result.quality.describe(), result.record
    resolution = quality["resolution"]
    nm = resolution.get("resolution_nm")
    found = f"not better than {nm:.0f} nm (Fourier ring correlation of two halves)" if nm else resolution.get("reason")
    typer.echo(f"Resolution: {found}")
    typer.echo(f"Residuals: {quality['residuals']['verdict']}")
    for warning in result.reconstruction.warnings:
        if warning not in said:
            typer.echo(f"Note: {warning}")
    legs = f" in {len(record['legs_s'])} legs" if len(record["legs_s"]) > 1 else ""
    typer.echo(f"Time {record['time_s']:.1f} s{legs}, peak memory {record['peak_memory_mb']:.0f} MB")
    typer.echo(f"Report: {output / 'report.html'}" if report else f"Image: {output / 'reconstruction.ome.tif'}")
