"""What a movie file is, in plain words: what is there, what still has to be given, and what would be refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fluosr.acquisition import CHUNK_BYTES, Acquisition, FrameSelection
from fluosr.camera import Camera
from fluosr.errors import AcquisitionError, MissingMetadataError
from fluosr.io.axes import AXIS_NAMES
from fluosr.io.camera_maps import estimate_the_rest, given_camera
from fluosr.io.fingerprint import evenly_spaced
from fluosr.io.movie import (
    LARGEST_PIXEL_NM,
    MASK,
    NEGATIVE_VALUES,
    SAMPLED_FRAMES,
    StrPath,
    choose_frames,
    choose_window,
    has_stop,
    holds_negative,
    open_movie,
    open_source,
    print_resolution,
)
from fluosr.io.tiff import TiffMovie
from fluosr.optics.psf import GaussianPSF
from fluosr.statistics import one_image_repeated

STAND_IN_NM = 100.0  # where the pixel size is not known, for checks that do not depend on it
CAMERA_NAMES = {
    "gain_adu_per_e": "gain (ADU per photoelectron)",
    "offset_adu": "offset (ADU)",
    "read_noise_e": "read noise (electrons rms)",
}


def describe_movie(path: StrPath, **options: Any) -> list[str]:
    """What a movie file is and what still has to be given, in lines of plain words.

    Real numbers are looked at in every frame, as a reconstruction does; of whole numbers a few frames are enough. Where
    pixel size and PSF are known, the emitters' fluctuations are estimated too.

    Args:
        path: the file.
        options: as for :func:`fluosr.open_movie`, all of them optional.

    Raises:
        ImageReadError, MissingMetadataError, UsageError: as :func:`fluosr.open_movie`.
    """
    time_axis, channel, z = (options.get(name) for name in ("time_axis", "channel", "z"))
    movie, name, provenance = open_source(path, time_axis, channel, z, keep_cut=has_stop(options.get("frames")))
    t, y, x = movie.frames.shape
    chosen = choose_frames(options.get("frames"), t, name)
    source = FrameSelection(movie.frames, chosen, choose_window(options.get("crop"), (y, x), name))
    lines = [
        f"{name}: {t} {'frame' if t == 1 else 'frames'} of {y} x {x} pixels, {movie.frames.dtype}",
        f"axes: {_axes(movie)}",
        f"size: {provenance['bytes'] / 2**20:.3g} MB",
        f"pixel size: {_pixel_size(movie, options.get('pixel_size_nm'))}",
        f"frame interval: {_frame_interval(movie, options.get('frame_interval_s'))}",
    ]
    if source.shape != movie.frames.shape:
        lines.append(f"looked at: {source.shape[0]} frames of {source.shape[1]} x {source.shape[2]} pixels")
    sample = source.read(evenly_spaced(len(chosen), SAMPLED_FRAMES))
    values = sample.astype(np.uint8) if sample.dtype == bool else sample[np.isfinite(sample)]
    if values.size:
        low, middle, high = np.percentile(values, [0.1, 50, 99.9])
        lines.append(f"grey values: {low:.5g} (darkest), {middle:.5g} (median), {high:.5g} (brightest) ADU")
    if sample.dtype == bool:
        lines.append(f"warning: {MASK}")
    if holds_negative(source):
        lines.append(f"warning: {NEGATIVE_VALUES}")
    refused = list(_refusals(source, name, movie.pixel_size_nm))
    missing = []
    stated = options.get("pixel_size_nm") or movie.pixel_size_nm
    if stated is None or (options.get("pixel_size_nm") is None and stated > LARGEST_PIXEL_NM):
        missing.append("--pixel-size (nm)")
    if all(options.get(name) is None for name in ("fwhm_nm", "na", "wavelength_nm", "psf")):
        missing.append("--fwhm (nm), or --na with --wavelength (nm), or --psf FILE")
    if not refused:
        if missing:
            gain, offset, read_noise = (options.get(name) for name in ("gain", "offset", "read_noise"))
            known = given_camera(gain, offset, read_noise, (y, x), source.window)
            camera, notes = estimate_the_rest(source, known)
        else:
            acquisition = open_movie(path, **options)
            camera, notes = acquisition.camera, list(acquisition.warnings)
        for value, how in camera.certainty:
            said = f"given, {getattr(camera, value):.4g}" if how == "given" else how
            lines.append(f"camera {CAMERA_NAMES.get(value, value)}: {said}")
        lines += [f"note: {note}" for note in notes]
        lines += [] if missing else _fluctuations(acquisition)
    lines += [f"note: {note}" for note in movie.warnings if missing or refused]
    lines += [f"reconstruct would refuse this: {reason}" for reason in refused]
    if missing:
        lines.append(f"still to be given: {'; and '.join(missing)}")
    elif not refused:
        lines.append("nothing is missing: reconstruct it")
    return lines


def _fluctuations(acquisition: Acquisition) -> list[str]:
    """How the emitters fluctuate, in plain words."""
    from fluosr.corrections.fluctuation_estimate import estimate_fluctuations

    try:
        found = estimate_fluctuations(acquisition)
    except AcquisitionError as error:
        return [f"fluctuations: {error}"]
    gain = acquisition.camera.gain_adu_per_e
    return [*found.words(gain), *(f"warning: {warning}" for warning in found.warnings(gain))]


def _axes(movie: TiffMovie) -> str:
    """The file's axes with their lengths, as a microscopist calls them."""
    labels, sizes = movie.metadata["axes"], movie.metadata["sizes"]
    time = movie.metadata["time_axis"]
    words = []
    for label, size in zip(labels, sizes, strict=True):
        taken = ", taken as time" if label == time != "T" else ""
        words.append(f"{size} along {AXIS_NAMES.get(label, 'axis ' + label)}{taken}")
    return "; ".join(words)


