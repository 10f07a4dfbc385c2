"""Calibrations of scanning microscopes: from files of repeats to a JSON file, and from there to ranges to draw from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluosr import __version__
from fluosr.acquisition import FrameSelection
from fluosr.corrections.repeats import Repeats, open_repeats
from fluosr.corrections.scan_calibration import calibrate_repeats
from fluosr.corrections.scan_result import UNITS, ScanCalibration
from fluosr.corrections.scan_single import calibrate_single
from fluosr.degradations.microscope import Range, ScanningRanges
from fluosr.errors import FluosrError, ImageReadError, OutputError, UsageError
from fluosr.io.damage import first_bytes
from fluosr.io.movie import StrPath, choose_frames, choose_window, has_stop
from fluosr.io.tiff import open_tiff
from fluosr.io.write import write_json

FORMAT = "fluosr calibration of a scanning microscope"
VERSION = 1
PHOTOMULTIPLIER = (1.2, 1.5)  # F^2, which variance and mean do not tell
LEAST_SHARE = 0.1  # of a value that must be positive, where its interval reaches to 0 and below
WRITTEN_BY = "Give a file that fluosr calibrate wrote."


def calibrate_files(
    paths: Sequence[StrPath],
    *,
    offset_adu: float | None = None,
    bidirectional: bool | None = None,
    bits: int | None = None,
    frames: str | None = None,
    crop: str | None = None,
    time_axis: str | None = None,
    channel: int | None = None,
    z: int | None = None,
) -> ScanCalibration:
    """A scanning microscope calibrated on TIFF files, each with repeats of one field.

    Files of one frame are used where there is nothing else, and it is said.

    Args:
        paths: of the files.
        offset_adu: grey value without light, where it is known.
        bidirectional: whether there are return lines, where it is known.
        bits: of the grey values, where it is known: their ceiling is saturation.
        frames: "start:stop[:step]" of each file.
        crop: "y,x,height,width" of each file; even lines are those of the whole frame.
        time_axis, channel, z: as for :func:`fluosr.open_movie`.

    Raises:
        ImageReadError, MissingMetadataError: a file that cannot be read, or whose axes are not told.
        AcquisitionError: frames that cannot be calibrated on; see :func:`open_repeats`, :func:`calibrate_repeats`.
        UsageError: no file, one named twice, or options that do not fit.
    """
    if not paths:
        raise UsageError("no file was named: give a TIFF of repeats of one field, or several.")
    names = [Path(path) for path in paths]
    twice = [path for path in names if names.count(path) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice: repeats count once.")
    if offset_adu is not None and not math.isfinite(offset_adu):
        raise UsageError(f"--offset must be a number (ADU), got {offset_adu}.")
    ceiling = None if bits is None else float(2**bits - 1)
    fields = []
    for path in names:
        movie = open_tiff(path, time_axis=time_axis, channel=channel, z=z, allow_truncated=has_stop(frames))
        chosen = choose_frames(frames, movie.frames.shape[0], path.name)
        window = choose_window(crop, movie.frames.shape[1:], path.name)
        if window[0] % 2:
            raise UsageError(
                f"--crop {crop}: begin at an even line, such as {window[0] - 1}, so that even lines stay the even ones."
            )
        fields.append(open_repeats(FrameSelection(movie.frames, chosen, window), path.name, ceiling_adu=ceiling))
    return calibrate(fields, offset_adu=offset_adu, bidirectional=bidirectional)


def calibrate(
    fields: list[Repeats], *, offset_adu: float | None = None, bidirectional: bool | None = None
) -> ScanCalibration:
    """From repeats where a field has any, else from single frames; what is left out is said in the warnings."""
    repeated = [field for field in fields if len(field.frames) > 1]
    if repeated:
        found = calibrate_repeats(repeated, offset_adu=offset_adu, bidirectional=bidirectional)
        alone = [field.name for field in fields if len(field.frames) == 1]
        notes = [
            f"{name} holds one frame and was left out: the others have repeats, which tell more." for name in alone
        ]
    else:
        found = calibrate_single(fields, offset_adu=offset_adu, bidirectional=bidirectional)
        each = fields[0].name if len(fields) == 1 else "each file"
        notes = [
            f"{each} holds one frame: no repeats to compare, so that the noise was taken from differences within it. "
            "The intervals are wider, and jitter is not told."
        ]
    return replace(found, warnings=(*found.warnings, *notes))


def check_place(path: Path, inputs: Sequence[Path]) -> None:
    """See, before anything is measured, that a calibration may be written there: only an earlier one is replaced.

    Args:
        path: of the JSON file.
        inputs: files that are read, be it under another name.

    Raises:
        UsageError: one of the inputs.
        OutputError: a folder, or a file of another origin.
    """
    if path.is_dir():
        raise OutputError(f"--output {path} is a folder; name a JSON file.")
    if not path.exists():
        return
    if any(each.exists() and path.samefile(each) for each in inputs):
        raise UsageError(f"--output {path} is one of the files to read, which are never written to.")
    try:
        _read(path)
    except ImageReadError:
        raise OutputError(f"{path} is no calibration; choose another --output, or move it away.") from None


def write_calibration(path: StrPath, calibration: ScanCalibration) -> None:
    """Every value with unit, interval and how it was found, as JSON.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    values = {
        name: {**found.interval.describe(), "confidence": 0.95, "unit": found.unit, "how": found.how}
        for name, found in calibration.values.items()
    }
    write_json(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "fluosr": __version__,
            "fields": calibration.fields,
            "frames": calibration.frames,
            "way": calibration.way,
            "values": values,
            "scan": {
                "bidirectional": calibration.bidirectional,
                "even_lines_return": calibration.even_lines_return,
                "how": calibration.direction,
            },
            "bits": calibration.bits,
            "brightest_adu": calibration.brightest_adu,
            "warnings": calibration.warnings,
        },
    )


