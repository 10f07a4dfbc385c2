"""Crops of single cells: centred on nuclei, whole, in grey values, and never apart from the well they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.ground import Ground
from fluosr.phenotypes.levels import Levels
from fluosr.phenotypes.nuclei import Nuclei

SIZES = (32, 64, 128, 256)
SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class CropSet:
    """Crops of many wells.

    Args:
        pixels: (N, C, R, R) float32 grey values.
        wells, treatments, splits: (N,) names; a split is train or test.
        fields: (N,) of the files that they were cut from.
        places_px: (N, 2) (y, x) of the nuclei in their fields.
        areas_px: (N,) of the nuclei.
        channels: C names.
        pixel_size_nm: nm; None where it is not known.
        levels: of the channels.
        nuclei, protein: numbers of these channels, from 0.
        diameter_px: nuclear diameter.
        ground: level of places without cells; None where it is not known.

    Raises:
        UsageError: parts that do not fit each other, a size that no network takes, or a well in two splits.
    """

    pixels: np.ndarray
    wells: np.ndarray
    treatments: np.ndarray
    splits: np.ndarray
    fields: np.ndarray
    places_px: np.ndarray
    areas_px: np.ndarray
    channels: tuple[str, ...]
    pixel_size_nm: float | None
    levels: Levels
    nuclei: int
    protein: int
    diameter_px: float
    ground: Ground | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[2] != self.pixels.shape[3]:
            raise UsageError(f"crops are (N, C, R, R), got shape {self.pixels.shape}.")
        count, channels = self.pixels.shape[:2]
        check_size(self.pixels.shape[3])
        rows = (self.wells, self.treatments, self.splits, self.fields, self.places_px, self.areas_px)
        if any(len(row) != count for row in rows):
            raise UsageError(f"{count} crops have tables of {', '.join(str(len(row)) for row in rows)} rows.")
        if len(self.channels) != channels or len(self.levels.dark) != channels:
            raise UsageError(
                f"crops of {channels} channels have {len(self.channels)} names and {len(self.levels.dark)} levels."
            )
        if self.ground is not None and len(self.ground.level) != channels:
            raise UsageError(f"crops of {channels} channels have {len(self.ground.level)} levels of their background.")
        for name, number in (("nuclei", self.nuclei), ("protein", self.protein)):
            if not 0 <= number < channels:
                raise UsageError(f"the channel of the {name} is number {number}, and there are {channels}, from 0.")
        check_wells(self.wells, self.treatments, self.splits)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size_px(self) -> int:
        """R."""
        return int(self.pixels.shape[-1])

    @property
    def taken_ground(self) -> Ground:
        """The ground; where it is not known the levels in its stead, of no field."""
        if self.ground is not None:
            return self.ground
        return Ground(self.levels.dark, self.levels.spans, 0)

    def chosen(self, which: np.ndarray) -> CropSet:
        """Some of them, by a (N,) mask or by numbers."""
        names = ("pixels", "wells", "treatments", "splits", "fields", "places_px", "areas_px")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def of_split(self, split: str) -> CropSet:
        """Those of "train" or "test"."""
        check_split(split)
        return self.chosen(self.splits == split)

    def with_pixels(self, pixels: np.ndarray) -> CropSet:
        """The same cells as another method shows them: (N, C, R, R) grey values, such as a restored image's."""
        return replace(self, pixels=np.asarray(pixels, np.float32))


def check_split(split: str) -> None:
    """One of the two splits.

    Raises:
        UsageError: any other.
    """
    if split not in SPLITS:
        raise UsageError(f"there is no split {split!r}: take train or test.")


def check_size(size_px: int) -> None:
    """A size that a network takes.

    Raises:
        UsageError: any other.
    """
    if size_px not in SIZES:
        raise UsageError(f"crops of {size_px} pixels: take {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]}.")


def check_wells(wells: np.ndarray, treatments: np.ndarray, splits: np.ndarray) -> None:
    """Each well has one treatment and one split.

    Raises:
        UsageError: two, or a split of another name.
    """
    unknown = set(np.unique(splits).tolist()) - set(SPLITS)
    if unknown:
        raise UsageError(f"a split is train or test, got {', '.join(sorted(map(str, unknown)))}.")
    for what, values in (("treatment", treatments), ("split", splits)):
        first: dict[str, str] = {}
        for well, value in zip(wells.tolist(), values.tolist(), strict=True):
            if first.setdefault(well, value) != value:
                raise UsageError(
                    f"well {well} has two of {what}: {first[well]} and {value}. Cells of one well are no independent "
                    "data: a well belongs to one treatment and to one split."
                )


def cut_crops(image: np.ndarray, nuclei: Nuclei, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops centred on nuclei, each whole: a nucleus too near to the border, or cut by it, has none.

    Neighbours are in them as they are. The middle of the nucleus lies in the pixel (R / 2, R / 2).

    Args:
        image: (C, Y, X) grey values.
        nuclei: of it.
        size_px: R.

    Returns:
        (n, C, R, R) float32, and (n,) which nuclei they are of.

    Raises:
        UsageError: a size that no network takes, or one larger than the field.
    """
    check_size(size_px)
    height, width = image.shape[-2:]
    if size_px > min(height, width):
        raise UsageError(f"crops of {size_px} pixels do not fit into a field of {height} x {width}.")
    corners = np.rint(nuclei.centres_px).astype(int) - size_px // 2
    inside = (corners >= 0).all(1) & (corners + size_px <= (height, width)).all(1) & ~nuclei.at_border
    which = np.flatnonzero(inside)
    crops = [image[:, y : y + size_px, x : x + size_px] for y, x in corners[which]]
    shape = (0, len(image), size_px, size_px)
    return np.stack(crops).astype(np.float32) if crops else np.zeros(shape, np.float32), which
