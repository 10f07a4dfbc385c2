"""Covariance over lags, through windows: against the emitters' own formulas, and explicit matrices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.lag_curve import Window, curve, rate_of
from fluosr.emitters import Telegraph


@given(on=st.floats(0.05, 50), off=st.floats(0.05, 50))
def test_the_curve_is_that_of_the_emitters(on, off):
    molecule = Telegraph(on, off, 1.0, 3.0)
    wanted = [molecule.covariance_factor(k) for k in range(6)]
    found = 3.0 * (1 - molecule.on_share) * curve(molecule.switching_rate, 6)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rate", [0.2, 2.0, math.inf])
def test_expected_products_are_those_of_the_explicit_covariance(rate):
    window = Window(15)
    rho = curve(rate, 15) / curve(rate, 15)[0]
    covariance = rho[np.abs(np.subtract.outer(np.arange(15), np.arange(15)))]
    left = window.projection @ covariance @ window.projection
    wanted = [np.diag(left, k).sum() for k in range(window.n_lags)]
    np.testing.assert_allclose(window.expected(rate), wanted, atol=1e-10)
    assert Window(15).expected(math.inf)[0] == pytest.approx(window.degrees)


@given(seed=st.integers(0, 1000))
def test_slow_trends_leave_nothing(seed):
    window = Window(20)
    generator = np.random.default_rng(seed)
    time = np.arange(20.0)
    trend = np.outer(generator.normal(size=5), np.ones(20)) + np.outer(generator.normal(size=5), time)
    trend += np.outer(generator.normal(size=5), time**2)
    gram = trend.T @ trend
    assert np.abs(window.lagged_products(gram)).max() < 1e-9 * np.abs(gram).max()


@given(rate=st.floats(0.1, 8), variance=st.floats(0.1, 1e4))
def test_a_curve_without_noise_is_found(rate, variance):
    window = Window(30)
    found, amplitude = window.fit(variance * window.expected(rate))
    assert found == pytest.approx(rate, rel=1e-3)
    assert amplitude == pytest.approx(variance, rel=1e-3)


@given(rate=st.floats(0.01, 20))
def test_the_rate_of_a_correlation(rate):
    rho = curve(rate, 2)
    assert rate_of(rho[1] / rho[0]) == pytest.approx(rate, rel=1e-4)
    assert math.isinf(rate_of(0.0))


def test_the_jackknife_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(size=12)
    found = jackknife(lambda chosen: float(values[chosen].mean()), 12)
    half = 2.20099 * values.std(ddof=1) / math.sqrt(12)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-5)


def test_intervals_in_words_and_turned_over():
    assert str(Interval(30.21, 27.0, 33.5)) == "30.2 (95 %: 27 to 33.5)"
    turned = Interval(0.1, -0.1, 0.2).inverse()
    assert (turned.value, turned.low, turned.high) == (10.0, 5.0, math.inf)
    assert str(turned) == "10 (95 %: above 5)"
    assert turned.holds(1e9) and not turned.holds(4.9)
