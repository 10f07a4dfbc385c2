"""``fluosr train``: learn a method from pairs of frames and truth, or from simulated frames."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, option, plain_kind, show_default, with_options
from fluosr.errors import UsageError
from fluosr.generation.parameters import GeneratorTraining
from fluosr.methods.base import MethodParameters, Parameters, build_parameters
from fluosr.methods.deep_storm.parameters import DeepStormTraining
from fluosr.methods.lesson import Lesson, Made
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.progress import ProgressBar
from fluosr.restoration.parameters import RestorationTraining

if TYPE_CHECKING:
    from fluosr.learning import Companions

OF_THE_GAN = ("relativistic", "gan_weight", "gan_learning_rate", "discriminator_features")
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


@train_app.command()
@with_options(parameter_options(RestorationTraining))
def restoration(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS_OR_HR",
            help="folder with NAME.tif (frames of one field) and NAME-truth.tif (its good image); for the other arms "
            "with good images alone; or with two such folders, training and validation",
            show_default=False,
        ),
    ],
    *,
    output: Output,
    scale: Annotated[int, typer.Option("--scale", help="how many times finer the good images are: 1, 2 or 4")] = 2,
    begin_with: Annotated[
        Path | None,
        typer.Option("--begin-with", help="model (NAME), or safetensors with published RRDBNet weights, to go on from"),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="of the physics arm: JSON that `fluosr calibrate` wrote")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option("--pixel-size", help="of the bad images, nm; the physics arm needs it")
    ] = None,
    fwhm: Annotated[
        float | None,
        typer.Option("--fwhm", help="physics arm: what blurs bad images beyond the good, nm", min=1e-3),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            "--background",
            metavar="LOW:HIGH",
            help="physics arm: photons per pixel of the bad images where the good are darkest, drawn between the two "
            "(default: none)",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Train a network for `fluosr restore`: from recorded pairs, or from good images and a model of the bad ones."""
    from fluosr.io.arms import chosen_arm
    from fluosr.io.fields import read_split
    from fluosr.io.localisations import check_pixel_size
    from fluosr.io.write import write_bytes
    from fluosr.learning import LIVE_LOG, Companions, training_folder
    from fluosr.networks.restorer import SCALES
    from fluosr.report.training_curves import LOG_FILES, draw_log, is_log, log_lines
    from fluosr.restoration.lesson import LearntRestorer, lesson_of
    from fluosr.restoration.model import restorer_from
    from fluosr.restoration.perceptual import load_perceptual

    if scale not in SCALES:
        raise UsageError(f"--scale {scale}: 1, 2 or 4.")
    if pixel_size is not None:
        check_pixel_size(pixel_size)
    parameters = built("train restoration", RestorationTraining, options)
    idle = [name for name in OF_THE_GAN if options.get(name) is not None]
    if idle and not parameters.gan_iterations:
        flags = ", ".join("--" + name.replace("_", "-") for name in idle)
        typer.echo(f"Note: without --gan-iterations there is no discriminator, and {flags} has no effect.", err=True)
    learnt, looked_at, warnings = read_split(source, paired=parameters.arm == "paired", factor=scale)
    for warning in warnings:
        typer.echo(f"Warning: {warning}", err=True)
    arm = chosen_arm(
        parameters.arm,
        learnt,
        scale,
        calibration=calibration,
        pixel_size_nm=pixel_size,
        fwhm_nm=fwhm,
        background_photons=None if background is None else photons_between(background),
    )
    live = training_folder(output) / LIVE_LOG
    lesson = lesson_of(
        learnt,
        scale,
        parameters,
        validation=looked_at,
        start=None if begin_with is None else restorer_from(begin_with),
        degrade=arm.degrade,
        degradation=arm.facts,
        pixel_size_nm=pixel_size,
        perceptual=None if parameters.perceptual is None else load_perceptual(parameters.perceptual),
        on_log=lambda entries: write_bytes(live, log_lines(entries)),
    )
    logs: Companions[LearntRestorer] = Companions(
        LOG_FILES, lambda made: (log_lines(made.log.entries), draw_log(made.log.entries)), is_log
    )
    made, files = trained(lesson, output, seed, device, resume, logs)
    errors = [entry["validation_error"] for entry in made.log.entries if "validation_error" in entry]
    if errors:
        typer.echo(f"error on validation fields: {errors[0]:.4g} at first, {min(errors):.4g} at its least")
        if min(errors) == errors[0]:
            typer.echo(f"{LEARNT_NOTHING} More --iterations help.", err=True)
    typer.echo(f"Log: {', '.join(str(files[0].with_suffix(ending)) for ending in LOG_FILES)}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")


