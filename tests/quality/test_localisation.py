"""Molecules found against true ones: every matching of tiny problems is enumerated."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import MemoryLimitError, UsageError
from fluosr.localisations import Localisations
from fluosr.quality import localisation
from fluosr.quality.localisation import LocalisationScore, match, mean_psnr, pixel_jaccard, score_localisations

# On a coarse lattice there are many ties, duplicates, and pairs exactly as far apart as the radius.
POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5).map(
    lambda points: np.array(points, float).reshape(-1, 2)
)
RADII = st.sampled_from([0.0, 1.0, 1.5, 2.0, 9.0])


def best_by_enumeration(found: np.ndarray, true: np.ndarray, radius: float) -> tuple[int, float]:
    """(most pairs, least sum of distances of them) over all one-to-one matchings."""

    def best(first: int, free: tuple[int, ...]) -> tuple[int, float]:  # (minus pairs, sum)
        if first == len(found):
            return 0, 0.0
        options = [best(first + 1, free)]
        for j in free:
            apart = math.dist(found[first], true[j])
            if apart <= radius:
                pairs, total = best(first + 1, tuple(k for k in free if k != j))
                options.append((pairs - 1, total + apart))
        return min(options)

    pairs, total = best(0, tuple(range(len(true))))
    return -pairs, total


def at(points: np.ndarray, frame: int = 0) -> Localisations:
    points = np.asarray(points, float).reshape(-1, 2)
    return Localisations(np.full(len(points), frame), points[:, 0], points[:, 1])


@settings(max_examples=60)
@given(POINTS, POINTS, RADII)
def test_no_matching_has_more_pairs_nor_shorter_ones(found: np.ndarray, true: np.ndarray, radius: float) -> None:
    rows, columns, distances = match(found, true, radius)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(distances)
    np.testing.assert_allclose(distances, np.hypot(*(found[rows] - true[columns]).T), atol=1e-12)
    assert (distances <= radius).all()
    pairs, total = best_by_enumeration(found, true, radius)
    assert len(distances) == pairs and distances.sum() == pytest.approx(total, abs=1e-9)


@given(POINTS, POINTS, RADII)
def test_found_and_true_change_places(found: np.ndarray, true: np.ndarray, radius: float) -> None:
    there = score_localisations(at(found), at(true), radius).pooled
    back = score_localisations(at(true), at(found), radius).pooled
    assert (there.true_positives, there.false_positives, there.misses) == (
        back.true_positives,
        back.misses,
        back.false_positives,
    )
    np.testing.assert_allclose([there.jaccard, there.precision], [back.jaccard, back.recall])
    # Of the squared distances this cannot be said: of two matchings with one sum either may be taken.
    totals = [match(*tables, radius)[2].sum() for tables in ((found, true), (true, found))]
    assert totals[0] == pytest.approx(totals[1], abs=1e-9)


@given(st.lists(POINTS, min_size=1, max_size=4), st.integers(0, 100))
def test_a_table_against_itself_is_perfect_at_any_radius(frames: list[np.ndarray], radius: int) -> None:
    table = Localisations.joined([at(points, number) for number, points in enumerate(frames)])
    score = score_localisations(table, table, float(radius)).pooled
    assert (score.true_positives, score.false_positives, score.misses) == (len(table), 0, 0)
    if len(table):
        assert score.jaccard == 1.0 and score.rmse_nm == 0.0 and score.efficiency == 100.0


def test_in_a_chain_the_closest_pair_may_have_to_part() -> None:
    # B - a - A - b: the closest are a and A, but then b has nobody and B is missed.
    true, found = np.array([[0.0, 0], [10, 0]]), np.array([[6.0, 0], [16, 0]])
    score = score_localisations(at(found), at(true), 7.0).pooled
    assert (score.true_positives, score.false_positives, score.misses) == (2, 0, 0)
    assert score.rmse_nm == pytest.approx(6.0)


def test_frames_are_judged_each_by_itself_and_together() -> None:
    true = Localisations([0, 0, 1, 3, 3], [0.0, 100, 50, 0, 9], [0.0, 0, 0, 0, 0])
    found = Localisations([0, 2, 3, 3], [3.0, 50, 4, 500], [4.0, 0, 0, 0])
    score = score_localisations(found, true, 10.0)
    counts = {n: (s.true_positives, s.false_positives, s.misses) for n, s in score.frames}
    assert counts == {0: (1, 0, 1), 1: (0, 0, 1), 2: (0, 1, 0), 3: (1, 1, 1)}
    pooled = score.pooled
    assert (pooled.true_positives, pooled.false_positives, pooled.misses) == (2, 2, 3)
    assert (pooled.jaccard, pooled.precision, pooled.recall) == (2 / 7, 0.5, 0.4)
    assert pooled.rmse_nm == pytest.approx(math.sqrt((25 + 16) / 2))
    assert pooled.efficiency == pytest.approx(100 - math.hypot(500 / 7, math.sqrt(20.5)))
    assert score.mean("jaccard") == pytest.approx((1 / 2 + 0 + 0 + 1 / 3) / 4)
    assert score.mean("recall") == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)  # nothing is there in frame 2
    assert dict(score_localisations(found, true, 10.0, frames=range(1, 3)).frames).keys() == {1, 2}


def test_frames_with_nothing_count_nowhere() -> None:
    nothing = score_localisations(Localisations.none(), Localisations.none(), 10.0, frames=range(7))
    assert nothing.frames == () and math.isnan(nothing.mean("jaccard"))
    for name in ("jaccard", "precision", "recall", "rmse_nm", "efficiency"):
        assert math.isnan(getattr(nothing.pooled, name))
    one = Localisations([0, 5], [1.0, 2.0], [1.0, 2.0])
    assert score_localisations(one, one, 0.0, frames=range(9)).mean("jaccard") == 1.0
    missed = score_localisations(Localisations.none(), one, 0.0).pooled
    assert missed.jaccard == missed.recall == 0.0 and math.isnan(missed.precision) and math.isnan(missed.efficiency)


def test_radius_zero_takes_the_same_place_alone_and_duplicates_once() -> None:
    true = at(np.array([[5.0, 5], [5, 5], [7, 7]]))
    found = at(np.array([[5.0, 5], [5, 5], [5, 5], [7, 7 + 1e-9]]))
    score = score_localisations(found, true, 0.0).pooled
    assert (score.true_positives, score.false_positives, score.misses) == (2, 2, 1)


@pytest.mark.parametrize("radius", [-1.0, math.nan, math.inf])
def test_a_radius_that_cannot_be_is_refused(radius: float) -> None:
    with pytest.raises(UsageError, match="radius"):
        score_localisations(Localisations.none(), Localisations.none(), radius)
    with pytest.raises(UsageError, match="radius"):
        pixel_jaccard(np.zeros((2, 2)), np.zeros((2, 2)), radius)


def test_thousands_in_a_frame_are_matched_quickly() -> None:
    random = np.random.default_rng(0)
    true = random.uniform(0, 20_000, (5000, 2))
    order = random.permutation(5000)
    found = (true + random.normal(0, 10, true.shape))[order]
    begun = time.process_time()
    rows, columns, _ = match(found, true, 100.0)
    assert time.process_time() - begun < 5.0
    assert len(rows) > 4990 and (order[rows] == columns).mean() > 0.95


def test_more_pairs_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(0, 100, (200, 2))
    monkeypatch.setattr(localisation, "available_memory_bytes", lambda: 10**6)
    assert len(match(points, points, 1.0)[0]) == 200
    with pytest.raises(MemoryLimitError, match=r"40,000 pairs of 200 found and 200 true .* smaller radius"):
        match(points, points, 1000.0)


# On the grid of pixels.


def closest_first(found: np.ndarray, true: np.ndarray, radius: float) -> float:
    """J_d as one would say it: pairs by their distance, each taken if both are free."""
    here, there = (list(zip(*np.nonzero(image), strict=True)) for image in (found, true))
    pairs = sorted((math.dist(t, f), t, f) for t in there for f in here if math.dist(t, f) <= radius)
    used_true, used_found = set(), set()
    for _, t, f in pairs:
        if t not in used_true and f not in used_found:
            used_true.add(t)
            used_found.add(f)
    either = len(here) + len(there) - len(used_true)
    return len(used_true) / either if either else math.nan


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 1.5, 2.0, 4.0]), st.floats(0.0, 0.6))
def test_pixels_are_counted_as_one_would_by_hand(seed: int, radius: float, share: float) -> None:
    random = np.random.default_rng(seed)
    found, true = random.random((2, 3, 6, 7)) < [[[[share]]], [[[0.2]]]]
    wanted = [closest_first(f, t, radius) for f, t in zip(found, true, strict=True)]
    np.testing.assert_allclose(pixel_jaccard(found * 3.5, true, radius), wanted)


def test_two_in_the_ball_of_one_are_one_hit_and_one_false() -> None:
    true, found = np.zeros((9, 9)), np.zeros((9, 9))
    true[4, 4] = found[4, 5] = found[6, 4] = 1.0
    assert pixel_jaccard(found, true, 2.0).tolist() == [0.5]
    assert pixel_jaccard(found, true, 0.0).tolist() == [0.0]
    assert pixel_jaccard(true, true, 0.0).tolist() == [1.0]
    # The ball ends at the image's border, and does not come in again at the other side.
    true[:], found[:] = 0, 0
    true[4, 8] = found[5, 0] = 1.0
    assert pixel_jaccard(found, true, 4.0).tolist() == [0.0]


def test_dark_frames_have_no_index() -> None:
    true = np.zeros((3, 5, 5))
    true[0, 2, 2] = 1.0
    values = pixel_jaccard(np.zeros_like(true), true, 1.0)
    assert values[0] == 0.0 and np.isnan(values[1:]).all() and np.nanmean(values) == 0.0
    with pytest.raises(UsageError, match="one grid"):
        pixel_jaccard(true, true[:2], 1.0)


def test_a_whole_movie_of_pixels_takes_seconds() -> None:
    random = np.random.default_rng(1)
    true, found = (random.random((361, 256, 256), dtype=np.float32) < 200 / 256**2 for _ in range(2))
    begun = time.process_time()
    values = [np.nanmean(pixel_jaccard(found, true, d)) for d in (0, 2, 4)]
    assert time.process_time() - begun < 10.0
    assert values[0] < values[1] < values[2] < 0.5


def test_psnr_is_the_mean_of_the_frames() -> None:
    truth = np.zeros((2, 4, 4))
    image = truth + np.array([0.1, 0.01])[:, None, None]
    assert mean_psnr(image, truth, 1.0) == pytest.approx((20 + 40) / 2)
    assert mean_psnr(image, truth, 10.0) == pytest.approx(50)
    assert mean_psnr(truth, truth, 1.0) == math.inf
    for wrong in (0.0, math.nan):
        with pytest.raises(UsageError, match="peak"):
            mean_psnr(image, truth, wrong)
    with pytest.raises(UsageError, match="one shape"):
        mean_psnr(image, truth[:1], 1.0)


def test_a_score_of_its_counts() -> None:
    score = LocalisationScore(80, 10, 30, 80 * 25.0)
    assert score.jaccard == pytest.approx(2 / 3) and score.rmse_nm == 5.0
    assert score.efficiency == pytest.approx(100 - math.hypot(100 / 3, 5))
