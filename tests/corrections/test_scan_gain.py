"""The line of variance against mean and the third cumulant: exact on exact moments; and what the dark tells."""

import numpy as np
import pytest

from fluosr.corrections.scan_gain import BY_DARKEST, BY_THIRD, darkest, line_from, offset_and_read_noise, offset_from

GAIN, EXCESS, OFFSET, READ, R, JITTER2 = 20.0, 1.3, 100.0, 12.0, 0.3, 0.01
COUNT = 20


def sums_of(columns, instrument):
    rows = (np.ones_like(instrument), instrument)
    return np.stack([[float((row * column).sum()) for column in columns] for row in rows])


def exact():
    """Along a line: light, m'^2, and the three cumulants of y_n = r y_{n-1} + (1 - r) x_n, pixel by pixel."""
    light = 3 + 2 * np.sin(np.arange(200) / 7)
    slope2 = 50 * np.cos(np.arange(200) / 5) ** 2
    mean = OFFSET + GAIN * light
    variance = GAIN**2 * EXCESS * light + READ**2 + JITTER2 * slope2
    third = GAIN**3 * EXCESS * (2 * EXCESS - 1) * light + 3 * GAIN * EXCESS * JITTER2 * slope2
    y = [mean[:1].tolist(), variance[:1].tolist(), third[:1].tolist()]
    for n in range(1, 200):
        for power, (out, x) in enumerate(zip(y, (mean, variance, third), strict=True), 1):
            out.append(R**power * out[-1] + (1 - R) ** power * x[n])
    return light, slope2, *(np.array(part) for part in y)


def test_the_line_of_exact_moments_is_exact():
    light, slope2, mean, variance, _ = exact()
    # Cov(y_n, y_{n-1}) = r Var y_{n-1}
    columns = (np.ones(199), mean[1:], mean[:-1], variance[1:], R * variance[:-1], variance[:-1], slope2[1:])
    slope, level = line_from(sums_of(columns, light[1:]), R, JITTER2)
    assert slope == pytest.approx(GAIN * EXCESS, rel=1e-9)
    assert level == pytest.approx(READ**2 - GAIN * EXCESS * OFFSET, rel=1e-9)


def test_the_offset_of_exact_moments_is_exact():
    light, slope2, mean, _, third = exact()
    # E e_n^2 e_{n-1} = r^2 E e_{n-1}^3 and E e_n e_{n-1}^2 = r E e_{n-1}^3
    before = third[:-1]
    columns = (np.ones(199), mean[1:], mean[:-1], third[1:], R**2 * before, R * before, before, slope2[1:])
    sums = sums_of(columns, light[1:])
    assert offset_from(sums, R, JITTER2, GAIN * EXCESS) == pytest.approx(OFFSET, rel=1e-9)
    columns = tuple(-column if number > 2 else column for number, column in enumerate(columns))
    assert np.isnan(offset_from(sums_of(columns, light[1:]), R, -JITTER2, GAIN * EXCESS))


def line(chosen):
    return GAIN * EXCESS + 0.01 * chosen.mean(), READ**2 - GAIN * EXCESS * OFFSET


def test_the_dark_is_given_or_told_or_bounded():
    given = offset_and_read_noise(line, COUNT, 110.0, 0.5, offset_adu=OFFSET)
    assert given.offset_adu.low == given.offset_adu.high == OFFSET and given.how == "given"
    told = offset_and_read_noise(line, COUNT, 110.0, 0.5, no_light=lambda chosen: OFFSET + 0.1 * chosen.mean() - 0.95)
    assert told.how == BY_THIRD and told.offset_adu.holds(OFFSET) and told.offset_adu.high < 102
    bounded = offset_and_read_noise(line, COUNT, 110.0, 0.5)
    assert bounded.how == BY_DARKEST and bounded.read_noise_adu.low == 0.0
    assert bounded.offset_adu.low < OFFSET - READ**2 / (GAIN * EXCESS) + 1 and bounded.offset_adu.high == 111.5


@pytest.mark.parametrize("zero", [float("nan"), 300.0, -50.0])
def test_a_third_moment_that_tells_nothing_or_nonsense_is_not_believed(zero):
    found = offset_and_read_noise(line, COUNT, 110.0, 0.5, no_light=lambda chosen: zero)
    assert found.how == BY_DARKEST


def test_the_darkest_squares_are_found():
    image = np.full((60, 60), 50.0)
    image[20:40, 20:40] = 7.0
    image[0, 0] = -1000.0
    usable = np.ones_like(image, bool)
    usable[:6, :6] = False
    assert darkest(image, usable) == pytest.approx(7.0)
