"""``fluosr train``: what its commands share, and methods learnt from pairs of frames and truth or simulated frames."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, option, plain_kind, show_default, with_options
from fluosr.methods.base import MethodParameters, Parameters, build_parameters
from fluosr.methods.deep_storm.parameters import DeepStormTraining
from fluosr.methods.lesson import Lesson, Made
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.progress import ProgressBar

if TYPE_CHECKING:
    from fluosr.learning import Companions

LEARNT_NOTHING = "Note: the training has made nothing better."
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="NAME", help="model to write: NAME.json and NAME.safetensors")
]
PixelSize = Annotated[float, typer.Option("--pixel-size", help="camera pixel, nm")]
Factor = Annotated[int, typer.Option("--factor", min=1, max=32, help="fine pixels per camera pixel (L)")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with a training of this name that stopped")]


def parameter_options(kind: type[MethodParameters]) -> list[inspect.Parameter]:
    """An option for each parameter."""
    options = []
    for name, field in kind.model_fields.items():
        text = field.description or ""
        if field.default is not None:
            text += f" [{show_default(field.default)}]"
        options.append(option(name, plain_kind(field.annotation), text))
    return options


@train_app.command()
@with_options(parameter_options(TrainingParameters))
def unfolded(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="folder with NAME.tif and NAME-truth.tif", show_default=False)
    ],
    *,
    output: Output,
    pixel_size: PixelSize,
    fwhm: Annotated[float, typer.Option("--fwhm", help="FWHM of the PSF, nm; where it is learnt, the first guess")],
    factor: Factor = 4,
    gain: Annotated[float, typer.Option("--gain", help="ADU per photoelectron; 1 for frames in photons")] = 1.0,
    offset: Annotated[float, typer.Option("--offset", help="ADU without light")] = 0.0,
    read_noise: Annotated[float, typer.Option("--read-noise", help="electrons rms")] = 0.0,
    background: Annotated[
        float | None,
        typer.Option("--background", help="photons per camera pixel (default: estimated for every frame)"),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Train the method `unfolded` for one microscope: its steps, its penalty, its threshold, if wished its PSF."""
    from fluosr.camera import Camera
    from fluosr.io.localisations import check_pixel_size
    from fluosr.io.pairs import read_pairs
    from fluosr.methods.unfolded.lesson import lesson_of
    from fluosr.methods.unfolded.physics import Physics

    check_pixel_size(pixel_size)
    parameters = built("train unfolded", TrainingParameters, options)
    physics = Physics(
        fwhm_nm=fwhm,
        pixel_size_nm=pixel_size,
        factor=factor,
        data_term=parameters.data_term,
        background_photons=background,
        read_noise_e=read_noise,
        semi_blind=parameters.semi_blind,
    )
    lesson = lesson_of(read_pairs(pairs, Camera(gain, offset, read_noise), pixel_size, factor), physics, parameters)
    made, files = trained(lesson, output, seed, device, resume)
    for name, curve in made.history.items():
        typer.echo(f"{name}: {curve[0]:.4g} before, {curve[made.best_round]:.4g} after")
    if made.best_round == 0:
        typer.echo(f"{LEARNT_NOTHING} The start is what is kept: more --rounds or other pairs may help.", err=True)
    numbers, fwhm_nm = made.network.in_the_papers_numbers(), made.network.fwhm_nm
    rounds = len(made.history["loss"]) - 1
    found = f"lambda {numbers['lambda']:.4g}, tau {numbers['tau_photons']:.4g} photons, FWHM {fwhm_nm:.4g} nm"
    typer.echo(f"{found}, from round {made.best_round} of {rounds}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")


@train_app.command("deep-storm")
@with_options(parameter_options(DeepStormTraining))
def deep_storm(
    *,
    output: Output,
    pixel_size: PixelSize,
    fwhm: Annotated[float, typer.Option("--fwhm", help="FWHM of the PSF, nm")],
    factor: Factor = 4,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Train the method `deep-storm` on frames simulated for one microscope; nothing else is needed."""
    from fluosr.methods.deep_storm.lesson import lesson_of

    lesson = lesson_of(pixel_size, fwhm, factor, built("train deep-storm", DeepStormTraining, options))
    made, files = trained(lesson, output, seed, device, resume)
    typer.echo(f"held-out loss: {made.curve[0]:.4g} at first, {min(made.curve):.4g} at its lowest")
    if min(made.curve) == made.curve[0]:
        typer.echo(f"{LEARNT_NOTHING} More --iterations help.", err=True)
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")


def built(name: str, kind: type[Parameters], options: dict[str, Any]) -> Parameters:
    """The parameters from the options that were given."""
    return build_parameters(name, kind, {option: value for option, value in options.items() if value is not None})


def trained(
    lesson: Lesson[Made],
    output: Path,
    seed: int,
    device: str,
    resume: bool,
    companions: Companions[Made] | None = None,
) -> tuple[Made, tuple[Path, Path]]:
    """Train, with a bar, and write the model's files."""
    from fluosr.learning import train_to_files

    with ProgressBar() as bar:
        return train_to_files(
            lesson,
            output,
            seed=seed,
            device=device,
            resume=resume,
            command=["fluosr", *sys.argv[1:]],
            run=bar.run(),
            companions=companions,
        )
