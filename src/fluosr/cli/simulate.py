"""``fluosr simulate``."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import simulate_app
from fluosr.cli.options import Seed, number_or_map, with_options
from fluosr.errors import UsageError

if TYPE_CHECKING:
    from fluosr.emitters import Emitters
    from fluosr.io.simulation import SavedSimulation
    from fluosr.simulate.phantom import Phantom

LARGEST_SEPARATION_NM = 100_000.0
WITHOUT_FANO = ("poisson", "double-poisson")
FANO, ON_TIME_S, OFF_TIME_S = 30.0, 0.02, 0.08


def _film(
    frames: Annotated[int, typer.Option("--frames", min=2, help="number of frames")] = 500,
    photons: Annotated[
        float, typer.Option("--photons", min=0.001, help="photons per pixel and frame at the peak")
    ] = 30.0,
    background: Annotated[float, typer.Option("--background", min=0.0, help="mean background over the peak")] = 0.1,
    pixel_size: Annotated[float, typer.Option("--pixel-size", min=1.0, help="camera pixel, nm")] = 100.0,
    fwhm: Annotated[float, typer.Option("--fwhm", min=1.0, max=1e4, help="FWHM of the PSF, nm")] = 324.0,
    factor: Annotated[int, typer.Option("--factor", min=1, max=32, help="fine pixels per camera pixel")] = 6,
    fluctuations: Annotated[
        str,
        typer.Option(
            "--fluctuations",
            help="how emitters fluctuate: poisson not at all (model 4), double-poisson as in model (3), fano in "
            "bursts, gamma, blinking (molecules on and off)",
        ),
    ] = "double-poisson",
    fano: Annotated[
        float | None,
        typer.Option("--fano", help=f"variance over mean of the emission: for fano, gamma and blinking [{FANO:g}]"),
    ] = None,
    on_time: Annotated[
        float | None,
        typer.Option("--on-time", help=f"mean time a molecule stays on, s: for blinking [{ON_TIME_S}]"),
    ] = None,
    off_time: Annotated[
        float | None, typer.Option("--off-time", help=f"mean time it stays off, s: for blinking [{OFF_TIME_S}]")
    ] = None,
    gain: Annotated[
        Any, typer.Option("--gain", parser=number_or_map, metavar="<float or TIFF>", help="ADU per photoelectron")
    ] = 4.0,
    offset: Annotated[
        Any, typer.Option("--offset", parser=number_or_map, metavar="<float or TIFF>", help="ADU")
    ] = 100.0,
    read_noise: Annotated[
        Any, typer.Option("--read-noise", parser=number_or_map, metavar="<float or TIFF>", help="electrons rms")
    ] = 0.5,
    bleaching: Annotated[
        float,
        typer.Option("--bleaching", min=0.0, help="bleaching time, s; 0: none. Blinking molecules die one by one"),
    ] = 20.0,
    frame_rate: Annotated[float, typer.Option("--frame-rate", min=0.001, max=1e6, help="frames per second")] = 100.0,
    seed: Seed = 0,
) -> None:
    """The options of a film, whatever it shows."""


def film_options(*names: str) -> list[inspect.Parameter]:
    """The options of a film of these names; without any, all of them."""
    kinds = typing.get_type_hints(_film, include_extras=True)
    return [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kinds[parameter.name])
        for parameter in inspect.signature(_film).parameters.values()
        if not names or parameter.name in names
    ]


@simulate_app.command()
@with_options(film_options())
def argo(
    output: Annotated[Path, typer.Option("--output", "-o", help="movie to write; the truth goes beside it")] = Path(
        "argo.tif"
    ),
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
    **film: Any,
) -> None:
    """The ARGO phantom of the FluoGAN paper: sets of four lines whose middle pair closes in. Saves movie and truth."""
    from fluosr.simulate.argo import SEPARATIONS_NM, ArgoPhantom

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
        pixel_size_nm=film["pixel_size"],
    )
    _save(phantom, output, film)


@simulate_app.command()
@with_options(film_options())
def filaments(
    output: Annotated[Path, typer.Option("--output", "-o", help="movie to write; the truth goes beside it")] = Path(
        "filaments.tif"
    ),
    height: Annotated[int, typer.Option("--height", min=4, help="of the field, camera pixels")] = 64,
    width: Annotated[int, typer.Option("--width", min=4, help="of the field, camera pixels")] = 64,
    count: Annotated[int, typer.Option("--count", help="number of filaments")] = 12,
    filament_width: Annotated[float, typer.Option("--filament-width", help="width of each, nm")] = 50.0,
    length: Annotated[float, typer.Option("--length", help="length of each, nm")] = 6000.0,
    persistence: Annotated[
        float, typer.Option("--persistence", help="persistence length, nm: straight over less")
    ] = 5000.0,
    network_seed: Annotated[int, typer.Option("--network-seed", min=0, help="of the filaments' course")] = 0,
    **film: Any,
) -> None:
    """A network of smooth random filaments of one width. Saves movie and truth."""
    from fluosr.simulate.filaments import FilamentPhantom

    phantom = FilamentPhantom(
        shape=(height, width),
        count=count,
        width_nm=filament_width,
        length_nm=length,
        persistence_nm=persistence,
        pixel_size_nm=film["pixel_size"],
        seed=network_seed,
    )
    _save(phantom, output, film)


def _emitters(film: dict[str, Any], interval_s: float) -> Emitters:
    from fluosr.emitters import emitters_called

    kind, given = film["fluctuations"], film["fano"]
    if given is not None and kind in WITHOUT_FANO:
        raise UsageError(f"--fano goes with --fluctuations fano, gamma or blinking; {kind} has its own.")
    if kind != "blinking" and (film["on_time"] is not None or film["off_time"] is not None):
        raise UsageError(f"--on-time and --off-time go with --fluctuations blinking, not with {kind}.")
    return emitters_called(
        kind,
        fano_factor=FANO if given is None else given,
        on_time_s=ON_TIME_S if film["on_time"] is None else film["on_time"],
        off_time_s=OFF_TIME_S if film["off_time"] is None else film["off_time"],
        frame_interval_s=interval_s,
        bleaching_time_s=film["bleaching"] or None,
    )


def _save(phantom: Phantom, output: Path, film: dict[str, Any]) -> None:
    from fluosr.io.camera_maps import given_camera
    from fluosr.io.simulation import save_simulation
    from fluosr.optics.psf import GaussianPSF
    from fluosr.simulate.movie import SimulatedMovie

    interval_s = 1.0 / film["frame_rate"]
    emitters = _emitters(film, interval_s)
    known = given_camera(
        film["gain"], film["offset"], film["read_noise"], phantom.field_shape, (0, 0, *phantom.field_shape)
    )
    movie = SimulatedMovie(
        phantom,
        factor=film["factor"],
        psf=GaussianPSF(film["fwhm"]),
        n_frames=film["frames"],
        peak_photons=film["photons"],
        background_fraction=film["background"],
        frame_interval_s=interval_s,
        bleaching_time_s=None if film["fluctuations"] == "blinking" else film["bleaching"] or None,
        camera=known.camera(),
        emitters=emitters,
        seed=film["seed"],
    )
    say_what_was_saved(save_simulation(movie, output), film["frames"], phantom.field_shape)


def say_what_was_saved(saved: SavedSimulation, frames: int, field_shape: tuple[int, int]) -> None:
    """Name the files, and what was cut off of the camera's range."""
    height, width = field_shape
    typer.echo(f"Wrote {frames} frames of {height} x {width} pixels: {', '.join(str(path) for path in saved.files)}")
    for count, end, advice in (
        (saved.saturated, "above 65535", "lower --photons, --gain or --offset"),
        (saved.below_zero, "below 0", "raise --offset"),
    ):
        if count:
            share = count / (frames * height * width)
            typer.echo(f"Note: {count} values ({share:.2g} of all) lay {end} ADU and were cut off; {advice}.", err=True)
