"""``fluosr limit``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluosr.cli.app import app
from fluosr.cli.options import folder_named
from fluosr.errors import MissingMetadataError, UsageError
from fluosr.progress import ProgressBar, duration

if TYPE_CHECKING:
    from fluosr.limits import Limit
    from fluosr.optics.psf import PointSpreadFunction

LONG_S = 5.0  # from here on it is said how long it takes


@app.command()
def limit(
    *,
    pixel_size: Annotated[float | None, typer.Option("--pixel-size", help="camera pixel in the sample, nm")] = None,
    fwhm: Annotated[float | None, typer.Option("--fwhm", help="FWHM of a Gaussian PSF, nm")] = None,
    na: Annotated[
        float | None, typer.Option("--na", help="numerical aperture, with --wavelength, instead of --fwhm")
    ] = None,
    wavelength: Annotated[float | None, typer.Option("--wavelength", help="emission wavelength, nm")] = None,
    photons: Annotated[float, typer.Option("--photons", help="photons of the pair per pixel and frame, peak")] = 30.0,
    frames: Annotated[int, typer.Option("--frames", help="number of frames")] = 500,
    fano: Annotated[
        float, typer.Option("--fano", help="variance over mean of the emission; 0: steady, 10 to 1000: blinking dyes")
    ] = 1.0,
    background: Annotated[float, typer.Option("--background", help="background over the peak")] = 0.1,
    slope: Annotated[bool, typer.Option("--slope", help="the background may be inclined")] = False,
    read_noise: Annotated[float, typer.Option("--read-noise", help="electrons rms")] = 0.5,
    shape: Annotated[str, typer.Option("--shape", help="lines or points")] = "lines",
    length: Annotated[float | None, typer.Option("--length", help="of the lines, nm [800]")] = None,
    width: Annotated[float | None, typer.Option("--width", help="of the lines, nm [20]")] = None,
    angle: Annotated[float, typer.Option("--angle", help="tilt of the pair, degrees")] = 0.0,
    separations: Annotated[
        str, typer.Option("--separations", help="nm: start:stop:step with both ends, or 40,60,80")
    ] = "40:200:20",
    wanted: Annotated[
        float | None,
        typer.Option("--wanted", help="separation to answer for, nm: is it seen, and with how many frames?"),
    ] = None,
    told_apart: Annotated[
        float, typer.Option("--told-apart", help="how many standard deviations a separation must be")
    ] = 2.0,
    equal: Annotated[
        bool, typer.Option("--equal", help="both are known to be equally bright: their balance need not be measured")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="write table and plot there"),
    ] = None,
) -> None:
    """Say what an experiment can show at all: which separations, and with how many frames (Cramér-Rao bound)."""
    from fluosr.limits import Criterion, Experiment, Pair, find_limit
    from fluosr.limits.bound import BALANCED

    if pixel_size is None:
        raise MissingMetadataError("a limit needs the pixel size: give --pixel-size (nm).")
    experiment = Experiment(
        psf=_psf(fwhm, na, wavelength),
        pixel_size_nm=pixel_size,
        photons=photons,
        frames=frames,
        fano_factor=fano,
        read_noise_e=read_noise,
        background_fraction=background,
    )
    of_lines = {name: size for name, size in (("length_nm", length), ("width_nm", width)) if size is not None}
    if shape == "points" and of_lines:
        raise UsageError("--length and --width are of lines; points have none.")
    pair = Pair(shape, angle_deg=angle, **of_lines)  # type: ignore[arg-type]
    if output is not None and output.exists():  # a new one is made once there is something to put in
        from fluosr.report.limit_files import check_limit_folder

        check_limit_folder(output)
    with ProgressBar() as bar:
        found = find_limit(
            experiment,
            pair,
            _numbers(separations),
            wanted_nm=wanted,
            criterion=Criterion(told_apart, math.inf if equal else BALANCED),
            slope=slope,
            on_progress=_announced(bar),
        )
    _print(found)
    if output is not None:
        from fluosr.report.limit_files import save_limit

        typer.echo(f"Wrote {', '.join(str(path) for path in save_limit(found, output))}")


def _announced(bar: ProgressBar) -> Callable[[str, int, int], None]:
    """The bar, and where it takes long a word of how long, from the time that the first row took."""
    started, said = time.monotonic(), False

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal said
        seconds = (time.monotonic() - started) * total / done
        if not said and seconds > LONG_S:
            bar.say(f"About {duration(seconds)} of computing.")
        said = True
        bar.progress(stage, done, total)

    return progress


def _psf(fwhm: float | None, na: float | None, wavelength: float | None) -> PointSpreadFunction:
    from fluosr.io.movie import check_optics_options, choose_psf

    check_optics_options(fwhm, na, wavelength, None, None)
    if fwhm is None and na is None:
        raise MissingMetadataError(
            "a limit needs the point spread function: give --fwhm (nm), or --na and --wavelength (nm)."
        )
    return choose_psf(fwhm, na, wavelength, None, None, [])


def _numbers(text: str) -> list[float]:
    """``40:200:20`` with both ends, or ``40,60,80``."""
    try:
        if ":" not in text:
            return [float(number) for number in text.split(",")]
        start, stop, step = (float(number) for number in text.split(":"))
        count = math.floor((stop - start) / step * (1 + 1e-9)) + 1
        if not (0 < step < math.inf and 1 <= count <= 1000):
            raise ValueError(text)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise UsageError(
            f"--separations {text}: write nanometres as start:stop:step, such as 40:200:20, or with commas between, "
            "such as 40,60,80; at most 1000 of them."
        ) from None
    return [start + number * step for number in range(count)]


def _print(found: Limit) -> None:
    from fluosr.limits.table import count_of

    frames = found.experiment.frames
    heads = ("separation", "mean alone", "mean+cov", "(Gaussian)", "balance known to", "told apart by", "frames needed")
    lines = [heads, ("nm", "± nm", "± nm", "± nm", "mean / mean+cov", "", "mean / mean+cov")]
    for row in found.rows:
        bound = row.bound
        by = [
            name
            for name, needed in (("mean", row.mean_frames), ("mean+cov", row.covariance_frames))
            if needed <= frames
        ]
        lines.append(
            (
                f"{bound.separation_nm:g}",
                f"{bound.mean_nm:.3g}",
                f"{bound.covariance_nm:.3g}",
                f"{bound.gaussian_nm:.3g}",
                f"{_balance(bound.mean_balance)} / {_balance(bound.covariance_balance)}",
                ", ".join(by) or "neither",
                f"{count_of(row.mean_frames)} / {count_of(row.covariance_frames)}",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        typer.echo("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    typer.echo("")
    for sentence in found.sentences():
        typer.echo(sentence)
    demand = f"the bound of a separation is at most 1/{found.criterion.told_apart:g} of it"
    if math.isfinite(found.criterion.balanced):
        demand += f", and the balance of the two is known to {100 * found.criterion.balanced:g} %"
    typer.echo(f"Told apart means: {demand}.")
    for warning in found.warnings:
        typer.echo(f"Note: {warning}", err=True)


def _balance(value: float) -> str:
    """The balance lies between -1 and 1: with a standard deviation of 1 nothing is known of it."""
    return f"{100 * value:.2g} %" if value < 1 else "no"
