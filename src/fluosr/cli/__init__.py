"""The command line. Method options are made from the methods' parameter models: a new method needs no line here."""

from __future__ import annotations

import sys

import typer

from fluosr.cli import (
    ask,
    assay,
    calibrate,
    compare,
    confocal,
    few_shot,
    generator,
    limit,
    phenotypes,
    pix2pix,
    reconstruct,
    restoration,
    restore,
    search,
    simulate,
    smlm,
    sweep,
    tables,
    train,
)
from fluosr.cli.app import STOPPED, Stopped, app
from fluosr.errors import FluosrError, ReconstructionInterrupted, in_words

# In the order in which the help lists them; importing them is what makes them commands.
__all__ = [
    "app",
    "ask",
    "assay",
    "calibrate",
    "compare",
    "confocal",
    "few_shot",
    "generator",
    "limit",
    "main",
    "phenotypes",
    "pix2pix",
    "reconstruct",
    "restoration",
    "restore",
    "search",
    "simulate",
    "smlm",
    "sweep",
    "tables",
    "train",
]


def main() -> None:
    """Run the command line: no traceback unless --debug; exit code 2 for a wrong use, 1 a failure, 130 when stopped."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except (Stopped, KeyboardInterrupt):
        typer.echo("Stopped.", err=True)
        sys.exit(STOPPED)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ReconstructionInterrupted):
            typer.echo(f"Stopped. {error}", err=True)
            sys.exit(STOPPED)
        typer.echo(f"fluosr: {in_words(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, FluosrError) else 1)
