"""The gradient through a Poisson draw: eq. (18) by enumeration, and its approximation (19) as FluoGAN uses it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from fluosr.methods.base import Run
from fluosr.methods.fluogan.adversarial import AdversarialFit
from fluosr.methods.fluogan.parameters import FluoganParameters
from fluosr.methods.fluogan.setup import prepare
from fluosr.statistics import gather
from tests.movies import cross_movie

COUNTS = np.array(list(itertools.product(range(28), repeat=3)), float)  # of three pixels; beyond lies less than 1e-10

Function = Callable[[np.ndarray], np.ndarray]


def expectation(function: Function, z: np.ndarray) -> float:
    """E f(q), q ~ Poisson(z), over all counts of three pixels."""
    chance = np.prod([poisson.pmf(COUNTS[:, i], z[i]) for i in range(3)], axis=0)
    return float(chance @ function(COUNTS))


def bump(q: np.ndarray) -> np.ndarray:
    """Bounded, and far from linear."""
    return np.tanh(0.7 * q[:, 0] - 0.4 * q[:, 1] * q[:, 2]) + np.cos(q @ np.array([1.0, 2.0, 0.5]))


@settings(max_examples=10)
@given(z=st.lists(st.floats(0.05, 5.0), min_size=3, max_size=3).map(np.array), pixel=st.integers(0, 2))
def test_the_gradient_of_an_expectation_is_the_expected_gain_of_one_photon(z: np.ndarray, pixel: int) -> None:
    """d/dz_i E f(q) = E[f(q + 1_i) - f(q)], eq. (18)."""
    unit = np.eye(3)[pixel]
    step = 1e-4
    slope = (expectation(bump, z + step * unit) - expectation(bump, z - step * unit)) / (2 * step)
    gain = expectation(lambda q: bump(q + unit) - bump(q), z)
    assert gain == pytest.approx(slope, abs=1e-6)


def test_it_holds_for_a_dark_pixel_too() -> None:
    z, unit, step = np.array([0.0, 1.0, 2.0]), np.eye(3)[0], 1e-5
    slope = (expectation(bump, z + step * unit) - expectation(bump, z)) / step
    assert expectation(lambda q: bump(q + unit) - bump(q), z) == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("width", [3.0, 10.0, 30.0])
def test_the_gradient_at_the_draw_is_close_where_a_photon_changes_little(width: float) -> None:
    """f(q + 1_i) - f(q) is about df/dq_i, eq. (19), with an error of second order."""
    z = np.array([2.0, 3.0, 4.0])
    exact = expectation(lambda q: np.tanh((q[:, 0] + 1 - 2) / width) - np.tanh((q[:, 0] - 2) / width), z)
    approximate = expectation(lambda q: (1 - np.tanh((q[:, 0] - 2) / width) ** 2) / width, z)
    assert abs(approximate - exact) < 0.5 / width**2  # half the bound of the second derivative


def adversarial_fit(batch: int, *, drift: bool = False, weight: float = 1.0) -> AdversarialFit:
    parameters = FluoganParameters(factor=2, batch=batch, drift=drift, discriminator_weight=weight)
    movie = cross_movie(60, read_noise=0.4)
    setup = prepare(movie, parameters, Run(), gather(movie))
    problem = setup.problem(0.7, 1.0)
    return AdversarialFit(setup, problem, problem.start(), Run(seed=3))


class Plane(torch.nn.Module):
    """D(y) = <a, y>: its gradient is a wherever it is asked."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.slope = torch.linspace(-1.0, 1.0, shape[0] * shape[1]).reshape(shape)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return (frames * self.slope).sum((1, 2))


