"""Gain, offset and read noise as they are given: a number, an array, or a TIFF with a value for every pixel (sCMOS)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fluosr.acquisition import FrameSource
from fluosr.camera import Camera, Value
from fluosr.errors import UsageError
from fluosr.io.tiff import open_tiff

GivenValue = float | np.ndarray | str | os.PathLike[str]
NAMES = ("gain_adu_per_e", "offset_adu", "read_noise_e")


@dataclass(frozen=True)
class GivenCamera:
    """What is known of a camera before its movie is looked at; None where nothing is.

    Args:
        gain: ADU per photoelectron; a number, or (Y, X).
        offset: ADU; likewise.
        read_noise: electrons rms; likewise.
    """

    gain: Value | None = None
    offset: Value | None = None
    read_noise: Value | None = None

    def camera(self) -> Camera:
        """What is given, over an ideal camera.

        Raises:
            UsageError: a value that no camera has.
        """
        ideal = Camera()
        return Camera.of(
            ideal.gain_adu_per_e if self.gain is None else self.gain,
            ideal.offset_adu if self.offset is None else self.offset,
            ideal.read_noise_e if self.read_noise is None else self.read_noise,
        )


def given_camera(
    gain: GivenValue | None,
    offset: GivenValue | None,
    read_noise: GivenValue | None,
    field: tuple[int, int],
    window: tuple[int, int, int, int],
) -> GivenCamera:
    """Numbers as numbers, files read, maps cut to the part of the field that is used.

    Args:
        gain, offset, read_noise: a number, a (Y, X) array, or a TIFF of one image.
        field: (Y, X) of the whole movie, camera pixels.
        window: (y, x, height, width) of the part used.

    Raises:
        ImageReadError: a file that cannot be read.
        UsageError: a value that no camera has, or a map of another size than the movie or its part.
    """
    given = {"gain": gain, "offset": offset, "read_noise": read_noise}
    known = GivenCamera(
        **{name: _value(name, value, field, window) for name, value in given.items() if value is not None}
    )
    known.camera()  # says what cannot be
    return known


def _value(name: str, given: GivenValue, field: tuple[int, int], window: tuple[int, int, int, int]) -> Value:
    option = f"--{name.replace('_', '-')}"
    if isinstance(given, str | os.PathLike):
        image = _read(option, Path(given))
    elif np.ndim(given) == 0:
        return float(given)
    else:
        image = np.asarray(given)
    y, x, height, width = window
    if image.shape == field:
        return image[y : y + height, x : x + width]
    if image.shape == (height, width):
        return image
    part = "" if field == (height, width) else f", nor its part of {height} x {width}"
    raise UsageError(
        f"{option}: the map has shape {image.shape}, and is not as large as the movie, {field[0]} x {field[1]} pixels"
        f"{part}. Cut it to the part of the sensor that was read."
    )


def _read(option: str, path: Path) -> np.ndarray:
    frames = open_tiff(path, time_axis="any").frames
    if frames.shape[0] != 1:
        raise UsageError(
            f"{option} {path}: holds {frames.shape[0]} images, and a map is one: of dark frames take the mean (offset) "
            "or the standard deviation over the gain (read noise)."
        )
    return frames.read([0])[0]


def estimate_the_rest(frames: FrameSource, given: GivenCamera) -> tuple[Camera, list[str]]:
    """The camera, with what is not given estimated from the movie; and what the reader should know, in plain words.

    With a map of the gain or offset the frames are first put right pixel by pixel, so that one line of variance against
    mean holds for all.

    Args:
        frames: (T, Y, X) in ADU.
        given: what is known.

    Raises:
        UsageError: a map of the gain without any offset.
    """
    from fluosr.corrections.camera_estimate import estimate_camera

    gain, offset, read_noise = given.gain, given.offset, given.read_noise
    gain_map, offset_map = (value if isinstance(value, np.ndarray) else None for value in (gain, offset))
    if gain_map is not None and offset is None:
        raise UsageError("a map of the gain needs the offset: give --offset too, as a number or a map (ADU).")
    typical_noise = None if read_noise is None else Camera.of(read_noise=read_noise).read_noise_e
    if gain_map is None and offset_map is None:
        found, warnings = estimate_camera(frames, gain=_number(gain), offset=_number(offset), read_noise=typical_noise)
    else:
        level = np.zeros(1) if offset is None else np.asarray(offset, np.float32)
        scale = np.ones(1) if gain_map is None else gain_map
        even = _EvenFrames(frames, level, scale)
        known = 1.0 if gain_map is not None else _number(gain)
        found, warnings = estimate_camera(even, gain=known, offset=0.0, read_noise=typical_noise)
    certainty = dict(found.certainty)
    certainty |= {
        name: "given" for name, value in zip(NAMES, (gain, offset, read_noise), strict=True) if value is not None
    }
    camera = Camera.of(
        found.gain_adu_per_e if gain is None else gain,
        found.offset_adu if offset is None else offset,
        found.read_noise_e if read_noise is None else read_noise,
        tuple(certainty.items()),
    )
    return camera, warnings


def _number(value: Value | None) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True, eq=False)
class _EvenFrames:
    """Frames less the offset of each pixel, over its gain."""

    source: FrameSource
    offset: np.ndarray
    gain: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        return ((self.source.read(indices).astype(np.float32) - self.offset) / self.gain).astype(np.float32)
