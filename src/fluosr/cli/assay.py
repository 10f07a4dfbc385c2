"""``fluosr simulate assay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import simulate_app
from fluosr.cli.options import Seed, folder_named
from fluosr.progress import ProgressBar


@simulate_app.command()
def assay(
    kind: Annotated[str, typer.Argument(help="translocation, or golgi", metavar="ASSAY", show_default=False)],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the plate")
    ] = Path("plate"),
    wells: Annotated[int, typer.Option("--wells", min=1, max=384, help="of the plate, one field each")] = 8,
    treated: Annotated[int, typer.Option("--treated", min=0, help="of these wells, the last ones")] = 4,
    strength: Annotated[float, typer.Option("--strength", help="mean phenotype of treated cells, 0 to 1")] = 0.8,
    non_responders: Annotated[
        float, typer.Option("--non-responders", help="share of treated cells that stay as they were")
    ] = 0.1,
    well_scatter: Annotated[
        float,
        typer.Option("--well-scatter", help="of the strength from well to well: relative standard deviation, 0 to 0.5"),
    ] = 0.1,
    height: Annotated[int, typer.Option("--height", min=32, help="of a field, pixels")] = 512,
    width: Annotated[int, typer.Option("--width", min=32, help="of a field, pixels")] = 512,
    pixel_size: Annotated[float, typer.Option("--pixel-size", help="nm")] = 400.0,
    fwhm: Annotated[float, typer.Option("--fwhm", help="FWHM of the PSF, nm")] = 520.0,
    spacing: Annotated[float, typer.Option("--spacing", help="from a cell to its neighbours, nm")] = 24_000.0,
    photons: Annotated[
        float, typer.Option("--photons", help="in a pixel where a channel is as bright as is common")
    ] = 400.0,
    background: Annotated[float, typer.Option("--background", help="photons in every pixel")] = 20.0,
    seed: Seed = 0,
) -> None:
    """Wells of an assay with three channels (DNA, the protein, actin or tubulin), and the phenotype of every cell."""
    from fluosr.io.assay_plates import save_plate
    from fluosr.simulate.assay_plate import plate_of
    from fluosr.simulate.assays import PlateMicroscope
    from fluosr.simulate.culture import CellCulture

    chosen = plate_of(
        kind,
        wells,
        treated,
        strength=strength,
        non_responders=non_responders,
        well_scatter=well_scatter,
        culture=CellCulture((height, width), pixel_size, spacing_nm=spacing),
        microscope=PlateMicroscope(fwhm_nm=fwhm, photons=photons, background_photons=background),
        seed=seed,
    )
    with ProgressBar() as bar:
        save_plate(output, chosen, seed=seed, done=lambda count: bar.progress("wells", count, wells))
    typer.echo(
        f"Wrote {wells} wells of {height} x {width} pixels to {output}: {wells - treated} untreated, {treated} "
        "treated; plate.csv names them, truth.csv has every cell"
    )
