"""Judging line phantoms: which pairs are resolved, how far apart they are, and whether a single line stays single."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.simulate.argo import ArgoPhantom, LineSet

RAYLEIGH_DIP = 0.26  # the dip between two points at Rayleigh's distance


@dataclass(frozen=True)
class PairVerdict:
    """What an image shows of one set of lines.

    Attributes:
        separation_nm: the true distance d of the middle pair; None for the single-line control.
        found_nm: distance of the two brightest maxima between the outer lines; 0 where there is one.
        dip: 1 - valley / lower maximum; 0 where there is one maximum.
        offset_nm: displacement of the pair's middle (of the single maximum) from the truth, along the normal.
        resolved: two maxima with a dip of at least 26 %.
    """

    separation_nm: float | None
    found_nm: float
    dip: float
    offset_nm: float
    resolved: bool


@dataclass(frozen=True)
class PhantomVerdict:
    """What an image shows of the whole phantom.

    Attributes:
        pairs: one verdict a set, the control last.
        resolved_from_nm: the smallest d from which on every pair is resolved; None where not even the widest is.
        separation_error_nm: mean of |found - d| over the pairs from ``resolved_from_nm`` up; None without any.
        false_split: the single line shows a dip of 26 % or more.
    """

    pairs: tuple[PairVerdict, ...]
    resolved_from_nm: float | None
    separation_error_nm: float | None
    false_split: bool | None


def line_profile(
    image: np.ndarray,
    fine_nm: float,
    phantom: ArgoPhantom,
    line_set: LineSet,
    *,
    half_width_nm: float,
    trim: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """Intensity across a set, averaged along its lines.

    Args:
        image: (ny, nx) on the fine grid of the field.
        fine_nm: fine pixel, nm.
        half_width_nm: reach of the profile to both sides of the set's middle.
        trim: fraction of the lines' length left out at each end.

    Returns:
        (positions across the lines in nm from the middle, mean intensity), each (n,), one sample every half fine pixel.
    """
    from scipy.ndimage import map_coordinates

    steps = int(half_width_nm / (fine_nm / 2))
    across = np.arange(-steps, steps + 1) * fine_nm / 2
    half_length = phantom.line_length_nm * (0.5 - trim)
    along = np.arange(-half_length, half_length, fine_nm / 2)
    (ny, nx), (ty, tx) = phantom.normal, phantom.direction
    y = line_set.centre_nm[0] + along[:, None] * ty + across[None, :] * ny
    x = line_set.centre_nm[1] + along[:, None] * tx + across[None, :] * nx
    samples = map_coordinates(np.asarray(image, float), [y / fine_nm - 0.5, x / fine_nm - 0.5], order=1, mode="nearest")
    return across, samples.mean(0)


def line_continuity(image: np.ndarray, fine_nm: float, phantom: ArgoPhantom, *, trim: float = 0.1) -> float:
    """Share of the lines' length along which they are not broken: their light is at least half of its median.

    Only lines that stand alone are asked: the outer lines of every set, and the single line. At every place along a
    line the light is what lies within half a line's width of its middle.

    Args:
        image: (ny, nx) on the fine grid of the field.
        fine_nm: fine pixel, nm.
        trim: fraction of the lines' length left out at each end.

    Returns:
        0 to 1; 0 for an image without light.
    """
    from scipy.ndimage import map_coordinates

    half_length, half_width = phantom.line_length_nm * (0.5 - trim), phantom.line_width_nm / 2
    along = np.arange(-half_length, half_length, fine_nm)
    across = np.linspace(-half_width, half_width, max(3, round(2 * phantom.line_width_nm / fine_nm)))
    (ny, nx), (ty, tx) = phantom.normal, phantom.direction
    whole = total = 0
    for line_set in phantom.sets:
        for offset in {line_set.offsets_nm[0], line_set.offsets_nm[-1]}:
            y = line_set.centre_nm[0] + along[:, None] * ty + (offset + across)[None, :] * ny
            x = line_set.centre_nm[1] + along[:, None] * tx + (offset + across)[None, :] * nx
            places = [y / fine_nm - 0.5, x / fine_nm - 0.5]
            light = map_coordinates(np.asarray(image, float), places, order=1, mode="nearest").mean(1)
            middle = float(np.median(light))
            whole += int((light >= 0.5 * middle).sum()) if middle > 0 else 0
            total += light.size
    return whole / total


def judge_profile(
    position: np.ndarray, profile: np.ndarray, separation_nm: float | None, reach_nm: float
) -> PairVerdict:
    """Verdict on the middle of a profile.

    Args:
        position: (n,) nm; profile: (n,) mean intensity.
        separation_nm: the truth.
        reach_nm: only |position| <= reach is looked at: it must leave out the outer lines.
    """
    inside = np.abs(position) <= reach_nm
    where, values = position[inside], profile[inside]
    peaks = _maxima(values)
    if not peaks:
        return PairVerdict(separation_nm, 0.0, 0.0, float("nan"), False)
    highest = max(peaks, key=lambda i: values[i])
    # The partner is the maximum with the deepest dip towards the highest, weighted by what it rises above that dip.
    best, dip, partner, lowest = 0.0, 0.0, None, 0
    for other in peaks:
        if other == highest:
            continue
        lower, upper = sorted((other, highest))
        bottom = lower + int(values[lower : upper + 1].argmin())
        valley = values[bottom]
        rise = values[other] - valley
        if rise > best:
            best, dip, partner, lowest = rise, 1.0 - valley / values[other], other, bottom
    if partner is None or dip < 0.02 or values[partner] < 0.25 * values[highest]:
        return PairVerdict(separation_nm, 0.0, 0.0, _place(where, values, highest), False)
    left, right = sorted((highest, partner))
    first = _place(where[: lowest + 1], values[: lowest + 1], left)
    second = _place(where[lowest:], values[lowest:], right - lowest)
    return PairVerdict(separation_nm, second - first, float(dip), (first + second) / 2, bool(dip >= RAYLEIGH_DIP))


def judge_phantom(image: np.ndarray, fine_nm: float, phantom: ArgoPhantom) -> PhantomVerdict:
    """Judge an image of the phantom's field, (L Y, L X), fine pixels of ``fine_nm``."""
    pairs = []
    for line_set in phantom.sets:
        reach = phantom.outer_gap_nm / 2 + (line_set.separation_nm or 0.0) / 2
        position, profile = line_profile(image, fine_nm, phantom, line_set, half_width_nm=reach + 2 * fine_nm)
        pairs.append(judge_profile(position, profile, line_set.separation_nm, reach))
    doubles = [(p.separation_nm, p) for p in pairs if p.separation_nm is not None]
    resolved: list[tuple[float, PairVerdict]] = []
    for separation, pair in sorted(doubles, key=lambda item: -item[0]):
        if not pair.resolved or separation == 0:
            break
        resolved.append((separation, pair))
    single = [p for p in pairs if p.separation_nm is None]
    return PhantomVerdict(
        tuple(pairs),
        resolved[-1][0] if resolved else None,
        float(np.mean([abs(p.found_nm - d) for d, p in resolved])) if resolved else None,
        any(p.resolved for p in single) if single else None,
    )


def _maxima(values: np.ndarray) -> list[int]:
    """Local maxima; of a plateau its middle."""
    peaks, i, last = [], 1, len(values) - 1
    while i < last:
        if values[i] > values[i - 1]:
            j = i
            while j < last and values[j + 1] == values[i]:
                j += 1
            if j < last and values[j + 1] < values[i]:
                peaks.append((i + j) // 2)
            i = j + 1
        else:
            i += 1
    return peaks


def _place(position: np.ndarray, values: np.ndarray, i: int) -> float:
    """Position of a line whose maximum is sample ``i``: centroid of what rises above a level around it.

    The level is 70 % of the maximum, or a third of the way up from the valley where the profile ends in one. All of the
    line's top counts, ripples included: the highest sample alone would lie anywhere on a flat top.
    """
    ends = max((v for v in (values[0], values[-1]) if v < values[i]), default=0.0)
    level = max(0.7 * values[i], ends + (values[i] - ends) / 3)
    above = values > level
    low = high = i
    while low > 0 and above[low - 1]:
        low -= 1
    while high < len(values) - 1 and above[high + 1]:
        high += 1
    weight = values[low : high + 1] - level
    return float(np.average(position[low : high + 1], weights=weight)) if weight.sum() > 0 else float(position[i])
