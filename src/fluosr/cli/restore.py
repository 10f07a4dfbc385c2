"""``fluosr restore``: an image or a movie, frame by frame, through a trained restorer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import app
from fluosr.cli.options import Device
from fluosr.progress import ProgressBar


@app.command()
def restore(
    image: Annotated[
        Path, typer.Argument(help="a TIFF of any axes, each image restored on its own", show_default=False)
    ],
    *,
    model: Annotated[Path, typer.Option("--model", "-m", metavar="NAME", help="of NAME.json and NAME.safetensors")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="OME-TIFF to write")] = Path(
        "restored.ome.tif"
    ),
    pixel_size: Annotated[
        float | None, typer.Option("--pixel-size", help="of the image, nm (default: the file's)")
    ] = None,
    tile: Annotated[int, typer.Option("--tile", min=16, help="side of a tile, pixels; bounds the memory")] = 256,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="mean over the 8 flips and turns of the image, 8 times slower")
    ] = False,
    device: Device = "auto",
) -> None:
    """Restore a noisy or coarse image with a network that `fluosr train restoration` has trained."""
    from fluosr.restoration.model import load_restorer
    from fluosr.restoring import restore_file

    loaded = load_restorer(model)
    with ProgressBar() as bar:
        made = restore_file(
            image,
            loaded,
            output,
            pixel_size_nm=pixel_size,
            tile_px=tile,
            ensemble=ensemble,
            device=device,
            run=bar.run(),
        )
    for warning in made.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    known = loaded.knowledge
    sides = " x ".join(f"{size} {axis}" for axis, size in zip(made.axes, made.sizes, strict=True))
    pixel = "" if made.pixel_size_nm is None else f", pixels of {made.pixel_size_nm:.4g} nm"
    typer.echo(f"{made.path}: {sides}{pixel}; {known.network}, trained on {known.fields} fields ({known.arm})")
    typer.echo("A restored image is what the network has learnt to expect: plausible, not measured.")
