"""``fluosr calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import app
from fluosr.errors import UsageError

SCANS = {"auto": None, "bidirectional": True, "one-way": False}


@app.command()
def calibrate(
    repeats: Annotated[
        list[Path], typer.Argument(help="TIFFs, each with repeats of one field", metavar="REPEATS", show_default=False)
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="JSON to write")] = Path(
        "calibration.json"
    ),
    offset: Annotated[
        float | None, typer.Option("--offset", help="grey value without light, ADU (default: from the darkest pixels)")
    ] = None,
    scan: Annotated[
        str, typer.Option("--scan", help="bidirectional, one-way, or auto: as the noise tells, else bidirectional")
    ] = "auto",
    bits: Annotated[
        int | None, typer.Option("--bits", min=1, max=24, help="of the grey values (default: as they look)")
    ] = None,
    frames: Annotated[
        str | None, typer.Option("--frames", help="part of each file: start:stop or start:stop:step")
    ] = None,
    crop: Annotated[str | None, typer.Option("--crop", help="part of each field: y,x,height,width in pixels")] = None,
    time_axis: Annotated[
        str | None, typer.Option("--time-axis", help="axis of the repeats, where its label says otherwise")
    ] = None,
    channel: Annotated[int | None, typer.Option("--channel", help="channel to take, from 0")] = None,
    z: Annotated[int | None, typer.Option("--z", help="plane to take, from 0")] = None,
) -> None:
    """Measure a point-scanning microscope on repeats of fields, each value with its 95 % interval.

    Gain times excess noise, offset, read noise, bidirectional phase, jitter of the lines and lag of the amplifier. Of
    single frames less is told.
    """
    if scan not in SCANS:
        raise UsageError(f"--scan {scan}: there are {', '.join(SCANS)}.")
    from fluosr.io.scan_calibration import calibrate_files, check_place, write_calibration

    check_place(output, repeats)
    found = calibrate_files(
        repeats,
        offset_adu=offset,
        bidirectional=SCANS[scan],
        bits=bits,
        frames=frames,
        crop=crop,
        time_axis=time_axis,
        channel=channel,
        z=z,
    )
    for line in found.words():
        typer.echo(line)
    write_calibration(output, found)
    typer.echo(f"Calibration: {output}")
