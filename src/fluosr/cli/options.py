"""Options that several commands share. Those of the methods are made from their parameter models."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from fluosr.methods.registry import get_method, method_names
from fluosr.settings import AUTOMATIC

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition

Movie = Annotated[Path, typer.Argument(help="the movie, a TIFF of any kind", show_default=False)]


def folder_named(text: str | Path) -> Path:
    """Parse an option that takes a folder: an empty name would be the folder one stands in."""
    if not str(text).strip() or text == Path(""):
        raise typer.BadParameter("no folder was named.")
    return Path(text)


Output = Annotated[
    Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the results")
]


class NumberOrMap:
    """The kind of an option that takes a number, or a TIFF with one for every pixel."""


def number_or_map(text: Any) -> float | Path:
    """Parse such an option: what is no number is taken for a file, which has to be there."""
    try:
        return float(text)
    except ValueError:
        path = Path(str(text))
    if not path.is_file():
        raise typer.BadParameter(f"{str(text)!r} is neither a number nor a file that is there.")
    return path


Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31, help="of every random draw")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda")]
DEFAULT_OUTPUT = Path("out")


def input_options() -> list[inspect.Parameter]:
    """Options that say what the movie is; the same for every command that opens one."""
    table: list[tuple[str, Any, str]] = [
        ("pixel_size", float, "size of a camera pixel in the sample, nm (default: the file's)"),
        ("fwhm", float, "full width at half maximum of a Gaussian PSF, nm"),
        ("na", float, "numerical aperture, with --wavelength, instead of --fwhm"),
        ("wavelength", float, "emission wavelength, nm"),
        ("psf", Path, "TIFF of a measured PSF, instead of --fwhm"),
        ("psf_pixel_size", float, "pixel size of the measured PSF, nm (default: the file's)"),
        (
            "gain",
            NumberOrMap,
            "camera gain, ADU per photoelectron; or a TIFF with that of every pixel (default: estimated)",
        ),
        ("offset", NumberOrMap, "camera offset, ADU; or a TIFF (default: estimated)"),
        ("read_noise", NumberOrMap, "camera read noise, electrons rms; or a TIFF (default: estimated)"),
        ("crop", str, "part of the field: y,x,height,width in pixels"),
        ("frames", str, "part of the movie: start:stop or start:stop:step"),
        ("time_axis", str, "axis of the file that is time, where its label says otherwise (for example Z)"),
        ("channel", int, "channel to take, from 0, where there are several"),
        ("z", int, "plane to take, from 0, where there are several"),
        ("frame_interval", float, "time between frames, s (default: the file's)"),
    ]
    return [option(name, kind, text) for name, kind, text in table]


def option(name: str, kind: Any, text: str, default: Any = None, *, automatic: bool = False) -> inspect.Parameter:
    """One option as a parameter of a command's function; None as default means not given.

    With ``automatic`` a number may also be the word "automatic".
    """
    flag = "--" + name.replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    more: dict[str, Any] = {}
    if kind is NumberOrMap:
        kind, more = Any, {"parser": number_or_map, "metavar": "<float or TIFF>"}
    if automatic and kind in (int, float):
        more = {"parser": _number_or_automatic(kind), "metavar": f"<{kind.__name__}>"}
    annotation: Any = Annotated[kind | None if default is None else kind, typer.Option(*names, help=text, **more)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _number_or_automatic(kind: type[int] | type[float]) -> Callable[[Any], Any]:
    def parse(text: Any) -> Any:
        if text == AUTOMATIC:
            return text
        try:
            return kind(text)
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise typer.BadParameter(f"{text!r} is not {number}, nor {AUTOMATIC!r}.") from None

    return parse


def settings_among(options: dict[str, Any]) -> dict[str, Any]:
    """The method's parameters that were given; they are taken out of ``options``, None for those to be automatic."""
    taken = {name: options.pop(name) for name in [o.name for o in method_options()]}
    return {name: None if value == AUTOMATIC else value for name, value in taken.items() if value is not None}


def method_options() -> list[inspect.Parameter]:
    """One option for every parameter of any method; not given means the method's own default."""
    kinds: dict[str, Any] = {}
    automatic: set[str] = set()
    texts: dict[str, dict[str, list[str]]] = {}  # option -> what it says -> methods that say it
    defaults: dict[str, dict[str, list[str]]] = {}  # option -> default as shown -> methods that have it
    for method in map(get_method, method_names()):
        for name, field in method.parameters.model_fields.items():
            kind = plain_kind(field.annotation)
            if type(None) in get_args(field.annotation):
                automatic.add(name)
            # Two methods may mean different types by one name: the text then goes to the model as it is.
            kinds[name] = kind if kinds.get(name, kind) is kind else str
            texts.setdefault(name, {}).setdefault(field.description or "", []).append(method.name)
            if field.default is not None:
                defaults.setdefault(name, {}).setdefault(show_default(field.default), []).append(method.name)
    options = []
    for name, said in texts.items():
        text = "; ".join(words if len(said) == 1 else f"{', '.join(who)}: {words}" for words, who in said.items())
        shown = defaults.get(name, {})
        if len(shown) == 1 and len(next(iter(shown.values()))) > 2:
            text += f" [{next(iter(shown))}]"
        elif shown:
            each = [f"{', '.join(methods)}: {value}" for value, methods in shown.items()]
            text += f" [{'; '.join(each)}]"
        options.append(option(name, kinds[name], text, automatic=name in automatic))
    return options


def plain_kind(annotation: Any) -> Any:
    """int from int | None; str for Literal, whose values the parameter model checks."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    return str if get_origin(annotation) is Literal else annotation


def show_default(value: Any) -> str:
    """A default as the help says it."""
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def with_options(*groups: list[inspect.Parameter]) -> Any:
    """Give a function that takes **options a signature with these options."""

    def decorate(function: Any) -> Any:
        kinds = typing.get_type_hints(function, include_extras=True)
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        own = [p.replace(annotation=kinds[p.name]) for p in own]
        added = [option for group in groups for option in group]
        parameters = sorted([*own, *added], key=lambda p: p.kind)
        function.__signature__ = inspect.Signature(parameters)
        function.__annotations__ = {p.name: p.annotation for p in parameters}
        return function

    return decorate


def renamed(options: dict[str, Any]) -> dict[str, Any]:
    """The input options, taken out of ``options``, by the names that :func:`fluosr.open_movie` has for them."""
    names = {
        "pixel_size": "pixel_size_nm",
        "fwhm": "fwhm_nm",
        "wavelength": "wavelength_nm",
        "psf_pixel_size": "psf_pixel_size_nm",
        "frame_interval": "frame_interval_s",
    }
    return {names.get(option.name, option.name): options.pop(option.name) for option in input_options()}


def open_chosen(movie: Path, options: dict[str, Any]) -> Acquisition:
    """The movie as the input options say; they are taken out of ``options``."""
    from fluosr.io.movie import open_movie

    return open_movie(movie, **renamed(options))