def read_ranges(
    path: StrPath,
    *,
    pixel_size_nm: float,
    fwhm_nm: Range,
    dose_photons: Range,
    factor: int = 2,
    background_photons: Range = (0.0, 0.0),
    excess_noise: Range = PHOTOMULTIPLIER,
) -> ScanningRanges:
    """The ranges that a calibration leaves open, with what it cannot tell, to draw microscopes from.

    Args:
        path: of the JSON file.
        pixel_size_nm, fwhm_nm, dose_photons, factor, background_photons, excess_noise: as in
            :class:`fluosr.degradations.microscope.ScanningRanges`.

    Raises:
        ImageReadError: it is not there, damaged, no calibration, or one of a later version.
        UsageError: a number that no microscope has.
    """
    path = Path(path)
    stored = _read(path)
    try:
        values = {name: _interval(path, name, stored["values"][name]) for name in UNITS}
        scan, bits = stored["scan"], stored["bits"]
        both_ways, even_return = scan["bidirectional"], scan["even_lines_return"]
    except (LookupError, TypeError) as error:
        raise ImageReadError(f"{path} is damaged: {error} is missing. {WRITTEN_BY}") from None
    if not (isinstance(both_ways, bool) and isinstance(even_return, bool) and isinstance(bits, int)):
        raise ImageReadError(f"{path} is damaged: its scan or its bits are of no known kind. {WRITTEN_BY}")
    value, low, high = values["gain_times_excess_adu_per_e"]
    ranges = {name: (max(low, 0.0), max(high, 0.0)) for name, (_, low, high) in values.items()}
    ranges["gain_times_excess_adu_per_e"] = (max(low, LEAST_SHARE * value), high)
    for name in ("phase_px", "offset_adu"):
        ranges[name] = values[name][1:]
    try:
        return ScanningRanges(
            pixel_size_nm=pixel_size_nm,
            fwhm_nm=fwhm_nm,
            dose_photons=dose_photons,
            factor=factor,
            background_photons=background_photons,
            excess_noise=excess_noise,
            bits=bits,
            bidirectional=both_ways,
            even_lines_return=even_return,
            **ranges,
        )
    except FluosrError as error:
        raise UsageError(f"{path}: {error}") from error


def read_brightest_photons(path: StrPath, excess_noise: Range = PHOTOMULTIPLIER) -> Range:
    """Detected photons per pixel where the calibrated fields are brightest, as far as the excess noise is known.

    Args:
        path: of the JSON file.
        excess_noise: F^2, which tells the gain in g F^2.

    Raises:
        ImageReadError: as for :func:`read_ranges`.
    """
    path = Path(path)
    stored = _read(path)
    name = "gain_times_excess_adu_per_e"
    try:
        value, *_ = _interval(path, name, stored["values"][name])
        brightest = float(stored["brightest_adu"])
    except (LookupError, TypeError, ValueError) as error:
        raise ImageReadError(f"{path} is damaged: {error} is missing. {WRITTEN_BY}") from None
    if not (brightest > 0 and value > 0):
        raise ImageReadError(f"{path} holds no light ({brightest:g} ADU): calibrate on fields that are not dark.")
    least, most = (brightest * excess / value for excess in excess_noise)
    return least, most


def _read(path: Path) -> dict[str, Any]:
    first_bytes(path, 1, "calibration")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageReadError(f"{path} is no JSON, or damaged ({error}). {WRITTEN_BY}") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ImageReadError(f"{path} is no calibration of a scanning microscope. {WRITTEN_BY}")
    if stored.get("version") != VERSION:
        raise ImageReadError(
            f"{path} is of version {stored.get('version')!r}, and this fluosr reads version {VERSION}: calibrate again."
        )
    return stored


def _interval(path: Path, name: str, stored: Any) -> tuple[float, float, float]:
    ends = tuple(stored[key] for key in ("value", "low", "high"))
    numbers = [isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in ends]
    if not all(numbers) or not ends[1] <= ends[2]:
        raise ImageReadError(
            f"{path}: {name} has no finite interval (value, low, high: {', '.join(map(str, ends))}). The frames did "
            "not tell it, or the file was changed: calibrate again, on more frames."
        )
    return ends[0], ends[1], ends[2]
