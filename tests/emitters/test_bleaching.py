"""Bleaching as a curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.emitters import bleaching_curve


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
