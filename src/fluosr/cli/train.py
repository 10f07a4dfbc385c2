"""``fluosr train``: learn a method from pairs of frames and truth."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import train_app
from fluosr.cli.options import Device, Seed, option, plain_kind, show_default, with_options
from fluosr.methods.base import build_parameters
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from fluosr.progress import ProgressBar


def _parameter_options() -> list[inspect.Parameter]:
    options = []
    for name, field in TrainingParameters.model_fields.items():
        text = field.description or ""
        if field.default is not None:
            text += f" [{show_default(field.default)}]"
        options.append(option(name, plain_kind(field.annotation), text))
    return options


@train_app.command()
@with_options(_parameter_options())
def unfolded(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="folder with NAME.tif and NAME-truth.tif", show_default=False)
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="NAME", help="model to write: NAME.json and NAME.safetensors")
    ],
    pixel_size: Annotated[float, typer.Option("--pixel-size", help="camera pixel, nm")],
    fwhm: Annotated[float, typer.Option("--fwhm", help="FWHM of the PSF, nm; where it is learnt, the first guess")],
    factor: Annotated[int, typer.Option("--factor", min=1, max=32, help="fine pixels per camera pixel (L)")] = 4,
    gain: Annotated[float, typer.Option("--gain", help="ADU per photoelectron; 1 for frames in photons")] = 1.0,
    offset: Annotated[float, typer.Option("--offset", help="ADU without light")] = 0.0,
    read_noise: Annotated[float, typer.Option("--read-noise", help="electrons rms")] = 0.0,
    background: Annotated[
        float | None,
        typer.Option("--background", help="photons per camera pixel (default: estimated for every frame)"),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on with a training of this name that stopped")] = False,
    **options: Any,
) -> None:
    """Train the method `unfolded` for one microscope: its steps, its penalty, its threshold, if wished its PSF."""
    from fluosr.camera import Camera
    from fluosr.io.pairs import read_pairs
    from fluosr.learning import train_to_files
    from fluosr.methods.unfolded.physics import Physics

    parameters = build_parameters(
        "train unfolded", TrainingParameters, {name: value for name, value in options.items() if value is not None}
    )
    physics = Physics(
        fwhm_nm=fwhm,
        pixel_size_nm=pixel_size,
        factor=factor,
        data_term=parameters.data_term,
        background_photons=background,
        read_noise_e=read_noise,
        semi_blind=parameters.semi_blind,
    )
    with ProgressBar() as bar:
        trained = train_to_files(
            read_pairs(pairs, Camera(gain, offset, read_noise)),
            output,
            physics,
            parameters,
            seed=seed,
            device=device,
            resume=resume,
            command=["fluosr", *sys.argv[1:]],
            run=bar.run(),
        )
    for name, curve in trained.history.items():
        typer.echo(f"{name}: {curve[0]:.4g} before, {curve[trained.best_round]:.4g} after")
    numbers, fwhm_nm = trained.network.in_the_papers_numbers(), trained.network.fwhm_nm
    rounds = len(trained.history["loss"]) - 1
    found = f"lambda {numbers['lambda']:.4g}, tau {numbers['tau_photons']:.4g} photons, FWHM {fwhm_nm:.4g} nm"
    typer.echo(f"{found}, from round {trained.best_round} of {rounds}")
    typer.echo(f"Model: {', '.join(str(path) for path in trained.files)}")
