"""Information: against explicit matrices, numerical likelihoods, enumeration of bursts, and sampling."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, poisson

from fluosr.errors import UsageError
from fluosr.limits.information import (
    Scores,
    best_weights,
    gaussian_information,
    inverse_of,
    mean_information,
    sandwich,
)
from fluosr.limits.moments import Moments, PairModel
from fluosr.limits.scene import Experiment, Pair

SMALL = Experiment(photons=12.0, fano_factor=8.0, background_fraction=0.2, read_noise_e=0.7)


def small_model(experiment: Experiment = SMALL, shape: str = "lines", **options: bool) -> PairModel:
    pair = Pair(shape, length_nm=150.0, width_nm=40.0, angle_deg=20.0)  # type: ignore[arg-type]
    return PairModel(experiment, pair, (5, 6), 13.0, **options)


@pytest.mark.parametrize("shape", ["lines", "points"])
@pytest.mark.parametrize("slope", [False, True])
def test_the_slopes_of_the_moments_are_those_of_finite_differences(shape: str, slope: bool) -> None:
    model = small_model(shape=shape, slope=slope)
    parameters = model.parameters(120.0, 21.0) + 0.1  # not symmetric
    moments = model.moments(parameters)
    for index, name in enumerate(model.names):
        step = np.zeros(len(parameters))
        step[index] = 1e-3
        plus, minus = model.moments(parameters + step), model.moments(parameters - step)
        np.testing.assert_allclose(
            moments.mean_slopes[index], (plus.mean - minus.mean) / 2e-3, rtol=1e-5, atol=1e-8, err_msg=name
        )
        np.testing.assert_allclose(
            moments.covariance_slopes[index], (plus.covariance - minus.covariance) / 2e-3, rtol=1e-5, atol=1e-7
        )


def test_the_information_of_gaussian_frames_is_the_formula_with_explicit_matrices() -> None:
    model = small_model()
    moments = model.moments(model.parameters(150.0))
    inverse = np.linalg.inv(moments.covariance)
    count = len(model.names)
    wanted = np.zeros((count, count))
    for i, j in itertools.product(range(count), repeat=2):
        slopes = moments.covariance_slopes
        wanted[i, j] = moments.mean_slopes[i] @ inverse @ moments.mean_slopes[j]
        wanted[i, j] += 0.5 * np.trace(inverse @ slopes[i] @ inverse @ slopes[j])
    found = gaussian_information(Scores.gaussian(moments), moments)
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10 * np.abs(wanted).max())


def test_it_is_the_curvature_of_the_expected_log_likelihood() -> None:
    # E log p(y; theta) of a Gaussian is known in closed form; its second derivative is taken numerically.
    model = small_model()
    truth = model.parameters(150.0)
    moments = model.moments(truth)
    names = ("separation_nm", "photons")
    steps = {"separation_nm": 1.0, "photons": 0.3}

    def expected(parameters: np.ndarray) -> float:
        other = model.moments(parameters)
        z = moments.mean - other.mean
        ratio = np.linalg.solve(other.covariance, moments.covariance + np.outer(z, z))
        return -0.5 * (np.linalg.slogdet(other.covariance)[1] + np.trace(ratio))

    information = gaussian_information(Scores.gaussian(moments), moments)
    for a, b in itertools.combinations_with_replacement(names, 2):
        total = 0.0
        for sign_a, sign_b in itertools.product((1, -1), repeat=2):
            moved = truth.copy()
            moved[model.names.index(a)] += sign_a * steps[a]
            moved[model.names.index(b)] += sign_b * steps[b]
            total += sign_a * sign_b * expected(moved)
        curvature = -total / (4 * steps[a] * steps[b])
        assert information[model.names.index(a), model.names.index(b)] == pytest.approx(curvature, rel=2e-3)


def test_scores_are_the_derivative_of_the_gaussian_log_likelihood() -> None:
    model = small_model()
    truth = model.parameters(150.0)
    frame = model.moments(truth).mean + np.random.default_rng(0).normal(size=30)
    scores = Scores.gaussian(model.moments(truth))
    count = len(truth)
    values = scores.values(model.moments(truth), frame, np.zeros((30, 30)))
    for index in range(count):
        step = np.zeros(count)
        step[index] = 1e-3
        ends = [model.moments(truth + sign * step) for sign in (1, -1)]
        wanted = np.subtract(*(multivariate_normal(e.mean, e.covariance).logpdf(frame) for e in ends)) / 2e-3
        assert values[index] + values[count + index] == pytest.approx(wanted, rel=1e-4, abs=1e-8)


def test_steady_emitters_leave_all_information_in_the_mean_and_it_is_that_of_poisson_counts() -> None:
    # Poisson: sum over pixels of (dmu)^2 / mu, with the sum over counts carried out.
    model = small_model(replace(SMALL, fano_factor=0.0, read_noise_e=0.0))
    truth = model.parameters(150.0)
    moments = model.moments(truth)
    d = model.names.index("separation_nm")
    counts = np.arange(80)[:, None]
    score = (counts / moments.mean - 1.0) * moments.mean_slopes[d]
    exact = float((poisson.pmf(counts, moments.mean) * score**2).sum())
    assert mean_information(moments)[d, d] == pytest.approx(exact, rel=1e-9)

    from_mean = inverse_of(mean_information(moments)[:-1, :-1])[d, d]
    scores = Scores.gaussian(moments)
    from_both = inverse_of(best_weights(scores.split(), moments)[1])[d, d]
    assert from_both == pytest.approx(from_mean, rel=1e-6)
    # Shot noise's variance looks informative to whoever takes counts for Gaussian; it is not.
    assert inverse_of(gaussian_information(scores, moments))[d, d] < 0.98 * from_mean
    assert sandwich(scores, moments)[d, d] > from_mean


def two_pixels(kappa: float) -> Moments:
    """One emitter and two pixels, with a background and no read noise."""
    response, emission, background = np.array([[0.3], [0.15]]), np.array([2.0]), np.array([0.2, 0.1])
    mean = response @ emission + background
    covariance = kappa * (response * emission) @ response.T + np.diag(mean)
    return Moments(mean, covariance, np.zeros((1, 2)), np.zeros((1, 2, 2)), response, emission, kappa)


@pytest.mark.parametrize("kappa", [0.0, 1.0, 4.0])
def test_the_variance_of_the_scores_is_that_of_all_frames_enumerated(kappa: float) -> None:
    moments = two_pixels(kappa)
    counts = np.arange(34)
    weights, light = np.ones(1), moments.mean[None]
    if kappa:
        bursts = np.arange(40)
        weights = poisson.pmf(bursts, 2.0 / kappa)
        light = 0.0 + kappa * bursts[:, None] * moments.response[:, 0] + np.array([0.2, 0.1])
    table = sum(
        weight * np.outer(poisson.pmf(counts, a), poisson.pmf(counts, b))
        for weight, (a, b) in zip(weights, light, strict=True)
    )
    assert table.sum() == pytest.approx(1.0, abs=1e-7)
    generator = np.random.default_rng(3)
    quadratic = generator.normal(size=(2, 2, 2))
    scores = Scores(generator.normal(size=(2, 2)), quadratic + quadratic.transpose(0, 2, 1))
    z = np.stack(np.meshgrid(counts, counts, indexing="ij"), -1) - moments.mean
    values = np.stack(
        [
            *(z @ g for g in scores.linear),
            *(
                0.5 * (np.einsum("abi,ij,abj->ab", z, m, z) - np.trace(m @ moments.covariance))
                for m in scores.quadratic
            ),
        ]
    )
    assert np.abs((values * table).sum((1, 2))).max() < 1e-5
    wanted = np.einsum("iab,jab,ab->ij", values, values, table)
    np.testing.assert_allclose(scores.variance(moments), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kappa", [1.0, 8.0, 100.0])
def test_weights_are_never_worse_than_the_mean_alone_nor_than_a_gaussian_fit(kappa: float) -> None:
    model = small_model(replace(SMALL, fano_factor=kappa))
    moments = model.moments(model.parameters(130.0))
    d = model.names.index("separation_nm")
    scores = Scores.gaussian(moments)
    together = inverse_of(best_weights(scores, moments)[1])
    apart = inverse_of(best_weights(scores.split(), moments)[1])
    assert apart[d, d] <= together[d, d] * (1 + 1e-9)
    assert together[d, d] <= inverse_of(mean_information(moments)[:-1, :-1])[d, d] * (1 + 1e-9)
    assert together[d, d] <= sandwich(scores, moments)[d, d] * (1 + 1e-9)


def test_units_do_not_matter_to_the_inverse() -> None:
    model = small_model()
    moments = model.moments(model.parameters(150.0))
    information = gaussian_information(Scores.gaussian(moments), moments)
    units = 10.0 ** np.arange(-6, len(information) - 6)
    scaled = inverse_of(information * np.outer(units, units)) * np.outer(units, units)
    np.testing.assert_allclose(scaled, inverse_of(information), rtol=1e-6)


def test_what_cannot_be_inverted_is_said() -> None:
    with pytest.raises(UsageError, match="too close"):
        inverse_of(np.ones((2, 2)))
    with pytest.raises(UsageError, match="tell nothing"):
        inverse_of(np.diag([1.0, 0.0]))
    dark = replace(SMALL, fano_factor=0.0, background_fraction=0.0, read_noise_e=0.0)
    model = PairModel(dark, Pair("points"), (40, 40))
    with pytest.raises(UsageError, match="background or a read noise"):
        mean_information(model.moments(model.parameters(100.0)))
    assert math.isfinite(mean_information(small_model().moments(small_model().parameters(100.0))).max())
