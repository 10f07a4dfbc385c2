"""``fluosr simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import simulate_app
from fluosr.cli.options import Seed
from fluosr.errors import UsageError

LARGEST_SEPARATION_NM = 100_000.0


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
    seed: Seed = 0,
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
