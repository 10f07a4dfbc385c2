"""The bound of a separation: published figures, scaling laws, what it says when it cannot, and movies that reach it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import FluosrError, OpticsError, UsageError
from fluosr.limits import (
    Criterion,
    Experiment,
    Pair,
    SeparationBound,
    chance_of_two,
    find_limit,
    separation_bound,
    smallest_separation,
)
from fluosr.limits.fit import Use, fit_pair
from fluosr.limits.information import Scores, inverse_of, mean_information
from fluosr.limits.moments import PairModel
from fluosr.limits.sample import sample_frames, sample_moments
from fluosr.optics.psf import AiryPSF, GaussianPSF

DIM = Experiment(photons=5.0, frames=500, fano_factor=30.0, read_noise_e=0.0, background_fraction=0.2)
COARSE = replace(DIM, pixel_size_nm=160.0)  # fewer pixels: quicker
SHORT = Pair(length_nm=200.0)
NAMES = ("mean_nm", "covariance_nm", "mean_steady_nm", "gaussian_nm", "gaussian_fit_nm")


def values(bound: SeparationBound) -> np.ndarray:
    return np.array([getattr(bound, name) for name in NAMES])


@pytest.mark.parametrize(
    ("separation_nm", "kappa", "mean_nm", "both_nm"),
    [
        (40.0, 1.0, 10.7, 9.5), (60.0, 1.0, 7.2, 6.4), (100.0, 1.0, 4.4, 3.9),
        (40.0, 30.0, 10.7, 4.1), (60.0, 30.0, 7.2, 3.2), (100.0, 30.0, 4.4, 2.6),
    ],
)  # fmt: skip
def test_an_earlier_calculation_for_gaussian_frames_is_found_again(
    separation_nm: float, kappa: float, mean_nm: float, both_nm: float
) -> None:
    bound = separation_bound(replace(DIM, fano_factor=kappa), Pair(width_nm=0.0), separation_nm, window=(8, 16))
    assert bound.mean_nm == pytest.approx(mean_nm, rel=0.05)
    assert bound.mean_steady_nm == pytest.approx(mean_nm, rel=0.05)
    assert bound.gaussian_nm == pytest.approx(both_nm, rel=0.05)


def test_at_a_fano_factor_of_one_the_covariance_tells_next_to_nothing() -> None:
    # The gain that Gaussian frames promise lies in the variance of the shot noise, which photon counts do not grant.
    bound = separation_bound(replace(DIM, fano_factor=1.0), Pair(), 60.0)
    assert 0.98 * bound.mean_nm < bound.covariance_nm <= bound.mean_nm
    assert bound.gaussian_nm < 0.9 * bound.mean_nm < bound.mean_nm < bound.gaussian_fit_nm


@settings(max_examples=4)
@given(st.floats(0.0, 200.0), st.floats(1.0, 100.0), st.floats(40.0, 300.0), st.sampled_from(["lines", "points"]))
def test_laws(kappa: float, photons: float, separation_nm: float, shape: str) -> None:
    experiment = replace(COARSE, fano_factor=kappa, photons=photons)
    pair = replace(SHORT, shape=shape)
    window = (6, 9)
    here = values(separation_bound(experiment, pair, separation_nm, window=window))
    # More frames: the square root. More light, and the same background: never worse, but for who weights wrongly.
    longer = values(separation_bound(replace(experiment, frames=4 * 500), pair, separation_nm, window=window))
    np.testing.assert_allclose(longer, here / 2, rtol=1e-9)
    brighter = replace(experiment, photons=2 * photons, background_fraction=0.1)
    assert (values(separation_bound(brighter, pair, separation_nm, window=window)) <= here * (1 + 1e-9))[[0, 2]].all()
    # Read noise never helps.
    noisy = separation_bound(replace(experiment, read_noise_e=3.0), pair, separation_nm, window=window)
    assert (values(noisy) >= here * (1 - 1e-9))[[0, 1, 2, 3]].all()
    # What uses more is never worse; who takes bursts for Gaussian never beats the best weights.
    mean, covariance, steady, gaussian, gaussian_fit = here
    assert covariance <= mean * (1 + 1e-9) and covariance <= gaussian_fit * (1 + 1e-9)
    assert gaussian <= mean * (1 + 1e-9) and steady <= mean * (1 + 1e-9)
    # A background that may incline as well can only cost.
    inclined = values(separation_bound(experiment, pair, separation_nm, window=window, slope=True))
    assert (inclined >= here * (1 - 1e-6))[[0, 2, 3]].all()


def test_light_that_falls_to_nothing_leaves_no_numbers_that_are_slow_to_calculate_with() -> None:
    model = PairModel(COARSE, Pair("points"), Pair("points").window(COARSE, 5000.0))
    moments = model.moments(model.parameters(5000.0))
    quadratic = Scores.gaussian(moments).quadratic
    for values_of in (moments.covariance, moments.covariance_slopes, quadratic):
        assert (values_of == 0).any() and np.abs(values_of[values_of != 0]).min() >= 1e-150


def test_stronger_blinking_makes_the_covariance_tell_more_and_the_mean_no_more() -> None:
    bounds = [separation_bound(replace(DIM, fano_factor=kappa), SHORT, 60.0) for kappa in (0.0, 3.0, 30.0, 300.0)]
    assert all(a.covariance_nm > b.covariance_nm for a, b in pairwise(bounds))
    assert all(a.mean_nm <= b.mean_nm for a, b in pairwise(bounds))


def test_longer_lines_are_known_better_by_the_square_root_of_their_length() -> None:
    short, long = (separation_bound(COARSE, Pair(length_nm=length), 80.0) for length in (1200.0, 2400.0))
    np.testing.assert_allclose(values(short) / values(long), math.sqrt(2.0), rtol=0.06)


def test_an_airy_pattern_and_a_gaussian_of_its_width_agree_roughly() -> None:
    airy = AiryPSF(1.4, 880.0)
    bounds = [separation_bound(replace(DIM, psf=psf), SHORT, 80.0) for psf in (airy, GaussianPSF(airy.fwhm_nm))]
    np.testing.assert_allclose(values(bounds[0]), values(bounds[1]), rtol=0.3)


def test_two_places_on_the_pixels_stand_for_all() -> None:
    pair, window = Pair(), (16, 13)
    every = []
    for along in (np.arange(3) + 0.5) / 3:
        for across in (np.arange(5) + 0.5) / 5:
            model = PairModel(DIM, pair, window, along * 100.0)
            information = mean_information(model.moments(model.parameters(80.0, across * 100.0)))[:-1, :-1]
            every.append(inverse_of(information)[1, 1])
    found = separation_bound(DIM, pair, 80.0, window=window).mean_nm
    assert found == pytest.approx(math.sqrt(np.mean(every) / DIM.frames), rel=0.01)


@pytest.mark.parametrize("pair", [Pair("points"), Pair(length_nm=150.0)], ids=["points", "lines"])
@pytest.mark.parametrize("fwhm_pixels", [1.0, 1.2, 1.5])
def test_coarse_pixels_have_a_smallest_separation_although_the_closest_are_too_close_for_the_arithmetic(
    fwhm_pixels: float, pair: Pair
) -> None:
    experiment = Experiment(psf=GaussianPSF(160.0 * fwhm_pixels), pixel_size_nm=160.0)
    found = smallest_separation(experiment, pair)
    assert found.covariance_nm <= found.mean_nm < 0.8 * experiment.psf.fwhm_nm
    assert not found.mean_or_less and not found.covariance_or_less
    at = separation_bound(experiment, pair, found.mean_nm)
    assert Criterion().demand(found.mean_nm, at.mean_nm, at.mean_balance) == pytest.approx(1, rel=0.01)
    at = separation_bound(experiment, pair, found.covariance_nm)
    assert Criterion().demand(found.covariance_nm, at.covariance_nm, at.covariance_balance) == pytest.approx(
        1, rel=0.01
    )


@pytest.mark.parametrize("balanced", [0.5, math.inf])
def test_the_smallest_separation_is_where_the_frames_needed_are_those_that_there_are(balanced: float) -> None:
    criterion = Criterion(2.0, balanced)
    found = smallest_separation(COARSE, SHORT, criterion=criterion)
    assert found.covariance_nm < found.mean_nm
    at = separation_bound(COARSE, SHORT, found.mean_nm)
    assert criterion.frames_needed(found.mean_nm, at.mean_nm, at.mean_balance, 500) == pytest.approx(500, rel=0.02)
    at = separation_bound(COARSE, SHORT, found.covariance_nm)
    needed = criterion.frames_needed(found.covariance_nm, at.covariance_nm, at.covariance_balance, 500)
    assert needed == pytest.approx(500, rel=0.02)


def test_the_ends_of_the_search_are_answers_too() -> None:
    few = replace(COARSE, photons=0.02, frames=2)
    assert smallest_separation(few, SHORT).mean_nm == math.inf
    lax = Criterion(1e-3, math.inf)
    found = smallest_separation(replace(COARSE, frames=10**6), SHORT, criterion=lax)
    assert found.mean_nm == found.covariance_nm == pytest.approx(0.02 * 324.0)
    assert found.mean_or_less and found.covariance_or_less
    assert not smallest_separation(COARSE, SHORT).mean_or_less


def test_where_mean_and_covariance_are_too_close_for_the_arithmetic_the_mean_still_answers() -> None:
    bright = Experiment(psf=GaussianPSF(100.0), photons=1e9, frames=10**9)
    with pytest.raises(UsageError, match="too close for the arithmetic"):
        separation_bound(bright, Pair("points"), 2.0)
    found = smallest_separation(bright, Pair("points"))
    assert found.covariance_nm == found.mean_nm == pytest.approx(2.0) and found.covariance_or_less


def test_the_frames_needed_are_enough_and_one_less_is_not() -> None:
    criterion = Criterion(2.0, 0.5)
    needed = criterion.frames_needed(60.0, 45.0, 0.2, 500)
    assert criterion.demand(60.0, 45.0 * math.sqrt(500 / needed), 0.2) <= 1
    assert criterion.demand(60.0, 45.0 * math.sqrt(500 / (needed - 1)), 0.2) > 1
    assert criterion.frames_needed(60.0, 1.0, 2.0, 500) == 8000  # the balance decides


def test_the_chance_of_proving_two_is_that_of_the_best_single_line_being_refused() -> None:
    # How far the mean frame of a pair lies from all mean frames of single lines, in standard deviations of the frames.
    separation_nm = 50.0
    model = PairModel(DIM, SHORT, (9, 12), equal=True)
    pair = model.moments(model.parameters(separation_nm))
    single = model.moments(model.parameters(1e-3))
    whiten = np.linalg.inv(np.linalg.cholesky(pair.covariance))
    kept = [model.names.index(name) for name in ("centre_nm", "photons", "background")]
    known = (whiten @ single.mean_slopes[kept].T) / np.linalg.norm(single.mean_slopes[kept], axis=1)
    target = whiten @ (pair.mean - single.mean)
    rest = target - known @ np.linalg.lstsq(known, target, rcond=None)[0]
    deflection = math.sqrt(DIM.frames) * float(np.linalg.norm(rest))
    d = model.names.index("separation_nm")
    spread = math.sqrt(inverse_of(mean_information(pair)[:-1, :-1])[d, d] / DIM.frames)
    assert separation_nm / (2 * spread) == pytest.approx(deflection, rel=0.03)
    assert chance_of_two(spread, separation_nm) == pytest.approx(
        0.5 * (1 + math.erf((deflection - 1.6449) / math.sqrt(2))), abs=0.03
    )
    assert chance_of_two(1.0, 1e-9) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("use", ["mean", "gaussian", "weighted"])
def test_simulated_movies_are_measured_as_exactly_as_the_bound_says(use: Use) -> None:
    experiment = replace(DIM, photons=20.0, frames=300)
    model = PairModel(experiment, Pair("points"), (7, 9), equal=True)
    truth = model.parameters(120.0, 10.0)
    generator, d = np.random.default_rng(5), model.names.index("separation_nm")
    found = []
    for _ in range(60):
        fitted = fit_pair(model, *sample_moments(sample_frames(model, truth, generator)), truth, use=use)
        assert fitted is not None
        found.append(fitted[d])
    bound = separation_bound(experiment, Pair("points"), 120.0, window=(7, 9))
    name: dict[Use, str] = {"mean": "mean_nm", "gaussian": "gaussian_fit_nm", "weighted": "covariance_nm"}
    wanted = getattr(bound, name[use])
    assert np.std(found, ddof=1) == pytest.approx(wanted, rel=0.3)  # of 60 movies: 9 %
    assert np.mean(found) == pytest.approx(120.0, abs=4 * wanted / math.sqrt(60))


@pytest.mark.parametrize("kappa", [0.0, 1.0, 12.0])
def test_simulated_frames_have_the_mean_and_the_covariance_of_the_model(kappa: float) -> None:
    model = PairModel(replace(DIM, frames=6000, fano_factor=kappa, read_noise_e=1.0), SHORT, (5, 6))
    truth = model.parameters(150.0, 20.0)
    moments = model.moments(truth)
    frames = sample_frames(model, truth, np.random.default_rng(2))
    mean, covariance = sample_moments(frames)
    deviation = np.sqrt(np.diagonal(moments.covariance) / 6000)
    assert (np.abs(mean - moments.mean) < 5 * deviation).all()
    scores = Scores.gaussian(moments)
    spread = np.sqrt(np.diagonal(scores.variance(moments)) / 6000)
    assert (np.abs(scores.values(moments, mean, covariance)) <= 4 * spread).all()


def test_a_fit_that_cannot_settle_says_so() -> None:
    model = PairModel(DIM, SHORT, (6, 7))
    truth = model.parameters(100.0)
    moments = model.moments(truth)
    nothing = np.zeros_like(moments.mean)
    assert fit_pair(model, nothing, np.diag(nothing), truth) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fano_factor": -1.0}, "Fano factor .* must not be negative nor above 1e.09, got -1"),
        ({"fano_factor": math.nan}, "Fano factor .* nor above 1e.09, got nan"),
        ({"photons": 0.0}, "photons of the peak must be positive .* got 0"),
        ({"photons": math.inf}, "not above 1e.09, got inf"),
        ({"read_noise_e": -0.1}, "read noise"),
        ({"background_fraction": -1.0}, "background"),
        ({"frames": 1}, "at least 2 frames"),
        ({"frames": 10**15}, "at most 1e.09 frames, got 1000000000000000"),
        ({"fano_factor": math.inf}, "must not be negative nor above 1e.09, got inf"),
        ({"pixel_size_nm": 0.0}, "pixel size .nm. must be positive"),
        ({"pixel_size_nm": 400.0}, "smaller than the pixel"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(FluosrError, match=words):
        replace(DIM, **change)  # type: ignore[arg-type]


def test_a_pair_that_cannot_be_is_refused() -> None:
    for change in ({"shape": "discs"}, {"length_nm": 0.0}, {"width_nm": -1.0}, {"angle_deg": 90.0}):
        with pytest.raises(UsageError):
            Pair(**change)  # type: ignore[arg-type]


def test_separations_outside_the_validity_are_refused() -> None:
    for separation, words in (
        (0.0, "above 0"),
        (math.nan, "above 0"),
        (math.inf, "not above 1e.09 nm, got inf"),
        (1e-3, "too close"),
        (900.0, "leave the window"),
    ):
        with pytest.raises(UsageError, match=words):
            separation_bound(DIM, SHORT, separation, window=(8, 12))
    with pytest.raises(UsageError, match="1200 are computed with"):
        separation_bound(DIM, Pair(length_nm=1e5), 60.0)
    with pytest.raises(UsageError, match="1 to 1000 separations"):
        find_limit(DIM, SHORT, [])
    for deviations in (0.0, 1e-300, 1e300, math.inf, math.nan):
        with pytest.raises(UsageError, match="1000 standard deviations"):
            Criterion(told_apart=deviations)
    for balanced in (0.0, 1e-300, math.nan):
        with pytest.raises(UsageError, match="balance"):
            Criterion(balanced=balanced)
    assert issubclass(OpticsError, UsageError)


def test_a_limit_says_what_is_told_apart_and_warns() -> None:
    blinking = replace(COARSE, fano_factor=100.0)
    limit = find_limit(blinking, SHORT, [100.0, 60.0], wanted_nm=60.0)
    assert [row.bound.separation_nm for row in limit.rows] == [60.0, 100.0]
    assert "two lines 60 nm apart are told apart by mean and covariance, not by the mean alone" in limit.sentences()[0]
    assert any("skewed" in warning for warning in limit.warnings)
    assert any("order of magnitude, and rather" in warning for warning in limit.warnings)
    few = find_limit(replace(blinking, fano_factor=5000.0, frames=20, photons=0.5), SHORT, [100.0])
    assert any("bursts" in warning for warning in few.warnings) and any("photons" in w for w in few.warnings)
    wide = find_limit(replace(COARSE, photons=100.0, fano_factor=100.0), replace(SHORT, width_nm=150.0), [150.0])
    assert any("noise in the mean frame" in warning for warning in wide.warnings)
    equal = find_limit(COARSE, SHORT, [40.0], criterion=Criterion(balanced=math.inf))
    assert any("equally bright" in warning for warning in equal.warnings)
