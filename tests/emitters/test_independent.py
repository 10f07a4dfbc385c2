"""Emitters without memory: moments, limits, and the same interface as those that have one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fluosr.emitters import (
    BlinkingEmitters,
    CompoundPoissonEmitters,
    GammaEmitters,
    PoissonEmitters,
    SteadyEmitters,
    emitters_called,
)
from fluosr.errors import UsageError

INDEPENDENT = [
    SteadyEmitters(),
    PoissonEmitters(),
    CompoundPoissonEmitters(0.3),
    CompoundPoissonEmitters(30.0),
    GammaEmitters(0.3),
    GammaEmitters(30.0),
]
ALL = [*INDEPENDENT, BlinkingEmitters(0.03, 0.05, 0.01, 400.0)]
SHAPE = (300, 300)


@pytest.mark.parametrize("emitters", INDEPENDENT, ids=repr)
@pytest.mark.parametrize("mean", [0.0, 0.02, 1.0, 30.0])
def test_samples_have_the_mean_and_variance_that_are_stated(emitters, mean):
    e = emitters.sample(np.full(SHAPE, mean), np.random.default_rng(0)).astype(float).ravel()
    kappa, n = emitters.fano_factor, e.size
    assert (e >= 0).all()
    assert e.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(kappa * mean / n) + 1e-6)
    # Var of a sample variance: (mu_4 - sigma^4) / n; for the Gamma, the wider, mu_4 = 6 kappa^3 x + 3 sigma^4.
    spread = np.sqrt((6 * kappa**3 * mean + 2 * (kappa * mean) ** 2) / n)
    assert e.var() == pytest.approx(kappa * mean, abs=4.5 * spread + 1e-6)


@pytest.mark.parametrize("emitters", INDEPENDENT, ids=repr)
def test_frames_without_memory_do_not_vary_together(emitters):
    x = np.full((20, 20), 3.0)
    frames = np.stack(list(emitters.frames(x, np.linspace(1.5, 0.5, 500), np.random.default_rng(1)))).astype(float)
    assert frames.shape == (500, 20, 20)
    level = np.linspace(1.5, 0.5, 500)[:, None, None]
    deviation = frames - 3.0 * level
    kappa = emitters.fano_factor
    n = 499 * 400
    assert (deviation**2 / level).mean() == pytest.approx(3.0 * kappa, abs=0.05 * kappa * 3 + 1e-6)
    product = (deviation[1:] * deviation[:-1]).mean()
    assert abs(product) <= 4.5 * 3.3 * kappa / np.sqrt(n) + 1e-9
    assert [emitters.covariance_factor(k) for k in (0, 1, 5)] == [kappa, 0.0, 0.0]


def test_the_compound_poisson_goes_over_into_the_papers_model_3():
    x = np.random.default_rng(0).gamma(1.0, 3.0, (40, 40))
    one, other = (e.sample(x, np.random.default_rng(5)) for e in (PoissonEmitters(), CompoundPoissonEmitters(1.0)))
    assert np.array_equal(one, other)
    assert CompoundPoissonEmitters(1.0).fano_factor == PoissonEmitters().fano_factor


def test_gamma_emitters_are_negative_binomial_behind_a_counting_camera():
    mean, kappa, n = 4.0, 2.5, 200_000
    generator = np.random.default_rng(2)
    counts = generator.poisson(GammaEmitters(kappa).sample(np.full(n, mean), generator))
    wanted = stats.nbinom(mean / kappa, 1 / (1 + kappa)).pmf(np.arange(25))
    found = np.bincount(counts, minlength=25)[:25] / n
    assert np.all(np.abs(found - wanted) < 4.5 * np.sqrt(wanted / n) + 1e-9)


@given(kappa=st.floats(1e-3, 1e4), seed=st.integers(0, 2**31))
def test_dark_pixels_stay_dark(kappa, seed):
    for emitters in (CompoundPoissonEmitters(kappa), GammaEmitters(kappa), BlinkingEmitters(0.1, 0.1, 0.01, kappa)):
        assert not emitters.sample(np.zeros((2, 3)), np.random.default_rng(seed)).any()


@pytest.mark.parametrize("emitters", ALL, ids=repr)
def test_one_interface(emitters):
    x = np.full((3, 4), 8.0)
    frames = list(emitters.frames(x, np.ones(3), np.random.default_rng(0)))
    assert len(frames) == 3 and all(f.shape == (3, 4) and f.dtype == np.float32 for f in frames)
    again = list(emitters.frames(x, np.ones(3), np.random.default_rng(0)))
    assert np.array_equal(frames, again)
    assert emitters.sample(x, np.random.default_rng(0)).dtype == np.float32
    assert emitters.levels(4).tolist() == [1.0] * 4
    assert not emitters.bleaches and emitters.frame_interval_s in (None, 0.01)
    assert emitters.covariance_factor(0) == emitters.fano_factor
    assert emitters.describe()["fano_factor"] == emitters.fano_factor
    assert emitters.describe()["model"] == type(emitters).__name__
    assert emitters.place(x, np.random.default_rng(0)).shape == (3, 4)


@pytest.mark.parametrize("kappa", [0.0, -1.0, 1e-18, float("nan"), float("inf"), 1e7])
@pytest.mark.parametrize("model", [CompoundPoissonEmitters, GammaEmitters])
def test_fano_factors_that_cannot_be_are_refused(model, kappa):
    with pytest.raises(UsageError, match="Fano factor"):
        model(kappa)


def test_every_model_has_a_name_and_takes_what_it_needs():
    times = {"on_time_s": 0.02, "off_time_s": 0.05, "frame_interval_s": 0.01}
    assert emitters_called("poisson") == SteadyEmitters() and emitters_called("double-poisson") == PoissonEmitters()
    assert emitters_called("fano", fano_factor=7.0, **times) == CompoundPoissonEmitters(7.0)
    assert emitters_called("gamma", fano_factor=7.0) == GammaEmitters(7.0)
    dying = emitters_called("blinking", fano_factor=7.0, **times, bleaching_time_s=3.0)
    assert dying == BlinkingEmitters.of_fano_factor(7.0, 0.02, 0.05, 0.01, 3.0)
    for name, values, word in (
        ("wild", {}, "there are poisson, double-poisson, fano, gamma, blinking"),
        ("fano", {}, "Fano factor"),
        ("blinking", {"fano_factor": 7.0}, "on time"),
    ):
        with pytest.raises(UsageError, match=word):
            emitters_called(name, **values)
