"""Judging lines: the truth passes, known dips are found, a single line stays single."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.optics.sampling import Grid
from fluosr.quality.lines import RAYLEIGH_DIP, judge_phantom, judge_profile, line_continuity, line_profile
from fluosr.simulate.argo import ArgoPhantom


@pytest.mark.parametrize("angle", [0.0, 17.0, -31.0])
@pytest.mark.parametrize("factor", [6, 8])
def test_the_truth_itself_is_judged_resolved_from_120_nm(angle, factor):
    phantom = ArgoPhantom(angle_deg=angle)
    truth = phantom.render(Grid(phantom.field_shape, factor))
    verdict = judge_phantom(truth, 100.0 / factor, phantom)
    assert verdict.resolved_from_nm is not None and verdict.resolved_from_nm <= 120.0
    assert verdict.false_split is False
    assert verdict.separation_error_nm < 4.0
    assert max(abs(p.offset_nm) for p in verdict.pairs if p.resolved or p.separation_nm is None) < 3.0


@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_thin_lines_are_resolved_further_down(angle):
    phantom = ArgoPhantom(separations_nm=(0.0, 30.0, 60.0, 90.0), line_width_nm=20.0, angle_deg=angle)
    verdict = judge_phantom(phantom.render(Grid(phantom.field_shape, 20)), 5.0, phantom)
    assert verdict.resolved_from_nm == 30.0
    assert verdict.separation_error_nm < 2.0
    assert verdict.false_split is False


def test_a_shifted_image_shows_its_shift():
    phantom = ArgoPhantom(separations_nm=(240.0,))
    truth = phantom.render(Grid(phantom.field_shape, 6))
    verdict = judge_phantom(np.roll(truth, 2, axis=1), 100 / 6, phantom)
    assert [p.offset_nm for p in verdict.pairs] == pytest.approx([100 / 3, 100 / 3], abs=1.0)


def test_an_empty_or_flat_image_resolves_nothing():
    phantom = ArgoPhantom(separations_nm=(240.0,))
    for level in (0.0, 3.0):
        verdict = judge_phantom(np.full(Grid(phantom.field_shape, 6).fine_field_shape, level), 100 / 6, phantom)
        assert verdict.resolved_from_nm is None and verdict.separation_error_nm is None
        assert verdict.false_split is False


def test_a_set_that_fails_above_ends_the_resolved_range():
    phantom = ArgoPhantom(separations_nm=(150.0, 240.0, 390.0))
    truth = phantom.render(Grid(phantom.field_shape, 6))
    x = slice(int(phantom.sets[1].centre_nm[1] * 0.06) - 15, int(phantom.sets[1].centre_nm[1] * 0.06) + 15)
    truth[:, x] = 1.0  # the 240-nm pair runs together
    assert judge_phantom(truth, 100 / 6, phantom).resolved_from_nm == 390.0


def pair_profile(separation, sigma, *, balance=1.0, floor=0.0, shift=0.0):
    position = np.arange(-450.0, 451.0, 5.0)
    first, second = (np.exp(-((position - shift - s * separation / 2) ** 2) / 2 / sigma**2) for s in (-1, 1))
    return position, first + balance * second + floor


@settings(max_examples=60)
@given(separation=st.floats(120, 390), sigma=st.floats(20, 45), balance=st.floats(0.5, 1.0), shift=st.floats(-40, 40))
def test_a_known_pair_is_measured(separation, sigma, balance, shift):
    position, profile = pair_profile(separation, sigma, balance=balance, shift=shift)
    verdict = judge_profile(position, profile, separation, 400.0)
    between = np.abs(position - shift) < separation / 2
    right, left = (profile[(position - shift) * s > 0].max() for s in (1, -1))
    dip = 1 - profile[between].min() / min(left, right)
    if dip > RAYLEIGH_DIP + 0.01:
        assert verdict.resolved
        assert verdict.dip == pytest.approx(dip, abs=0.02)
        assert verdict.found_nm == pytest.approx(separation, abs=max(6.0, 0.06 * separation))
        assert verdict.offset_nm == pytest.approx(shift, abs=6.0)
    elif dip < RAYLEIGH_DIP - 0.01:
        assert not verdict.resolved


def test_the_dip_asked_for_is_rayleighs():
    for depth, resolved in ((0.24, False), (0.28, True)):
        position = np.arange(-300.0, 301.0, 5.0)
        profile = np.exp(-((np.abs(position) - 100) ** 2) / 2 / 40**2)
        profile = np.where(np.abs(position) < 100, np.maximum(profile, 1 - depth), profile)
        verdict = judge_profile(position, profile, 200.0, 300.0)
        assert verdict.resolved is resolved
        assert verdict.dip == pytest.approx(depth, abs=0.01)


def test_a_faint_side_lobe_is_no_second_line():
    position = np.arange(-400.0, 401.0, 5.0)
    profile = np.exp(-(position**2) / 2 / 40**2) + 0.15 * np.exp(-((position - 200) ** 2) / 2 / 30**2)
    verdict = judge_profile(position, profile, None, 400.0)
    assert not verdict.resolved and verdict.found_nm == 0
    assert verdict.offset_nm == pytest.approx(0.0, abs=3.0)


@pytest.mark.parametrize("angle", [0.0, 23.0])
def test_the_profile_runs_across_the_lines(angle):
    phantom = ArgoPhantom(separations_nm=(300.0,), angle_deg=angle)
    truth = phantom.render(Grid(phantom.field_shape, 8))
    position, profile = line_profile(truth, 12.5, phantom, phantom.sets[0], half_width_nm=900.0)
    assert position[0] == -position[-1] and np.allclose(np.diff(position), 6.25)
    for offset in phantom.sets[0].offsets_nm:
        assert profile[np.argmin(np.abs(position - offset))] == pytest.approx(1.0, abs=0.02)
        assert profile[np.argmin(np.abs(position - offset - 75))] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_continuity_is_the_share_of_the_lines_that_is_not_broken(angle):
    phantom = ArgoPhantom(separations_nm=(240.0,), angle_deg=angle)
    truth = phantom.render(Grid(phantom.field_shape, 6))
    assert line_continuity(truth, 100 / 6, phantom) > 0.99
    broken = truth.copy()
    quarter = truth.shape[0] // 2, truth.shape[0] // 2 + truth.shape[0] // 5
    broken[quarter[0] : quarter[1]] = 0.0
    lost = (quarter[1] - quarter[0]) * 100 / 6 / np.cos(np.deg2rad(angle)) / (0.8 * phantom.line_length_nm)
    assert line_continuity(broken, 100 / 6, phantom) == pytest.approx(1 - lost, abs=0.06)
    assert line_continuity(np.zeros_like(truth), 100 / 6, phantom) == 0.0
