"""A scanning microscope calibrated on repeats of fields: gain, offset, read noise, phase, jitter and lag."""

from __future__ import annotations

import math

import numpy as np

from fluosr.corrections.intervals import Interval, jackknife
from fluosr.corrections.repeats import Repeats, check_still
from fluosr.corrections.scan_gain import darkest, line_from, line_sums, offset_and_read_noise, offset_from, third_sums
from fluosr.corrections.scan_lines import (
    Direction,
    direction_from,
    direction_sums,
    displacement,
    find_phase,
    jitter_sums,
    lag_sums,
    memory_from,
    without_lag,
)
from fluosr.corrections.scan_moments import (
    MANY_FIELDS,
    Moments,
    NoiseLine,
    grouped,
    moments_of,
    neighbours_mean,
    over_bands,
)
from fluosr.corrections.scan_result import (
    LARGEST_MEMORY,
    NO_GROWTH,
    ONE_WAY,
    ScanCalibration,
    delay_px,
    looks_one_way,
    measured,
    odd_noise,
    root,
    time_constant,
)
from fluosr.errors import AcquisitionError, UsageError

LEAST_CONTRAST = 3.0  # spread of the pixels' brightness over that of its noise


def calibrate_repeats(
    fields: list[Repeats], *, offset_adu: float | None = None, bidirectional: bool | None = None
) -> ScanCalibration:
    """Gain x excess, offset, read noise, phase, jitter and lag, each with a 95 % interval.

    With x the signal that the amplifier is given, its mean m and its slope m' along the line:

        y_n = r y_{n-1} + (1 - r) x_n,    Var x = g F^2 (m - offset) + read_noise^2 + s_j^2 m'^2,    r = exp(-1 / tau)

    r is what neighbours along a line share of their noise; mean and variance of x follow from y's without loss. The
    straight line of variance against mean, with the brightness of the lines above and below as its instrument, has the
    slope g F^2: variance and mean never tell gain and excess noise apart. Intervals: jackknife over bands of lines, or
    over fields where there are eight or more, all quantities together, with Student's t.

    Args:
        fields: repeats of one field each, two frames or more.
        offset_adu: grey value without light, where it is known.
        bidirectional: whether there are return lines, where it is known; else the noise is asked.

    Raises:
        AcquisitionError: the sample moves or changes, its brightness has no contrast, or its noise does not grow with
            its brightness.
        UsageError: an offset above all light.

    Source:
        J. Janesick, Photon Transfer (SPIE, 2007).
    """
    warnings = [warning for field in fields for warning in field.warnings]
    moments = [moments_of(field) for field in fields]
    for field, seen in zip(fields, moments, strict=True):
        warnings += check_still(field, seen.residuals, seen.variance, seen.across)
    smooth = [neighbours_mean(seen.mean) for seen in moments]
    _check_contrast(moments, smooth)
    noise = _first_noise(moments, smooth)
    each = list(zip(moments, smooth, strict=True))
    jitters = grouped([jitter_sums(seen, noise, z) for seen, z in each])
    lags = grouped([lag_sums(seen, noise, z) for seen, z in each])
    count = len(lags)

    def jitter_variance(chosen: np.ndarray) -> float:
        top, bottom = jitters[chosen].sum(0)
        return float(top / bottom) if bottom > 0 else 0.0

    def memory(chosen: np.ndarray) -> float:
        found = memory_from(lags[chosen].sum(0), jitter_variance(chosen))
        return min(max(found, -LARGEST_MEMORY), LARGEST_MEMORY)

    lag = jackknife(memory, count)
    warnings += odd_noise(lag)
    kept = lag.value  # not cut at 0: what is not there must not come out as a little
    told = direction_from(grouped([direction_sums(seen, noise, z, kept) for seen, z in each]))
    weights = [seen.repeats.usable / noise.variance(z) for seen, z in each]
    both_ways, even_return, direction = _direction(told, lag, bidirectional)
    if bidirectional is None and lag.low > 0 and not told.sure:
        shown = displacement([seen.mean for seen in moments], weights)
        if looks_one_way(lag, shown):
            both_ways, even_return, direction = False, False, ONE_WAY
    parity = (0 if even_return else 1) if both_ways else None
    plain = [without_lag(seen.mean, kept, parity) for seen in moments]
    phase, steps = find_phase(plain, weights)
    lines = grouped([line_sums(seen, noise, kept, parity) for seen in moments])
    thirds = grouped([third_sums(seen, noise, kept, parity) for seen in moments])
    phases = grouped([over_bands(lines_of) for lines_of in steps])

    def line(chosen: np.ndarray) -> tuple[float, float]:
        return line_from(lines[chosen].sum(0), memory(chosen), jitter_variance(chosen))

    def no_light(chosen: np.ndarray) -> float:
        return offset_from(thirds[chosen].sum(0), memory(chosen), jitter_variance(chosen), line(chosen)[0])

    def displaced(chosen: np.ndarray) -> float:
        top, bottom = phases[chosen].sum(0)
        # Another r would have carried even and odd lines further apart, or less far.
        carried = delay_px(memory(chosen)) - delay_px(kept)
        return phase + float(top / max(bottom, 1e-300)) + (carried if even_return else -carried) * both_ways

    gain = jackknife(lambda chosen: line(chosen)[0], count)
    if not gain.value > 0:
        raise AcquisitionError(NO_GROWTH)
    dark = min(darkest(image, seen.repeats.usable) for image, seen in zip(plain, moments, strict=True))
    if offset_adu is not None and offset_adu > max(float(seen.mean.max()) for seen in moments):
        raise UsageError(f"the offset of {offset_adu:g} ADU lies above all light: check --offset.")
    dark_error = math.sqrt(noise.variance(np.array([dark]))[0] / min(len(f.frames) for f in fields)) / 5
    darkness = offset_and_read_noise(line, count, dark, dark_error, offset_adu=offset_adu, no_light=no_light)
    shift = jackknife(displaced, count)
    if not both_ways and not shift.holds(0.0):
        warnings.append(
            f"Even and odd lines are displaced by {shift} pixels although the scan goes one way only: was it "
            "bidirectional after all? Then say --scan bidirectional."
        )
    by = f"jackknife over {count} groups of {'fields' if len(fields) >= MANY_FIELDS else 'lines'}"
    found = {
        "gain_times_excess_adu_per_e": (gain, f"slope of variance against mean, lag undone; {by}"),
        "offset_adu": (darkness.offset_adu, darkness.how),
        "read_noise_adu": (darkness.read_noise_adu, f"variance at the offset, before the lag; {by}"),
        "phase_px": (
            (shift, f"even and odd lines of the mean made alike, lag undone; {by}")
            if both_ways
            else (Interval(0.0, 0.0, 0.0), "none in a scan that goes one way")
        ),
        "jitter_px": (root(jackknife(jitter_variance, count)), f"shift common to a line of one frame; {by}"),
        "lag_px": (time_constant(lag), f"r = {lag.value:.3g}, the noise shared along the lines and not across; {by}"),
    }
    return ScanCalibration(
        values={name: measured(name, *value) for name, value in found.items()},
        bidirectional=both_ways,
        even_lines_return=even_return,
        direction=direction,
        brightest_adu=float(np.mean([np.percentile(seen.mean, 99.9) for seen in moments])) - darkness.offset_adu.value,
        fields=tuple(field.name for field in fields),
        frames=sum(len(field.frames) for field in fields),
        way="repeats",
        bits=max(field.bits for field in fields),
        warnings=tuple(warnings),
    )


