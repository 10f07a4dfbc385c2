"""The level of places without cells, which features take off, and how far signals rise above it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fluosr.errors import UsageError
from fluosr.phenotypes.nuclei import SMOOTHING, Nuclei

AWAY = 1.0  # nuclear diameters from every nucleus' outline: nearer there are cells
LEAST_SHARE = 0.005  # of a field's pixels, and one nucleus' area: with less of it there is no ground to speak of
CLIP = 2.5  # standard deviations about the commonest level


@dataclass(frozen=True, eq=False)
class Ground:
    """What of the grey values of a set of crops is no signal, and how much signal is common.

    Args:
        level: (C,) mean grey value of places without cells.
        reach: (C,) by which the bright end (99.9 %) of the middle field stands above it.
        fields: how many of the fields have such places; 0 where none has, and ``level`` is the dark end of all pixels.

    Raises:
        UsageError: parts that do not fit, or no signal above the ground.
    """

    level: np.ndarray
    reach: np.ndarray
    fields: int

    def __post_init__(self) -> None:
        level, reach = (np.asarray(side, float) for side in (self.level, self.reach))
        if level.ndim != 1 or level.shape != reach.shape or not (np.isfinite(level).all() and (reach > 0).all()):
            raise UsageError(
                f"a background is one grey value for each channel, and signals rise above it; got {level} and {reach}."
            )
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "reach", reach)


def empty_ground(field: np.ndarray, nuclei: Nuclei) -> np.ndarray | None:
    """(C, Y, X) -> (C,) mean grey value of the field's empty ground; None where it has none.

    Of the pixels further than a nuclear diameter from every nucleus' outline, the commonest level is sought on the
    smoothed channel (the half-sample mode: where many cells reach so far, their values lie wide apart and those of the
    ground close together); the level is the mean of the channel itself where the smoothed one is within 2.5 standard
    deviations of it, as the values below it tell them. A low quantile of all pixels would be lower by what noise and
    uneven light take off, and ratios of what stays would be too close to 1.

    WARNING: where flat cells cover all that is far from nuclei it is their level that is found.

    Args:
        field: grey values.
        nuclei: of it.

    Source:
        D. R. Bickel and R. Frühwirth, Computational Statistics and Data Analysis 50 (2006) 3500, on the mode.
    """
    far = ndimage.distance_transform_edt(nuclei.labels == 0) > AWAY * nuclei.diameter_px if len(nuclei) else None
    if far is None or far.sum() < max(LEAST_SHARE * far.size, math.pi * nuclei.diameter_px**2 / 4):
        return None
    sigma = max(SMOOTHING * nuclei.diameter_px, 0.7)
    found = []
    for channel in field:
        grey = channel.astype(float)
        smooth, raw = ndimage.gaussian_filter(grey, sigma, mode="nearest")[far], grey[far]
        middle = half_sample_mode(smooth)
        below = smooth[smooth <= middle]
        spread = math.sqrt(float(((below - middle) ** 2).mean())) if len(below) else 0.0
        found.append(float(raw[np.abs(smooth - middle) <= CLIP * spread].mean()))
    return np.array(found)


def half_sample_mode(values: np.ndarray) -> float:
    """The commonest of values: the narrowest half of them is kept, and again of these, until few are left.

    Args:
        values: (n,) finite, n >= 1.
    """
    values = np.sort(values)
    while len(values) > 2:
        half = (len(values) + 1) // 2
        widths = values[half - 1 :] - values[: len(values) - half + 1]
        first = int(np.argmin(widths))
        values = values[first : first + half]
    return float(values.mean())


def ground_of(levels: list[np.ndarray | None], ends: np.ndarray) -> Ground:
    """The ground of a set: the median of those of its fields.

    Args:
        levels: of each field, of :func:`empty_ground`.
        ends: (F, C, 2) of :func:`~fluosr.phenotypes.levels.grey_ends` of the same fields.

    Raises:
        UsageError: no signal above it.
    """
    there = [level for level in levels if level is not None]
    level = np.median(there if there else ends[:, :, 0], axis=0)
    return Ground(level, np.median(ends[:, :, 1], axis=0) - level, len(there))
