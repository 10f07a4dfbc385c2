"""Confocal fields: one sample, scanned fast and slowly, on grids that fit each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.restoration.scale import block_mean
from fluosr.simulate.confocal_fields import ConfocalField

FAST = ScanningMicroscope(
    180.0, 250.0, dose_photons=3.0, background_photons=0.3, phase_px=0.6, jitter_px=0.1, lag_px=0.5,
    gain_adu_per_e=40.0, excess_noise=1.3, offset_adu=100.0, read_noise_adu=8.0,
)  # fmt: skip


def one(seed: int = 0, **changes: float) -> ConfocalField:
    return ConfocalField("nuclei", (48, 40), FAST, seed=seed, **changes)


def test_shapes_and_kinds() -> None:
    fast, slow = one().fast_frames(3), one().slow_frame()
    assert fast.shape == (3, 48, 40) and fast.dtype == np.uint16 and fast.max() <= 4095
    assert slow.shape == (96, 80) and slow.dtype == np.uint16
    assert not np.array_equal(fast[0], fast[1])
    json.dumps(one().describe())


def test_a_seed_is_a_field() -> None:
    assert np.array_equal(one().fast_frames(2), one().fast_frames(2))
    assert np.array_equal(one().slow_frame(), one().slow_frame())
    assert not np.array_equal(one(1).clean_frame(), one().clean_frame())


@pytest.mark.parametrize("slow_dose", [62.0, 9.0])
def test_the_slow_scan_has_so_many_more_photons(slow_dose: float) -> None:
    still = replace(
        FAST, background_photons=2.0, jitter_px=0.0, lag_px=0.0, read_noise_adu=0.0
    )  # noise of photons alone
    taken = ConfocalField("nuclei", (48, 40), still, slow_dose=slow_dose)
    slow, clean = taken.slow_frame().astype(float), taken.clean_frame()
    fast = taken.fast_frames(40).astype(float)

    def photons(light_adu: float, variance: float) -> float:
        return light_adu / (variance / light_adu)  # g F^2 is what the noise says, not what the field says of itself

    many = photons(clean.mean() - 100.0, np.square(slow - clean).mean())
    few = photons(fast.mean() - 100.0, fast.var(0, ddof=1).mean())
    assert many / few == pytest.approx(slow_dose, rel=0.06)
    assert slow.mean() == pytest.approx(clean.mean(), rel=0.01)


def test_both_scans_see_one_place() -> None:
    fast, clean = one().fast_frames(60).mean(0), block_mean(one().clean_frame(), 2)
    assert np.corrcoef(fast.ravel(), clean.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_scale(factor: int) -> None:
    microscope = ScanningMicroscope(180.0, 250.0, factor=factor, phase_px=0.3)
    made = ConfocalField("membranes", (24, 20), microscope)
    assert made.slow_frame().shape == (24 * factor, 20 * factor) and made.fast_frames(2).shape == (2, 24, 20)
