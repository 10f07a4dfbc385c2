"""TIFFs of fields with several channels: which axis is the channels', and what they are called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fluosr.acquisition import FrameSource
from fluosr.errors import UsageError
from fluosr.io.axes import UNLABELLED
from fluosr.io.damage import decoder_errors
from fluosr.io.movie import LARGEST_PIXEL_NM
from fluosr.io.stack import ome_root
from fluosr.io.tiff import open_images


@dataclass(frozen=True, eq=False)
class ChannelFields:
    """Fields with channels, left on disk.

    Args:
        path: the file.
        count: N fields.
        channels: names of the C channels; as the file calls them, or "channel 0" and so on.
        pixel_size_nm: nm; None where the file does not say.
        frames: every image.
        order: (N, C) number of the image of each field and channel.
    """

    path: Path
    count: int
    channels: tuple[str, ...]
    pixel_size_nm: float | None
    frames: FrameSource
    order: np.ndarray

    def read(self, number: int) -> np.ndarray:
        """Field ``number``, from 0: (C, Y, X) float32 grey values."""
        return np.asarray(self.frames.read(self.order[number].tolist()), np.float32)


def open_fields(path: Path, named: int = 0) -> ChannelFields:
    """A TIFF of one field (C, Y, X), or of several (N, C, Y, X).

    The channels' axis is the one that the file calls C; where it calls none so, the last before Y and X that has no
    name. Time and depth are no channels: an axis of such a name is taken for them only where the file has no other and
    the user has named as many channels. Planes of depth are no fields either.

    Args:
        path: the file.
        named: number of the channels that the user has named; 0 for none.

    Raises:
        ImageReadError: it cannot be read.
        UsageError: more axes, one image only, or axes that are none of channels.
    """
    opened = open_images(path)
    labels, sizes = opened.metadata["axes"][:-2], opened.metadata["sizes"][:-2]
    shape = " x ".join(map(str, opened.metadata["sizes"]))
    long = [number for number, size in enumerate(sizes) if size > 1]
    nameless = [number for number in long if labels[number] in UNLABELLED]
    channel_axis = labels.index("C") if "C" in labels else (nameless[-1] if nameless else None)
    if channel_axis is None and len(long) == 1 and sizes[long[0]] == named:
        channel_axis = long[0]
    if channel_axis is None and long:
        raise UsageError(
            f"{path} has the axes {opened.axes} ({shape}), and none of them is called C: time and depth are no "
            "channels. Save it as (C, Y, X), in ImageJ by Stack to Hyperstack; or if they are its channels, name them "
            "with --channels."
        )
    others = [number for number in long if number != channel_axis]
    if any(labels[number] == "Z" for number in others):
        raise UsageError(
            f"{path} has the axes {opened.axes} ({shape}): planes of depth show the same cells and are no fields. Save "
            "one plane, or a projection of them, as (C, Y, X)."
        )
    if channel_axis is None or sizes[channel_axis] < 2 or len(others) > 1:
        raise UsageError(
            f"{path} has the axes {opened.axes or 'YX'} ({shape}): a field has two channels or more, (C, Y, X), and a "
            "file holds one field or several, (N, C, Y, X). Save the channels of a field as one TIFF."
        )
    count = sizes[others[0]] if others else 1
    numbers = np.arange(math.prod(sizes)).reshape(sizes)
    order = np.moveaxis(numbers, [*others, channel_axis], range(-len(others) - 1, 0)).reshape(count, -1)
    pixel = opened.pixel_size_nm
    if pixel is not None and pixel > LARGEST_PIXEL_NM:  # the resolution of a print
        pixel = None
    return ChannelFields(path, count, _names(path, order.shape[1]), pixel, opened.frames, order)


def _names(path: Path, count: int) -> tuple[str, ...]:
    """Those of the OME description, where it has a different one for each channel."""
    import tifffile

    plain = tuple(f"channel {number}" for number in range(count))
    with decoder_errors(path, "opened"), tifffile.TiffFile(path) as tif:
        root = ome_root(tif)
        if root is None:
            return plain
        found = [element.get("Name") for element in root.iter() if element.tag.rpartition("}")[2] == "Channel"]
    named = tuple(name for name in found if name)
    return named if len(named) == count == len(set(named)) else plain
