"""Two methods on the same wells: what both owe to a well falls out of the interval of their difference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.phenotypes.accuracy import Verdict
from fluosr.phenotypes.comparison import compare_conditions
from fluosr.phenotypes.effects import CellValues, effect_difference, effect_size
from fluosr.report.phenotype_files import effects_markdown
from tests.plates import crop_set

CELLS = 12


def values(
    wells: int, shift: float, generator: np.random.Generator, between: float = 0.7
) -> tuple[CellValues, CellValues]:
    """What two methods see of the same cells: the second weakens the effect by a fifth, and both err a little."""
    names = np.repeat(np.arange(wells), CELLS)
    first, second = [], []
    for side in (0.0, shift):
        own = generator.normal(np.repeat(generator.normal(0, between, wells), CELLS), 1.0)
        first.append(own + side + generator.normal(0, 0.1, len(own)))
        second.append(own + 0.8 * side + generator.normal(0, 0.1, len(own)))
    return CellValues(first[0], names, first[1], names), CellValues(second[0], names, second[1], names)


@pytest.mark.parametrize("wells", [4, 9])
def test_the_difference_is_that_of_the_figures_and_its_interval_narrower_than_theirs(wells: int) -> None:
    first, second = values(wells, 2.0, np.random.default_rng(3))
    alone = [
        effect_size(v.control, v.control_wells, v.condition, v.condition_wells, generator=np.random.default_rng(0))
        for v in (first, second)
    ]
    found = effect_difference(first, second, generator=np.random.default_rng(0))
    for name in ("hedges_g", "auc"):
        one, other, less = (getattr(f, name).interval for f in (*alone, found))
        assert less.value == pytest.approx(one.value - other.value)
        assert less.low <= less.value <= less.high
        assert less.high - less.low < 0.7 * min(one.high - one.low, other.high - other.low)


@pytest.mark.parametrize("wells", [4, 9])
def test_intervals_of_differences_hold_the_truth(wells: int) -> None:
    generator, held, runs = np.random.default_rng(5), 0, 100
    truth = (2.0 - 1.6) / np.sqrt(1 + 0.5**2 + 0.1**2)
    for _ in range(runs):
        first, second = values(wells, 2.0, generator, between=0.5)
        held += effect_difference(first, second, generator=generator).hedges_g.interval.holds(truth)
    assert held / runs >= 0.88


def test_a_well_that_one_method_could_not_measure_still_counts_for_the_other() -> None:
    first, second = values(4, 2.0, np.random.default_rng(3))
    second.control[second.control_wells == 2] = np.nan
    found = effect_difference(first, second, generator=np.random.default_rng(0)).hedges_g
    kept = second.control_wells != 2
    alone = [
        effect_size(*sides, second.condition_wells, generator=np.random.default_rng(0)).hedges_g.interval.value
        for sides in (
            (first.control, first.control_wells, first.condition),
            (second.control[kept], second.control_wells[kept], second.condition),
        )
    ]
    assert found.interval.value == pytest.approx(alone[0] - alone[1]) and found.wells == (4, 4)


def test_other_cells_are_refused() -> None:
    first, second = values(4, 2.0, np.random.default_rng(3))
    with pytest.raises(UsageError, match="on the same cells only"):
        effect_difference(
            first,
            dataclasses.replace(second, control=second.control[1:], control_wells=second.control_wells[1:]),
            generator=np.random.default_rng(0),
        )


def test_accuracies_are_compared_on_the_same_cells() -> None:
    generator = np.random.default_rng(1)
    treatments = np.repeat(["a", "b"], 60)
    wells = np.array([f"{t}{n % 5}" for n, t in enumerate(treatments)])
    score = np.where(treatments == "b", 0.65, 0.35) + generator.normal(0, 0.15, 120)
    sure, less_sure = (
        Verdict(("a", "b"), np.clip(score + generator.normal(0, noise, 120), 0, 1), treatments, wells)
        for noise in (0, 0.2)
    )
    better = sure.less(less_sure, np.random.default_rng(0))
    one, other = (verdict.accuracy(np.random.default_rng(0)) for verdict in (sure, less_sure))
    assert better.balanced.interval.value == pytest.approx(one.balanced.interval.value - other.balanced.interval.value)
    assert better.auc.interval.value == pytest.approx(one.auc.interval.value - other.auc.interval.value)
    assert (
        better.balanced.interval.low > 0 and one.auc.interval.low < one.auc.interval.value <= one.auc.interval.high <= 1
    )
    same = sure.less(sure, np.random.default_rng(0)).balanced.interval
    assert (same.low, same.value, same.high) == (0, 0, 0)
    with pytest.raises(UsageError, match="same cells only"):
        sure.less(Verdict(("a", "b"), score, treatments, wells[::-1]), generator)


def test_a_method_that_blurs_is_held_against_the_crops_pair_by_pair() -> None:
    crops = crop_set({"control": [0.5, 0.6] * 2, "drug": [1.0, 1.2] * 2}, cells=4)
    flat = crops.pixels.copy()
    flat[:, 1] = (flat[:, 1] + flat[:, 1].mean((1, 2), keepdims=True)) / 2
    found = compare_conditions(
        crops, {"flat": crops.with_pixels(flat)}, name="crops", generator=np.random.default_rng(0)
    )
    less = found.effect_differences["flat"]["nucleus_to_ring"]["drug"].hedges_g.interval
    one, other = (found.effects[m]["nucleus_to_ring"]["drug"].hedges_g.interval.value for m in ("flat", "crops"))
    assert less.value == pytest.approx(one - other)
    text = effects_markdown(found)
    assert "## Effects, less those of crops" in text and "| less that of crops |" in text
    assert "not corrected for their number" in text
