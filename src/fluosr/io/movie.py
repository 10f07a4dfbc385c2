"""From a file or an array, and what is known of the microscope, to an Acquisition: nothing is guessed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition, ArrayFrames, FrameSelection, FrameSource
from fluosr.camera import Camera
from fluosr.errors import AcquisitionError, MissingMetadataError, UsageError
from fluosr.io.camera_maps import GivenValue, estimate_the_rest, given_camera
from fluosr.io.fingerprint import evenly_spaced, fingerprint_of_file, fingerprint_of_frames
from fluosr.io.tiff import TiffMovie, open_tiff
from fluosr.optics.psf import AiryPSF, GaussianPSF, MeasuredPSF, PointSpreadFunction

StrPath = str | os.PathLike[str]

SAMPLED_FRAMES = 16
DIFFERS = 0.01  # what is given from what the file says, relative, to be worth a word
MASK = "every value is 0 or 1: this is a mask, not what a camera recorded"
LARGEST_PIXEL_NM = 20_000.0  # that a file is believed: programs that know no microscope write the resolution of prints
NEGATIVE_VALUES = (
    "The movie holds negative values: was its background subtracted, or its offset? Photon numbers, noise and weights "
    "are trustworthy only for raw frames; say --offset (ADU) if it is known."
)


def open_movie(
    path_or_array: StrPath | np.ndarray | FrameSource,
    *,
    pixel_size_nm: float | None = None,
    fwhm_nm: float | None = None,
    na: float | None = None,
    wavelength_nm: float | None = None,
    psf: PointSpreadFunction | np.ndarray | StrPath | None = None,
    psf_pixel_size_nm: float | None = None,
    gain: GivenValue | None = None,
    offset: GivenValue | None = None,
    read_noise: GivenValue | None = None,
    crop: tuple[int, int, int, int] | str | None = None,
    frames: slice | range | str | None = None,
    time_axis: str | None = None,
    channel: int | None = None,
    z: int | None = None,
    frame_interval_s: float | None = None,
) -> Acquisition:
    """A movie with its optics and camera, frames left where they are until asked for.

    Args:
        path_or_array: a TIFF file, a (T, Y, X) array in ADU, or any source of frames.
        pixel_size_nm: camera pixel in the sample, nm; by default the file's.
        fwhm_nm: full width at half maximum of a Gaussian PSF, nm; this, or ``na`` with ``wavelength_nm``, or ``psf``.
        na: numerical aperture.
        wavelength_nm: emission wavelength, nm.
        psf: a PSF, the (y, x) image of a bead, or a TIFF file with one (of a z stack the sharpest plane is taken).
        psf_pixel_size_nm: pixel of that image, nm; by default its file's.
        gain: ADU per photoelectron: a number, or for each pixel of the movie (sCMOS) a (Y, X) array or a TIFF with one.
            What is not given of the camera is estimated from the movie.
        offset: grey value without light, ADU; likewise.
        read_noise: electrons rms; likewise.
        crop: (y, x, height, width) or "y,x,height,width", camera pixels.
        frames: which frames: a slice, a range, or "start:stop[:step]".
        time_axis: the file's axis that is time, where it is labelled otherwise.
        channel: which channel, from 0.
        z: which plane, from 0.
        frame_interval_s: seconds; by default the file's.

    Raises:
        ImageReadError: the file cannot be read.
        MissingMetadataError: pixel size, PSF or the meaning of an axis is neither given nor in the file.
        UsageError: options that exclude each other, or a crop or frames outside the movie.
        AcquisitionError, OpticsError: as Acquisition.
    """
    check_optics_options(fwhm_nm, na, wavelength_nm, psf, psf_pixel_size_nm)
    movie, name, provenance = open_source(path_or_array, time_axis, channel, z, keep_cut=has_stop(frames))
    warnings = list(movie.warnings)
    chosen = choose_frames(frames, movie.frames.shape[0], name)
    window = choose_window(crop, movie.frames.shape[1:], name)
    known = given_camera(gain, offset, read_noise, movie.frames.shape[1:], window)
    source: FrameSource = movie.frames
    if frames is not None or crop is not None:
        source = FrameSelection(movie.frames, chosen, window)
    pixel = _require_metadata(name, movie, pixel_size_nm, any(v is not None for v in (fwhm_nm, na, psf)))
    stated = movie.pixel_size_nm
    if stated is not None and abs(pixel / stated - 1.0) > DIFFERS:
        warnings.append(f"The file says {stated:.5g} nm per pixel; {pixel:.5g} nm was given and is used.")
    point_spread = choose_psf(fwhm_nm, na, wavelength_nm, psf, psf_pixel_size_nm, warnings)
    interval = movie.frame_interval_s if frame_interval_s is None else frame_interval_s
    stated = movie.frame_interval_s
    if stated and interval is not None and abs(interval / stated - 1.0) > DIFFERS:
        warnings.append(f"The file says {stated:.4g} s between frames; {interval:.4g} s was given and is used.")
    acquisition = Acquisition(  # checks the field and the optics before the frames are read for the camera
        frames=source,
        pixel_size_nm=pixel,
        psf=point_spread,
        camera=Camera(),
        name=name,
        frame_interval_s=interval * chosen.step if interval is not None else None,
        provenance={**provenance, "frames": [chosen.start, chosen.stop, chosen.step], "crop": list(window)},
    )
    if source.dtype == bool:
        warnings.append(f"{MASK[:1].upper()}{MASK[1:]}.")
    if offset is None and holds_negative(source):
        warnings.append(NEGATIVE_VALUES)
    camera, found = estimate_the_rest(_CheckedFrames(acquisition), known)
    return replace(acquisition, camera=camera, warnings=(*warnings, *found))


@dataclass(frozen=True, eq=False)
class _CheckedFrames:
    """Frames in ADU whose values were looked at: NaN is reported as such, not as a strange camera."""

    acquisition: Acquisition

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.acquisition.frames.shape

    @property
    def dtype(self) -> np.dtype:
        return self.acquisition.frames.dtype

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        return self.acquisition.adu(indices)


def check_optics_options(fwhm_nm: Any, na: Any, wavelength_nm: Any, psf: Any, psf_pixel_size_nm: Any) -> None:
    """Raise UsageError where what is given of the optics contradicts itself or is no light's."""
    given = [
        option
        for option, value in (("--fwhm", fwhm_nm), ("--na with --wavelength", na), ("--psf", psf))
        if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other: each of them says what the PSF is. Give one.")
    if isinstance(wavelength_nm, int | float) and 0.2 <= wavelength_nm <= 2.0:
        raise UsageError(
            f"a wavelength of {wavelength_nm:g} nm is no light's: were micrometres meant? --wavelength "
            f"{1000 * wavelength_nm:g}"
        )
    if (na is None) != (wavelength_nm is None):
        missing, there = ("--wavelength", "--na") if wavelength_nm is None else ("--na", "--wavelength")
        raise UsageError(f"{there} needs {missing}: only both give the width of the PSF.")
    if psf_pixel_size_nm is not None and psf is None:
        raise UsageError("--psf-pixel-size is the pixel of the image given with --psf; none was given.")


def open_source(
    given: StrPath | np.ndarray | FrameSource, time_axis: str | None, channel: int | None, z: int | None, keep_cut: bool
) -> tuple[TiffMovie, str, dict[str, Any]]:
    """The movie, its name, and where it came from."""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        movie = open_tiff(path, time_axis=time_axis, channel=channel, z=z, allow_truncated=keep_cut)
        size, fingerprint = fingerprint_of_file(path)
        provenance = {"path": str(path.absolute()), "bytes": size, "fingerprint": fingerprint, **movie.metadata}
        return movie, re.sub(r"(\.ome)?\.[^.]+$", "", path.name) or path.name, provenance
    if any(value is not None for value in (time_axis, channel, z)):
        raise UsageError("time_axis, channel and z choose axes of a file; an array is (T, Y, X) already.")
    frames = given if hasattr(given, "read") and hasattr(given, "shape") else _frames_of(given)
    if len(frames.shape) != 3:
        raise AcquisitionError(f"a movie is (T, Y, X), got shape {tuple(frames.shape)}.")
    size, fingerprint = fingerprint_of_frames(frames)
    provenance = {"path": None, "bytes": size, "fingerprint": fingerprint, "axes": "TYX"}
    return TiffMovie(frames, None, None, "TYX"), "array", provenance


def _frames_of(given: Any) -> ArrayFrames:
    array = np.asanyarray(given)
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise AcquisitionError(
            f"a movie is a (T, Y, X) array of integers or real numbers, got shape {array.shape} of {array.dtype}."
        )
    return ArrayFrames(array)


def _require_metadata(name: str, movie: TiffMovie, pixel_size_nm: float | None, has_psf: bool) -> float:
    """The pixel size, nm; an error names all that is missing at once."""
    missing = []
    pixel = movie.pixel_size_nm if pixel_size_nm is None else float(pixel_size_nm)
    if pixel is None:
        sizes = movie.metadata.get("pixel_sizes_nm")
        found = f" (the file says {sizes[0]:.5g} x {sizes[1]:.5g} nm, not square)" if sizes else ""
        missing.append(f"the pixel size{found}: give --pixel-size (nm)")
    elif pixel_size_nm is None and pixel > LARGEST_PIXEL_NM:
        missing.append(f"the pixel size ({print_resolution(pixel)}): give --pixel-size (nm)")
    if not has_psf:
        missing.append("the point spread function: give --fwhm (nm), or --na and --wavelength (nm), or --psf FILE")
    if pixel is None or missing:
        raise MissingMetadataError(f"{name}: not known, and never guessed: {'; '.join(missing)}.")
    return pixel


def print_resolution(pixel_nm: float) -> str:
    """What a file that states such a pixel says."""
    return f"the file says {pixel_nm / 1000:.4g} µm, as for a print of {25.4e6 / pixel_nm:.0f} dpi"


def _parse_frames(frames: slice | range | str) -> slice:
    if isinstance(frames, str):
        match = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*(?::\s*(\d*)\s*)?", frames)
        if not match:
            raise UsageError(f"--frames is start:stop or start:stop:step, such as 0:500; got {frames!r}.")
        start, stop, step = (int(text) if text else None for text in match.groups())
        return slice(start, stop, step)
    if isinstance(frames, range):
        return slice(frames.start, frames.stop, frames.step)
    if isinstance(frames, slice):
        return frames
    raise UsageError(f"frames is a slice, a range, or text such as '0:500'; got {frames!r}.")


def has_stop(frames: slice | range | str | None) -> bool:
    """Named to the last one, whole frames of a file that is cut short may be used."""
    return frames is not None and _parse_frames(frames).stop is not None


def choose_frames(frames: slice | range | str | None, n_frames: int, name: str) -> range:
    """The numbers of the frames meant, all of them for None.

    Raises:
        UsageError: not understood, or not all there.
    """
    wanted = slice(None) if frames is None else _parse_frames(frames)
    try:
        chosen = range(n_frames)[wanted]
        stop = n_frames if wanted.stop is None else int(wanted.stop)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: frames {frames!r} cannot be understood: {error}.") from error
    if stop > n_frames or len(chosen) == 0 or chosen.step < 1:
        raise UsageError(
            f"{name}: frames {frames if isinstance(frames, str) else wanted} cannot be taken; "
            f"there are {n_frames} (0 to {n_frames - 1}), start must lie before stop, and the step be 1 or more."
        )
    return chosen


def choose_window(crop: Sequence[int] | str | None, field: tuple[int, int], name: str) -> tuple[int, int, int, int]:
    """(y, x, height, width) of the part of the field meant, camera pixels; the whole for None.

    Raises:
        UsageError: not understood, or outside the field.
    """
    if crop is None:
        return 0, 0, *field
    try:
        parts = [int(part) for part in (crop.split(",") if isinstance(crop, str) else crop)]
        y, x, height, width = parts
    except (TypeError, ValueError) as error:
        raise UsageError(f"--crop is y,x,height,width in camera pixels, such as 0,0,64,64; got {crop!r}.") from error
    if min(y, x) < 0 or min(height, width) < 1 or y + height > field[0] or x + width > field[1]:
        raise UsageError(
            f"{name}: the crop y={y}, x={x}, {height} x {width} pixels leaves the field of {field[0]} x {field[1]}."
        )
    return y, x, height, width


def choose_psf(
    fwhm_nm: float | None,
    na: float | None,
    wavelength_nm: float | None,
    psf: PointSpreadFunction | np.ndarray | StrPath | None,
    psf_pixel_size_nm: float | None,
    warnings: list[str],
) -> PointSpreadFunction:
    """The PSF that was given, in one of its forms."""
    if fwhm_nm is not None:
        return GaussianPSF(float(fwhm_nm))
    if na is not None and wavelength_nm is not None:
        return AiryPSF(float(na), float(wavelength_nm))
    if isinstance(psf, PointSpreadFunction):
        return psf
    if isinstance(psf, str | os.PathLike):
        return _read_psf(Path(psf), psf_pixel_size_nm, warnings)
    if psf_pixel_size_nm is None:
        raise MissingMetadataError("the pixel size of the measured PSF is not known; give --psf-pixel-size (nm).")
    return MeasuredPSF(np.asarray(psf), float(psf_pixel_size_nm))


def _read_psf(path: Path, pixel_size_nm: float | None, warnings: list[str]) -> MeasuredPSF:
    """The bead in a TIFF; of a stack the plane with the largest sum of squares, where the light is least spread."""
    stack = open_tiff(path, time_axis="any")
    pixel = stack.pixel_size_nm if pixel_size_nm is None else float(pixel_size_nm)
    if pixel is None:
        raise MissingMetadataError(f"{path}: the pixel size of the PSF is not known; give --psf-pixel-size (nm).")
    n_planes = stack.frames.shape[0]
    sharpness = [float(np.square(stack.frames.read([i])[0].astype(float)).sum()) for i in range(n_planes)]
    best = int(np.argmax(sharpness))
    if n_planes > 1:
        warnings.append(f"The PSF file holds {n_planes} planes; the sharpest, plane {best}, is used.")
    return MeasuredPSF(stack.frames.read([best])[0], pixel, source=str(path))


def holds_negative(source: FrameSource) -> bool:
    """Whether some of its frames, looked at here and there, go below zero."""
    if source.dtype.kind not in "if":
        return False
    numbers = evenly_spaced(source.shape[0], SAMPLED_FRAMES)
    return any(bool((source.read([number]) < 0).any()) for number in numbers)
