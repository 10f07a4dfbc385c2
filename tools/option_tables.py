"""The tables of options in the documentation, made from the command and the parameter models.

``python tools/option_tables.py`` writes them between their marks; a test compares.
"""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
HEAD = "| option | what it says | default |\n|---|---|---|\n"
MARKS = re.compile(r"(<!-- options:.*?-->\n)(.*?)(<!-- end of options -->)", re.DOTALL)


def tables() -> dict[Path, str]:
    """What each page should say between its marks; FluoGAN's options stand with those of the command."""
    from fluosr.methods.registry import DEFAULT_METHOD, method_names

    docs = ROOT / "docs"
    command = f"{_of_the_command()}\n\nOf `--method {DEFAULT_METHOD}`:\n\n{_of_method(DEFAULT_METHOD)}"
    pages = {docs / "reconstruct.md": command}
    pages[docs / "train.md"] = _of_training()
    pages[docs / "generator.md"] = _of_generator()
    pages[docs / "latent-search.md"] = _of_search()
    return pages | {docs / "methods" / f"{n}.md": _of_method(n) for n in method_names() if n != DEFAULT_METHOD}


def between_marks(text: str) -> str | None:
    """What a page says between its marks; None where it has none."""
    found = MARKS.search(text)
    return found and found[2].strip()


def _of_the_command() -> str:
    import typer.main

    from fluosr.cli import app
    from fluosr.methods.registry import get_method, method_names

    parameters = {field for name in method_names() for field in get_method(name).parameters.model_fields}
    command = typer.main.get_command(app).commands["reconstruct"]  # type: ignore[attr-defined]
    rows = []
    for option in command.params:
        if option.param_type_name != "option" or option.name in {"help", *parameters}:
            continue
        names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
        text, _, noted = option.help.partition(" (default: ")
        rows.append(f"| {names} | {text} | {noted.rstrip(')') or _shown(option.default, '')} |")
    return HEAD + "\n".join(rows)


def _of_method(name: str) -> str:
    from fluosr.methods.registry import get_method

    return _of_parameters(get_method(name).parameters)


def _of_training() -> str:
    from fluosr.methods.unfolded.training_parameters import TrainingParameters

    return _of_parameters(TrainingParameters)


def _of_generator() -> str:
    from fluosr.generation.parameters import GeneratorTraining

    return _of_parameters(GeneratorTraining)


def _of_search() -> str:
    from fluosr.latent.parameters import SearchParameters

    return _of_parameters(SearchParameters)


def _of_parameters(parameters: type[BaseModel]) -> str:
    rows = []
    for key, field in parameters.model_fields.items():
        flag = "--" + key.replace("_", "-")
        names = f"`{flag}`, `--no-{flag[2:]}`" if field.annotation in (bool, bool | None) else f"`{flag}`"
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
        text = (field.description or "") + (f": {' or '.join(map(str, choices))}" if choices else "")
        rows.append(f"| {names} | {text} | {_shown(field.default, 'automatic')} |")
    return HEAD + "\n".join(rows)


def _shown(default: object, none: str) -> str:
    if default is None:
        return none
    return ("yes" if default else "no") if isinstance(default, bool) else str(default)


def main() -> None:
    """Write all tables."""
    for path, table in tables().items():
        text = path.read_text(encoding="utf-8")
        path.write_text(MARKS.sub(lambda m, table=table: f"{m[1]}\n{table}\n\n{m[3]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
