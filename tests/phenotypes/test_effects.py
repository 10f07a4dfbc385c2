"""Effect sizes: against their formulas written out, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind

from fluosr.errors import UsageError
from fluosr.phenotypes.effects import Effect, effect_size
from fluosr.phenotypes.wells import over_wells

VALUES = st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=12)


def effect(
    control: list[float] | np.ndarray,
    condition: list[float] | np.ndarray,
    wells: tuple[int, int] = (2, 2),
    seed: int = 0,
) -> Effect:
    """With cells dealt out to so many wells each."""
    generator = np.random.default_rng(seed)
    sides = [np.arange(len(values)) % count for values, count in zip((control, condition), wells, strict=True)]
    return effect_size(np.array(control), sides[0], np.array(condition), sides[1], generator=generator)


@given(control=VALUES, condition=VALUES)
def test_g_and_auc_are_those_of_their_formulas(control: list[float], condition: list[float]) -> None:
    found = effect(control, condition)
    wins = [(b > a) + 0.5 * (b == a) for a in control for b in condition]
    assert found.auc.interval.value == pytest.approx(np.mean(wins))
    n0, n1 = len(control), len(condition)
    pooled = (np.var(control) * n0 + np.var(condition) * n1) / (n0 + n1 - 2)
    if pooled > 0:
        g = (np.mean(condition) - np.mean(control)) / math.sqrt(pooled) * (1 - 3 / (4 * (n0 + n1) - 9))
        assert found.hedges_g.interval.value == pytest.approx(g, abs=1e-9)


@given(control=VALUES, condition=VALUES)
def test_the_other_way_round_it_is_the_other_way_round(control: list[float], condition: list[float]) -> None:
    there, back = effect(control, condition), effect(condition, control)
    assert there.auc.interval.value == pytest.approx(1 - back.auc.interval.value)
    if math.isfinite(there.hedges_g.interval.value):
        assert there.hedges_g.interval.value == pytest.approx(-back.hedges_g.interval.value, abs=1e-9)


def test_a_draw_of_wells_is_the_figure_of_their_cells() -> None:
    # Resampling by counts must equal pooling the cells of the drawn wells.
    generator = np.random.default_rng(5)
    groups = [[generator.normal(side, 1, generator.integers(3, 9)) for _ in range(8)] for side in (0, 1)]
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def spy(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        seen.append((times_0, times_1))
        sums = [times @ np.array([v.sum() for v in g]) for times, g in zip((times_0, times_1), groups, strict=True)]
        sizes = [times @ np.array([len(v) for v in g]) for times, g in zip((times_0, times_1), groups, strict=True)]
        return np.asarray(sums[1] / sizes[1] - sums[0] / sizes[0])

    found = over_wells(spy, (8, 8), np.random.default_rng(0))
    draws = seen[1][0]
    assert found.kind == "bootstrap" and (draws.sum(1) == 8).all()
    pooled = [
        np.concatenate([np.repeat(v, int(t)) for v, t in zip(groups[side], seen[1][side][0], strict=True)])
        for side in (0, 1)
    ]
    assert spy(seen[1][0][:1], seen[1][1][:1])[0] == pytest.approx(pooled[1].mean() - pooled[0].mean())


@pytest.mark.parametrize("wells", [4, 10])
def test_intervals_hold_the_truth_where_wells_differ(wells: int) -> None:
    # Cells: N(0, 1) about wells of N(0, .5); 12 cells a well. Taken cell by cell an interval would be far too narrow.
    truth, held, runs = 1.0, 0, 80
    generator = np.random.default_rng(11)
    for _ in range(runs):
        sides = []
        for shift in (0.0, truth):
            middle = shift + generator.normal(0, 0.5, wells)
            sides.append((generator.normal(np.repeat(middle, 12), 1.0), np.repeat(np.arange(wells), 12)))
        found = effect_size(*sides[0], *sides[1], generator=generator).hedges_g
        held += found.interval.holds(truth / math.sqrt(1.25))
    assert held / runs >= 0.88


@given(
    control=st.lists(st.floats(-9, 9), min_size=2, max_size=7),
    condition=st.lists(st.floats(-9, 9), min_size=2, max_size=7),
)
def test_of_few_wells_a_difference_of_means_has_the_interval_of_welch(
    control: list[float], condition: list[float]
) -> None:
    groups = [np.round(control, 3), np.round(condition, 3)]
    if min(np.ptp(group) for group in groups) < 1e-2:
        return

    def figure(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        first, second = (t @ group / t.sum(1) for t, group in zip((times_0, times_1), groups, strict=True))
        return np.asarray(second - first)

    found = over_wells(figure, (len(control), len(condition)), np.random.default_rng(0)).interval
    expected = ttest_ind(groups[1], groups[0], equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("wells", [3, 5])
def test_areas_near_their_end_have_intervals_that_hold_the_truth(wells: int) -> None:
    # By their own scatter, which is no Gaussian's near 1, the intervals hold the truth in 85 of 100 cases.
    generator, runs, shift = np.random.default_rng(2), 150, 3.0
    truth = norm.cdf(shift / math.sqrt(2 * 1.25))
    held = np.zeros(2)
    for _ in range(runs):
        middles = [generator.normal(side, 0.5, wells) for side in (0.0, shift)]
        cells = [generator.normal(np.repeat(middle, 12), 1.0) for middle in middles]
        found = effect_size(
            cells[0], np.repeat(np.arange(wells), 12), cells[1], np.repeat(np.arange(wells), 12), generator=generator
        )
        held += [found.auc.interval.holds(truth), found.hedges_g.interval.holds(shift / math.sqrt(1.25))]
        assert 0 <= found.auc.interval.low <= found.auc.interval.value <= found.auc.interval.high <= 1
    assert (held / runs >= 0.91).all() and (held / runs < 1).all()


def test_where_nothing_bounds_a_figure_both_ends_are_infinite_whatever_its_limits() -> None:
    def undone(times_0: np.ndarray, times_1: np.ndarray) -> np.ndarray:
        whole = (times_0 > 0).all(1) & (times_1 > 0).all(1)
        return np.where(whole, 0.5, np.nan)  # nothing is left to measure without one of the wells

    for counts in ((1, 5), (4, 4), (9, 9)):
        found = over_wells(undone, counts, np.random.default_rng(0), limits=(0.0, 1.0))
        assert found.kind == "none" and (found.interval.low, found.interval.high) == (-math.inf, math.inf)


def test_one_well_has_no_interval_and_says_so() -> None:
    found = effect([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], wells=(1, 2)).hedges_g
    assert math.isinf(found.interval.low) and found.note is not None and "too few wells" in found.note
    assert found.describe()["low"] is None


def test_cells_that_could_not_be_measured_are_counted_and_too_few_refused() -> None:
    found = effect([1.0, math.nan, 2.0, 3.0], [4.0, 5.0, 6.0, math.nan])
    assert found.cells == (3, 3) and found.left_out == (1, 1)
    with pytest.raises(UsageError, match="of 3 cells 1 could be measured"):
        effect([1.0, math.nan, math.nan], [4.0, 5.0])


def test_cells_that_are_all_alike_have_no_effect_size_and_say_so() -> None:
    found = effect([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert found.auc.interval.value == 0.5 and math.isnan(found.hedges_g.interval.value)
    assert found.hedges_g.describe()["value"] is None and "all alike" in str(found.hedges_g.note)
