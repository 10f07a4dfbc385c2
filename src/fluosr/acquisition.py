"""What goes in: the frames of a movie, still on disk, with the optics and the camera that made them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from fluosr.camera import Camera
from fluosr.errors import AcquisitionError, MissingMetadataError, OpticsError, UsageError
from fluosr.optics.psf import PointSpreadFunction

CHUNK_BYTES = 8 * 2**20  # of float32 frames; reading holds a few copies of it
MINIMUM_FRAMES = 2
SMALLEST_PIXEL_NM = 1.0
FEW_FRAMES = 20
LARGEST_VALUE = 1e12  # grey values, ADU: no camera gives more, and their squares still fit single precision


class FrameSource(Protocol):
    """Frames that stay where they are until asked for, in ADU."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""

    @property
    def dtype(self) -> np.dtype:
        """The dtype the frames are stored in."""

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X) frames in ADU, stored dtype, in the order asked for."""


@dataclass(frozen=True, eq=False)
class ArrayFrames:
    """Frames held in an array (or a memory map): (T, Y, X), ADU."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""
        t, y, x = self.array.shape
        return t, y, x

    @property
    def dtype(self) -> np.dtype:
        """The array's dtype."""
        return self.array.dtype

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X), ADU."""
        return np.asarray(self.array[indices if isinstance(indices, slice) else list(indices)])


@dataclass(frozen=True, eq=False)
class FrameSelection:
    """Some frames and a rectangle of another source; nothing is copied until it is read.

    Args:
        source: where the frames are.
        frames: (start, stop, step) in the source's time.
        window: (y, x, height, width) in the source's pixels.
    """

    source: FrameSource
    frames: range
    window: tuple[int, int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X) of the selection."""
        return len(self.frames), self.window[2], self.window[3]

    @property
    def dtype(self) -> np.dtype:
        """The source's dtype."""
        return self.source.dtype

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X), ADU."""
        chosen = self.frames[indices] if isinstance(indices, slice) else [self.frames[i] for i in indices]
        y, x, height, width = self.window
        where: Sequence[int] | slice = list(chosen)
        if isinstance(chosen, range) and chosen.step > 0 and len(chosen) > 0:
            where = slice(chosen.start, chosen.stop, chosen.step)
        source_height, source_width = self.source.shape[1:]
        step = max(1, CHUNK_BYTES // (source_height * source_width * self.dtype.itemsize))
        if len(chosen) <= step:
            return self.source.read(where)[:, y : y + height, x : x + width]
        # The source reads whole frames: a small window of a large camera is cut out a few frames at a time.
        cut = np.empty((len(chosen), height, width), self.dtype)
        for start in range(0, len(chosen), step):
            part = list(chosen[start : start + step])
            cut[start : start + step] = self.source.read(part)[:, y : y + height, x : x + width]
        return cut


@dataclass(frozen=True, eq=False)
class Acquisition:
    """A movie with the physics that made it: made once, checked once, never guessed.

    Args:
        frames: (T, Y, X) in ADU, lazy.
        pixel_size_nm: size of a camera pixel in the sample, nm.
        psf: point spread function.
        camera: gain, offset and read noise, and how well they are known.
        name: what to call the movie (usually the file's name).
        frame_interval_s: time between frames, seconds; None where unknown.
        provenance: where the data came from: path, selection, metadata found.
        warnings: things the reader should know, in plain words.

    Raises:
        AcquisitionError: fewer than two frames, or fields under 4 pixels.
        MissingMetadataError: no pixel size.
        OpticsError: FWHM below the pixel, or PSF larger than the field.
        UsageError: camera maps of another size than the frames.
    """

    frames: FrameSource
    pixel_size_nm: float
    psf: PointSpreadFunction
    camera: Camera
    name: str = "movie"
    frame_interval_s: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        t, y, x = self.frames.shape
        if t < MINIMUM_FRAMES:
            raise AcquisitionError(
                f"{self.name}: {t} frame(s); a movie needs at least {MINIMUM_FRAMES}. "
                "Is this one image of a series, or a stack whose time axis is labelled as something else?"
            )
        if min(y, x) < 4:
            raise AcquisitionError(f"{self.name}: the field is {y} x {x} pixels; at least 4 x 4 are needed.")
        if self.camera.maps.shape not in (None, (y, x)):
            height, width = self.camera.maps.shape or (0, 0)
            raise UsageError(
                f"{self.name}: the camera's maps are {height} x {width} pixels and the frames {y} x {x}: they must "
                "show the same part of the sensor."
            )
        if self.pixel_size_nm is None:
            raise MissingMetadataError(f"{self.name}: the pixel size is not known; give --pixel-size in nm.")
        if not (math.isfinite(self.pixel_size_nm) and self.pixel_size_nm > 0):
            raise MissingMetadataError(f"{self.name}: the pixel size must be positive, got {self.pixel_size_nm} nm.")
        if self.pixel_size_nm < SMALLEST_PIXEL_NM:
            raise MissingMetadataError(
                f"{self.name}: a pixel of {self.pixel_size_nm:.4g} nm is smaller than any camera's; was "
                f"{self.pixel_size_nm:.4g} micrometres meant? Lengths are in nanometres: "
                f"--pixel-size {1000 * self.pixel_size_nm:.4g}."
            )
        if self.frame_interval_s is not None and not (
            math.isfinite(self.frame_interval_s) and self.frame_interval_s > 0
        ):
            raise UsageError(f"{self.name}: the frame interval must be positive, got {self.frame_interval_s} s.")
        fwhm = self.psf.fwhm_nm
        if fwhm < self.pixel_size_nm:
            raise OpticsError(
                f"the PSF's FWHM ({fwhm:.4g} nm) is smaller than the pixel ({self.pixel_size_nm:.4g} nm): the camera, "
                "not diffraction, limits this image. Check --fwhm and --pixel-size: both are in nanometres."
            )
        if fwhm > min(y, x) * self.pixel_size_nm:
            raise OpticsError(
                f"the PSF's FWHM ({fwhm:.4g} nm) is larger than the field "
                f"({y * self.pixel_size_nm:.4g} x {x * self.pixel_size_nm:.4g} nm). "
                "Check --fwhm and --pixel-size (both in nm), or choose a larger --crop."
            )

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.frames.shape[0]

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.frames.shape[1:]

    @property
    def recorded(self) -> tuple[np.ndarray, tuple[int, int]]:
        """(T,) the frames' numbers in the movie as it was recorded, and (y, x) of the field's first pixel there."""
        numbers, y, x, source = np.arange(self.n_frames), 0, 0, self.frames
        while isinstance(source, FrameSelection):
            numbers = np.asarray(source.frames)[numbers]
            y, x, source = y + source.window[0], x + source.window[1], source.source
        return numbers, (y, x)

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The movie once through, a bounded number of bytes at a time.

        Yields:
            (slice of frame numbers, (k, Y, X) float32 frames in photoelectrons).

        Raises:
            AcquisitionError: values that are NaN, infinite or beyond any camera, saying in which frame.
        """
        t, y, x = self.frames.shape
        step = max(1, CHUNK_BYTES // (y * x * 4))
        for start in range(0, t, step):
            where = slice(start, min(start + step, t))
            yield where, self.photons(where)

    def photons(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X) float32 frames in photoelectrons.

        Raises:
            AcquisitionError: values that are NaN, infinite or beyond any camera, saying in which frame.
        """
        return self.camera.to_photons(self.adu(indices))

    def adu(self, indices: Sequence[int] | slice) -> np.ndarray:
        """(k, Y, X) frames in ADU, stored dtype.

        Raises:
            AcquisitionError: values that are NaN, infinite or beyond any camera, saying in which frame.
        """
        raw = self.frames.read(indices)
        if raw.dtype.kind == "f" or raw.dtype.itemsize > 4:
            finite = np.isfinite(raw)
            largest = min(LARGEST_VALUE, float(np.finfo(raw.dtype).max)) if raw.dtype.kind == "f" else LARGEST_VALUE
            believable = finite & (raw <= largest) & (raw >= -largest)
            if not believable.all():
                bad = int(np.flatnonzero(~believable.all(axis=(1, 2)))[0])
                number = range(self.n_frames)[indices][bad] if isinstance(indices, slice) else indices[bad]
                what = f"values beyond {LARGEST_VALUE:.0e}" if finite[bad].all() else "NaN or infinite values"
                raise AcquisitionError(
                    f"{self.name}: frame {number} holds {what}. Leave such frames out with --frames, "
                    "or replace the values in the software that wrote them."
                )
        return raw

    def select(self, *, frames: range | None = None, window: tuple[int, int, int, int] | None = None) -> Acquisition:
        """The same movie with fewer frames or a smaller field; nothing is copied.

        Args:
            frames: frame numbers to keep.
            window: (y, x, height, width), camera pixels.
        """
        t, y, x = self.frames.shape
        chosen = range(t) if frames is None else frames
        part = window or (0, 0, y, x)
        return replace(self, frames=FrameSelection(self.frames, chosen, part), camera=self.camera.crop(part))
