"""QnR: its logistic, its harmonic mean, and what has no resolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.quality.qnr import resolution_and_fidelity


def test_the_logistic_passes_its_three_points():
    found = resolution_and_fidelity(np.array([60.0, 90.0, 120.0]), np.ones(3))
    np.testing.assert_allclose(found.nfrc, [0.925, 0.5, 0.075])
    np.testing.assert_allclose(found.qnr, 2 * found.nfrc / (1 + found.nfrc))
    assert (found.finest_nm, found.coarsest_nm) == (60.0, 120.0)


@given(st.lists(st.tuples(st.floats(10, 500), st.floats(0.01, 1)), min_size=1, max_size=20))
def test_it_lies_between_its_parts_and_never_rises_with_the_resolution(pairs):
    frc, rsp = np.array(pairs).T
    found = resolution_and_fidelity(frc, rsp)
    assert (found.qnr >= np.minimum(found.nfrc, rsp) - 1e-12).all()
    assert (found.qnr <= np.maximum(found.nfrc, rsp) + 1e-12).all()
    assert (np.diff(found.nfrc[np.argsort(frc, kind="stable")]) <= 1e-12).all()
    assert found.qnr[found.best] == found.qnr.max()


def test_limits_make_sweeps_comparable():
    one = resolution_and_fidelity(np.array([[80.0]]), np.array([[0.9]]), finest_nm=50, coarsest_nm=150)
    two = resolution_and_fidelity(np.array([80.0, 140.0]), np.array([0.9, 0.5]), finest_nm=50, coarsest_nm=150)
    assert one.qnr[0, 0] == pytest.approx(two.qnr[0])


def test_equal_resolutions_score_a_half():
    assert resolution_and_fidelity([70.0, 70.0], [0.5, 0.5]).qnr == pytest.approx([0.5, 0.5])


def test_what_is_missing_scores_nothing_and_is_marked():
    found = resolution_and_fidelity([60.0, None, np.nan, 90.0, 100.0], [0.9, 0.9, 0.9, None, -0.4])
    assert found.judged.tolist() == [True, False, False, False, True]
    assert found.qnr[1:].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert found.best == (0,) and found.reason is None
    nothing = resolution_and_fidelity([None, None], [0.9, 0.9])
    assert nothing.best is None and "resolution" in nothing.reason and nothing.qnr.tolist() == [0.0, 0.0]
    unmatched = resolution_and_fidelity([60.0, None], [None, 0.9])
    assert unmatched.best is None and "RSP" in unmatched.reason


@pytest.mark.parametrize(
    ("frc", "rsp", "limits"),
    [
        ([60.0, 70.0], [0.9], {}),
        ([0.0, 70.0], [0.9, 0.9], {}),
        ([60.0], [0.9], {"finest_nm": 100.0, "coarsest_nm": 50.0}),
        ([60.0], [0.9], {"finest_nm": -1.0, "coarsest_nm": 50.0}),
    ],
)
def test_wrong_use_is_refused(frc, rsp, limits):
    with pytest.raises(UsageError):
        resolution_and_fidelity(frc, rsp, **limits)
