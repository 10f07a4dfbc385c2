"""How well molecules were found, against their true places: one-to-one, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fluosr.errors import MemoryLimitError, UsageError
from fluosr.localisations import Localisations
from fluosr.machine import available_memory_bytes

ALPHA_PER_NM = 1.0  # what a nanometre of error costs against a per cent of Jaccard (Sage et al. 2019, lateral)
BYTES_PER_PAIR = 100


@dataclass(frozen=True)
class LocalisationScore:
    """Molecules found, against those that there are.

    What cannot be said is NaN: precision where nothing was found, recall where nothing is there, the Jaccard index
    where neither is, error and efficiency where nothing matches.

    Args:
        true_positives: pairs of one found and one true molecule within the radius.
        false_positives: found, without a true one.
        misses: true, and not found.
        squared_error_nm2: sum over the pairs of their distance squared, nm^2.

    Source:
        D. Sage et al., Nature Methods 16 (2019) 387: Jaccard index, lateral RMSE and efficiency.
    """

    true_positives: int
    false_positives: int
    misses: int
    squared_error_nm2: float = 0.0

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN)."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives + self.misses)

    @property
    def precision(self) -> float:
        """TP / (TP + FP): how much of what was found is there."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN): how much of what is there was found."""
        return _ratio(self.true_positives, self.true_positives + self.misses)

    @property
    def rmse_nm(self) -> float:
        """Root of the mean squared distance of the pairs, in the plane, nm."""
        return math.sqrt(_ratio(self.squared_error_nm2, self.true_positives))

    @property
    def efficiency(self) -> float:
        """E = 100 - sqrt((100 - J)^2 + (alpha RMSE)^2), J in per cent and alpha = 1 / nm; 100 is the best."""
        return 100.0 - math.hypot(100.0 - 100.0 * self.jaccard, ALPHA_PER_NM * self.rmse_nm)


@dataclass(frozen=True)
class MovieScore:
    """The frames of a movie, each by itself and all together.

    Args:
        radius_nm: how far apart a pair may be.
        pooled: all frames as one: counts and squared errors added up.
        frames: number and score of every frame in which something is or was found. A frame without either has no
            Jaccard index and counts in no mean.
    """

    radius_nm: float
    pooled: LocalisationScore
    frames: tuple[tuple[int, LocalisationScore], ...]

    def mean(self, figure: str) -> float:
        """Mean over the frames of one of the score's figures, such as "jaccard", where it can be said; else NaN."""
        values = [value for _, score in self.frames if not math.isnan(value := getattr(score, figure))]
        return sum(values) / len(values) if values else math.nan


def score_localisations(
    found: Localisations, true: Localisations, radius_nm: float, *, frames: range | None = None
) -> MovieScore:
    """Match and count, frame by frame.

    Args:
        found: what is judged.
        true: what is there.
        radius_nm: at most so far from a true molecule is a found one taken for it, nm; 0: only at the same place.
        frames: which frames; None for all in which there is something.

    Raises:
        UsageError: a radius below 0 or not finite.
    """
    if not (math.isfinite(radius_nm) and radius_nm >= 0):
        raise UsageError(f"the radius of a match must not be negative (nm), got {radius_nm}.")
    numbers = np.union1d(found.frame, true.frame)
    if frames is not None:
        numbers = numbers[np.array([number in frames for number in numbers.tolist()], bool)]
    scores = []
    places = [np.stack([table.x_nm, table.y_nm], axis=1) for table in (found, true)]
    ends = [np.searchsorted(table.frame, [numbers, numbers + 1]) for table in (found, true)]
    for index, number in enumerate(numbers.tolist()):
        here = [place[end[0, index] : end[1, index]] for place, end in zip(places, ends, strict=True)]
        _, _, distance = match(here[0], here[1], radius_nm)
        hits = len(distance)
        score = LocalisationScore(hits, len(here[0]) - hits, len(here[1]) - hits, float((distance**2).sum()))
        scores.append((number, score))
    return MovieScore(radius_nm, _pooled(score for _, score in scores), tuple(scores))


def _pooled(scores: Iterable[LocalisationScore]) -> LocalisationScore:
    columns = [(s.true_positives, s.false_positives, s.misses, s.squared_error_nm2) for s in scores]
    hits, wrong, missed, squared = (sum(column) for column in zip(*columns, strict=True)) if columns else (0, 0, 0, 0.0)
    return LocalisationScore(int(hits), int(wrong), int(missed), float(squared))


def match(found: np.ndarray, true: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best one-to-one matching: of all with the most pairs, one with the least sum of distances.

    A pair may be at most ``radius`` apart. Points that no chain of such pairs joins do not compete: each connected part
    is an assignment problem of its own, so that the cost grows with the crowding and not with the number of points.

    Args:
        found: (N, 2).
        true: (M, 2), in the same unit.
        radius: likewise.

    Returns:
        Row numbers in ``found``, in ``true``, and the distance, (K,) each.

    Raises:
        MemoryLimitError: so many are near each other that their pairs do not fit into the memory.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n, m = len(found), len(true)
    if not n or not m:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    trees = cKDTree(found), cKDTree(true)
    if n * m * BYTES_PER_PAIR > (free := available_memory_bytes()):
        pairs_near = int(trees[0].count_neighbors(trees[1], radius))
        if pairs_near * BYTES_PER_PAIR > free:
            raise MemoryLimitError(
                f"{pairs_near:,} pairs of {n:,} found and {m:,} true molecules lie within {radius:g} of each other in "
                "one frame, more than there is memory for: choose a smaller radius."
            )
    near = trees[0].sparse_distance_matrix(trees[1], radius, output_type="ndarray")
    rows, columns, distances = (near[name] for name in ("i", "j", "v"))
    links = coo_array((np.ones(len(rows)), (rows, n + columns)), shape=(n + m, n + m))
    part = connected_components(links, directed=False)[1][rows]
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order], prepend=-1))
    kept = []
    for edges in np.split(order, starts[1:]):
        if len(edges) < 2:
            kept.append(edges)
            continue
        own_rows, at_row = np.unique(rows[edges], return_inverse=True)
        own_columns, at_column = np.unique(columns[edges], return_inverse=True)
        # A pair that may not be costs more than all others together: the most pairs come before the shortest.
        cost = np.full((len(own_rows), len(own_columns)), 1.0 + 2.0 * radius * min(len(own_rows), len(own_columns)))
        which = np.full(cost.shape, -1)
        cost[at_row, at_column], which[at_row, at_column] = distances[edges], edges
        chosen = which[linear_sum_assignment(cost)]
        kept.append(chosen[chosen >= 0])
    pairs = np.concatenate(kept) if kept else np.zeros(0, int)
    return rows[pairs], columns[pairs], distances[pairs]


