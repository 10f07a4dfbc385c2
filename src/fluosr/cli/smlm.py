"""``fluosr simulate smlm``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluosr.cli.app import simulate_app
from fluosr.cli.options import with_options
from fluosr.cli.simulate import film_options, say_what_was_saved
from fluosr.errors import UsageError
from fluosr.machine import whole_megabytes

if TYPE_CHECKING:
    from fluosr.simulate.structures import Structure

DENSITY_PER_UM2 = 1.0
LONG_S = 20.0  # from here on it is said how long it takes


@simulate_app.command()
@with_options(film_options("frames", "pixel_size", "gain", "offset", "read_noise", "frame_rate", "seed"))
def smlm(
    output: Annotated[Path, typer.Option("--output", "-o", help="movie to write; the truth goes beside it")] = Path(
        "smlm.tif"
    ),
    structure: Annotated[
        str, typer.Option("--structure", help="points (anywhere), filaments, or tubes (hollow, in bundles)")
    ] = "tubes",
    height: Annotated[int, typer.Option("--height", min=4, help="of the field, camera pixels")] = 64,
    width: Annotated[int, typer.Option("--width", min=4, help="of the field, camera pixels")] = 64,
    density: Annotated[
        float | None,
        typer.Option("--density", help=f"molecules that shine per µm² of the field and frame [{DENSITY_PER_UM2:g}]"),
    ] = None,
    active: Annotated[
        float | None, typer.Option("--active", help="molecules that shine in a frame, mean; instead of --density")
    ] = None,
    on_time: Annotated[float, typer.Option("--on-time", help="mean time a molecule is on, frames")] = 3.0,
    photons: Annotated[
        float, typer.Option("--photons", help="mean photons of a molecule in a frame that it is on throughout")
    ] = 1000.0,
    photon_spread: Annotated[
        float, typer.Option("--photon-spread", help="standard deviation of these over their mean (lognormal)")
    ] = 0.3,
    background: Annotated[float, typer.Option("--background", help="mean photons per pixel and frame")] = 10.0,
    background_variation: Annotated[
        float, typer.Option("--background-variation", help="how much it varies over the field, of its mean: 0 to 1")
    ] = 0.0,
    fwhm: Annotated[float, typer.Option("--fwhm", min=1.0, max=1e4, help="FWHM of the PSF, nm")] = 260.0,
    count: Annotated[int | None, typer.Option("--count", help="number of filaments [12] or tubes [9]")] = None,
    structure_width: Annotated[
        float | None, typer.Option("--structure-width", help="width of each filament [50] or tube [25], nm")
    ] = None,
    length: Annotated[
        float | None, typer.Option("--length", help="length of each filament [6000] or tube [12000], nm")
    ] = None,
    persistence: Annotated[
        float | None, typer.Option("--persistence", help="persistence length, nm [5000 or 10000]: straight over less")
    ] = None,
    network_seed: Annotated[int, typer.Option("--network-seed", min=0, help="of the structure's course")] = 0,
    **film: Any,
) -> None:
    """Single molecules that switch on at random, on a structure. Saves the movie and where each molecule was."""
    from fluosr.io.camera_maps import given_camera
    from fluosr.io.simulation import bytes_of_molecules, save_molecules
    from fluosr.optics.psf import GaussianPSF
    from fluosr.progress import duration
    from fluosr.simulate.smlm import SimulatedMolecules

    if density is not None and active is not None:
        raise UsageError("--density and --active exclude each other: each of them says how many shine. Give one.")
    field = (height, width)
    curves = {"count": count, "structure_width": structure_width, "length": length, "persistence": persistence}
    chosen = _structure(structure, field, film["pixel_size"], curves, network_seed)
    if active is None:
        per_um2 = DENSITY_PER_UM2 if density is None else density
        if not (math.isfinite(per_um2) and per_um2 > 0):
            raise UsageError(f"--density must be positive (molecules per µm² and frame), got {per_um2:g}.")
        active = per_um2 * math.prod(field) * (film["pixel_size"] / 1000.0) ** 2
    camera = given_camera(film["gain"], film["offset"], film["read_noise"], field, (0, 0, *field)).camera()
    movie = SimulatedMolecules(
        chosen,
        GaussianPSF(fwhm),
        n_frames=film["frames"],
        active=active,
        on_time_frames=on_time,
        photons=photons,
        photon_spread=photon_spread,
        background=background,
        background_variation=background_variation,
        frame_interval_s=1.0 / film["frame_rate"],
        camera=camera,
        seed=film["seed"],
    )
    if (seconds := movie.seconds_needed()) > LONG_S:
        size = whole_megabytes(bytes_of_molecules(movie))
        typer.echo(f"About {duration(seconds)} of computing and {size} of files.", err=True)
    say_what_was_saved(save_molecules(movie, output), film["frames"], field)


def _structure(kind: str, field: tuple[int, int], pixel_size_nm: float, curves: dict[str, Any], seed: int) -> Structure:
    from fluosr.simulate.filaments import FilamentPhantom
    from fluosr.simulate.structures import BundledTubes, Filaments, RandomPoints

    given = {name: value for name, value in curves.items() if value is not None}
    if kind == "points":
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(f"{flags} goes with --structure filaments or tubes; points have no course.")
        return RandomPoints(field, pixel_size_nm)
    ours = {"structure_width": {"filaments": "width_nm", "tubes": "diameter_nm"}.get(kind, "")}
    ours |= {"count": "count", "length": "length_nm", "persistence": "persistence_nm"}
    values = {ours[name]: value for name, value in given.items()}
    if kind == "filaments":
        return Filaments(FilamentPhantom(field, pixel_size_nm=pixel_size_nm, seed=seed, **values))
    if kind == "tubes":
        return BundledTubes(field, pixel_size_nm=pixel_size_nm, seed=seed, **values)
    raise UsageError(f"--structure {kind}: there are points, filaments and tubes.")
