"""The noise of synthetic pipelines: its size, and how many photons its Poisson branch stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.degradations.synthetic_noise import equivalent_photons, gaussian_noise, poisson_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_has_its_standard_deviation_and_is_clipped():
    images = torch.full((2, 200, 200), 0.5)
    found = gaussian_noise(images, torch.tensor([0.01, 0.1]), generator())
    np.testing.assert_allclose(found.std((1, 2)), [0.01, 0.1], rtol=0.02)
    np.testing.assert_allclose(found.mean((1, 2)), 0.5, atol=0.003)
    dark = gaussian_noise(torch.zeros(1, 50, 50), torch.tensor([0.3]), generator())
    assert float(dark.min()) == 0 and float(dark.max()) <= 1


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_the_poisson_branch_varies_as_so_many_photons_do(scale):
    # All 256 grey values, each 400 times: what is drawn at one of them is not the same for the others.
    levels = torch.arange(256.0) / 255
    images = levels.repeat(1, 400, 1)
    scales = torch.tensor([scale])
    (photons,) = equivalent_photons(images, scales).tolist()
    assert photons == pytest.approx(256 / scale**2)
    found = poisson_noise(images, scales, generator())[0].double().numpy()
    counted = np.random.default_rng(0).poisson(photons * images[0].numpy()) / photons
    middle = slice(90, 140)  # far from both ends, at which the branch is clipped
    wanted = (levels[middle] / photons).numpy()
    assert found.var(0)[middle].mean() == pytest.approx(wanted.mean(), rel=0.05)
    assert counted.var(0)[middle].mean() == pytest.approx(wanted.mean(), rel=0.05)
    assert found.mean(0)[middle].mean() == pytest.approx(float(levels[middle].mean()), rel=0.02)


def test_an_image_of_many_grey_values_never_has_fewer_than_28_photons_at_full_scale():
    images = torch.rand(50, 64, 64, generator=generator())
    scales = 0.05 + 2.95 * torch.rand(50, generator=generator(1))
    assert float(equivalent_photons(images, scales).min()) > 28
    assert float(equivalent_photons(images[:1], torch.tensor([3.0]))) == pytest.approx(28.4, abs=0.1)
    assert float(equivalent_photons(images[:1], torch.tensor([0.05]))) == pytest.approx(102_400)
    # Fewer grey values, fewer photons, whatever the light: counted, and rounded up to a power of two.
    few = (images[:1] * 9).round() / 9
    assert float(equivalent_photons(few, torch.tensor([1.0]))) == 16
    assert float(equivalent_photons(torch.full((1, 8, 8), 0.9), torch.tensor([2.0]))) == 0.25
