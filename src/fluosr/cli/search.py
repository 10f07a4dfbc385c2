"""``fluosr train flow`` and ``fluosr search``: plausible sharp images of coarse ones, by a generator's latent space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import app, train_app
from fluosr.cli.options import Device, Seed, folder_named, with_options
from fluosr.cli.train import Output, Resume, built, parameter_options, trained
from fluosr.errors import ReconstructionInterrupted, UsageError
from fluosr.latent.flow_parameters import FlowFitting
from fluosr.latent.parameters import SearchParameters
from fluosr.progress import ProgressBar

if TYPE_CHECKING:
    import numpy as np

    from fluosr.latent.degradation import Degradation
    from fluosr.latent.result import CropModel, PlausibleImages, SeveralImages
    from fluosr.methods.base import Run

CHECKED = 20_000  # codes that PULSE's transform is fitted to, for comparison
DATA_WEIGHT = 1.0
Factor = Annotated[int, typer.Option("--factor", help="sharp pixels along a coarse one: 2, 4, 8, 16 or 32")]
Blur = Annotated[
    float | None,
    typer.Option("--fwhm", help="blur of the coarse images beyond the sharp, nm (default: bicubic reduction)"),
]


@dataclass(frozen=True, eq=False)
class Way:
    """How images are found, everything read and checked but the coarse images.

    Args:
        model: what proposes them.
        degradation: D.
        find: from the coarse images (N, C, r, r) an image for each, and several.
        facts: for the record.
    """

    model: CropModel
    degradation: Degradation
    find: Callable[[np.ndarray, Run], tuple[PlausibleImages, SeveralImages]]
    facts: dict[str, Any]


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
    generator: Annotated[
        Path | None, typer.Option("--generator", metavar="NAME", help="of `fluosr train generator`")
    ] = None,
    flow: Annotated[
        Path | None, typer.Option("--flow", metavar="NAME", help="of `fluosr train flow`, for that generator")
    ] = None,
    pix2pix: Annotated[
        Path | None,
        typer.Option(
            "--pix2pix",
            metavar="NAME",
            help="of `fluosr train pix2pix`, the baseline: one pass through it instead of a search",
        ),
    ] = None,
    factor: Factor,
    fwhm: Blur = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="plausible images, for the spread")] = 6,
    data_weight: Annotated[
        float, typer.Option("--data-weight", min=0, help="of the loss where samples are drawn; more keeps them nearer")
    ] = DATA_WEIGHT,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the results")
    ] = Path("plausible"),
    seed: Seed = 0,
    **options: Any,
) -> None:
    """Find plausible sharp images for coarse ones: plausible, not measured."""
    from fluosr.io.coarse_images import read_coarse_images
    from fluosr.latent.result import checked_coarse
    from fluosr.methods.base import StopRequested
    from fluosr.pipeline import stop_on_signals
    from fluosr.report.plausible_files import check_search_folder, save_search

    if pix2pix is not None and generator is None and flow is None:
        idle = [name for name, value in options.items() if value is not None]
        idle += ["data_weight"] if data_weight != DATA_WEIGHT else []
        if idle:
            flags = ", ".join("--" + name.replace("_", "-") for name in idle)
            raise UsageError(f"{flags}: of the search; with --pix2pix nothing is searched.")
        way = of_pix2pix(pix2pix, factor, fwhm, samples)
    elif pix2pix is None and generator is not None and flow is not None:
        way = of_search(generator, flow, factor, fwhm, options, {"samples": samples, "data_weight": data_weight})
    else:
        raise UsageError("give either --generator and --flow, or --pix2pix alone.")
    model, known = way.model, way.model.knowledge
    coarse = read_coarse_images(image, known.channels)
    checked_coarse(model, way.degradation, coarse)  # before a folder is made
    check_search_folder(output)
    with ProgressBar() as bar:
        run = bar.run()
        run.seed = seed
        try:
            with stop_on_signals(run):
                found, about = way.find(coarse, run)
        except StopRequested:
            raise ReconstructionInterrupted("nothing was written.") from None
    facts = {"input": image.name, "factor": factor, "fwhm_nm": fwhm, "seed": seed, **way.facts}
    written = save_search(output, coarse, found, about, known.channels, model.levels, known.pixel_size_nm, facts)
    typer.echo(
        f"{len(coarse)} images of {known.resolution} x {known.resolution} pixels by {found.method}; misfit "
        f"{found.misfit.mean():.3g} of half a channel's range on average, {found.misfit.max():.3g} at most"
    )
    typer.echo(f"These images are {found.caution}: see their misfits, their spread and the other samples.")
    if "spread" in way.facts:
        typer.echo(f"Their spread is {way.facts['spread']}.")
    typer.echo(f"Wrote {', '.join(map(str, written))}")


def of_search(
    generator: Path, flow: Path, factor: int, fwhm: float | None, options: dict[str, Any], drawn: dict[str, Any]
) -> Way:
    """By the regularised search of a generator's codes."""
    from fluosr.generation.model import load_generator
    from fluosr.latent.flow_model import load_flow
    from fluosr.latent.parameters import UncertaintyParameters
    from fluosr.latent.search import search as search_for
    from fluosr.latent.uncertainty import draw_plausible

    parameters = built("search", SearchParameters, options)
    drawing = built("search", UncertaintyParameters, drawn)
    made, fitted = load_generator(generator), load_flow(flow)
    density = fitted.of(made)
    degradation = degradation_for(made.knowledge.resolution, made.knowledge.pixel_size_nm, factor, fwhm)

    def find(coarse: np.ndarray, run: Run) -> tuple[PlausibleImages, SeveralImages]:
        found = search_for(made, density, degradation, coarse, parameters, run)
        return found, draw_plausible(made, density, degradation, coarse, found, parameters, drawing, run)

    facts = {
        "generator": made.fingerprint,
        "flow": fitted.fingerprint,
        "parameters": parameters.model_dump(mode="json"),
        "uncertainty": drawing.model_dump(mode="json"),
    }
    return Way(made, degradation, find, facts)


def of_pix2pix(name: Path, factor: int, fwhm: float | None, samples: int) -> Way:
    """By a Pix2Pix that was trained on pairs."""
    from fluosr.latent.pix2pix import SPREAD, check_samples, pix2pix, pix2pix_samples
    from fluosr.latent.pix2pix_model import load_pix2pix

    model = load_pix2pix(name)
    degradation = degradation_for(model.knowledge.resolution, model.knowledge.pixel_size_nm, factor, fwhm)
    model.check(degradation)
    check_samples(model, samples)

    def find(coarse: np.ndarray, run: Run) -> tuple[PlausibleImages, SeveralImages]:
        return pix2pix(model, degradation, coarse, run), pix2pix_samples(model, degradation, coarse, samples, run)

    return Way(model, degradation, find, {"pix2pix": model.fingerprint, "samples": samples, "spread": SPREAD})


def degradation_for(resolution: int, pixel_size_nm: float | None, factor: int, fwhm: float | None) -> Degradation:
    """D from the options.

    Raises:
        UsageError: a factor that cannot be, or --fwhm where the crops have no pixel size.
    """
    from fluosr.latent.degradation import Bicubic, Microscope
    from fluosr.optics.psf import GaussianPSF

    if fwhm is None:
        return Bicubic(resolution, factor)
    if pixel_size_nm is None:
        raise UsageError("--fwhm: the crops learnt from have no pixel size; give them one, and train anew.")
    return Microscope(resolution, factor, GaussianPSF(fwhm), pixel_size_nm)
