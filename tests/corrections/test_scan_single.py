"""One frame tells less: its intervals hold the truth, are wider than those of repeats, and jitter is not claimed."""

import numpy as np
import pytest

from fluosr.corrections.intervals import Interval
from fluosr.corrections.repeats import open_repeats
from fluosr.corrections.scan_calibration import calibrate_repeats
from fluosr.corrections.scan_single import COARSE, FINE, calibrate_single, widened
from fluosr.errors import AcquisitionError
from tests.confocal import CAMERA, CONFOCAL, repeats, truth

SIDE = 128


def of_one(seed, microscope=CONFOCAL, **options):
    frame = repeats(seed, 1, microscope=microscope, side=SIDE)
    return calibrate_single([open_repeats(frame, "one.tif")], **options)


@pytest.mark.parametrize("microscope", [CONFOCAL, CAMERA], ids=["confocal", "nothing of a scan"])
def test_intervals_hold_the_truth_as_often_as_they_say(microscope):
    wanted, draws = truth(microscope), 10
    held = dict.fromkeys(wanted, 0)
    for seed in range(draws):
        found = of_one(seed, microscope, offset_adu=100.0, bidirectional=microscope.bidirectional)
        for name, value in wanted.items():
            held[name] += found.values[name].interval.holds(value)
    assert min(held.values()) >= 7 and sum(held.values()) >= 0.9 * draws * len(wanted), held


def test_intervals_are_wider_than_those_of_repeats():
    alone = of_one(0, offset_adu=100.0)
    many = calibrate_repeats([open_repeats(repeats(0, 8, side=SIDE), "f")], offset_adu=100.0)
    for name in ("gain_times_excess_adu_per_e", "read_noise_adu", "phase_px", "lag_px"):
        ours, theirs = (found.values[name].interval for found in (alone, many))
        assert ours.high - ours.low > 1.5 * (theirs.high - theirs.low), name


@pytest.mark.parametrize("peak", [3.0, 40.0])
def test_the_noise_of_one_frame_does_not_pass_for_bright_light(peak):
    frames = repeats(1, 40, side=SIDE, peak=peak)
    light = np.percentile(frames.mean(0), 99.9) - CONFOCAL.offset_adu
    for frame in frames[:3]:
        found = calibrate_single([open_repeats(frame[None], "one.tif")], offset_adu=CONFOCAL.offset_adu)
        assert found.brightest_adu == pytest.approx(light, rel=0.3)  # unsmoothed twice as much, of 3 photons


def test_a_frame_too_small_or_too_spoilt_is_refused():
    with pytest.raises(AcquisitionError, match="at least 64 x 64"):
        calibrate_single([open_repeats(repeats(0, 1, side=48), "small.tif")])
    frame = repeats(0, 1, side=SIDE)
    frame[:, ::3, ::9] = 4095
    with pytest.raises(AcquisitionError, match="hardly any pixels"):
        calibrate_single([open_repeats(frame, "spoilt.tif")])


def test_eight_frames_are_left_out_one_by_one():
    fields = [open_repeats(repeats(seed, 1, side=64), f"{seed}.tif") for seed in range(8)]
    found = calibrate_single(fields, offset_adu=100.0)
    assert "8 groups of fields" in found.values["phase_px"].how and found.way == "single frames"
    for name, value in truth(CONFOCAL).items():
        interval = found.values[name].interval
        assert interval.low - 0.5 * abs(value) <= value <= interval.high + 0.5 * abs(value), name


def test_jitter_has_an_upper_end_alone():
    found = of_one(1).values["jitter_px"]
    assert found.interval.value == found.interval.low == 0.0 and found.interval.high > 0.12
    assert "does not tell" in found.how


def test_one_way_has_no_phase():
    found = of_one(1, bidirectional=False)
    assert found.values["phase_px"].interval == Interval(0.0, 0.0, 0.0) and "given" in found.direction
    assert "assumed" in of_one(1).direction


def test_differences_leave_unit_noise_and_no_smooth_sample():
    for kernel in (FINE, COARSE):
        assert (kernel**2).sum() == pytest.approx(1.0)
        assert kernel.sum() == pytest.approx(0.0, abs=1e-12)


def test_a_disagreement_widens():
    assert widened(Interval(1.0, 1.0, 4.0), 5.0) == Interval(1.0, -3.0, 6.0)
