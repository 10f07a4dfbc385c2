"""Confocal fields: one sample, scanned fast and slowly, on grids that fit each other."""

from __future__ import annotations

import json

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


def test_the_slow_scan_has_so_many_more_photons() -> None:
    clean = one(slow_dose=62.0).clean_frame()
    noise = np.var(one(slow_dose=62.0).slow_frame() - clean)
    assert np.abs(one(slow_dose=62.0).slow_frame().mean() - clean.mean()) < 0.05 * (clean.mean() - 100.0)
    fast = one().fast_frames(40).astype(float)
    # Relative to the light, 62 times the photons have a 62nd of the variance (the lag takes some of the fast scan's).
    light_fast, light_slow = fast.mean() - 100.0, clean.mean() - 100.0
    share = (noise / light_slow**2) / (fast.var(0).mean() / light_fast**2)
    assert 1 / 90 < share < 1 / 20


def test_both_scans_see_one_place() -> None:
    fast, clean = one().fast_frames(60).mean(0), block_mean(one().clean_frame(), 2)
    assert np.corrcoef(fast.ravel(), clean.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_scale(factor: int) -> None:
    microscope = ScanningMicroscope(180.0, 250.0, factor=factor, phase_px=0.3)
    made = ConfocalField("membranes", (24, 20), microscope)
    assert made.slow_frame().shape == (24 * factor, 20 * factor) and made.fast_frames(2).shape == (2, 24, 20)
