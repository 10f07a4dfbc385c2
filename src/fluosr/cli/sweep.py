"""``fluosr sweep``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
from fluosr.settings import AUTOMATIC

if TYPE_CHECKING:
    from fluosr.report.sweep_page import Sweep


@app.command()
@with_options(input_options(), method_options())
def sweep(
    movie: Movie,
    *,
    vary: Annotated[
        str, typer.Option("--vary", help="PARAMETER=start:stop:step or PARAMETER=a|b|c, several with commas between")
    ],
    method: Annotated[str, typer.Option("--method", help="see `fluosr methods`")] = DEFAULT_METHOD,
    output: Output = DEFAULT_OUTPUT,
    preset: Annotated[str | None, typer.Option("--preset", help="parameter values as published: paper")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="keep the finished cells in --output, and go on")] = False,
    **options: Any,
) -> None:
    """Run a method over ranges of its parameters, and name the best choice: writes sweep.html and its full run."""
    from fluosr.settings import plan_sweep

    chosen = get_method(method)
    fixed = settings_among(options)
    plan = plan_sweep(chosen, vary, preset, fixed)
    given = {"method": method, "preset": preset, **options, "seed": seed or None}
    if device != "auto":
        given["device"] = device
    acquisition = open_chosen(movie, options)
    from fluosr import sweep as sweeping

    def command_of(varied: Mapping[str, Any]) -> list[str]:
        chosen_here = {name: AUTOMATIC if value is None else value for name, value in {**fixed, **varied}.items()}
        return ["fluosr", "reconstruct", str(movie), *as_arguments({**given, **chosen_here})]

    with ProgressBar() as bar:
        found = sweeping.sweep(
            acquisition,
            method,
            plan,
            output,
            seed=seed,
            device=device,
            resume=resume,
            command=["fluosr", *sys.argv[1:]],
            command_of=command_of,
            run=bar.run(),
            tell=bar.say,
        )
    _print(found, output, command_of)
    if found.stopped:
        typer.echo(f"Stopped. What there was is in {output}; continue with the same command and --resume.", err=True)
        raise typer.Exit(STOPPED)
    if not any(cell.state == "finished" for cell in found.cells):
        raise typer.Exit(1)


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """Options with these values as a command line takes them; None is left out."""
    arguments = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            arguments += [f"--{flag}", str(value)]
    return arguments


def _print(found: Sweep, output: Path, command_of: Any) -> None:
    import shlex

    if found.nothing_here:
        typer.echo("Nothing here: no choice gave evidence of structure.")
    failed = [cell for cell in found.cells if cell.state == "failed"]
    if failed:
        typer.echo(f"{len(failed)} of {len(found.cells)} cells failed; the first: {failed[0].reason}")
    if found.best is not None:
        cell = found.cells[found.best]
        judged = sum(cell.state == "finished" for cell in found.cells)
        of = f" of {len(found.cells)}" if judged < len(found.cells) else ""
        typer.echo(f"Best of the {judged}{of} cells that finished: {cell.title} (QnR {cell.qnr:.2f})")
        typer.echo(shlex.join(command_of(cell.varied)))
    elif not found.nothing_here:
        typer.echo("No best cell: none has both a resolution and an RSP.")
    typer.echo(f"Sweep: {output / 'sweep.html'}")
