"""``fluosr simulate confocal``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import simulate_app
from fluosr.cli.options import Seed, folder_named
from fluosr.progress import ProgressBar


@simulate_app.command()
def confocal(
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the pairs")
    ] = Path("pairs"),
    structure: Annotated[
        str, typer.Option("--structure", help="mitochondria, membranes, nuclei, or multiphoton (deep, hazy)")
    ] = "mitochondria",
    fields: Annotated[int, typer.Option("--fields", min=1, max=100_000, help="places of the sample")] = 4,
    repeats: Annotated[int, typer.Option("--repeats", min=2, help="fast frames of each field")] = 10,
    height: Annotated[int, typer.Option("--height", min=16, help="of the fast frames, pixels")] = 256,
    width: Annotated[int, typer.Option("--width", min=16, help="of the fast frames, pixels")] = 256,
    scale: Annotated[int, typer.Option("--scale", help="how many times finer the slow scan is: 1, 2 or 4")] = 2,
    pixel_size: Annotated[float, typer.Option("--pixel-size", help="of the fast frames, nm")] = 180.0,
    fwhm: Annotated[float, typer.Option("--fwhm", help="FWHM of the PSF, nm")] = 250.0,
    photons: Annotated[
        float, typer.Option("--photons", help="detected in a pixel of a fast frame that the structure covers whole")
    ] = 12.0,
    slow_dose: Annotated[
        float, typer.Option("--slow-dose", min=1.0, help="photons of a pixel of the slow scan over one of the fast")
    ] = 62.0,
    background: Annotated[float, typer.Option("--background", help="photons per pixel of a fast frame")] = 0.3,
    phase: Annotated[float, typer.Option("--phase", help="by which even and odd lines are displaced, pixels")] = 0.6,
    jitter: Annotated[float, typer.Option("--jitter", help="of each line, pixels rms")] = 0.12,
    lag: Annotated[float, typer.Option("--lag", help="time constant of the amplifier, pixels")] = 0.6,
    gain: Annotated[float, typer.Option("--gain", help="ADU per photon, fast scan")] = 40.0,
    excess_noise: Annotated[float, typer.Option("--excess-noise", help="F^2 of the photomultiplier")] = 1.3,
    offset: Annotated[float, typer.Option("--offset", help="ADU without light")] = 100.0,
    read_noise: Annotated[float, typer.Option("--read-noise", help="ADU rms")] = 8.0,
    bits: Annotated[int, typer.Option("--bits", min=8, max=16, help="of the fast frames' grey values")] = 12,
    clean: Annotated[bool, typer.Option("--clean", help="the slow scan without its noise")] = False,
    seed: Seed = 0,
) -> None:
    """Cells under a confocal microscope: fast noisy frames of each field, and a slow good one to learn from."""
    from fluosr.degradations.microscope import ScanningMicroscope
    from fluosr.io.confocal_fields import save_fields
    from fluosr.simulate.confocal_fields import ConfocalField

    microscope = ScanningMicroscope(
        pixel_size_nm=pixel_size,
        fwhm_nm=fwhm,
        dose_photons=photons / max(scale, 1) ** 2,
        factor=scale,
        background_photons=background,
        phase_px=phase,
        jitter_px=jitter,
        lag_px=lag,
        gain_adu_per_e=gain,
        excess_noise=excess_noise,
        offset_adu=offset,
        read_noise_adu=read_noise,
        bits=bits,
    )
    chosen = [
        ConfocalField(structure, (height, width), microscope, seed=seed + number, slow_dose=slow_dose)
        for number in range(fields)
    ]
    with ProgressBar() as bar:
        saved = save_fields(
            output, chosen, repeats, clean=clean, done=lambda count: bar.progress("fields", count, fields)
        )
    good = f"{height * scale} x {width * scale}"
    typer.echo(
        f"Wrote {fields} fields to {output}: {repeats} frames of {height} x {width} and one of {good} pixels each"
    )
    for share, images, where, advice in (
        (saved.fast_saturated, "fast frames", f"{2**bits - 1}, where light is cut off", "lower --photons or --gain"),
        (
            saved.slow_saturated,
            "good images",
            "their highest value, where light is cut off",
            "lower --photons or --gain",
        ),
        (saved.fast_at_zero, "fast frames", "0, where read noise is cut off", "raise --offset"),
    ):
        if share:
            typer.echo(f"Note: {100 * share:.2g} % of the pixels of the {images} are at {where}; {advice}.", err=True)
