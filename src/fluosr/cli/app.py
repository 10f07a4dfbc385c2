"""The application that all commands belong to: Ctrl-C under a name of our own, and ``--version``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

STOPPED = 130  # the shell's code for a command stopped by Ctrl-C


class Stopped(BaseException):
    """Ctrl-C, under a name that typer does not know: it would end without a word, or with another exit code."""


class _Commands(TyperGroup):
    """All commands; Ctrl-C anywhere in them comes out as ``Stopped``."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """As typer does it."""
        with _own_interrupt():
            return super().make_context(*arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        """As typer does it."""
        with _own_interrupt():
            return super().invoke(*arguments, **options)


@contextmanager
def _own_interrupt() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped from error


app = typer.Typer(
    cls=_Commands,
    help="Super-resolution for fluorescence microscopy: a movie goes in, a sharper picture and the evidence come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
simulate_app = typer.Typer(help="Make movies of known samples.", no_args_is_help=True)
app.add_typer(simulate_app, name="simulate")
train_app = typer.Typer(help="Train a learned method for one microscope.", no_args_is_help=True)
app.add_typer(train_app, name="train")


def _say_version(wanted: bool) -> None:
    if wanted:
        from fluosr import __version__

        typer.echo(f"fluosr {__version__}")
        raise typer.Exit()


@app.callback()
def _everywhere(
    version: Annotated[
        # Answered where the option is read: after that, typer would ask for a command.
        bool, typer.Option("--version", help="say the version and stop", is_eager=True, callback=_say_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback when something fails")] = False,
) -> None:
    """Super-resolution for fluorescence microscopy: a movie goes in, a sharper picture and the evidence come out."""
