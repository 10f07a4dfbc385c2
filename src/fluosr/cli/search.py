"""``fluosr train flow`` and ``fluosr search``: plausible sharp images of coarse ones, by a generator's latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fluosr.cli.app import app, train_app
from fluosr.cli.options import Device, Seed, folder_named, with_options
from fluosr.cli.train import Output, Resume, built, parameter_options, trained
from fluosr.errors import ReconstructionInterrupted, UsageError
from fluosr.latent.flow_parameters import FlowFitting
from fluosr.latent.parameters import SearchParameters
from fluosr.progress import ProgressBar

CHECKED = 20_000  # codes that PULSE's transform is fitted to, for comparison


@train_app.command()
@with_options(parameter_options(FlowFitting))
def flow(
    generator: Annotated[
        Path, typer.Argument(metavar="GENERATOR", help="NAME that `fluosr train generator` wrote", show_default=False)
    ],
    *,
    output: Output,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    **options: Any,
) -> None:
    """Fit a flow to a generator's codes, which tells `fluosr search` how likely a code is."""
    import torch

    from fluosr.generation.model import load_generator
    from fluosr.latent.flow_lesson import drawn_codes, lesson_of
    from fluosr.latent.gaussianisation import ElementwiseGaussian, check_norms

    made = load_generator(generator)
    parameters = built("train flow", FlowFitting, options)
    learnt, files = trained(lesson_of(made, parameters), output, seed, device, resume)
    best = max(learnt.curve)
    typer.echo(f"log density of held-out codes: {learnt.curve[0]:.5g} at first, {best:.5g} at best")
    draws = torch.Generator().manual_seed(seed)
    elementwise = ElementwiseGaussian.fitted(drawn_codes(made.network, CHECKED, draws))
    check = check_norms(made, learnt.model.of(made), elementwise, draws)
    distances = ", ".join(f"{name} {distance:.3g}" for name, distance in check.distances.items())
    typer.echo(f"Distance of squared norms from chi-squared with {check.latent_features} degrees: {distances}")
    typer.echo(f"Model: {', '.join(str(path) for path in files)}")


@app.command()
@with_options(parameter_options(SearchParameters))
def search(
    image: Annotated[
        Path,
        typer.Argument(help="TIFF of coarse images, (C, Y, X) or (N, C, Y, X), grey values", show_default=False),
    ],
    *,
    generator: Annotated[Path, typer.Option("--generator", metavar="NAME", help="of `fluosr train generator`")],
    flow: Annotated[Path, typer.Option("--flow", metavar="NAME", help="of `fluosr train flow`, for that generator")],
    factor: Annotated[int, typer.Option("--factor", help="sharp pixels along a coarse one: 2, 4, 8, 16 or 32")],
    fwhm: Annotated[
        float | None,
        typer.Option("--fwhm", help="blur of the coarse images beyond the sharp, nm (default: bicubic reduction)"),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="plausible images, for the spread")] = 6,
    data_weight: Annotated[
        float, typer.Option("--data-weight", min=0, help="of the loss where samples are drawn; more keeps them nearer")
    ] = 1.0,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the results")
    ] = Path("plausible"),
    seed: Seed = 0,
    **options: Any,
) -> None:
    """Find plausible sharp images for coarse ones: plausible, not measured."""
    from fluosr.generation.model import load_generator
    from fluosr.io.coarse_images import read_coarse_images
    from fluosr.latent.degradation import Bicubic, Degradation, Microscope
    from fluosr.latent.flow_model import load_flow
    from fluosr.latent.parameters import UncertaintyParameters
    from fluosr.latent.result import checked_coarse
    from fluosr.latent.search import search as search_for
    from fluosr.latent.uncertainty import draw_plausible
    from fluosr.methods.base import StopRequested
    from fluosr.optics.psf import GaussianPSF
    from fluosr.pipeline import stop_on_signals
    from fluosr.report.plausible_files import check_search_folder, save_search

    parameters = built("search", SearchParameters, options)
    drawing = built("search", UncertaintyParameters, {"samples": samples, "data_weight": data_weight})
    made, fitted = load_generator(generator), load_flow(flow)
    known, density = made.knowledge, fitted.of(made)
    degradation: Degradation = Bicubic(known.resolution, factor)
    if fwhm is not None:
        if known.pixel_size_nm is None:
            raise UsageError("--fwhm: the generator's crops have no pixel size; give them one, and train it anew.")
        degradation = Microscope(known.resolution, factor, GaussianPSF(fwhm), known.pixel_size_nm)
    coarse = read_coarse_images(image, known.channels)
    checked_coarse(made, degradation, coarse)  # before a folder is made
    check_search_folder(output)
    with ProgressBar() as bar:
        run = bar.run()
        run.seed = seed
        try:
            with stop_on_signals(run):
                found = search_for(made, density, degradation, coarse, parameters, run)
                about = draw_plausible(made, density, degradation, coarse, found, parameters, drawing, run)
        except StopRequested:
            raise ReconstructionInterrupted("nothing was written.") from None
    facts = {
        "input": image.name,
        "generator": made.fingerprint,
        "flow": fitted.fingerprint,
        "factor": factor,
        "fwhm_nm": fwhm,
        "seed": seed,
        "parameters": parameters.model_dump(mode="json"),
        "uncertainty": drawing.model_dump(mode="json"),
    }
    written = save_search(output, coarse, found, about, known.channels, made.levels, known.pixel_size_nm, facts)
    typer.echo(
        f"{len(coarse)} images of {known.resolution} x {known.resolution} pixels by {found.method}; misfit "
        f"{found.misfit.mean():.3g} of half a channel's range on average, {found.misfit.max():.3g} at most"
    )
    typer.echo(f"These images are {found.caution}: see their misfits, their spread and the other samples.")
    typer.echo(f"Wrote {', '.join(map(str, written))}")
