"""Both ways to make bad images: the good one lies on the bad one's grey values, and every draw is another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.degradations.confocal import VideoRateConfocal
from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.degradations.two_stage import TwoStageParameters
from fluosr.errors import UsageError
from fluosr.restoration.arms import physics_arm, synthetic_arm
from fluosr.restoration.fields import Field
from fluosr.restoration.scale import block_mean
from tests.restoration.fields_at_hand import field

FIELDS = [field(number, side=64) for number in range(3)]


def bright_microscope() -> ScanningMicroscope:
    return ScanningMicroscope(
        180.0, 45.0, dose_photons=400.0, gain_adu_per_e=2.0, offset_adu=100.0, background_photons=3.0, bits=16
    )


def test_the_physics_arm_puts_the_good_image_on_the_bad_ones_scale() -> None:
    degrade = physics_arm(VideoRateConfocal(bright_microscope()), FIELDS)
    low, high = degrade(torch.as_tensor(FIELDS[0].high)[None], torch.Generator().manual_seed(0))
    small = block_mean(high[0].numpy(), 2)
    inner = (slice(2, -2), slice(2, -2))
    slope, shift = np.polyfit(small[inner].ravel(), low[0].numpy()[inner].ravel(), 1)
    assert slope == pytest.approx(1.0, abs=0.05) and shift == pytest.approx(0.0, abs=15.0)
    assert float(high.min()) == pytest.approx(100.0 + 2.0 * 3.0, abs=1.0)


def test_fields_keep_their_brightness_relative_to_each_other() -> None:
    dim = Field("dim", FIELDS[0].high * 0.25)
    degrade = physics_arm(VideoRateConfocal(bright_microscope()), [FIELDS[0], dim])
    full, quarter = (
        degrade(torch.as_tensor(f.high)[None], torch.Generator().manual_seed(0))[1] for f in (FIELDS[0], dim)
    )
    ground = 106.0
    torch.testing.assert_close(quarter - ground, 0.25 * (full - ground), atol=0.5, rtol=1e-2)


def test_the_physics_arm_refuses_darkness() -> None:
    with pytest.raises(UsageError, match="no light"):
        physics_arm(VideoRateConfocal(bright_microscope()), [Field("dark", np.full((8, 8), 3.0, np.float32))])


def test_the_synthetic_arm_draws_anew_between_black_and_white() -> None:
    degrade = synthetic_arm(2, TwoStageParameters())
    generator = torch.Generator().manual_seed(0)
    high = torch.as_tensor(FIELDS[0].high)[None]
    (one, shown), (other, again) = degrade(high, generator), degrade(high, generator)
    assert one.shape == (1, 32, 32) and shown.shape == (1, 64, 64)
    assert float(one.min()) >= 0.0 and float(one.max()) <= 1.0 and float(shown.max()) == 1.0
    assert torch.equal(shown, again) and not torch.equal(one, other)
