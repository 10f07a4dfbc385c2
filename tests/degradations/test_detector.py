"""Laws of the photomultiplier: mean, variance and third cumulant against closed forms; nothing from nothing."""

import pytest
import torch

from fluosr.degradations.detector import detect, digitise, multiply


def constant(value):
    return torch.tensor(float(value))


@pytest.mark.parametrize("excess", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("light", [0.4, 6.0])
def test_mean_and_variance_are_the_closed_forms(excess, light):
    gain, offset, read = 7.0, 100.0, 3.0
    expected = torch.full((1, 500, 800), light)
    y = detect(
        expected,
        gain_adu_per_e=constant(gain),
        excess_noise=constant(excess),
        offset_adu=constant(offset),
        read_noise_adu=constant(read),
        generator=torch.Generator().manual_seed(int(10 * (excess + light))),
    ).double()
    n = y.numel()
    variance = gain**2 * excess * light + read**2
    assert float(y.mean()) == pytest.approx(offset + gain * light, abs=5 * (variance / n) ** 0.5)
    # The fourth cumulant of a compound Poisson sum of Gamma(1 / (F^2 - 1)) charges: m E q^4.
    s = excess - 1
    fourth = gain**4 * light * (1 + s) * (1 + 2 * s) * (1 + 3 * s)
    spread = ((2 * variance**2 + fourth) / n) ** 0.5
    assert float(y.var()) == pytest.approx(variance, abs=5 * spread)
    third = gain**3 * light * excess * (2 * excess - 1)
    assert float(((y - y.mean()) ** 3).mean()) == pytest.approx(third, rel=0.06)


def test_no_photon_gives_no_charge_and_a_known_count_its_own_variance():
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(1, 300, 300)
    counts[:, :, 150:] = 4.0
    charge = multiply(counts, torch.tensor(1.5), generator)
    assert not charge[..., :150].any() and (charge[..., 150:] > 0).all()
    assert float(charge[..., 150:].mean()) == pytest.approx(4.0, rel=0.01)
    assert float(charge[..., 150:].var()) == pytest.approx(2.0, rel=0.03)


def test_without_excess_counts_stay_whole():
    counts = torch.poisson(torch.full((1, 20, 20), 3.0), generator=torch.Generator().manual_seed(0))
    assert torch.equal(multiply(counts, torch.tensor(1.0), torch.Generator().manual_seed(0)), counts)


def test_grey_values_are_whole_and_within_the_bits():
    y = digitise(torch.tensor([[[-4.0, 0.4, 12.6, 300.0]]]), 255)
    assert y.tolist() == [[[0.0, 0.0, 13.0, 255.0]]]
