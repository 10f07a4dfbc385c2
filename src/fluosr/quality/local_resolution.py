"""Rolling Fourier ring correlation: down to which detail two images agree, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.resolution import (
    COPIES,
    MINIMUM_SIDE,
    Criterion,
    crossing,
    local_line,
    ring_ratio,
    ring_sums,
    rings_heard,
    threshold_curve,
)

BLOCK_PX = 64  # side of a block; eSRRF's and SQUIRREL's maps use the same
OVERLAP = 0.5  # of neighbouring blocks: the taper of a quarter on each side leaves every pixel in the middle of one
BLOCKS_AT_ONCE = 256  # of 64 x 64 pixels: some 40 MB

# What a block may be, in the order of ``LocalResolution.code``.
MEASURED, AT_LIMIT, NO_STRUCTURE, SAME, NOT_FINITE = range(5)
REASONS = (
    "measured",
    "the two images agree down to two pixels: the resolution is this or better",
    "no structure: the two images agree no better than unrelated noise would, or are constant",
    "the two images are the same here up to brightness, so their agreement says nothing",
    "pixels without a finite number",
)


@dataclass(frozen=True, eq=False)
class LocalResolution:
    """The resolution in each block of an image.

    Args:
        resolution_nm: (B, C) nm, one value a block, rows of blocks first; NaN where ``code`` says that there is none.
        code: (B, C) uint8: which of :data:`REASONS` holds for the block.
        y_px: (B,) middle of the blocks along y, pixels from the image's edge.
        x_px: (C,) likewise along x.
        block_px: (height, width) of a block, pixels.
        image_shape: (Y, X) of the images.
        limit_nm: two pixels: finer detail the grid cannot hold.
        criterion: the name of the threshold.
        reason: why no block has a resolution, in plain words; None where at least one has.
    """

    resolution_nm: np.ndarray
    code: np.ndarray
    y_px: np.ndarray
    x_px: np.ndarray
    block_px: tuple[int, int]
    image_shape: tuple[int, int]
    limit_nm: float
    criterion: str
    reason: str | None = None

    @property
    def values_nm(self) -> np.ndarray:
        """(n,) nm, of the blocks that have a resolution, in reading order."""
        return self.resolution_nm[np.isfinite(self.resolution_nm)]

    def counts(self) -> dict[str, int]:
        """How many blocks each reason holds for; reasons that hold for none are left out."""
        number = np.bincount(self.code.ravel(), minlength=len(REASONS))
        return {reason: int(n) for reason, n in zip(REASONS, number, strict=True) if n}

    def on_pixels(self) -> np.ndarray:
        """(Y, X) float32, nm: the value of the block whose middle is nearest to each pixel; NaN where it has none."""
        if self.resolution_nm.size == 0:
            return np.full(self.image_shape, np.nan, np.float32)
        rows, columns = (
            np.abs(np.arange(n)[:, None] + 0.5 - middle[None, :]).argmin(1)
            for n, middle in zip(self.image_shape, (self.y_px, self.x_px), strict=True)
        )
        return self.resolution_nm[np.ix_(rows, columns)].astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Summary figures without the map, for the run's record: median, and the span of the middle 80 % of blocks."""
        values = self.values_nm
        finest, middle, coarsest = np.quantile(values, [0.1, 0.5, 0.9]).tolist() if values.size else [None] * 3
        return {
            "median_nm": middle,
            "finest_tenth_nm": finest,
            "coarsest_tenth_nm": coarsest,
            "blocks": int(self.code.size),
            "blocks_with_resolution": int(values.size),
            "blocks_by_reason": self.counts(),
            "block_px": list(self.block_px),
            "criterion": self.criterion,
            "limit_nm": self.limit_nm,
            "reason": self.reason,
        }


