"""A microscope whose numbers are known is calibrated: intervals hold the truth as often as they say."""

from dataclasses import replace

import numpy as np
import pytest

from fluosr.corrections.intervals import Interval
from fluosr.corrections.repeats import open_repeats
from fluosr.corrections.scan_calibration import calibrate_repeats
from fluosr.corrections.scan_result import UNITS, delay_px, looks_one_way, root, time_constant
from fluosr.errors import AcquisitionError, UsageError
from tests.confocal import CAMERA, CONFOCAL, repeats, truth


def calibrated(seed=0, n_frames=12, microscope=CONFOCAL, *, offset=None, scan=None, fields=1, **options):
    opened = [
        open_repeats(repeats(seed + 1000 * i, n_frames, microscope=microscope, **options), f"{i}.tif")
        for i in range(fields)
    ]
    return calibrate_repeats(opened, offset_adu=offset, bidirectional=scan)


@pytest.mark.parametrize(
    ("microscope", "offset"),
    [
        pytest.param(CONFOCAL, None, id="confocal, offset unknown"),
        pytest.param(replace(CONFOCAL, phase_px=-0.8, lag_px=1.1, excess_noise=1.0), 100.0, id="long lag"),
        pytest.param(CAMERA, 100.0, id="nothing of a scan"),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(microscope, offset):
    wanted, draws = truth(microscope), 10
    held = dict.fromkeys(wanted, 0)
    for seed in range(draws):
        found = calibrated(seed, 8, microscope, offset=offset, scan=microscope.bidirectional)
        for name, value in wanted.items():
            held[name] += found.values[name].interval.holds(value)
    # 95 % of sixty; of ten, seven or fewer come up once in a hundred.
    assert min(held.values()) >= 8 and sum(held.values()) >= 0.9 * draws * len(wanted), held


def test_intervals_shrink_with_more_frames_and_are_narrow_enough_to_be_of_use():
    few, many = (calibrated(7, n, offset=100.0, side=96).values for n in (4, 32))
    for name in ("gain_times_excess_adu_per_e", "read_noise_adu", "phase_px", "lag_px"):
        width = [v[name].interval.high - v[name].interval.low for v in (few, many)]
        assert width[1] < 0.7 * width[0], name
    gain = many["gain_times_excess_adu_per_e"].interval
    assert gain.high - gain.low < 0.1 * gain.value
    assert many["lag_px"].interval.low > 0.5 and many["phase_px"].interval.low > 0.4


def test_without_the_lag_undone_the_gain_would_be_far_too_low():
    # The law that the correction rests on: white noise keeps (1 - r) / (1 + r) of its variance.
    found = calibrated(3, 16, replace(CONFOCAL, lag_px=1.5), offset=100.0, side=96)
    gain = found.values["gain_times_excess_adu_per_e"].interval
    r = np.exp(-1 / 1.5)
    assert gain.holds(26.0) and gain.low > 1.5 * 26.0 * (1 - r) / (1 + r)


@pytest.mark.parametrize(
    ("change", "bidirectional", "even_return"),
    [
        ({}, True, False),
        ({"even_lines_return": True}, True, True),
        ({"bidirectional": False, "phase_px": 0.0}, False, False),
    ],
)
def test_the_noise_tells_which_lines_return(change, bidirectional, even_return):
    found = calibrated(1, 20, replace(CONFOCAL, lag_px=0.9, **change), offset=100.0)
    assert "the noise tells" in found.direction
    assert (found.bidirectional, found.even_lines_return) == (bidirectional, even_return)
    assert found.values["phase_px"].interval.holds(0.45 if bidirectional else 0.0)


def test_a_lag_that_displaces_no_lines_is_of_one_way():
    found = calibrated(2, 2, replace(CONFOCAL, bidirectional=False, phase_px=0.0), side=96, peak=40.0)
    assert not found.bidirectional and ("noise tells" in found.direction or "displaces no lines" in found.direction)
    assert looks_one_way(Interval(0.2, 0.15, 0.25), Interval(0.01, -0.02, 0.04))
    assert not looks_one_way(Interval(0.2, 0.15, 0.25), Interval(0.2, 0.17, 0.23))
    assert not looks_one_way(Interval(0.0, -0.05, 0.05), Interval(0.01, -0.02, 0.04))
    assert not looks_one_way(Interval(0.2, 0.15, 0.25), Interval(0.1, -0.9, 0.9))


def test_lines_displaced_although_one_way_was_said_are_told():
    found = calibrated(1, 12, scan=False)
    assert any("although the scan goes one way" in warning for warning in found.warnings)


def test_many_fields_are_left_out_one_by_one():
    found = calibrated(0, 3, fields=8, side=32, offset=100.0)
    assert "8 groups of fields" in found.values["gain_times_excess_adu_per_e"].how
    assert found.fields == tuple(f"{i}.tif" for i in range(8)) and found.frames == 24
    assert found.values["gain_times_excess_adu_per_e"].interval.holds(26.0)


def test_two_repeats_do_not_tell_offset_and_read_noise_apart_and_it_is_said():
    found = calibrated(0, 2)
    offset, read = found.values["offset_adu"], found.values["read_noise_adu"]
    assert offset.interval.low < 100.0 < offset.interval.high and read.interval.low == 0.0
    assert "darkest" in offset.how


def test_more_of_them_do_by_the_third_moment():
    found = calibrated(0, 16, side=96).values
    offset, read = found["offset_adu"], found["read_noise_adu"]
    assert "third moment" in offset.how
    assert offset.interval.holds(100.0) and offset.interval.high - offset.interval.low < 5.0
    # The darkest pixels hold half a photon, 11 ADU, and more.
    assert offset.interval.high < 106.0 and read.interval.holds(12.0) and read.interval.low > 6.0
    known = calibrated(0, 12, offset=100.0).values
    assert known["offset_adu"].how == "given" and known["read_noise_adu"].interval.low > 8.0


def test_every_number_has_its_words():
    found = calibrated(0, 4)
    assert set(found.values) == set(UNITS)
    lines = found.words()
    assert lines[0] == "1 field, 4 frames: from repeats" and len(lines) >= len(UNITS) + 4
    assert any(line.startswith("bidirectional phase d: 0.") and "95 %" in line for line in lines)


def test_frames_without_contrast_or_with_noise_that_does_not_grow_are_refused():
    generator = np.random.default_rng(0)
    flat = (200 + 10 * generator.standard_normal((6, 48, 48))).round().astype(np.uint16)
    with pytest.raises(AcquisitionError, match="little more than its noise"):
        calibrate_repeats([open_repeats(flat, "f")])
    mean = repeats(0, 30, microscope=CAMERA).mean(0)
    falling = mean + 3000.0 / mean * generator.standard_normal((8, 64, 64))
    with pytest.raises(AcquisitionError, match="does not grow"):
        calibrate_repeats([open_repeats(falling, "f")])
    with pytest.raises(UsageError, match="above all light"):
        calibrated(0, 4, offset=4000.0)


def test_sharpened_frames_are_told():
    frames = repeats(0, 8, microscope=CAMERA).astype(float)
    sharp = frames.copy()
    sharp[..., 1:-1] = 1.4 * frames[..., 1:-1] - 0.2 * (frames[..., 2:] + frames[..., :-2])
    found = calibrate_repeats([open_repeats(sharp, "f")])
    assert any("sharpened" in warning for warning in found.warnings)
    assert found.values["lag_px"].interval == Interval(0.0, 0.0, 0.0)


def test_what_follows_from_r():
    assert delay_px(0.5) == 1.0
    lag = time_constant(Interval(np.exp(-2), -0.1, np.exp(-1)))
    assert (lag.value, lag.low, lag.high) == pytest.approx((0.5, 0.0, 1.0))
    assert root(Interval(-1.0, -2.0, 4.0)) == Interval(0.0, 0.0, 2.0)


def test_the_movie_of_a_camera_shows_no_displaced_lines(shared_data):
    import tifffile

    frames = tifffile.imread(shared_data / "fluctuation" / "ncs_EB3_sCMOS_20f.tif")[:, :192, :192]
    found = calibrate_repeats([open_repeats(frames, "EB3")], bidirectional=True).values
    phase = found["phase_px"].interval
    assert phase.holds(0.0) and phase.high - phase.low < 0.2
    assert found["lag_px"].interval.high < 0.35  # r below .06
