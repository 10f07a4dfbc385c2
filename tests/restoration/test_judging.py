"""The judges of restoration, and the few-shot protocol."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

from fluosr.corrections.intervals import student
from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.quality.features import RandomConvolutions
from fluosr.restoration.few_shot import ZERO_SHOT, few_shot, pairs_of
from fluosr.restoration.fields import Field
from fluosr.restoration.judging import distance_intervals, distances, enlarged_mean, judged, restored_by, table_of
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.parameters import RestorationTraining
from tests.restoration.fields_at_hand import field

PSNR = "PSNR after gain and offset, dB"
FIELDS = [field(number, side=64, repeats=6) for number in range(8)]
TINY = RestorationTraining(network="span", blocks=2, features=4, batch=2, patch=8, iterations=4, evaluation=2)


def test_the_truth_scores_best_and_more_light_scores_better() -> None:
    def truth(frames: np.ndarray) -> np.ndarray:
        (own,) = [f.high for f in FIELDS if np.shares_memory(f.low, frames)]
        return np.repeat((3.0 * own + 7.0)[None], len(frames), 0)

    found = {
        name: judged(make, FIELDS)[0]
        for name, make in {"truth": truth, "one": enlarged_mean(1, 2), "three": enlarged_mean(3, 2)}.items()
    }
    assert len(found["one"].fields) == 48 and len(found["three"].fields) == 16
    table = table_of(found, 0)
    means = {name: table.cells[name][PSNR].interval.value for name in found}
    assert means["truth"] > 80 and means["truth"] > means["three"] + 1 > means["one"] + 1


def test_distances_bear_the_name_of_their_features() -> None:
    _, pictures = judged(enlarged_mean(1, 2), FIELDS)
    _, better = judged(enlarged_mean(6, 2), FIELDS)
    found, finer = (
        distances(some, FIELDS, RandomConvolutions(), np.random.default_rng(0)) for some in (pictures, better)
    )
    assert list(found) == ["FID (fluosr-random-conv)", "KID (fluosr-random-conv)"]
    assert finer["FID (fluosr-random-conv)"] < found["FID (fluosr-random-conv)"]


def test_intervals_of_distances_leave_out_field_by_field() -> None:
    _, pictures = judged(enlarged_mean(2, 2), FIELDS)
    extractor = RandomConvolutions()
    found = distance_intervals(pictures, FIELDS, extractor, 0)
    alone = distances(pictures, FIELDS, extractor, np.random.default_rng(0))
    assert {name: interval.value for name, interval in found.items()} == alone
    numbers = range(len(FIELDS))
    for name, interval in found.items():
        without = np.array(
            [
                distances(
                    [pictures[n] for n in numbers if n != out],
                    [FIELDS[n] for n in numbers if n != out],
                    extractor,
                    np.random.default_rng(0),
                )[name]
                for out in numbers
            ]
        )
        reach = student(7) * np.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum())
        assert (interval.low, interval.high) == pytest.approx((alone[name] - reach, alone[name] + reach))
    two = distance_intervals(pictures[:2], FIELDS[:2], extractor, 0)
    assert all((each.low, each.high) == (-np.inf, np.inf) and np.isfinite(each.value) for each in two.values())


def test_pairs_of_a_smaller_count_are_among_those_of_a_larger_whatever_else_is_asked() -> None:
    base = lesson_of(FIELDS[:2], 2, TINY, validation=FIELDS[2:3]).learn(Run()).model
    learnt: dict[str, list[set[tuple[str, bytes]]]] = {}

    def seen(fields: list[Field], *arguments: Any, **options: Any) -> Any:
        pairs = {(f.name, frame.tobytes()) for f in fields if f.low is not None for frame in f.low}
        learnt.setdefault(str(len(pairs)), []).append(pairs)
        return mock.Mock(learn=lambda run: mock.Mock(model=base))

    with mock.patch("fluosr.restoration.few_shot.lesson_of", seen):
        for counts in ([6], [3, 6, 12], [12, 3]):
            list(few_shot(base, FIELDS[:4], FIELDS[4:5], FIELDS[5:], counts, TINY))
        list(few_shot(base, FIELDS[:4], FIELDS[4:5], FIELDS[5:], [12], TINY, seed=1))
    three, six, twelve = (learnt[count] for count in ("3", "6", "12"))
    assert three[0] == three[1] and six[0] == six[1] and twelve[0] == twelve[1] != twelve[2]
    assert three[0] < six[0] < twelve[0]


def test_pairs_are_drawn_over_all_fields() -> None:
    drawn = pairs_of(FIELDS, 10, np.random.default_rng(0))
    assert sum(len(f.low) for f in drawn if f.low is not None) == 10
    names = {f.name: f for f in FIELDS}
    for some in drawn:
        whole = names[some.name].low
        assert whole is not None and some.low is not None
        assert all(any(np.array_equal(frame, other) for other in whole) for frame in some.low)
    assert pairs_of(FIELDS, 48, np.random.default_rng(0))[3].low is not FIELDS[3].low
    with pytest.raises(UsageError, match="have 48"):
        pairs_of(FIELDS, 49, np.random.default_rng(0))


def test_the_protocol_has_a_row_for_each_count_and_never_learns_from_the_test() -> None:
    base = lesson_of(FIELDS[:2], 2, TINY, validation=FIELDS[2:3]).learn(Run()).model
    shots = list(few_shot(base, FIELDS[:4], FIELDS[4:5], FIELDS[5:], [3, None], TINY))
    assert [shot.name for shot in shots] == ["bicubic", "mean of 4, bicubic", ZERO_SHOT, "3 pairs", "all pairs"]
    assert [shot.pairs for shot in shots] == [None, None, 0, 3, 24] and shots[-1].fields == 4
    assert all(set(shot.scores.fields) == {f.name for f in FIELDS[5:]} for shot in shots)
    zero = judged(restored_by(base.network), FIELDS[5:])[0]
    np.testing.assert_allclose(shots[2].scores.metrics[PSNR], zero.metrics[PSNR])
    with pytest.raises(UsageError, match="both training and test"):
        next(few_shot(base, FIELDS, FIELDS[:0], FIELDS[5:], [3], TINY))


def test_fields_without_frames_cannot_be_judged() -> None:
    with pytest.raises(UsageError, match="no frames"):
        judged(enlarged_mean(1, 2), [Field("alone", FIELDS[0].high)])
