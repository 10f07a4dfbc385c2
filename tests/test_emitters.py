"""Emitters: their mean, their Fano factor, and their bleaching."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.emitters import PoissonEmitters, SteadyEmitters, bleaching_curve


def test_steady_emitters_emit_their_mean():
    emission = np.random.default_rng(0).random((4, 5))
    drawn = SteadyEmitters().sample(emission, np.random.default_rng(0))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, emission, rtol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 0.02, 1.0, 30.0])
def test_poisson_emitters_have_their_mean_and_fano_factor(mean):
    emitters = PoissonEmitters()
    drawn = emitters.sample(np.full((300, 300), mean), np.random.default_rng(0)).astype(float)
    assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / drawn.size) + 1e-12)
    assert drawn.var() == pytest.approx(emitters.fano_factor * mean, rel=0.1, abs=1e-12)


@given(n=st.integers(1, 2000), interval=st.floats(1e-4, 10), tau=st.floats(0.01, 1e4))
def test_bleaching_has_mean_one_and_never_rises(n, interval, tau):
    curve = bleaching_curve(n, interval, tau)
    assert curve.shape == (n,)
    assert curve.mean() == pytest.approx(1.0)
    assert (np.diff(curve) <= 0).all()


def test_bleaching_falls_by_e_in_its_time():
    curve = bleaching_curve(301, 0.01, 1.0)
    assert curve[100] / curve[0] == pytest.approx(np.exp(-1))
    assert np.array_equal(bleaching_curve(7, 0.01, None), np.ones(7))