def _pixel_size(movie: TiffMovie, given_nm: float | None) -> str:
    stated, sizes = movie.pixel_size_nm, movie.metadata.get("pixel_sizes_nm")
    if stated is not None and stated > LARGEST_PIXEL_NM:
        found = print_resolution(stated)
        unknown = f"not known: {found}"
    elif stated is not None:
        found, unknown = f"the file says {stated:.5g} nm", ""
    elif sizes:
        unknown = f"{sizes[0]:.5g} x {sizes[1]:.5g} nm, not square"
        found = f"the file says {unknown}"
    else:
        found = unknown = "not in the file"
    if given_nm is not None:
        return _given(f"{given_nm:.5g} nm", found)
    return f"{unknown}; give --pixel-size (nm)" if unknown else f"{stated:.5g} nm"


def _frame_interval(movie: TiffMovie, given_s: float | None) -> str:
    stated = f"{movie.frame_interval_s:.4g} s" if movie.frame_interval_s else None
    if given_s is not None:
        return _given(f"{given_s:.4g} s", f"the file says {stated}" if stated else "not in the file")
    return stated or "not in the file"


def _given(value: str, found: str) -> str:
    """A value that was given, and what the file says where that is not the same."""
    return f"{value}, given" if found == f"the file says {value}" else f"{value}, given ({found})"


def _refusals(source: FrameSelection, name: str, pixel_size_nm: float | None) -> Iterator[str]:
    """What stands in the way of a reconstruction whatever the PSF is, found by the very checks that it makes."""
    try:
        if pixel_size_nm is not None:
            _stand_in(source, name, pixel_size_nm)
    except MissingMetadataError as error:
        yield str(error)
    except AcquisitionError:
        pass  # said below
    try:
        acquisition = _stand_in(source, name, STAND_IN_NM)
        t, y, x = source.shape
        step = max(1, CHUNK_BYTES // (y * x * source.dtype.itemsize))
        first = acquisition.adu(slice(0, 1))[0]
        changes = t == 1 or bool((first == first[0, 0]).all())
        for start in range(0, t, step):
            if changes and source.dtype.kind != "f" and source.dtype.itemsize <= 4:
                return
            changes = bool((acquisition.adu(slice(start, min(start + step, t))) != first).any()) or changes
        if not changes:
            yield one_image_repeated(name, t)
    except AcquisitionError as error:
        yield str(error)


def _stand_in(source: FrameSelection, name: str, pixel_nm: float) -> Acquisition:
    return Acquisition(source, pixel_nm, GaussianPSF(pixel_nm), Camera(), name)
