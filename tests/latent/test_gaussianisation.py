"""Squared norms against chi-squared: known transforms, and a generator's codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.gaussianisation import ElementwiseGaussian, check_norms, chi_squared_distance
from tests.latent.small import made_generator, quick_flow
from tests.restorers import seeded


def test_gaussian_norms_are_near_and_those_of_a_wrong_scale_as_far_as_theory_says() -> None:
    norms = np.square(np.random.default_rng(0).normal(size=(5000, 64))).sum(1)
    assert chi_squared_distance(norms, 64) < 1.63 / np.sqrt(5000)  # 99 % of the draws
    from scipy import stats

    grid = np.linspace(20, 160, 4000)
    far = np.max(np.abs(stats.chi2(64).cdf(grid) - stats.chi2(64).cdf(grid / 1.2)))
    assert chi_squared_distance(1.2 * norms, 64) == pytest.approx(far, abs=0.02)


def test_the_element_wise_transform_whitens_what_it_is_made_for() -> None:
    # Independent Gaussians through the leaky ReLU of the mapping's end: just what it takes back.
    v = torch.randn(20000, 16, generator=seeded()) * 0.7 + 0.2
    w = torch.nn.functional.leaky_relu(v, 0.2)
    elementwise = ElementwiseGaussian.fitted(w)
    norms = elementwise(w).square().sum(1).numpy()
    assert chi_squared_distance(norms, 16) < 0.02
    torch.testing.assert_close(elementwise.inverse(elementwise(w)), w)


def test_the_flow_comes_nearest_on_a_generators_codes() -> None:
    made = made_generator()
    elementwise = ElementwiseGaussian.fitted(drawn_codes(made.network, 10_000, seeded(3)))
    check = check_norms(made, quick_flow().model.of(made), elementwise, seeded(4), samples=2000)
    assert check.distances["Z"] < 0.04 and check.latent_features == 6
    assert check.distances["flow"] < check.distances["element-wise"] < check.distances["W"]
    assert {len(norms) for norms in check.squared_norms.values()} == {2000}
