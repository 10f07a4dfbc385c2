"""Nuclei found in one channel: background off, threshold, touching ones parted, each outlined at half its own light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fluosr.errors import AcquisitionError, UsageError

USUAL_DIAMETER_NM = 11_000.0  # of nuclei of cells in culture, where the pixel size is known
SMOOTHING = 1 / 14  # nuclear diameters
WIDE = 3.0  # nuclear diameters, over which the background is sought
LOWEST = 0.7  # of Otsu's threshold: dim nuclei are found too
NOISE = 5.0  # standard deviations of noise that a nucleus stands above
WAIST = 0.8  # of the smaller nucleus' depth, from which on a waist parts two nuclei
HALF = 0.5  # of its own light, where a nucleus' outline is
SMALLEST, LARGEST = 0.3, 3.5  # areas over that of a disc of the nuclear diameter
LEAST_PX = 12  # area of a nucleus


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of one field.

    Args:
        labels: (Y, X) int32, 0 outside, i + 1 in nucleus i.
        centres_px: (n, 2) (y, x), 0 the middle of the first pixel.
        areas_px: (n,).
        at_border: (n,) whether it touches the field's border.
        diameter_px: nuclear diameter that was reckoned with.
    """

    labels: np.ndarray
    centres_px: np.ndarray
    areas_px: np.ndarray
    at_border: np.ndarray
    diameter_px: float

    def __len__(self) -> int:
        return len(self.areas_px)


def find_nuclei(image: np.ndarray, *, diameter_px: float | None = None, pixel_size_nm: float | None = None) -> Nuclei:
    """The nuclei of an image in which they are bright.

    The background, a wide minimum, is taken off; what lies above a threshold of Otsu's between the square roots of
    grey values, and above the noise, is parted at its waists by a watershed on the distance to the outside; and each
    part is cut where its light has fallen to half of what it has inside. So neither a nucleus' brightness nor blur
    changes its area much.

    Args:
        image: (Y, X) grey values.
        diameter_px: usual nuclear diameter; without it 11 um where the pixel size is known, else that of a disc of
            the median area.
        pixel_size_nm: nm.

    Raises:
        AcquisitionError: NaN or infinity in the image.
        UsageError: not one image, or a diameter that cannot be.
    """
    grey = np.asarray(image, np.float32)
    if grey.ndim != 2 or not grey.size:
        raise UsageError(f"nuclei are sought in one image (Y, X), got shape {grey.shape}.")
    if not np.isfinite(grey).all():
        raise AcquisitionError(
            f"{int((~np.isfinite(grey)).sum())} pixels of the channel of the nuclei are NaN or infinite: replace them "
            "by their neighbours', or leave that field out."
        )
    if diameter_px is None and pixel_size_nm is not None:
        diameter_px = USUAL_DIAMETER_NM / pixel_size_nm
    if diameter_px is None:
        diameter_px = usual_diameter(grey)
    if not (math.isfinite(diameter_px) and diameter_px >= 4):
        raise UsageError(
            f"nuclei of {diameter_px:g} pixels across are too small to be outlined: at least 4 are needed."
        )
    smooth, mask = _above(grey, diameter_px)
    return _outlined(smooth, _parted(mask, diameter_px), diameter_px)


def otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two groups of least variance (Otsu 1979), on 256 bins of their range.

    Args:
        values: of any shape, finite.
    """
    counts, edges = np.histogram(values, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(np.where(above > 0, between, -1.0)))])


def _above(grey: np.ndarray, diameter_px: float) -> tuple[np.ndarray, np.ndarray]:
    """(the smoothed image less its background, what of it stands above background and noise)."""
    sigma = max(SMOOTHING * diameter_px, 0.7)
    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    wide = int(min(WIDE * diameter_px, *grey.shape)) // 2 * 2 + 1
    low = ndimage.minimum_filter(ndimage.gaussian_filter(grey, 2 * sigma, mode="nearest"), wide, mode="nearest")
    smooth = smooth - ndimage.gaussian_filter(low, wide / 2, mode="nearest")
    noise = (
        float(np.median(np.abs(grey - smooth - np.median(grey - smooth)))) * 1.4826 / (2 * sigma * math.sqrt(math.pi))
    )
    root = np.sqrt(np.maximum(smooth, 0))
    return smooth, smooth > max(LOWEST * otsu(root) ** 2, NOISE * noise)


def usual_diameter(image: np.ndarray) -> float:
    """The diameter (pixels) of a disc of the nuclei's median area, found with a first guess from the field's size."""
    guess = max(min(image.shape) / 40, 8.0)
    for _ in range(2):  # the second time at the scale that the first one told
        smooth, mask = _above(image, guess)
        areas = np.bincount(_parted(mask, guess)[mask])
        areas = areas[areas >= LEAST_PX]
        if len(areas):
            guess = max(math.sqrt(4 * float(np.median(areas)) / math.pi), 4.0)
    areas = _outlined(smooth, _parted(mask, guess), guess).areas_px
    return max(math.sqrt(4 * float(np.median(areas)) / math.pi), 4.0) if len(areas) else guess


def _parted(mask: np.ndarray, diameter_px: float) -> np.ndarray:
    """(Y, X) labels of the mask's parts, cut at their waists: 0 outside.

    Every pixel climbs to a summit of its distance to the outside; two summits are of one nucleus where the pass between
    them lies not much lower than the lower of them.
    """
    mask = ndimage.binary_fill_holes(mask)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), max(diameter_px / 20, 0.7)) * mask
    summits = _summits(depth)[mask]
    names, found = np.unique(summits, return_inverse=True)
    basins = np.zeros(mask.shape, int)
    basins[mask] = found + 1
    heights = np.append(0.0, depth.ravel()[names])
    joined = np.arange(len(heights))

    def root(number: int) -> int:
        while joined[number] != number:
            number = joined[number]
        return int(number)

    for height, one, other in _passes(depth, basins):
        low, high = sorted((root(one), root(other)), key=lambda number: heights[number])
        if low != high and height > WAIST * heights[low]:
            joined[low] = high
    return np.array([root(number) for number in range(len(joined))])[basins]


def _summits(depth: np.ndarray) -> np.ndarray:
    """(Y, X) for each pixel the index of the summit that its steepest way up leads to."""
    height, width = depth.shape
    padded = np.pad(depth, 1, constant_values=-1.0)
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    around = np.stack([padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in steps])
    moves = np.array([dy * width + dx for dy, dx in steps])
    up = np.where(around.max(0) > depth, moves[around.argmax(0)], 0)
    target = np.arange(depth.size) + up.ravel()
    while True:
        further = target[target]
        if (further == target).all():
            return np.asarray(target.reshape(depth.shape))
        target = further


def _passes(depth: np.ndarray, basins: np.ndarray) -> list[tuple[float, int, int]]:
    """(height of the highest pass, one basin, the other) of basins that touch, the highest first."""
    best: dict[tuple[int, int], float] = {}
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        first = np.s_[: basins.shape[0] - dy, max(-dx, 0) : basins.shape[1] - max(dx, 0)]
        second = np.s_[dy:, max(dx, 0) : basins.shape[1] + min(dx, 0)]
        one, other = basins[first], basins[second]
        meet = (one != other) & (one > 0) & (other > 0)
        height = np.minimum(depth[first], depth[second])[meet]
        for key_a, key_b, value in zip(one[meet].tolist(), other[meet].tolist(), height.tolist(), strict=True):
            key = (min(key_a, key_b), max(key_a, key_b))
            best[key] = max(best.get(key, 0.0), value)
    return sorted(((value, *key) for key, value in best.items()), reverse=True)


def _outlined(smooth: np.ndarray, parts: np.ndarray, diameter_px: float) -> Nuclei:
    """Each part where it has half of its own light, without holes; too small and too large ones are left out."""
    disc = math.pi * diameter_px**2 / 4
    labels = np.zeros(smooth.shape, np.int32)
    centres: list[tuple[float, float]] = []
    areas: list[int] = []
    border: list[bool] = []
    for number, window in enumerate(ndimage.find_objects(parts), start=1):
        if window is None:
            continue
        mine = parts[window] == number
        inside = float(np.percentile(smooth[window][mine], 75))
        pieces, count = ndimage.label(mine & (smooth[window] > HALF * inside))
        if not count:
            continue
        shape = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))
        area = int(shape.sum())
        if not max(SMALLEST * disc, LEAST_PX) <= area <= LARGEST * disc:
            continue
        y, x = (part + side.start for part, side in zip(np.nonzero(shape), window, strict=True))
        labels[y, x] = len(areas) + 1
        centres.append((y.mean(), x.mean()))
        areas.append(area)
        border.append(min(y.min(), x.min()) == 0 or y.max() == smooth.shape[0] - 1 or x.max() == smooth.shape[1] - 1)
    return Nuclei(
        labels, np.array(centres).reshape(-1, 2), np.array(areas, int), np.array(border, bool), float(diameter_px)
    )
