"""``fluosr train pix2pix``: the baseline of the latent search that learns from pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, with_options
from fluosr.cli.search import Blur, Factor, degradation_for
from fluosr.cli.train import Output, Resume, built, parameter_options, trained
from fluosr.latent.pix2pix_parameters import Pix2PixTraining

SHEET_COLUMNS = 6  # two crops a row: given, made, sharp


@train_app.command()
@with_options(parameter_options(Pix2PixTraining))
def pix2pix(
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
    factor: Factor,
    fwhm: Blur = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Train Pix2Pix on crops and the coarse images made of them: the baseline of `fluosr search`."""
    from fluosr.io.training_crops import read_training_crops
    from fluosr.io.write import write_bytes
    from fluosr.latent.pix2pix_lesson import LearntPix2Pix, lesson_of
    from fluosr.learning import LIVE_LOG, Companions, path_beside, training_folder
    from fluosr.report.sample_sheet import SampleSheets
    from fluosr.report.training_curves import LOG_FILES, PIX2PIX, draw_log, is_log, log_lines

    parameters = built("train pix2pix", Pix2PixTraining, options)
    found = read_training_crops(crops)
    degradation = degradation_for(found.resolution, found.pixel_size_nm, factor, fwhm)
    live = training_folder(output) / LIVE_LOG
    sheets = SampleSheets(path_beside(output, ".samples"), resumed=resume, columns=SHEET_COLUMNS)
    lesson = lesson_of(
        found,
        degradation,
        parameters,
        on_log=lambda entries: write_bytes(live, log_lines(entries)),
        on_samples=sheets.write,
    )
    typer.echo(f"{len(found.crops)} crops of {found.resolution} x {found.resolution} pixels; {degradation.name}")

    def of_the_log(made: LearntPix2Pix) -> tuple[bytes, bytes]:
        return log_lines(made.log), draw_log(made.log, PIX2PIX, along="images")

    made, files = trained(lesson, output, seed, device, resume, Companions(LOG_FILES, of_the_log, is_log))
    own, bicubic = (made.log[-1][name] for name in ("l1", "l1_of_bicubic"))
    typer.echo(
        f"mean difference from the last crops, which it learns from: {own:.4g}; bicubic: {bicubic:.4g}. Details "
        "that are invented count as wrong: look at the sheets too."
    )
    logs = ", ".join(str(files[0].with_suffix(ending)) for ending in LOG_FILES)
    typer.echo(f"Log: {logs}; given, made and sharp side by side: {sheets.folder}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")