def _first_noise(moments: list[Moments], smooth: list[np.ndarray]) -> NoiseLine:
    usable = [seen.repeats.usable for seen in moments]
    return NoiseLine.through(
        np.concatenate([image[good] for image, good in zip(smooth, usable, strict=True)]),
        np.concatenate([seen.variance[good] for seen, good in zip(moments, usable, strict=True)]),
    )


def _check_contrast(moments: list[Moments], smooth: list[np.ndarray]) -> None:
    values = np.concatenate([z[seen.repeats.usable] for z, seen in zip(smooth, moments, strict=True)])
    spread = float(np.var(np.clip(values, *np.percentile(values, (1, 99)))))
    noise = float(np.mean([seen.variance[seen.repeats.usable].mean() / len(seen.residuals) for seen in moments]))
    # Of twelve values in the mean of neighbours about six count.
    if spread < LEAST_CONTRAST * noise / 6:
        raise AcquisitionError(
            "brightness differs between pixels by little more than its noise, so that the noise of bright and dark "
            "ones cannot be compared: give more frames, or a field with structure."
        )


def _direction(told: Direction, lag: Interval, given: bool | None) -> tuple[bool, bool, str]:
    """(bidirectional, even lines return, in words)."""
    seen = lag.low > 0 and told.sure
    even_return = seen and told.bidirectional and told.even_lines_return
    both_ways = (told.bidirectional if seen else True) if given is None else given
    even_return = even_return and both_ways
    ways = f"bidirectional, {'even' if even_return else 'odd'} lines return" if both_ways else "one way"
    if given is not None:
        return both_ways, even_return, f"{ways} (given)"
    if seen:
        return both_ways, even_return, f"{ways} (the noise tells)"
    why = "no lag is seen" if lag.low <= 0 else "the noise does not tell"
    return both_ways, even_return, f"{ways} (assumed: {why})"