def pixel_jaccard(found: np.ndarray, true: np.ndarray, radius_px: float) -> np.ndarray:
    """The Jaccard index of two images' bright pixels, frame by frame:

        J_d = TP / (TP + FN + FP)

    A bright pixel of ``found`` is a true positive if it lies at most d from one of ``true``, one-to-one, and the
    closest wins: a pair is only passed over where one of the two has a partner that is as close or closer. Of pairs
    equally close, the one whose true pixel comes first, then whose found pixel, row by row.

    Args:
        found, true: (T, Y, X) or (Y, X) images on one grid; what is above 0 is bright.
        radius_px: d, pixels of that grid.

    Returns:
        (T,) J_d; NaN where both frames are dark. ``np.nanmean`` of it is the paper's figure.

    Raises:
        UsageError: images of different shapes, or a radius below 0 or not finite.

    Source:
        S. Bonettini, L. Calatroni, D. Pezzi and M. Prato, arXiv 2403.17506 (2024), eq. 19.
    """
    stacks = [np.asarray(image) > 0 for image in (found, true)]
    if stacks[0].shape != stacks[1].shape or stacks[0].ndim not in (2, 3):
        raise UsageError(f"images of one grid are compared, got shapes {np.shape(found)} and {np.shape(true)}.")
    if not (math.isfinite(radius_px) and radius_px >= 0):
        raise UsageError(f"the radius of a match must not be negative (pixels), got {radius_px}.")
    reach = range(-math.floor(radius_px), math.floor(radius_px) + 1)
    ball = sorted(
        (dy * dy + dx * dx, dy, dx) for dy in reach for dx in reach if dy * dy + dx * dx <= radius_px * radius_px
    )
    frames = zip(*(stack.reshape(-1, *stack.shape[-2:]) for stack in stacks), strict=True)
    values = []
    for bright, there in frames:
        hits = _closest_first(*_near_pixels(bright, there, ball))
        values.append(_ratio(hits, int(bright.sum()) + int(there.sum()) - hits))
    return np.array(values)


def _near_pixels(
    found: np.ndarray, true: np.ndarray, ball: Sequence[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Flat numbers of true and found pixels of one frame that lie in each other's ball, the closest pairs first.

    Args:
        found, true: (Y, X) bool.
        ball: (squared distance, dy, dx), in the order of the distance.
    """
    height, width = true.shape
    y, x = np.nonzero(true)
    pieces = [np.zeros((3, 0), int)]
    for squared, dy, dx in ball:
        row, column = y + dy, x + dx
        hit = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        hit[hit] = found[row[hit], column[hit]]
        own = y[hit] * width + x[hit]
        pieces.append(np.stack([np.full(len(own), squared), own, own + dy * width + dx]))
    squared_distance, own, other = np.concatenate(pieces, axis=1)
    order = np.lexsort((other, own, squared_distance))
    return own[order], other[order]


def _closest_first(left: np.ndarray, right: np.ndarray) -> int:
    """Take pairs in their order, each if both its ends are still free; how many were taken.

    Round by round: a pair that stands first for both of its ends is taken in any case.
    """
    taken = 0
    while len(left):
        first = np.zeros((2, len(left)), bool)
        for side, ends in zip(first, (left, right), strict=True):
            side[np.unique(ends, return_index=True)[1]] = True
        sure = first.all(axis=0)
        taken += int(sure.sum())
        free = ~(np.isin(left, left[sure]) | np.isin(right, right[sure]))
        left, right = left[free], right[free]
    return taken


def mean_psnr(images: np.ndarray, truths: np.ndarray, peak: float) -> float:
    """Mean over the frames of PSNR = 10 log10(peak^2 / mean squared error), dB; infinite where a frame is exact.

    Args:
        images, truths: (T, Y, X) on one grid.
        peak: the brightest value that the truth can have.

    Raises:
        UsageError: stacks of different shapes, no frame, or a peak that is not positive.
    """
    made, wanted = np.asarray(images), np.asarray(truths)
    if made.shape != wanted.shape or made.ndim != 3 or not made.size:
        raise UsageError(f"stacks (T, Y, X) of one shape are compared, got {made.shape} and {wanted.shape}.")
    if not (math.isfinite(peak) and peak > 0):
        raise UsageError(f"the peak must be positive, got {peak}.")
    error = np.array([((m.astype(float) - w) ** 2).mean() for m, w in zip(made, wanted, strict=True)])
    with np.errstate(divide="ignore"):
        return float((10.0 * np.log10(peak**2 / error)).mean())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
