"""From the fields of a plate to its crops: nuclei found, wells split, cells cut out, levels of the whole set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fluosr.errors import AcquisitionError, UsageError
from fluosr.phenotypes.crops import CropSet, check_size, check_wells, cut_crops
from fluosr.phenotypes.ground import AWAY, empty_ground, ground_of
from fluosr.phenotypes.levels import grey_ends, levels_of_fields
from fluosr.phenotypes.nuclei import USUAL_DIAMETER_NM, find_nuclei, usual_diameter
from fluosr.phenotypes.wells import split_wells

FIELDS_FOR_DIAMETER = 6  # evenly chosen, in which the nuclear diameter is sought


@dataclass(frozen=True, eq=False)
class PlateField:
    """One field of one well.

    Args:
        well, treatment: names.
        source: what it is called in messages and tables: a file, and where that has several fields its number.
        read: gives (C, Y, X) grey values, float32.
        split: train, test, or None for one that is still to be drawn.
    """

    well: str
    treatment: str
    source: str
    read: Callable[[], np.ndarray]
    split: str | None = None


@dataclass(frozen=True, eq=False)
class Plate:
    """The fields of a plate.

    Args:
        fields: in the plate's order; a well may have several.
        channels: C names.
        pixel_size_nm: nm; None where it is not known.
    """

    fields: Sequence[PlateField]
    channels: tuple[str, ...]
    pixel_size_nm: float | None

    def channel(self, text: str) -> int:
        """The number of a channel, from 0, by its number or its name.

        Raises:
            UsageError: there is none such.
        """
        lower = [name.lower() for name in self.channels]
        if text.lower() in lower:
            return lower.index(text.lower())
        if text.isdecimal() and int(text) < len(self.channels):
            return int(text)
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(self.channels))
        raise UsageError(f"there is no channel {text}: the plate has {known}; channels count from 0.")


@dataclass(frozen=True, eq=False)
class CutPlate:
    """What was cut from a plate.

    Args:
        crops: of all wells.
        found: nuclei of each field, in the plate's order.
        warnings: what the user should know, in plain words.
    """

    crops: CropSet
    found: tuple[int, ...]
    warnings: tuple[str, ...]


def cut_plate(
    plate: Plate,
    *,
    nuclei: int,
    protein: int,
    size_px: int,
    test_share: float,
    generator: np.random.Generator,
    diameter_px: float | None = None,
    done: Callable[[int], None] | None = None,
) -> CutPlate:
    """Find the nuclei of every field and cut out their cells.

    Levels and background come from the fields to learn from; from all where none is.

    Args:
        plate: its fields.
        nuclei, protein: numbers of the channels, from 0.
        size_px: R.
        test_share: of the wells of each treatment, where the plate does not say its split itself.
        generator: of the split.
        diameter_px: nuclear diameter; without it 11 um where the pixel size is known, else measured in some fields.
        done: is told after each field how many are.

    Raises:
        UsageError: one treatment only, a well in two splits, one channel for two things, a crop larger than the field,
            an empty channel, or no nucleus anywhere.
        AcquisitionError: NaN or infinity in a field.
    """
    check_size(size_px)
    if nuclei == protein:
        raise UsageError(
            f"nuclei and protein were both given as channel {nuclei} ({plate.channels[nuclei]}): they are two channels."
        )
    splits = _splits(plate.fields, test_share, generator)
    if diameter_px is None:
        diameter_px = _diameter(plate, nuclei)
    learnt_from = "train" if "train" in splits else "test"
    parts, ends, levels, found, warnings = [], [], [], [], []
    for number, (field, split) in enumerate(zip(plate.fields, splits, strict=True)):
        image = _checked(field, plate)
        if size_px > min(image.shape[-2:]):
            height, width = image.shape[-2:]
            raise UsageError(f"{field.source}: crops of {size_px} pixels do not fit into {height} x {width}.")
        cells = find_nuclei(image[nuclei], diameter_px=diameter_px)
        crops, which = cut_crops(image, cells, size_px)
        found.append(len(cells))
        if not len(which):
            warnings.append(
                f"well {field.well} ({field.source}): {len(cells)} nuclei were found, none gives a whole crop."
            )
        parts.append((field, split, crops, cells.centres_px[which], cells.areas_px[which]))
        if split == learnt_from:
            ends.append(grey_ends(image))
            levels.append(empty_ground(image, cells))
        if done is not None:
            done(number + 1)
    rows = [len(crops) for _, _, crops, _, _ in parts]
    if not sum(rows):
        raise UsageError(
            f"no nucleus gives a crop of {size_px} pixels: in {len(rows)} fields {sum(found)} nuclei of about "
            f"{diameter_px:.3g} pixels were found in channel {nuclei} ({plate.channels[nuclei]}). Is this the channel "
            "of the nuclei (--nuclei), and is --diameter right?"
        )

    def each(values: Sequence[str]) -> np.ndarray:
        return np.repeat(np.array(values), rows)

    scale, ground = levels_of_fields(np.array(ends), plate.channels), ground_of(levels, np.array(ends))
    if not ground.fields:
        warnings.append(
            f"no field has empty ground (pixels further than {AWAY:g} nuclear diameter from every nucleus): the "
            "background is taken from the dark end of all pixels, which noise and uneven light put too low and cells "
            "too high; ratios are off by that. A field with gaps between its cells would tell it."
        )

    crop_set = CropSet(
        np.concatenate([crops for _, _, crops, _, _ in parts]),
        each([field.well for field in plate.fields]),
        each([field.treatment for field in plate.fields]),
        each(splits),
        each([field.source for field in plate.fields]),
        np.concatenate([places for _, _, _, places, _ in parts]),
        np.concatenate([areas for _, _, _, _, areas in parts]),
        plate.channels,
        plate.pixel_size_nm,
        scale,
        nuclei,
        protein,
        float(diameter_px),
        ground,
    )
    return CutPlate(crop_set, tuple(found), tuple(warnings))


def _splits(fields: Sequence[PlateField], test_share: float, generator: np.random.Generator) -> list[str]:
    treatments = {field.well: field.treatment for field in fields}
    if len(set(treatments.values())) < 2:
        only = ", ".join(sorted(set(treatments.values()))) or "none"
        raise UsageError(
            f"the plate has one treatment only ({only}): nothing could be compared. Give wells of a control and of a "
            "treatment, each by its name."
        )
    stated = [field.split for field in fields]
    if any(split is not None for split in stated) and None in stated:
        missing = next(field.well for field in fields if field.split is None)
        raise UsageError(f"well {missing} has no split and others have one: give all of them one, or none.")
    drawn = {} if stated[0] is not None else split_wells(treatments, test_share, generator)
    splits = [field.split or drawn[field.well] for field in fields]
    names = (np.array([field.well for field in fields]), np.array([field.treatment for field in fields]))
    check_wells(*names, np.array(splits))
    return splits


def _diameter(plate: Plate, nuclei: int) -> float:
    if plate.pixel_size_nm is not None:
        return USUAL_DIAMETER_NM / plate.pixel_size_nm
    every = max(len(plate.fields) // FIELDS_FOR_DIAMETER, 1)
    return float(np.median([usual_diameter(_checked(field, plate)[nuclei]) for field in plate.fields[::every]]))


def _checked(field: PlateField, plate: Plate) -> np.ndarray:
    image = field.read()
    for name, channel in zip(plate.channels, image, strict=True):
        bad = int((~np.isfinite(channel)).sum())
        if bad:
            raise AcquisitionError(
                f"{field.source}: {bad} pixels of channel {name} are NaN or infinite. Replace them by their "
                "neighbours', or leave that well out."
            )
        if channel.min() == channel.max():
            raise UsageError(
                f"{field.source}: channel {name} is empty, all its pixels are {channel.flat[0]:g}. Leave the well out, "
                "or see whether the right file was taken."
            )
    return image