@train_app.command()
@with_options(parameter_options(GeneratorTraining))
def generator(
    crops: Annotated[
        Path,
        typer.Argument(
            metavar="CROPS",
            help="folder with crops.csv, crops.json and their TIFFs, or with TIFFs of one shape: (Y, X) or (C, Y, X)",
            show_default=False,
        ),
    ],
    *,
    output: Output,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Train a generator of crops (StyleGAN2 with adaptive augmentation), for the search of its latent space."""
    from fluosr.generation.lesson import LearntGenerator, lesson_of
    from fluosr.io.training_crops import read_training_crops
    from fluosr.io.write import write_bytes
    from fluosr.learning import LIVE_LOG, Companions, path_beside, training_folder
    from fluosr.report.sample_sheet import SampleSheets
    from fluosr.report.training_curves import GENERATOR, LOG_FILES, draw_log, is_log, log_lines, score_panels

    parameters = built("train generator", GeneratorTraining, options)
    found = read_training_crops(crops)
    live = training_folder(output) / LIVE_LOG
    sheets = SampleSheets(path_beside(output, ".samples"), resumed=resume)
    lesson = lesson_of(
        found,
        parameters,
        on_log=lambda entries: write_bytes(live, log_lines(entries)),
        on_samples=sheets.write,
    )
    sides = f"{found.resolution} x {found.resolution}"
    for channel, (dark, bright) in zip(found.channels, found.levels, strict=True):
        typer.echo(f"{channel}: grey values {dark:.5g} to {bright:.5g}, for all crops")
    typer.echo(f"{len(found.crops)} crops of {sides} pixels")

    def of_the_log(made: LearntGenerator) -> tuple[bytes, bytes]:
        panels = [*GENERATOR, *score_panels(made.log)]
        return log_lines(made.log), draw_log(made.log, panels, along="images")

    made, files = trained(lesson, output, seed, device, resume, Companions(LOG_FILES, of_the_log, is_log))
    kids = [name for name in made.log[-1] if name.startswith("KID")]
    for name in kids:
        first, last = (entry[name] for entry in (made.log[0], made.log[-1]))
        typer.echo(f"{name}, n = {made.log[-1]['n']:.0f}: {first:.4g} at first, {last:.4g} at the end")
    if kids and all(made.log[-1][name] >= made.log[0][name] for name in kids):
        typer.echo(f"{LEARNT_NOTHING} More --images help.", err=True)
    logs = ", ".join(str(files[0].with_suffix(ending)) for ending in LOG_FILES)
    typer.echo(f"Log: {logs}; samples: {sheets.folder}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")


def photons_between(text: str) -> tuple[float, float]:
    """(least, most) from "0.2:0.5", or from one number.

    Raises:
        UsageError: a text of another form, or no such photons.
    """
    ends = text.split(":")
    try:
        low, high = float(ends[0]), float(ends[-1])
    except ValueError:
        low = high = math.nan
    if len(ends) > 2 or not 0 <= low <= high < math.inf:
        raise UsageError(f"--background {text}: give photons per pixel as LOW:HIGH, such as 0.2:0.5, or as one number.")
    return low, high


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
