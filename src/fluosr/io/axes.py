"""Which images of a TIFF are the frames of the movie: what its axes are called, and which of them is time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from fluosr.errors import ImageReadError, MissingMetadataError, UsageError
from fluosr.io.stack import Stack

UNLABELLED = {"I", "Q"}
AXIS_NAMES = {
    "T": "time", "Z": "depth", "C": "channel", "Y": "height", "X": "width", "P": "position", "R": "position",
    "I": "an axis without a name", "Q": "an axis without a name",
}  # fmt: skip


class AmbiguousAxesError(MissingMetadataError, ImageReadError):
    """Which axis of the file is time, or which channel or plane is wanted, has to be said by name."""


class _Axis(NamedTuple):
    label: str
    size: int
    stride: int  # images from one to the next along it


def choose_axes(
    path: Path, stack: Stack, time_axis: str | None, channel: int | None, z: int | None
) -> tuple[int, int, int, str]:
    """(first image, step, number of frames, label of time) of the frames among all images of the stack.

    Raises:
        AmbiguousAxesError: it has to be said which axis is time, or which channel or plane is meant.
        UsageError: a channel, plane or axis that the file does not have.
    """
    axes = [
        _Axis(label, size, math.prod(stack.sizes[i + 1 :]))
        for i, (label, size) in enumerate(zip(stack.labels, stack.sizes, strict=True))
    ]
    found = ", ".join(f"{_named(axis.label)} = {axis.size}" for axis in axes) or "one image"
    start = 0
    for label, index, option in (("C", channel, "--channel"), ("Z", z, "--z")):
        if index is None:
            continue
        chosen = [axis for axis in axes if axis.label == label]
        size = chosen[0].size if chosen else 1
        if not 0 <= index < size:
            raise UsageError(f"{path}: {option} {index} is not there; the file has {size} (0 to {size - 1}): {found}.")
        if chosen:
            axes.remove(chosen[0])
            start += index * chosen[0].stride
    wanted = time_axis.strip().upper() if time_axis else None
    unlabelled = axes if len(axes) == 1 and axes[0].label in UNLABELLED else []
    if wanted and wanted != "ANY" and len(wanted) == 1:
        times = [axis for axis in axes if axis.label.upper() == wanted] or (unlabelled if wanted == "T" else [])
        if not times and axes:
            raise UsageError(f"{path} has no axis {wanted} longer than one; it has {found}.")
    elif wanted and wanted != "ANY":
        raise UsageError(f"--time-axis is one letter, one of the file's axes ({found}), not {time_axis!r}.")
    else:
        times = axes if wanted and len(axes) == 1 else [axis for axis in axes if axis.label == "T"] or unlabelled
    if not axes:
        return start, 1, 1, "T"
    if len(times) == 1 and len(axes) == 1:
        return start, times[0].stride, times[0].size, times[0].label
    if len(axes) == 1:
        label, size, _ = axes[0]
        raise AmbiguousAxesError(
            f"{path}: its {size} images lie along {_named(label)}, not along time. If they are the frames of a movie "
            f"(ImageJ often labels them so), say --time-axis {label}, in Python time_axis={label!r}."
        )
    raise AmbiguousAxesError(f"{path} has several axes ({found}); a movie has one. {_how_to_choose(axes, times)}")


def _named(label: str) -> str:
    return f"{label} ({AXIS_NAMES[label]})" if label in AXIS_NAMES else label


def _how_to_choose(axes: list[_Axis], times: list[_Axis]) -> str:
    ways = [
        f"{option} 0 to {axis.size - 1}"
        for label, option in (("C", "--channel"), ("Z", "--z"))
        for axis in axes
        if axis.label == label and axis not in times
    ]
    if not times:
        ways.append("--time-axis LETTER for the axis that is time")
    rest = [axis.label for axis in axes if axis.label not in "CZ" and axis not in times]
    if rest and times:
        ways.append(f"save one of the images along {', '.join(rest)} as its own TIFF")
    return f"Choose: {'; '.join(ways) or 'save one movie as its own TIFF'}."
