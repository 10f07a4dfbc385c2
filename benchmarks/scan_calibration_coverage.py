"""How often the 95 % intervals of a scanning microscope's calibration hold the truth, on simulated repeats."""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import Table, store

import fluosr
from fluosr.corrections.repeats import Repeats, open_repeats
from fluosr.corrections.scan_result import UNITS, ScanCalibration
from fluosr.degradations.confocal import VideoRateConfocal
from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.io.scan_calibration import calibrate
from fluosr.optics.sampling import Grid
from fluosr.simulate.filaments import FilamentPhantom

# The numbers of the tests' microscope (tests/confocal.py) on a finer sample: benchmarks run without the tests beside
# them, and what those change must not change stored figures.
VIDEO_RATE = ScanningMicroscope(
    pixel_size_nm=100.0,
    fwhm_nm=260.0,
    factor=2,
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
STILL = replace(VIDEO_RATE, phase_px=0.0, jitter_px=0.0, lag_px=0.0, excess_noise=1.0)


@dataclass(frozen=True)
class Case:
    """What is calibrated on.

    Args:
        name: in words.
        frames: of each field.
        fields: how many.
        side_px: of each field.
        peak_photons: expected, .5 % of the pixels have more.
        microscope: the truth.
        offset_known: whether it is given.
    """

    name: str
    frames: int
    fields: int = 1
    side_px: int = 96
    peak_photons: float = 8.0
    microscope: ScanningMicroscope = VIDEO_RATE
    offset_known: bool = True


CASES = (
    Case("video rate", 20),
    Case("its offset unknown", 20, offset_known=False),
    Case("2 repeats", 2),
    Case("8 fields, 4 repeats", 4, fields=8, side_px=64),
    Case("brighter, longer lag", 20, peak_photons=60.0, microscope=replace(VIDEO_RATE, gain_adu_per_e=8.0, lag_px=1.1)),
    Case("one way", 20, microscope=replace(VIDEO_RATE, bidirectional=False, phase_px=0.0)),
    Case("nothing of a scan", 20, microscope=STILL),
    Case("a single frame", 1, side_px=192),
    Case("4 single frames", 1, fields=4, side_px=128),
)


def field(case: Case, seed: int) -> Repeats:
    """Repeats of a network of filaments in a haze, another one for each seed."""
    size, factor = (case.side_px, case.side_px), case.microscope.factor
    phantom = FilamentPhantom(size, count=case.side_px // 6, width_nm=120.0, seed=seed)
    light = phantom.render(Grid(size, factor))
    y, x = np.mgrid[: size[0] * factor, : size[1] * factor] / factor
    place = np.random.default_rng(seed).uniform(0, case.side_px, 2)
    light += 0.15 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 2 / 12**2)
    sharp = torch.tensor(light, dtype=torch.float32)[None]
    # The dose that gives the peak wanted, found on the expected frame.
    plain = VideoRateConfocal(replace(STILL, gain_adu_per_e=1.0, offset_adu=0.0, background_photons=0.0, dark_e=0.0))
    dose = case.peak_photons / float(plain.mean(sharp).quantile(0.995))
    microscope = VideoRateConfocal(replace(case.microscope, dose_photons=dose))
    frames = microscope.degrade(sharp.expand(case.frames, -1, -1), torch.Generator().manual_seed(seed))
    return open_repeats(frames.numpy().astype(np.uint16), f"field {seed}")


def truth(microscope: ScanningMicroscope) -> dict[str, float]:
    """By the names of a calibration."""
    product = microscope.gain_adu_per_e * microscope.excess_noise
    return {name: product if name.startswith("gain") else getattr(microscope, name) for name in UNITS}


def cell(found: list[ScanCalibration], name: str, wanted: float) -> str:
    """Held / all, mean of the values, their scatter, median of half the interval."""
    intervals = [calibration.values[name].interval for calibration in found]
    values = [interval.value for interval in intervals]
    half = float(np.median([(interval.high - interval.low) / 2 for interval in intervals]))
    held = sum(interval.holds(wanted) for interval in intervals)
    return f"{held}/{len(found)}: {np.mean(values):.3g} ± {np.std(values):.2g} ({half:.2g})"


def main() -> None:
    """About five minutes of one core with the default settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(
        "Intervals that hold the truth",
        ("case", "frames x fields", *(f"{name}" for name in UNITS), "scan found", "CPU, s (median)"),
        f"Filaments in a haze, another network for each of {options.seeds} seeds; truth: g F^2 26 ADU per photon, "
        "offset 100, read noise 12 ADU, phase .45, jitter .12, lag .6 pixels, unless the case says otherwise "
        "(brighter: 10.4 ADU per photon, lag 1.1; nothing of a scan: 20, all others 0). A cell: intervals that hold "
        "the truth, mean ± sd of the values, and the median of half the interval; "
        f"{0.95 * options.seeds:g} of {options.seeds} is right, with a sampling error of "
        f"{math.sqrt(0.95 * 0.05 * options.seeds):.1f}. 'Scan found': bidirectional or one way, and which lines "
        "return, as it is.",
    )
    for case in CASES:
        found, seconds, right = [], [], 0
        for seed in range(options.seeds):
            fields = [field(case, seed * case.fields + i) for i in range(case.fields)]
            started = time.process_time()
            one = calibrate(fields, offset_adu=case.microscope.offset_adu if case.offset_known else None)
            seconds.append(time.process_time() - started)
            found.append(one)
            right += one.bidirectional == case.microscope.bidirectional and not one.even_lines_return
        wanted = truth(case.microscope)
        table.rows.append(
            [
                case.name,
                f"{case.frames} x {case.fields}",
                *(cell(found, name, wanted[name]) for name in UNITS),
                f"{right}/{len(found)}",
                float(np.median(seconds)),
            ]
        )
        print(table.rows[-1], flush=True)
    store("scan_calibration_coverage", "Calibrating a scanning microscope", [table], version=fluosr.__version__)


if __name__ == "__main__":
    main()
