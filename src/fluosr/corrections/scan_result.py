"""What a calibration of a scanning microscope found: numbers with units, intervals, and how each was found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fluosr.corrections.intervals import Interval

UNITS = {
    "gain_times_excess_adu_per_e": "ADU per photon",
    "offset_adu": "ADU",
    "read_noise_adu": "ADU rms",
    "phase_px": "pixels",
    "jitter_px": "pixels rms",
    "lag_px": "pixels",
}
LARGEST_MEMORY = 0.9  # r, a lag of ten pixels: more is no amplifier's

NO_GROWTH = (
    "the noise does not grow with the brightness: the frames were averaged, normalised, filtered or compressed. Give "
    "them as the microscope took them."
)


@dataclass(frozen=True)
class Measured:
    """One number of the microscope.

    Args:
        interval: value and 95 % interval.
        unit: in words.
        how: how it was found, in plain words.
    """

    interval: Interval
    unit: str
    how: str


@dataclass(frozen=True)
class ScanCalibration:
    """What frames tell of the scanning microscope that took them.

    Args:
        values: by name, those of ``UNITS``.
        bidirectional, even_lines_return: as in :class:`fluosr.degradations.microscope.ScanningMicroscope`.
        direction: how these two were found, in words.
        brightest_adu: light that .1 % of a field's pixels exceed in its mean frame, or in its single frame smoothed by
            a Gaussian of .7 pixels, ADU above the offset; mean over the fields.
        fields: names of the files.
        frames: of all fields.
        way: "repeats" or "single frame".
        bits: of the grey values.
        warnings: what the reader should know, in plain words.
    """

    values: dict[str, Measured]
    bidirectional: bool
    even_lines_return: bool
    direction: str
    brightest_adu: float
    fields: tuple[str, ...]
    frames: int
    way: str
    bits: int
    warnings: tuple[str, ...]

    def words(self) -> list[str]:
        """In lines of plain words, for printing."""
        fields = "1 field" if len(self.fields) == 1 else f"{len(self.fields)} fields"
        lines = [f"{fields}, {self.frames} {'frame' if self.frames == 1 else 'frames'}: from {self.way}"]
        for name, found in self.values.items():
            lines.append(f"{TITLES[name]}: {found.interval} {found.unit}; {found.how}")
        lines.append(f"scan: {self.direction}")
        lines.append(f"grey values: {self.bits} bits")
        lines.append(f"brightest 0.1 %: {self.brightest_adu:.4g} ADU above the offset")
        return lines + [f"warning: {warning}" for warning in self.warnings]


TITLES = {
    "gain_times_excess_adu_per_e": "gain x excess noise (g F^2)",
    "offset_adu": "offset",
    "read_noise_adu": "read noise",
    "phase_px": "bidirectional phase d",
    "jitter_px": "jitter of the lines",
    "lag_px": "lag of the amplifier",
}


def measured(name: str, interval: Interval, how: str) -> Measured:
    """A number of that name with its unit."""
    return Measured(interval, UNITS[name], how)


ONE_WAY = "one way (assumed: the lag displaces no lines against each other)"


def looks_one_way(lag: Interval, shown: Interval) -> bool:
    """Whether even and odd lines lie so well in line that a lag in both directions would have shown.

    Args:
        lag: r.
        shown: half the displacement of even against odd lines, pixels, lag not undone.
    """
    reach = (shown.high - shown.low) / 2
    return lag.low > 0 and shown.holds(0.0) and delay_px(lag.low) > reach


def delay_px(memory: float) -> float:
    """By how much a lag moves an image along the scan: r / (1 - r)."""
    return memory / (1.0 - memory)


def odd_noise(memory: Interval) -> list[str]:
    """A warning where neighbours along the lines share less than nothing."""
    if memory.high >= 0:
        return []
    return [
        f"The noise of neighbours along the lines is opposite (correlation {memory}): the frames were sharpened, "
        "filtered or compressed. The lag was taken to be none; gain and read noise are those of raw frames only."
    ]


def time_constant(memory: Interval) -> Interval:
    """tau = -1 / ln r, pixels; 0 for r <= 0."""
    return Interval(*(0.0 if r <= 0 else -1.0 / math.log(min(r, LARGEST_MEMORY)) for r in _ends(memory)))


def root(squared: Interval) -> Interval:
    """The root; 0 of what is negative."""
    return Interval(*(math.sqrt(max(end, 0.0)) for end in _ends(squared)))


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
