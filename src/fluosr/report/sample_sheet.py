"""A grid of made crops as one PNG, all at one contrast."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from fluosr.errors import OutputError
from fluosr.io.write import write_bytes

# Additive; up to three channels are told apart, and where all are bright the sheet is white.
COLOURS = {
    1: ((1.0, 1.0, 1.0),),
    2: ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    3: ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
}
GAP_PX, GAP_GREY = 1, 0.35
LEAST_SIDE_PX = 96  # of a crop on the sheet; smaller ones are enlarged pixel by pixel


def in_colour(images: np.ndarray) -> np.ndarray:
    """(N, C, Y, X), background -1, brightest 1 -> (N, Y, X, 3) in [0, 1].

    One channel is grey; two are magenta and green; of more the first three are blue, green and red, the others are not
    shown.
    """
    colours = np.array(COLOURS[min(images.shape[1], 3)])
    light = np.clip((images[:, : len(colours)] + 1) / 2, 0, 1)
    return np.clip(np.einsum("ncyx,ck->nyxk", light, colours), 0, 1)


class SampleSheets:
    """The sheets of one training, ``NNNNNNNNNN.png`` by the images seen; those of an earlier one go with the first.

    Args:
        folder: made where it is not there.
        resumed: the training goes on: sheets from before it was stopped are its own, and stay.
        columns: of each sheet, as for :func:`write_sheet`.
    """

    def __init__(self, folder: Path, *, resumed: bool, columns: int | None = None) -> None:
        self.folder, self.columns = folder, columns
        self._earlier_stay = resumed

    def write(self, images: np.ndarray, seen: int) -> Path:
        """One more sheet: arguments as for :func:`write_sheet`, and the number of images seen.

        Raises:
            OutputError: it cannot be written, or an old one not removed.
        """
        if not self._earlier_stay:
            for path in self.folder.glob("[0-9]" * 10 + ".png"):
                try:
                    path.unlink()
                except OSError as error:
                    raise OutputError(f"{path} of an earlier training cannot be removed: {error.strerror}.") from error
            self._earlier_stay = True
        return write_sheet(self.folder / f"{seen:010}.png", images, self.columns)


def write_sheet(path: Path, images: np.ndarray, columns: int | None = None) -> Path:
    """Write a grid of images as PNG, beside its name and then renamed.

    Args:
        path: of the picture.
        images: (N, C, Y, X), background -1, brightest 1; what lies beyond is cut off.
        columns: of the grid; by default about as many as rows.

    Raises:
        OutputError: it cannot be written.
    """
    coloured = in_colour(images)
    columns = columns or math.ceil(math.sqrt(len(coloured)))
    larger = max(1, math.ceil(LEAST_SIDE_PX / coloured.shape[2]))
    coloured = coloured.repeat(larger, 1).repeat(larger, 2)
    _, height, width, _ = coloured.shape
    rows = math.ceil(len(coloured) / columns)
    sheet = np.full((rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 3), GAP_GREY)
    for number, image in enumerate(coloured):
        y, x = (number // columns) * (height + GAP_PX), (number % columns) * (width + GAP_PX)
        sheet[y : y + height, x : x + width] = image
    buffer = io.BytesIO()
    imsave(buffer, sheet, format="png")
    write_bytes(path, buffer.getvalue())
    return path
