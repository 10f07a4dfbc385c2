"""Laws of the scan: lines displaced by d, an amplifier that keeps the light and looks only backwards in time."""

import math

import pytest
import torch

from fluosr.degradations.scan import along_scan, lag_lines, line_shifts


def lagged(lines, lag, *, return_parity=1):
    return lag_lines(lines, torch.full((len(lines),), lag), longest_px=lag, return_parity=return_parity)


def slow_lag(line, lag):
    memory, state, out = math.exp(-1.0 / lag), float(line[0]), []
    for value in line.tolist():
        state = memory * state + (1 - memory) * value
        out.append(state)
    return torch.tensor(out, dtype=line.dtype)


@pytest.mark.parametrize("return_parity", [0, 1, None])
@pytest.mark.parametrize("lag", [0.3, 1.0, 2.5])
def test_the_lag_is_the_recursion_along_the_scan(lag, return_parity):
    lines = torch.rand(2, 5, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = lagged(lines, lag, return_parity=return_parity)
    for b in range(2):
        for y in range(5):
            back = return_parity == y % 2
            line = lines[b, y].flip(0) if back else lines[b, y]
            wanted = slow_lag(line, lag)
            assert torch.allclose(found[b, y], wanted.flip(0) if back else wanted, atol=3e-6)


def test_the_lag_keeps_light_and_is_causal():
    lines = torch.zeros(1, 2, 60, dtype=torch.float64)
    lines[..., 30] = 1.0
    found = lagged(lines, 1.5)
    assert torch.allclose(found.sum(-1), torch.ones(1, 2, dtype=torch.float64), atol=1e-6)
    assert not found[0, 0, :30].any() and not found[0, 1, 31:].any()
    assert found[0, 0, 31] > 0 and found[0, 1, 29] > 0


def test_images_of_a_batch_lag_each_by_its_own():
    lines = torch.rand(3, 4, 20, generator=torch.Generator().manual_seed(2))
    lags = torch.tensor([0.0, 0.7, 2.0])
    together = lag_lines(lines, lags, longest_px=2.0, return_parity=1)
    assert torch.equal(together[0], lines[0])
    for i in (1, 2):
        alone = lag_lines(lines[i : i + 1], lags[i : i + 1], longest_px=2.0, return_parity=1)
        assert torch.allclose(together[i], alone[0], atol=1e-6)


def test_phase_goes_both_ways_and_jitter_is_as_large_as_said():
    phase, jitter = torch.tensor([0.5, -0.2]), torch.tensor([0.0, 0.1])
    still = line_shifts(6, phase, None, None)
    assert torch.allclose(still[0], torch.tensor([0.5, -0.5] * 3)) and torch.allclose(still[1], -0.4 * still[0])
    generator = torch.Generator().manual_seed(0)
    drawn = line_shifts(40_000, torch.zeros(2), jitter, generator)
    assert not drawn[0].any()
    assert float(drawn[1].std()) == pytest.approx(0.1, rel=0.02) and abs(float(drawn[1].mean())) < 0.003


def test_turning_the_lines_twice_changes_nothing():
    lines = torch.rand(1, 3, 4)
    turned = along_scan(lines, return_parity=1)
    assert torch.equal(turned[0, 1], lines[0, 1].flip(0)) and torch.equal(turned[0, 2], lines[0, 2])
    assert torch.equal(along_scan(turned, return_parity=1), lines)
