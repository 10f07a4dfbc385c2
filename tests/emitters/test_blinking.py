"""Molecules that blink and bleach: closed forms against integrals, a slow simulation, and the sampler against both."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from fluosr.emitters import BlinkingEmitters, Telegraph
from fluosr.errors import MemoryLimitError, UsageError

CASES = [  # on, off, frame, bleaching, seconds
    (0.02, 0.05, 0.01, None),
    (0.02, 0.05, 0.01, 0.08),
    (0.004, 0.003, 0.01, 0.05),  # several switches in a frame
    (1.0, 0.5, 0.01, None),  # hardly any
]


def moment(law, s, t):
    """E s(u) s(v) of the docstring, for u in [s, s + D] and v in [t, t + D], by quadrature."""
    p, r, d, width = law.on_share, law.switching_rate, law.death_rate, law.frame_interval_s

    def pair(u, v):
        early, late = min(u, v), max(u, v)
        return p * math.exp(-d * late) * (p + (1 - p) * math.exp(-r * (late - early)))

    def inner(v):
        corner = [v] if s < v < s + width else None
        return quad(lambda u: pair(u, v), s, s + width, points=corner, epsabs=0, epsrel=1e-9)[0]

    return law.photons_per_s**2 * quad(inner, t, t + width, epsabs=0, epsrel=1e-8)[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_closed_forms_are_the_integrals(case):
    on, off, frame, bleaching = case
    law = Telegraph(on, off, frame, 700.0, bleaching)
    d, p = law.death_rate, law.on_share
    for t in (0, 3):
        mean = [
            law.photons_per_s * quad(lambda u: p * math.exp(-d * u), n * frame, (n + 1) * frame)[0] for n in range(8)
        ]
        assert law.photons_per_frame * law.level(t) == pytest.approx(mean[t], rel=1e-9)
        for k in (0, 1, 4):
            covariance = moment(law, t * frame, (t + k) * frame) - mean[t] * mean[t + k]
            assert law.covariance_factor(k, t) == pytest.approx(covariance / mean[t], rel=1e-6, abs=1e-9)


@settings(max_examples=200)
@given(on=st.floats(-5, 3), off=st.floats(-5, 3), bleaching=st.floats(-3, 6))
def test_the_closed_forms_keep_their_digits_at_any_time_scale(on, off, bleaching):
    """Frame of 1 s: between 100 000 times faster and 1000 times slower switching, nothing negative or out of order."""
    on, off, tau = 10.0**on, 10.0**off, 10.0**bleaching
    if 1 / on + 1 / off > 1000:
        return
    law, alive = Telegraph(on, off, 1.0, 1.0), Telegraph(on, off, 1.0, 1.0, 1e8)
    a, p = law.switching_rate, law.on_share
    factors = [law.covariance_factor(k) for k in range(4)]
    tolerance = 1e-9
    assert all(f >= -tolerance for f in factors)
    assert all(later <= earlier + tolerance for earlier, later in pairwise(factors))
    if a > 0.01:
        assert factors[0] == pytest.approx((1 - p) * 2 * (a - 1 + math.exp(-a)) / a**2, rel=1e-7, abs=tolerance)
    assert factors[2] == pytest.approx((1 - p) * math.exp(-a) * (-math.expm1(-a) / a) ** 2, rel=1e-7, abs=tolerance)
    assert alive.covariance_factor(1) == pytest.approx(factors[1], abs=1e-6)
    dying = Telegraph(on, off, 1.0, 1.0, tau)
    assert dying.covariance_factor(0) > 0
    assert np.isfinite([dying.covariance_factor(k, 2) for k in range(3)]).all()


def reference_molecule(law, n_frames, rng):
    """One molecule's photons in each frame, by a walk from event to event, with nothing shared with the sampler."""
    on = rng.random() < law.on_share
    life = math.inf if law.bleaching_time_s is None else rng.expovariate(1 / law.bleaching_time_s)
    now, photons = 0.0, [0.0] * n_frames
    end = n_frames * law.frame_interval_s
    while now < end:
        stay = rng.expovariate(1 / (law.on_time_s if on else law.off_time_s))
        if on:
            for n in range(n_frames):
                left = max(now, n * law.frame_interval_s)
                right = min(now + stay, life, (n + 1) * law.frame_interval_s)
                photons[n] += law.photons_per_s * max(0.0, right - left)
        now, on = now + stay, not on
    return photons


