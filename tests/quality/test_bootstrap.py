"""Intervals over fields: they hold the truth as often as they say, and repeats of a field add no fields."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fluosr.corrections.intervals import jackknife
from fluosr.errors import UsageError
from fluosr.quality.bootstrap import Kind, mean_over_fields
from fluosr.quality.score_table import MethodScores, score_table


def coverage(n_fields: int, kind: Kind, *, repeats_are_fields: bool = False, draws: int = 300) -> float:
    """How often the interval holds the mean 0 of fields that differ by 1, with 10 repeats that differ by .3."""
    generator = np.random.default_rng(n_fields)
    held = 0
    for _ in range(draws):
        values = generator.standard_normal((n_fields, 1)) + 0.3 * generator.standard_normal((n_fields, 10))
        fields = np.repeat(np.arange(n_fields), 10)
        if repeats_are_fields:
            fields = np.arange(values.size)
        found = mean_over_fields(values.ravel(), fields, generator=generator, kind=kind, resamples=1000)
        held += found.interval.holds(0.0)
    return held / draws


@pytest.mark.parametrize(("n_fields", "kind"), [(3, "percentile"), (12, "percentile"), (12, "bca"), (24, "bca")])
def test_it_holds_the_truth_as_often_as_it_says(n_fields: int, kind: Kind) -> None:
    assert coverage(n_fields, kind) == pytest.approx(0.95, abs=0.03)


def test_repeats_taken_for_fields_make_it_far_too_narrow() -> None:
    assert coverage(12, "percentile", repeats_are_fields=True, draws=100) < 0.6


def test_more_repeats_of_the_same_fields_change_nothing() -> None:
    generator = np.random.default_rng(0)
    values, fields = generator.random(30), np.repeat([f"field {i}" for i in range(10)], 3)
    once = mean_over_fields(values, fields, generator=np.random.default_rng(1))
    often = mean_over_fields(np.tile(values, 50), np.tile(fields, 50), generator=np.random.default_rng(1))
    assert vars(often.interval) == pytest.approx(vars(once.interval))
    assert (once.n_fields, once.n_values, often.n_values, once.note) == (10, 30, 1500, None)
    again = mean_over_fields(values, fields, generator=np.random.default_rng(1))
    assert again == once


def test_every_field_counts_once() -> None:
    values, fields = np.array([1.0, 1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 0, 1])
    assert mean_over_fields(values, fields, generator=np.random.default_rng(0)).interval.value == 3.0


def test_the_percentiles_of_a_gaussian_are_students() -> None:
    values = np.random.default_rng(2).standard_normal(40)
    found = mean_over_fields(values, np.arange(40), generator=np.random.default_rng(3), resamples=40_000).interval
    half = 2.0227 * values.std(ddof=1) / np.sqrt(40)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)


def test_bca_leans_to_the_long_tail() -> None:
    values = np.random.default_rng(4).exponential(size=20)
    plain, leaning = (
        mean_over_fields(values, np.arange(20), generator=np.random.default_rng(5), kind=kind).interval
        for kind in ("percentile", "bca")
    )
    assert leaning.low > plain.low and leaning.high > plain.high
    # A figure that is the same in every field has no spread.
    same = mean_over_fields(np.ones(9), np.arange(9), generator=np.random.default_rng(0), kind="bca").interval
    assert (same.low, same.value, same.high) == (1.0, 1.0, 1.0)


def test_few_fields_are_warned_of() -> None:
    values = np.array([1.0, 2.0, 4.0])
    three = mean_over_fields(values, np.arange(3), generator=np.random.default_rng(0))
    wanted = jackknife(lambda chosen: float(values[chosen].mean()), 3)
    assert vars(three.interval) == pytest.approx(vars(wanted))
    assert three.kind == "student" and three.note is not None and "3 fields" in three.note
    one = mean_over_fields(values, np.zeros(3), generator=np.random.default_rng(0))
    assert one.interval.value == pytest.approx(7 / 3) and one.interval.holds(1e300) and one.interval.holds(-1e300)
    assert one.note is not None and "one field" in one.note
    assert json.loads(json.dumps(one.describe(), allow_nan=False))["high"] is None


def test_what_has_no_mean_is_said() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(UsageError, match="one length"):
        mean_over_fields(np.ones(3), np.arange(4), generator=generator)
    with pytest.raises(UsageError, match="one length"):
        mean_over_fields(np.ones(0), np.ones(0), generator=generator)
    with pytest.raises(UsageError, match="1 of 2 values are not finite"):
        mean_over_fields(np.array([1.0, np.inf]), np.arange(2), generator=generator)


def scores() -> dict[str, MethodScores]:
    generator = np.random.default_rng(6)
    level = 30 + 3 * generator.standard_normal(12)  # fields differ far more than methods do
    one, many = np.arange(12), np.repeat(np.arange(12), 4)
    return {
        "bicubic": MethodScores(many, {"PSNR, dB": level[many] + 0.1 * generator.standard_normal(48)}),
        "mean of 8": MethodScores(one, {"PSNR, dB": level + 1.0, "NIQE": 5 + generator.random(12)}),
    }


def test_a_table_holds_the_means_over_fields() -> None:
    table = score_table(scores(), generator=np.random.default_rng(7))
    assert table.metrics == ["PSNR, dB", "NIQE"] and list(table.cells["bicubic"]) == ["PSNR, dB"]
    own = scores()["bicubic"]
    alone = mean_over_fields(own.metrics["PSNR, dB"], own.fields, generator=np.random.default_rng(7))
    assert table.cells["bicubic"]["PSNR, dB"] == alone
    told = json.loads(json.dumps(table.describe(), allow_nan=False))
    cell = told["methods"]["mean of 8"]["PSNR, dB"]
    assert cell["n_fields"] == cell["n_values"] == 12 and np.mean(cell["of_fields"]) == pytest.approx(cell["mean"])


def test_differences_field_by_field_tell_more_than_their_means() -> None:
    table = score_table(scores(), generator=np.random.default_rng(7))
    more = table.against("bicubic", generator=np.random.default_rng(8))
    gain = more.cells["mean of 8"]["PSNR, dB"].interval
    assert gain.holds(1.0) and gain.high - gain.low < 0.3
    own = table.cells["mean of 8"]["PSNR, dB"].interval
    assert own.high - own.low > 10 * (gain.high - gain.low)
    assert list(more.cells) == ["mean of 8"] and more.metrics == ["PSNR, dB"]
    assert more.describe()["baseline"] == "bicubic"
    with pytest.raises(UsageError, match="no method 'lanczos'"):
        table.against("lanczos", generator=np.random.default_rng(0))


def test_methods_must_have_seen_the_same_fields() -> None:
    values = scores()
    values["partial"] = MethodScores(np.arange(11), {"PSNR, dB": np.ones(11)})
    with pytest.raises(UsageError, match=r"partial, PSNR, dB: .*scored by all: 11"):
        score_table(values, generator=np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"broken, SSIM: 1 of 2 values are not finite"):
        score_table(
            {"broken": MethodScores(np.arange(2), {"SSIM": np.array([1.0, np.nan])})},
            generator=np.random.default_rng(0),
        )
    with pytest.raises(UsageError, match="at least one method"):
        score_table({"nothing": MethodScores(np.arange(2), {})}, generator=np.random.default_rng(0))
