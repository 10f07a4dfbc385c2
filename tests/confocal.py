"""Repeats of a video-rate confocal microscope whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fluosr.degradations.confocal import VideoRateConfocal
from fluosr.degradations.microscope import ScanningMicroscope

CONFOCAL = ScanningMicroscope(
    pixel_size_nm=100.0,
    fwhm_nm=260.0,
    factor=1,
    background_photons=0.5,
    dark_e=0.05,
    phase_px=0.45,
    jitter_px=0.12,
    lag_px=0.6,
    gain_adu_per_e=20.0,
    excess_noise=1.3,
    offset_adu=100.0,
    read_noise_adu=12.0,
)
CAMERA = replace(CONFOCAL, phase_px=0.0, jitter_px=0.0, lag_px=0.0, excess_noise=1.0, bidirectional=False)


def truth(microscope: ScanningMicroscope) -> dict[str, float]:
    """What a calibration should find, by its names."""
    names = ("offset_adu", "read_noise_adu", "phase_px", "jitter_px", "lag_px")
    product = microscope.gain_adu_per_e * microscope.excess_noise
    return {"gain_times_excess_adu_per_e": product, **{name: getattr(microscope, name) for name in names}}


def sample(seed: int, side: int = 64, peak: float = 10.0, shift_px: float = 0.0) -> np.ndarray:
    """(side, side) photons: filaments of .7 pixels (sigma) at all angles, and a hazy spot; moved along x."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(float)
    x -= shift_px
    image = np.zeros((side, side))
    for _ in range(max(6, side // 7)):
        angle, offset, bend = generator.uniform(0, np.pi), generator.uniform(-0.2, 1.2) * side, generator.uniform(-1, 1)
        c, s = np.cos(angle), np.sin(angle)
        across, along = x * c + y * s - offset * (c + s), -x * s + y * c
        across = across + 0.02 * bend * (along - side / 3) ** 2 / 3
        image += generator.uniform(0.3, 1.0) * np.exp(-((across / 0.7) ** 2) / 2)
    place = generator.uniform(0, side, 2)
    image += 0.6 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 2 / 12**2)
    return image / np.percentile(image, 99.5) * peak


def repeats(
    seed: int = 0,
    n_frames: int = 12,
    *,
    microscope: ScanningMicroscope = CONFOCAL,
    side: int = 64,
    peak: float = 10.0,
    drift_px: float = 0.0,
) -> np.ndarray:
    """(T, side, side) uint16 ADU; the sample drifts along x by ``drift_px`` in all."""
    steps = [drift_px * t / max(n_frames - 1, 1) for t in range(n_frames)] if drift_px else [0.0]
    light = torch.tensor(np.stack([sample(seed, side, peak, step) for step in steps]), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    frames = VideoRateConfocal(microscope).degrade(light.expand(n_frames, -1, -1), generator)
    return frames.numpy().astype(np.uint16)