def check_moments(frames, law, n_molecules):
    """(R, T) independent records of n molecules each, against the closed forms; standard errors from the records."""
    mean = law.photons_per_frame * n_molecules
    repeats = len(frames)
    for t in range(frames.shape[1]):
        error = frames[:, t].std() / math.sqrt(repeats)
        assert abs(frames[:, t].mean() - mean * law.level(t)) < 4.5 * error
        for k in range(frames.shape[1] - t):
            first, second = (frames[:, n] - mean * law.level(n) for n in (t, t + k))
            product = first * second
            wanted = law.covariance_factor(k, t) * mean * law.level(t)
            assert abs(product.mean() - wanted) < 4.5 * product.std() / math.sqrt(repeats)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_walk_from_event_to_event_has_these_moments(case):
    on, off, frame, bleaching = case
    law = Telegraph(on, off, frame, 700.0, bleaching)
    rng = random.Random(0)
    frames = np.array([reference_molecule(law, 4, rng) for _ in range(6000)])
    check_moments(frames, law, 1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_sampler_has_these_moments(case):
    on, off, frame, bleaching = case
    emitters = BlinkingEmitters(on, off, frame, 700.0, bleaching)
    x = np.full((150, 150), 2 * emitters.molecule.photons_per_frame)
    frames = np.stack(list(emitters.frames(x, np.ones(4), np.random.default_rng(3)))).astype(float)
    check_moments(frames.reshape(4, -1).T, emitters.molecule, 2)
    np.testing.assert_allclose(emitters.levels(4), [emitters.molecule.level(t) for t in range(4)])
    assert emitters.bleaches == (emitters.levels(4)[3] < 1) and emitters.frame_interval_s == frame


def test_fractions_of_a_molecule_keep_the_mean():
    emitters = BlinkingEmitters(0.02, 0.02, 0.01, 1000.0)
    x = np.full((200, 200), 0.3 * emitters.molecule.photons_per_frame)
    drawn = np.mean(list(emitters.frames(x, np.ones(50), np.random.default_rng(0))), axis=0).astype(float)
    assert drawn.mean() == pytest.approx(x.mean(), abs=4.5 * drawn.std() / 200)
    placed = emitters.place(x, np.random.default_rng(1)) / emitters.molecule.photons_per_frame
    assert np.array_equal(placed, np.rint(placed))
    assert placed.mean() == pytest.approx(0.3, abs=4.5 * math.sqrt(0.3) / 200)
    assert placed.var() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("molecules", [0.02, 0.5, 1.0, 2.3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_single_frame_has_the_fano_factor_whatever_the_number_of_molecules(case, molecules):
    on, off, frame, bleaching = case
    emitters = BlinkingEmitters(on, off, frame, 700.0, bleaching)
    x, count = molecules * emitters.molecule.photons_per_frame, 90_000
    drawn = emitters.sample(np.full((300, 300), x), np.random.default_rng(5)).astype(float)
    mean = x * emitters.molecule.level(0)
    squares = (drawn - mean) ** 2
    assert abs(drawn.mean() - mean) < 4.5 * drawn.std() / math.sqrt(count)
    assert abs(squares.mean() - emitters.fano_factor * mean) < 4.5 * squares.std() / math.sqrt(count)


def test_a_placed_sample_keeps_its_molecules_over_the_movie():
    emitters = BlinkingEmitters(0.02, 0.01, 0.01, 1000.0)
    placed = emitters.place(np.full((6, 7), 10.0), np.random.default_rng(0))
    mean = np.mean(list(emitters.frames(placed, np.ones(6000), np.random.default_rng(1))), axis=0)
    # Over T frames the factors at all lags add up.
    noise = np.sqrt(placed * sum((1 if k == 0 else 2) * emitters.covariance_factor(k) for k in range(50)) / 6000)
    assert np.abs(mean - placed)[placed == 0].max() == 0
    assert (np.abs(mean - placed) <= 4.5 * noise).all()


def test_the_lamp_dims_what_molecules_send():
    emitters = BlinkingEmitters(0.02, 0.02, 0.01, 1000.0)
    x = np.full((40, 40), 50.0)
    full, dim = (list(emitters.frames(x, np.array([1.0, level]), np.random.default_rng(0)))[1] for level in (1.0, 0.25))
    np.testing.assert_allclose(dim, 0.25 * full, rtol=1e-6)


@given(kappa=st.floats(0.1, 1e4), on=st.floats(1e-3, 10), off=st.floats(1e-3, 10))
def test_molecules_of_a_fano_factor_have_it(kappa, on, off):
    for bleaching in (None, 3.0):
        emitters = BlinkingEmitters.of_fano_factor(kappa, on, off, 0.01, bleaching)
        assert emitters.fano_factor == pytest.approx(kappa, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((0.0, 1.0, 0.01, 100.0), "on time"),
        ((1.0, -1.0, 0.01, 100.0), "off time"),
        ((1.0, 1.0, 0.0, 100.0), "frame interval"),
        ((1.0, 1.0, 0.01, 0.0), "photons per second"),
        ((1.0, 1.0, 0.01, 100.0, 0.0), "bleaching time"),
        ((1.0, float("nan"), 0.01, 100.0), "off time"),
        ((1.0, float("inf"), 0.01, 100.0), "off time .* not above 1e.09 seconds, got inf"),
        ((1e-6, 1.0, 0.01, 100.0), "steady"),
    ],
)
def test_molecules_that_cannot_be_are_refused(values, word):
    with pytest.raises(UsageError, match=word):
        BlinkingEmitters(*values)


def test_more_molecules_than_memory_are_refused():
    with pytest.raises(MemoryLimitError, match="molecules"):
        BlinkingEmitters(1.0, 1.0, 0.01, 1e-9).sample(np.full((1000, 1000), 1e6), np.random.default_rng(0))
