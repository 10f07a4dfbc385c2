"""``fluosr train generator``: learn what cells look like from crops of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, with_options
from fluosr.cli.train import LEARNT_NOTHING, Output, Resume, built, parameter_options, trained
from fluosr.generation.parameters import GeneratorTraining


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
    for channel, (dark, bright) in zip(found.channels, found.levels.pairs, strict=True):
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
    for warning in made.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    logs = ", ".join(str(files[0].with_suffix(ending)) for ending in LOG_FILES)
    typer.echo(f"Log: {logs}; samples: {sheets.folder}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")
