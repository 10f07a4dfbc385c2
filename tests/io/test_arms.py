"""The arm by its name: what the physics arm makes of a calibration has the light and the noise of the real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fluosr.corrections.repeats import open_repeats
from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.errors import UsageError
from fluosr.io.arms import chosen_arm
from fluosr.io.scan_calibration import calibrate, read_brightest_photons, write_calibration
from fluosr.restoration.arms import BRIGHTEST, DARKEST
from fluosr.restoration.fields import Field
from fluosr.simulate.confocal_fields import ConfocalField

FAST = ScanningMicroscope(
    180.0, 250.0, dose_photons=3.0, background_photons=0.3, phase_px=0.4, lag_px=0.5,
    gain_adu_per_e=40.0, excess_noise=1.3, offset_adu=100.0, read_noise_adu=8.0,
)  # fmt: skip
TAKEN = [ConfocalField("nuclei", (64, 64), FAST, seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Field], Path]:
    fields = [Field(f"{f.seed}", f.slow_frame().astype(np.float32), f.fast_frames(8).astype(np.float32)) for f in TAKEN]
    path = tmp_path_factory.mktemp("arms") / "calibration.json"
    repeats = [open_repeats(field.low, field.name) for field in fields if field.low is not None]
    write_calibration(path, calibrate(repeats, offset_adu=100.0, bidirectional=True))
    return fields, path


def test_the_dose_is_that_of_a_fine_pixel_in_photons(calibrated: tuple[list[Field], Path]) -> None:
    fields, path = calibrated
    made = chosen_arm("physics", fields, 2, calibration=path, pixel_size_nm=180.0)
    low, high = made.facts["dose_photons"]
    dark = min(np.quantile(field.high, DARKEST) for field in fields)
    white = np.mean([np.quantile(field.high, BRIGHTEST) for field in fields])
    slow = TAKEN[0].slow_microscope
    wanted = (white - dark) / slow.gain_adu_per_e * FAST.dose_photons / slow.dose_photons
    assert np.sqrt(low * high) == pytest.approx(wanted, rel=0.25) and low < wanted / 1.5 < 1.5 * wanted < high
    least, most = read_brightest_photons(path, (1.0, 1.3))
    assert most == pytest.approx(1.3 * least) and most == pytest.approx(4 * wanted, rel=0.25)


def test_its_frames_have_the_noise_and_the_grey_values_of_real_ones(calibrated: tuple[list[Field], Path]) -> None:
    fields, path = calibrated
    degrade = chosen_arm("physics", fields, 2, calibration=path, pixel_size_nm=180.0).degrade
    assert degrade is not None
    white, generator = max(float(field.high.max()) for field in fields), torch.Generator().manual_seed(0)
    levels, variances = [], []
    for share in np.linspace(0.05, 0.5, 30):
        low, wanted = degrade(torch.full((1, 96, 96), float(share) * white), generator)
        assert float(low.mean()) == pytest.approx(float(wanted.mean()), rel=0.02)
        levels.append(float(wanted.mean()) - FAST.offset_adu)
        variances.append(float(low[..., 8:-8].var()))
    memory = np.exp(-1 / FAST.lag_px)
    lagged = (1 - memory) / (1 + memory)  # of white noise, what the amplifier leaves
    slope = np.sum(np.array(variances) - FAST.read_noise_adu**2 * lagged) / np.sum(levels)
    assert slope == pytest.approx(FAST.gain_adu_per_e * FAST.excess_noise * lagged, rel=0.1)


def test_facts_that_are_missing_or_in_vain_are_told(calibrated: tuple[list[Field], Path]) -> None:
    fields, path = calibrated
    with pytest.raises(UsageError, match="needs --pixel-size"):
        chosen_arm("physics", fields, 2, calibration=path)
    with pytest.raises(UsageError, match="--calibration is of the physics arm"):
        chosen_arm("paired", fields, 2, calibration=path)
    with pytest.raises(UsageError, match="--fwhm is of the physics arm"):
        chosen_arm("synthetic", fields, 2, fwhm_nm=9.0)
    with pytest.raises(UsageError, match="--background is of the physics arm"):
        chosen_arm("paired", fields, 2, background_photons=(0.0, 0.0))
    with pytest.raises(UsageError, match="background included: give less"):
        chosen_arm("physics", fields, 2, calibration=path, pixel_size_nm=180.0, background_photons=(0.0, 1e4))
    assert chosen_arm("paired", fields, 2).degrade is None


def test_a_background_lifts_the_darkest_pixels_and_not_the_brightest(calibrated: tuple[list[Field], Path]) -> None:
    fields, path = calibrated
    shape = (1, 64, 64)
    dark = torch.full(shape, min(float(field.high.min()) for field in fields))
    white = torch.full(shape, float(np.mean([np.quantile(f.high, BRIGHTEST) for f in fields])))
    counted = {}
    for background in (None, (0.0, 0.0), (2.0, 2.5)):
        made = chosen_arm("physics", fields, 2, calibration=path, pixel_size_nm=180.0, background_photons=background)
        assert made.degrade is not None and made.facts["background_photons"] == (background or (0.0, 0.0))
        frames, wanted = (
            torch.stack([made.degrade(one, torch.Generator().manual_seed(seed))[which] for seed in range(40)])
            for one, which in ((dark, 0), (white, 1))
        )
        counted[background] = (float(frames.mean()), float(wanted.log().mean().exp()), frames)
    assert torch.equal(counted[None][2], counted[0.0, 0.0][2])
    lifted = (counted[2.0, 2.5][0] - counted[None][0]) / FAST.gain_adu_per_e
    assert lifted == pytest.approx(2.25, rel=0.15)
    assert counted[2.0, 2.5][1] == pytest.approx(counted[None][1], rel=0.05)
