"""The commands that only say something: ``fluosr info``, ``methods`` and ``doctor``."""

from __future__ import annotations

from typing import Any

import typer

from fluosr.cli.app import app
from fluosr.cli.options import Movie, input_options, renamed, show_default, with_options
from fluosr.methods.registry import get_method, method_names


@app.command()
@with_options(input_options())
def info(movie: Movie, **options: Any) -> None:
    """Say what a movie file is: shape, type, pixel size, brightness, camera, and what still has to be given.

    With a PSF (--fwhm) also how its emitters fluctuate, each value with its 95 % interval.
    """
    from fluosr.io.description import describe_movie

    for line in describe_movie(movie, **renamed(options)):
        typer.echo(line)


@app.command()
def methods() -> None:
    """List the methods and their parameters."""
    for method in map(get_method, method_names()):
        typer.echo(f"{method.name}: {method.summary}")
        for preset in method.presets:
            typer.echo(f"  --preset {preset}")
        for name, field in method.parameters.model_fields.items():
            default = "automatic" if field.default is None else show_default(field.default)
            typer.echo(f"  --{name.replace('_', '-'):<24} {default:<14} {field.description}")


@app.command()
def doctor() -> None:
    """Say what this machine can do, and what is missing."""
    from fluosr.doctor import examine

    healthy = True
    for line, good in examine():
        typer.echo(("ok    " if good else "WRONG ") + line)
        healthy &= good
    if not healthy:
        raise typer.Exit(1)
