"""``fluosr train restoration``: learn to restore images from fields."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, with_options
from fluosr.cli.train import LEARNT_NOTHING, Output, Resume, built, parameter_options, trained
from fluosr.errors import UsageError
from fluosr.restoration.parameters import RestorationTraining

OF_THE_GAN = ("relativistic", "gan_weight", "gan_learning_rate", "discriminator_features")


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
