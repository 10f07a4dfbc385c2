"""FID and KID: closed forms, roots taken slowly, symmetry, their biases, and intervals that leave out whole fields."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from fluosr.errors import UsageError
from fluosr.quality.frechet import frechet_distance, interval_over_fields, kernel_distance, score_name


def slow_fid(a: np.ndarray, b: np.ndarray) -> float:
    s1, s2 = np.cov(a.T), np.cov(b.T)
    # The symmetric form has real roots.
    root = np.real(sqrtm(s1))
    common = np.real(sqrtm(root @ s2 @ root))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * common))


def slow_kid(a: np.ndarray, b: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(rows, 2)]) for rows in (a, b)]
    return float(sum(within) - 2 * np.mean([kernel(x, y) for x in a for y in b]))


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows whose sample mean and covariance are exactly these."""
    draws = np.random.default_rng(seed).standard_normal((count, len(mean)))
    draws -= draws.mean(0)
    draws = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    return draws @ np.linalg.cholesky(covariance).T + mean


def test_fid_of_gaussians_that_share_their_axes_is_the_closed_form() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
    first, second = np.array([1.0, 4.0, 9.0, 0.25]), np.array([4.0, 1.0, 1.0, 0.01])
    a = with_moments(np.zeros(4), turn @ np.diag(first) @ turn.T, 50, 1)
    b = with_moments(np.arange(4.0), turn @ np.diag(second) @ turn.T, 70, 2)
    wanted = 14 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize(("n1", "n2"), [(40, 60), (200, 12)])
def test_fid_is_the_trace_of_the_root(n1: int, n2: int) -> None:
    generator = np.random.default_rng(3)
    a, b = generator.standard_normal((n1, 6)) @ generator.random((6, 6)), 1 + generator.random((n2, 6))
    assert frechet_distance(a, b) == pytest.approx(slow_fid(a, b), rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-12)


def test_fewer_rows_than_features_are_no_trouble() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.standard_normal((5, 3)), 2 + generator.standard_normal((4, 3))
    # Turned into 40 dimensions: distances stay, covariances become singular.
    turn, _ = np.linalg.qr(generator.standard_normal((40, 3)))
    assert frechet_distance(a @ turn.T, b @ turn.T) == pytest.approx(slow_fid(a, b), rel=1e-8)
    assert frechet_distance(a @ turn.T, a @ turn.T) == pytest.approx(0, abs=1e-10)


def test_fid_is_biased_upwards_and_less_with_more_rows() -> None:
    generator = np.random.default_rng(5)

    def mean_fid(count: int) -> float:
        return float(np.mean([frechet_distance(*generator.standard_normal((2, count, 8))) for _ in range(30)]))

    few, many = mean_fid(20), mean_fid(200)
    assert few > 5 * many > 0


def test_kid_is_its_formula_and_symmetric() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.standard_normal((7, 3)), 0.5 + generator.standard_normal((9, 3))
    found = kernel_distance(a, b, generator=generator)
    assert found.value == pytest.approx(slow_kid(a, b), rel=1e-10) and found.spread is None
    assert kernel_distance(b, a, generator=generator).value == pytest.approx(found.value, rel=1e-12)


def test_kid_of_two_halves_of_one_set_is_0_on_average() -> None:
    generator = np.random.default_rng(7)
    rows = generator.gamma(2.0, size=(60, 5))
    found = []
    for _ in range(400):
        mixed = generator.permutation(rows)
        found.append(kernel_distance(mixed[:30], mixed[30:], generator=generator).value)
    fresh = [kernel_distance(*generator.gamma(2.0, size=(2, 30, 5)), generator=generator).value for _ in range(400)]
    for values in (found, fresh):
        assert abs(np.mean(values)) < 3 * np.std(values) / 20
        assert min(values) < 0
    apart = kernel_distance(rows[:30], 1.5 * rows[30:], generator=generator).value
    assert apart > 3 * np.std(fresh)


def test_kid_of_subsets_comes_to_that_of_the_whole() -> None:
    generator = np.random.default_rng(8)
    a, b = generator.standard_normal((300, 4)), 0.6 + generator.standard_normal((250, 4))
    whole = kernel_distance(a, b, generator=generator, subset=300)
    parts = kernel_distance(a, b, generator=np.random.default_rng(0), subset=60, subsets=200)
    assert whole.spread is None and parts.spread is not None
    assert parts.value == pytest.approx(whole.value, abs=4 * parts.spread / np.sqrt(200))
    again = kernel_distance(a, b, generator=np.random.default_rng(0), subset=60, subsets=200)
    assert again == parts


def test_the_interval_leaves_out_whole_fields() -> None:
    generator = np.random.default_rng(9)
    fields = [generator.standard_normal((6, 3)) + generator.standard_normal(3) for _ in range(8)]
    reference = generator.standard_normal((50, 3))
    found = interval_over_fields(frechet_distance, fields, reference)
    without = [
        frechet_distance(np.concatenate(fields[:i] + fields[i + 1 :]), reference) for i in range(8)
    ]  # the jackknife, written out
    error = np.sqrt(7 / 8 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert found.value == frechet_distance(np.concatenate(fields), reference)
    assert found.high - found.value == pytest.approx(2.364624 * error, rel=1e-5)
    paired = interval_over_fields(frechet_distance, fields, [field + 1.0 for field in fields])
    # A shift by 1 in each of three features, whichever fields take part.
    assert (paired.low, paired.value, paired.high) == pytest.approx((3, 3, 3), abs=1e-8)


def test_scores_bear_their_extractors_name_and_what_cannot_be_is_said() -> None:
    assert score_name("FID", "fluosr-random-conv") == "FID (fluosr-random-conv)"
    rows = np.random.default_rng(0).random((5, 3))
    with pytest.raises(UsageError, match="one extractor"):
        frechet_distance(rows, rows[:, :2])
    with pytest.raises(UsageError, match="two or more of each"):
        frechet_distance(rows, rows[:1])
    with pytest.raises(UsageError, match="finite"):
        kernel_distance(rows, rows * np.nan, generator=np.random.default_rng(0))
    with pytest.raises(UsageError, match="subsets of two"):
        kernel_distance(rows, rows, generator=np.random.default_rng(0), subset=1)
    with pytest.raises(UsageError, match="two fields or more"):
        interval_over_fields(frechet_distance, [rows], rows)
    with pytest.raises(UsageError, match="2 fields and 3"):
        interval_over_fields(frechet_distance, [rows] * 2, [rows] * 3)
