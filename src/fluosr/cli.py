"""The command line. Method options are made from the methods' parameter models: a new method needs no line here."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperGroup

from fluosr.errors import FluosrError, ReconstructionInterrupted, UsageError
from fluosr.methods.registry import DEFAULT_METHOD, get_method, method_names
from fluosr.progress import ProgressBar

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.pipeline import Result

LARGEST_SEPARATION_NM = 100_000.0
STOPPED = 130  # the shell's code for a command stopped by Ctrl-C
DEFAULT_OUTPUT = Path("out")


class _Stopped(BaseException):
    """Ctrl-C, under a name that typer does not know: it would end without a word, or with another exit code."""


class _Commands(TyperGroup):
    """All commands; Ctrl-C anywhere in them comes out as ``_Stopped``."""

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
        raise _Stopped from error


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


Movie = Annotated[Path, typer.Argument(help="the movie, a TIFF of any kind", show_default=False)]


def _input_options() -> list[inspect.Parameter]:
    """Options that say what the movie is; the same for every command that opens one."""
    table: list[tuple[str, Any, str]] = [
        ("pixel_size", float, "size of a camera pixel in the sample, nm (default: the file's)"),
        ("fwhm", float, "full width at half maximum of a Gaussian PSF, nm"),
        ("na", float, "numerical aperture, with --wavelength, instead of --fwhm"),
        ("wavelength", float, "emission wavelength, nm"),
        ("psf", Path, "TIFF of a measured PSF, instead of --fwhm"),
        ("psf_pixel_size", float, "pixel size of the measured PSF, nm (default: the file's)"),
        ("gain", float, "camera gain, ADU per photoelectron (default: estimated)"),
        ("offset", float, "camera offset, ADU (default: estimated)"),
        ("read_noise", float, "camera read noise, electrons rms (default: estimated)"),
        ("crop", str, "part of the field: y,x,height,width in pixels"),
        ("frames", str, "part of the movie: start:stop or start:stop:step"),
        ("time_axis", str, "axis of the file that is time, where its label says otherwise (for example Z)"),
        ("channel", int, "channel to take, from 0, where there are several"),
        ("z", int, "plane to take, from 0, where there are several"),
        ("frame_interval", float, "time between frames, s (default: the file's)"),
    ]
    return [_option(name, kind, text) for name, kind, text in table]


def _option(name: str, kind: Any, text: str, default: Any = None) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    annotation: Any = Annotated[kind | None if default is None else kind, typer.Option(*names, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _method_options() -> list[inspect.Parameter]:
    """One option for every parameter of any method; not given means the method's own default."""
    kinds: dict[str, Any] = {}
    texts: dict[str, str] = {}
    defaults: dict[str, dict[str, list[str]]] = {}  # option -> default as shown -> methods that have it
    for method in map(get_method, method_names()):
        for name, field in method.parameters.model_fields.items():
            kind = _plain_kind(field.annotation)
            # Two methods may mean different types by one name: the text then goes to the model as it is.
            kinds[name] = kind if kinds.get(name, kind) is kind else str
            texts.setdefault(name, field.description or "")
            if field.default is not None:
                defaults.setdefault(name, {}).setdefault(_show_default(field.default), []).append(method.name)
    options = []
    for name, text in texts.items():
        shown = defaults.get(name, {})
        if len(shown) == 1 and len(next(iter(shown.values()))) > 2:
            text += f" [{next(iter(shown))}]"
        elif shown:
            each = [f"{', '.join(methods)}: {value}" for value, methods in shown.items()]
            text += f" [{'; '.join(each)}]"
        options.append(_option(name, kinds[name], text))
    return options