class Bowl(Plane):
    """D(y) = <a, y^2> / 2: its gradient depends on the draw."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return 0.5 * (frames.square() * self.slope).sum((1, 2))


def sampled_part(fit: AdversarialFit) -> torch.Tensor:
    """What the discriminator adds to the gradient of the grains."""
    with_judge = fit.generator_gradient()[0].clone()
    return with_judge - fit.problem.gradient(fit.state.extrapolated)[0]


@pytest.mark.parametrize("batch", [2, 8, 64])
def test_a_linear_discriminator_pulls_by_its_slope_whatever_the_batch(batch: int) -> None:
    fit = adversarial_fit(batch)
    plane = Plane(fit.setup.acquisition.field_shape)
    fit.discriminator = plane  # type: ignore[assignment]
    # d/dphi of -delta T E D((Y - ybar) / s) = -T a / s, with T frames in the movie.
    wanted = fit.problem.operator.adjoint(-60.0 * plane.slope[None] / fit._scale)
    assert float((sampled_part(fit) - wanted).abs().max()) < 1e-3 * float(wanted.abs().max())


def test_the_weight_of_the_discriminator_scales_its_part() -> None:
    parts = []
    for weight in (1.0, 2.5):
        fit = adversarial_fit(8, weight=weight)
        fit.discriminator = Bowl(fit.setup.acquisition.field_shape)  # type: ignore[assignment]
        parts.append(sampled_part(fit))
    assert float((parts[1] - 2.5 * parts[0]).abs().max()) < 1e-3 * float(parts[1].abs().max())


@pytest.mark.parametrize("batch", [4, 16])
def test_the_sampled_slope_is_the_expected_gradient_at_the_draws(batch: int) -> None:
    """E of the sample is E[grad f(Y)], eq. (19); only its noise depends on the batch."""
    fit = adversarial_fit(batch)
    bowl = Bowl(fit.setup.acquisition.field_shape)
    fit.discriminator = bowl  # type: ignore[assignment]
    phi = fit.problem.expected(fit.state.extrapolated)
    deviation = (phi - fit._centre) / fit._scale  # E[y] of a normalised frame
    wanted = fit.problem.operator.adjoint(-60.0 * bowl.slope * deviation / fit._scale)
    draws = torch.stack([sampled_part(fit) for _ in range(400)])
    error = (draws.mean(0) - wanted) / (draws.std(0) / 20.0)
    assert float(error.square().mean()) < 2.0
    # One frame's noise per pixel is sqrt(phi + r^2): the batch divides its variance.
    noise = 60.0 * bowl.slope[None] * (phi + 0.4**2).sqrt() / fit._scale**2
    direction = torch.ones_like(draws[0])
    spread = float((draws * direction).sum((1, 2)).std())
    expected = float((noise * fit.problem.operator.forward(direction)).square().sum().sqrt()) / batch**0.5
    assert spread == pytest.approx(expected, rel=0.2)


def test_without_weight_the_discriminator_adds_nothing() -> None:
    assert float(sampled_part(adversarial_fit(8, weight=0.0)).abs().max()) == 0.0


def test_simulated_frames_have_the_moments_of_the_model() -> None:
    fit = adversarial_fit(8)
    groups = torch.zeros(4000, dtype=torch.long)
    frames = fit.simulate(groups) * fit._scale + fit._centre
    phi = fit.problem.expected(fit.state.point)[0]
    variance = phi + 0.4**2
    assert float(((frames.mean(0) - phi).square() / (variance / 4000)).mean()) == pytest.approx(1.0, abs=0.35)
    assert float((frames.var(0) / variance).mean()) == pytest.approx(1.0, abs=0.02)


def test_real_frames_lie_about_one_unit_from_the_mean_frame() -> None:
    fit = adversarial_fit(32)
    frames, groups = fit.real_batch()
    assert frames.shape == (32, 16, 18) and groups.shape == (32,)
    assert 0.5 < float(frames.flatten(1).norm(dim=1).mean()) < 2.5
    assert abs(float(frames.mean())) < 0.2 / frames[0].numel() ** 0.5


def test_the_discriminator_learns_the_slope_that_the_penalty_asks_for() -> None:
    fit = adversarial_fit(32)
    for _ in range(60):
        fit.train_discriminator()
    assert np.mean(fit.curves["gradient penalty"][-5:]) < 0.2  # a D that has gone flat pays 1


def test_its_state_goes_on_bit_for_bit() -> None:
    whole, first = adversarial_fit(4), adversarial_fit(4)
    for _ in range(6):
        whole.run_round()
    for _ in range(3):
        first.run_round()
    second = adversarial_fit(4)
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()})
    for _ in range(3):
        second.run_round()
    kept = second.tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, kept[name]), name
