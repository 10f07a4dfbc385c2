"""What is refused before a calibration, what is left out, and what is said."""

import numpy as np
import pytest

from fluosr.corrections.repeats import BORDER_PX, open_repeats
from fluosr.corrections.scan_calibration import calibrate_repeats
from fluosr.errors import AcquisitionError
from tests.confocal import CAMERA, repeats


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a[:, :20], "20 x 64 pixels"),
        (lambda a: a[0], "are (T, Y, X)"),
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 4096 + 7, np.nan, a), "frame 1 holds NaN"),
        (lambda a: np.full_like(a, 7), "is constant"),
        (lambda a: np.repeat(a[:1], 5, axis=0), "one image repeated"),
        (lambda a: np.minimum(a, np.percentile(a, 20).astype(a.dtype)), "Lower the laser power"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(spoil, words):
    with pytest.raises(AcquisitionError, match=r"frames|repeats") as raised:
        open_repeats(spoil(repeats(n_frames=4)), "repeats.tif")
    assert words in str(raised.value)


def test_saturated_pixels_and_those_beside_them_are_left_out():
    frames = repeats(n_frames=4)
    frames[2, 30, 30:32] = 1023
    found = open_repeats(frames, "f", ceiling_adu=1023)
    left_out = ~found.usable
    assert left_out[30, 28:34].all() and left_out.sum() == 6 + 2 * BORDER_PX * 64
    assert "ceiling of 1023" in found.warnings[0] and found.bits == 10


def test_noise_cut_off_at_zero_is_left_out_where_there_is_enough_else():
    light = repeats(n_frames=6, peak=30.0).astype(int)
    found = open_repeats(np.clip(light - 110, 0, None).astype(np.uint16), "f")
    assert any("cut off at zero" in warning for warning in found.warnings)
    assert 0.2 <= found.usable.mean() < 0.7
    dark = open_repeats(np.clip(repeats(n_frames=6).astype(int) - 400, 0, None).astype(np.uint16), "f")
    assert any("raise the offset" in warning for warning in dark.warnings)


def test_whole_numbers_have_been_rounded():
    frames = repeats(n_frames=3)
    assert open_repeats(frames, "f").rounding_variance == pytest.approx(1 / 12)
    assert open_repeats(frames * 1.01, "f").rounding_variance == 0.0


def test_a_sample_that_drifts_is_refused_and_one_at_rest_is_not():
    moving = open_repeats(repeats(n_frames=12, drift_px=1.5, peak=40.0), "moving.tif")
    with pytest.raises(AcquisitionError, match=r"moving.tif: the sample moves by .*--frames 0:10"):
        calibrate_repeats([moving])
    calibrate_repeats([open_repeats(repeats(n_frames=12, peak=40.0), "still.tif")])


def test_a_sample_that_changes_is_refused():
    before, after = repeats(1, 8, peak=40.0), repeats(2, 8, peak=40.0)
    with pytest.raises(AcquisitionError, match=r"f: the sample (changes|moves)"):
        calibrate_repeats([open_repeats(np.concatenate([before, after]), "f")])
    alternating = np.stack([before, after], 1).reshape(16, 64, 64)
    with pytest.raises(AcquisitionError, match=r"from frame to frame"):
        calibrate_repeats([open_repeats(alternating, "f")])


def test_bleaching_of_all_alike_is_no_change():
    frames = repeats(3, 12, microscope=CAMERA).astype(float)
    faded = 100 + (frames - 100) * np.linspace(1.0, 0.8, 12)[:, None, None]
    found = calibrate_repeats([open_repeats(faded.round().astype(np.uint16), "f")])
    assert not found.warnings


def test_a_sample_that_blinks_a_little_is_told():
    generator = np.random.default_rng(0)
    frames = repeats(4, 12, microscope=CAMERA).astype(float)
    cloud = generator.standard_normal((12, 16, 16)).repeat(4, 1).repeat(4, 2)
    found = calibrate_repeats([open_repeats((frames + 16 * cloud).round().clip(0).astype(np.uint16), "f")])
    assert any("share" in warning and "blinks" in warning for warning in found.warnings)