def local_resolution(
    first: np.ndarray,
    second: np.ndarray,
    pixel_size_nm: float,
    *,
    block_px: int = BLOCK_PX,
    overlap: float = OVERLAP,
    criterion: Criterion = "1/7",
) -> LocalResolution:
    """Ring correlation of two independent images, in blocks that overlap [1, 2].

    Each block is judged exactly as :func:`fluosr.quality.resolution.fourier_ring_correlation` judges an image: taper,
    rings, smoothing, threshold and the test against chance are the same. Blocks are spread evenly so that the first and
    last touch the image's edges; neighbours overlap by ``overlap`` or a little more.

    A block of n pixels has n / 2 rings, so a resolution of r pixels is known to about r^2 / n pixels: 64 pixels tell 8
    from 9 pixels but not 30 from 40.

    Args:
        first: (Y, X), any unit.
        second: (Y, X), the same sample on the same grid from other data.
        pixel_size_nm: size of these images' pixel, nm.
        block_px: side of a block, pixels; where the image is smaller along an axis, that axis is one block.
        overlap: share of a block that its neighbour sees too, from 0 to .9.
        criterion: "1/7", "2-sigma" or "half-bit".

    Returns:
        The map in nm. A block without a resolution is NaN and ``code`` says why; a block that agrees down to two pixels
        holds ``limit_nm`` and is marked so.

    Raises:
        UsageError: not two images of one shape, a pixel size that is not positive, blocks under 16 pixels, an overlap
            out of range, an unknown criterion.

    Sources:
        [1] Culley et al., Nature Methods 15 (2018) 263-266 (FRC maps).
        [2] Nieuwenhuizen et al., Nature Methods 10 (2013) 557-562.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 2 or first.shape != second.shape:
        raise UsageError(f"a resolution map needs two images of one shape (Y, X), got {first.shape}, {second.shape}.")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive, got {pixel_size_nm} nm.")
    if block_px < MINIMUM_SIDE:
        raise UsageError(f"blocks of {block_px} pixels hold too few rings; choose at least {MINIMUM_SIDE}.")
    if not 0.0 <= overlap <= 0.9:
        raise UsageError(f"the overlap of blocks must lie from 0 to .9, got {overlap}.")
    if criterion not in get_args(Criterion):
        raise UsageError(f"unknown criterion {criterion!r}; choose one of {', '.join(get_args(Criterion))}.")
    limit_nm = 2.0 * pixel_size_nm
    block = (min(block_px, first.shape[0]), min(block_px, first.shape[1]))
    if min(first.shape) < MINIMUM_SIDE:
        empty = np.zeros((0, 0))
        return LocalResolution(
            empty, empty.astype(np.uint8), np.zeros(0), np.zeros(0), block, first.shape, limit_nm, criterion,
            f"the image is too small: {first.shape[0]} x {first.shape[1]} pixels, at least {MINIMUM_SIDE} on each side "
            "are needed for a ring correlation",
        )  # fmt: skip
    rows, columns = (_starts(n, side, overlap) for n, side in zip(first.shape, block, strict=True))
    views = [np.lib.stride_tricks.sliding_window_view(image, block) for image in (first, second)]
    value = np.full((rows.size, columns.size), np.nan)
    code = np.full(value.shape, NOT_FINITE, np.uint8)
    places = np.stack(np.meshgrid(np.arange(rows.size), np.arange(columns.size), indexing="ij"), -1).reshape(-1, 2)
    at_once = max(1, BLOCKS_AT_ONCE * BLOCK_PX**2 // (block[0] * block[1]))
    for begin in range(0, len(places), at_once):
        i, j = places[begin : begin + at_once].T
        pair = [view[rows[i], columns[j]].astype(float) for view in views]
        found, codes = _judge_blocks(pair[0], pair[1], pixel_size_nm, criterion, limit_nm)
        value[i, j], code[i, j] = found, codes
    reason = None
    if not np.isfinite(value).any():
        commonest = REASONS[int(np.bincount(code.ravel()).argmax())]
        reason = f"no block of the image has a resolution; of most it is said: {commonest}"
    return LocalResolution(
        value, code, rows + block[0] / 2, columns + block[1] / 2, block, first.shape, limit_nm, criterion, reason
    )


def _starts(size: int, block: int, overlap: float) -> np.ndarray:
    """First pixels of the blocks along an axis, evenly spread from edge to edge."""
    step = max(1.0, block * (1.0 - overlap))
    return np.linspace(0, size - block, math.ceil((size - block) / step) + 1).round().astype(np.intp)


def _judge_blocks(
    first: np.ndarray, second: np.ndarray, pixel_size_nm: float, criterion: Criterion, limit_nm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Resolutions (n,) in nm, NaN where there is none, and codes (n,), of n pairs of blocks (n, y, x)."""
    value = np.full(len(first), np.nan)
    code = np.full(len(first), NO_STRUCTURE, np.uint8)
    finite = np.isfinite(first).all((1, 2)) & np.isfinite(second).all((1, 2))
    code[~finite] = NOT_FINITE
    varied = finite.copy()
    for images in (first, second):
        low, high = images[finite].min((1, 2)), images[finite].max((1, 2))
        varied[finite] &= high - low > 4 * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))
    judged = np.flatnonzero(varied)
    if judged.size == 0:
        return value, code
    frequency, cross, powers, count, share = ring_sums(first[judged], second[judged], pixel_size_nm)
    correlation = ring_ratio(cross, powers, count)
    smoothed = local_line(correlation, count)
    heard = rings_heard(powers, count)
    threshold = threshold_curve(criterion, count)
    # Most blocks of a sparse field never pass the threshold: they need no closer look.
    for k in np.flatnonzero((smoothed > threshold).any(1)):
        found, finer, reason = crossing(
            frequency, correlation[k], smoothed[k], threshold, count * share, heard[k], limit_nm
        )
        if found is not None:
            value[judged[k]], code[judged[k]] = found, MEASURED
        elif finer:
            value[judged[k]], code[judged[k]] = limit_nm, AT_LIMIT
        elif reason == COPIES:
            code[judged[k]] = SAME
    return value, code