def _plain_kind(annotation: Any) -> Any:
    """int from int | None; str for Literal, whose values the parameter model checks."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    return str if get_origin(annotation) is Literal else annotation


def _show_default(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _with_options(*groups: list[inspect.Parameter]) -> Any:
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


def _open(movie: Path, options: dict[str, Any]) -> Acquisition:
    from fluosr.io.movie import open_movie

    renamed = {
        "pixel_size": "pixel_size_nm",
        "fwhm": "fwhm_nm",
        "wavelength": "wavelength_nm",
        "psf_pixel_size": "psf_pixel_size_nm",
        "frame_interval": "frame_interval_s",
    }
    names = [option.name for option in _input_options()]
    return open_movie(movie, **{renamed.get(name, name): options.pop(name) for name in names})


@app.command()
@_with_options(_input_options(), _method_options())
def reconstruct(
    movie: Movie,
    *,
    method: Annotated[str, typer.Option("--method", help="see `fluosr methods`")] = DEFAULT_METHOD,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the results")] = DEFAULT_OUTPUT,
    preset: Annotated[str | None, typer.Option("--preset", help="parameter values as published: paper")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="of every random draw")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on with a stopped run in --output")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="write report.html")] = True,
    **options: Any,
) -> None:
    """Reconstruct a movie: writes the image, background, mean frame, run.json and report.html to --output."""
    chosen = get_method(method)
    settings = {name: options.pop(name) for name in [o.name for o in _method_options()]}
    given = {name: value for name, value in settings.items() if value is not None}
    parameters = chosen.build(preset, **given)
    acquisition = _open(movie, options)
    from fluosr.pipeline import idle_parameters, run_to_folder

    notes = idle_parameters(chosen, parameters, given)
    for note in notes:  # now, while it can still be mended, and with the result
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
    _print_result(result, output, report)
    if not result.reconstruction.finished:
        typer.echo(f"Stopped. What there was is in {output}; continue with the same command and --resume.", err=True)
        raise typer.Exit(STOPPED)


def _print_result(result: Result, output: Path, report: bool) -> None:
    quality, record = result.quality.describe(), result.record
    resolution = quality["resolution"]
    nm = resolution.get("resolution_nm")
    found = f"not better than {nm:.0f} nm (Fourier ring correlation of two halves)" if nm else resolution.get("reason")
    typer.echo(f"Resolution: {found}")
    typer.echo(f"Residuals: {quality['residuals']['verdict']}")
    for warning in result.reconstruction.warnings:
        typer.echo(f"Note: {warning}")
    legs = f" in {len(record['legs_s'])} legs" if len(record["legs_s"]) > 1 else ""
    typer.echo(f"Time {record['time_s']:.1f} s{legs}, peak memory {record['peak_memory_mb']:.0f} MB")
    typer.echo(f"Report: {output / 'report.html'}" if report else f"Image: {output / 'reconstruction.ome.tif'}")


@app.command()
@_with_options(
    [option for option in _input_options() if option.name in ("time_axis", "channel", "z", "frames", "crop")]
)
def info(movie: Movie, **options: Any) -> None:
    """Say what a movie file is: shape, type, pixel size, brightness, camera, and what still has to be given."""
    from fluosr.io.description import describe_movie

    for line in describe_movie(movie, **options):
        typer.echo(line)


@app.command()
def methods() -> None:
    """List the methods and their parameters."""
    for method in map(get_method, method_names()):
        typer.echo(f"{method.name}: {method.summary}")
        for preset in method.presets:
            typer.echo(f"  --preset {preset}")
        for name, field in method.parameters.model_fields.items():
            default = "automatic" if field.default is None else _show_default(field.default)
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


@simulate_app.command()
def argo(
    output: Annotated[Path, typer.Option("--output", "-o", help="movie to write; the truth goes beside it")] = Path(
        "argo.tif"
    ),
    frames: Annotated[int, typer.Option("--frames", min=2, help="number of frames")] = 500,
    photons: Annotated[
        float, typer.Option("--photons", min=0.001, help="photons per pixel and frame at the peak")
    ] = 30.0,
    background: Annotated[float, typer.Option("--background", min=0.0, help="mean background over the peak")] = 0.1,
    pixel_size: Annotated[float, typer.Option("--pixel-size", min=1.0, help="camera pixel, nm")] = 100.0,
    fwhm: Annotated[float, typer.Option("--fwhm", min=1.0, max=1e4, help="FWHM of the PSF, nm")] = 324.0,
    factor: Annotated[int, typer.Option("--factor", min=1, max=32, help="fine pixels per camera pixel")] = 6,
    line_width: Annotated[
        float, typer.Option("--line-width", min=1.0, help="width of the lines, nm (100 or 20)")
    ] = 100.0,
    line_length: Annotated[float, typer.Option("--line-length", min=100.0, help="length of the lines, nm")] = 3000.0,
    angle: Annotated[float, typer.Option("--angle", min=-60, max=60, help="tilt of the lines, degrees")] = 0.0,
    separations: Annotated[
        str | None,
        typer.Option("--separations", help="distances d of the middle pairs, nm: 120,150 (default 0,30..390)"),
    ] = None,
    control: Annotated[bool, typer.Option("--control/--no-control", help="add the single line")] = True,
    model: Annotated[str, typer.Option("--model", help="3: double Poisson; 4: Poisson")] = "3",
    gain: Annotated[float, typer.Option("--gain", help="ADU per photoelectron")] = 4.0,
    offset: Annotated[float, typer.Option("--offset", help="ADU")] = 100.0,
    read_noise: Annotated[float, typer.Option("--read-noise", help="electrons rms")] = 0.5,
    bleaching: Annotated[float, typer.Option("--bleaching", min=0.0, help="bleaching time, s; 0: none")] = 20.0,
    frame_rate: Annotated[float, typer.Option("--frame-rate", min=0.001, help="frames per second")] = 100.0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="of every random draw")] = 0,
) -> None:
    """The ARGO phantom of the FluoGAN paper: sets of four lines whose middle pair closes in. Saves movie and truth."""
    from fluosr.camera import Camera
    from fluosr.emitters import PoissonEmitters, SteadyEmitters
    from fluosr.io.simulation import save_simulation
    from fluosr.optics.psf import GaussianPSF
    from fluosr.simulate.argo import SEPARATIONS_NM, ArgoPhantom
    from fluosr.simulate.movie import SimulatedMovie

    if model not in ("3", "4"):
        raise UsageError(f"--model {model}: the paper's models are 3 (double Poisson) and 4 (Poisson).")
    try:
        distances = (
            SEPARATIONS_NM if separations is None else tuple(float(d) for d in separations.split(",") if d.strip())
        )
    except ValueError:
        raise UsageError(
            f"--separations {separations}: give nanometres separated by commas, such as 120,150,180."
        ) from None
    if not all(0 <= d <= LARGEST_SEPARATION_NM for d in distances):
        raise UsageError(f"--separations: distances lie between 0 and {LARGEST_SEPARATION_NM:.0f} nm.")
    phantom = ArgoPhantom(
        separations_nm=distances,
        line_width_nm=line_width,
        line_length_nm=line_length,
        angle_deg=angle,
        control=control,
        pixel_size_nm=pixel_size,
    )
    movie = SimulatedMovie(
        phantom,
        factor=factor,
        psf=GaussianPSF(fwhm),
        n_frames=frames,
        peak_photons=photons,
        background_fraction=background,
        frame_interval_s=1.0 / frame_rate,
        bleaching_time_s=bleaching or None,
        camera=Camera(gain, offset, read_noise),
        emitters=PoissonEmitters() if model == "3" else SteadyEmitters(),
        seed=seed,
    )
    saved = save_simulation(movie, output)
    height, width = phantom.field_shape
    typer.echo(f"Wrote {frames} frames of {height} x {width} pixels: {', '.join(str(path) for path in saved.files)}")
    for count, end, advice in (
        (saved.saturated, "above 65535", "lower --photons, --gain or --offset"),
        (saved.below_zero, "below 0", "raise --offset"),
    ):
        if count:
            share = count / (frames * height * width)
            typer.echo(f"Note: {count} values ({share:.2g} of all) lay {end} ADU and were cut off; {advice}.", err=True)


def main() -> None:
    """Run the command line: no traceback unless --debug; exit code 2 for a wrong use, 1 a failure, 130 when stopped."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except (_Stopped, KeyboardInterrupt):
        typer.echo("Stopped.", err=True)
        sys.exit(STOPPED)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ReconstructionInterrupted):
            typer.echo(f"Stopped. {error}", err=True)
            sys.exit(STOPPED)
        typer.echo(f"fluosr: {_in_words(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, FluosrError) else 1)


def _in_words(error: Exception) -> str:
    if isinstance(error, FluosrError | OSError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this."
    kind = type(error).__name__
    return f"something went wrong that should not ({kind}: {error}). Run it with --debug and report what it prints."


if __name__ == "__main__":
    main()
