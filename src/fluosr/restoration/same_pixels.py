"""Whether two images hold the same pixels: crops of one recording, cut in different ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RUN = 16  # pixels in a row that make a mark
MARK_BITS = 6  # one place of 64 is marked, by its grey values alone: in both crops the same ones
DISTINCT = 4  # grey values of a mark: what is flat or saturated looks alike everywhere
LEAST_MARKS = 3  # at one displacement, before pixels are compared
LEAST_PIXELS = 32 * 32  # that must be equal
SHARE = 0.9  # of those that both images show
# Odd numbers without a pattern, by which bits are spread.
SPREAD = (np.random.PCG64(20260202).random_raw(RUN) | np.uint64(1)).astype(np.uint64)


@dataclass(frozen=True)
class Shared:
    """Two images with the same pixels.

    Args:
        one, other: their numbers.
        pixels: how many are equal.
    """

    one: int
    other: int
    pixels: int


@dataclass(frozen=True, eq=False)
class _Marks:
    keys: np.ndarray  # (n,) uint64, sorted
    images: np.ndarray  # (n,) number of the image
    places: np.ndarray  # (n, 2) y, x


def shared_pixels(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Shared | None:
    """The first image of one set that overlaps one of the other, grey value for grey value.

    Places are marked by what is there and not by where: those where a hash of the pixels that follow is 0. Two crops of
    one image then have the marks of their overlap in common, at one displacement. Where three agree, all pixels of the
    overlap are compared: it counts if 1024 or more are equal, and nine of ten of those that are not mere ground (the
    commonest grey value). What was scaled, turned or resampled in between is not found.

    Args:
        ones, others: (Y, X) images of any sizes; those of one set are not compared with each other.
    """
    first, second = _all_marks(ones), _all_marks(others)
    if not len(first.keys) or not len(second.keys):
        return None
    where = np.minimum(np.searchsorted(second.keys, first.keys), len(second.keys) - 1)
    alike = np.flatnonzero(second.keys[where] == first.keys)
    moved = first.places[alike] - second.places[where[alike]]
    pairs = np.column_stack([first.images[alike], second.images[where[alike]], moved])
    compared = set()
    for (one, other, y, x), marks in Counter(map(tuple, pairs.tolist())).most_common():
        if marks < LEAST_MARKS:
            break
        if (one, other) in compared:  # the displacement of most marks has been tried
            continue
        compared.add((one, other))
        pixels = _equal_pixels(ones[one], others[other], y, x)
        if pixels >= LEAST_PIXELS:
            return Shared(one, other, pixels)
    return None


def _all_marks(images: Sequence[np.ndarray]) -> _Marks:
    found = [_marks(image) for image in images]
    numbers = [np.full(len(keys), number) for number, (keys, _) in enumerate(found)]
    keys = np.concatenate([np.zeros(0, np.uint64), *(keys for keys, _ in found)])
    places = np.concatenate([np.zeros((0, 2), int), *(places for _, places in found)])
    images_of = np.concatenate([np.zeros(0, int), *numbers])
    order = np.argsort(keys, kind="stable")
    return _Marks(keys[order], images_of[order], places[order])


def _marks(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) keys and (n, 2) places of an image's marks; those that occur twice in it are left out."""
    bits = (np.ascontiguousarray(image, np.float32) + np.float32(0.0)).view(np.uint32).astype(np.uint64)  # -0 is 0
    width = bits.shape[1] - RUN + 1
    if width < 1:
        return np.zeros(0, np.uint64), np.zeros((0, 2), int)
    looked_at = (0, RUN // 2, RUN - 1)
    mixed = np.add.reduce([bits[:, k : k + width] * SPREAD[k] for k in looked_at])
    y, x = np.nonzero(mixed >> np.uint64(64 - MARK_BITS) == 0)
    runs = bits[y[:, None], x[:, None] + np.arange(RUN)]
    distinct = 1 + (np.diff(np.sort(runs, axis=1), axis=1) != 0).sum(1)
    telling = distinct >= DISTINCT
    keys, first, counts = np.unique((runs[telling] * SPREAD).sum(1), return_index=True, return_counts=True)
    once = first[counts == 1]
    return keys[counts == 1], np.column_stack([y, x])[telling][once]


def _equal_pixels(one: np.ndarray, other: np.ndarray, y: int, x: int) -> int:
    """How many pixels are equal, with ``other`` laid upon ``one`` at (y, x); 0 where most of those seen are not."""
    here, there = (
        image[max(down, 0) : max(down, 0) + height, max(right, 0) : max(right, 0) + width]
        for height, width in [[_overlap(a, b, by) for a, b, by in zip(one.shape, other.shape, (y, x), strict=True)]]
        for image, down, right in ((one, y, x), (other, -y, -x))
    )
    shown = (here != _commonest(here)) | (there != _commonest(there))
    equal = (here == there) & shown
    return int(equal.sum()) if equal.sum() >= SHARE * shown.sum() else 0


def _overlap(one: int, other: int, by: int) -> int:
    return min(one, other + by) - max(by, 0)


def _commonest(image: np.ndarray) -> np.generic:
    values, counts = np.unique(image, return_counts=True)
    commonest: np.generic = values[counts.argmax()]
    return commonest
