"""Molecules that remember: how sure the likelihood is of its slopes, and what residual the covariance may leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr.corrections.lag_curve import curve
from fluosr.methods.covariance.fit import Light
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.patches import Patches
from fluosr.methods.covariance.realised import realised_emission
from fluosr.optics.kronecker import imaging_pairs
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid
from tests.methods.covariances import dense

FIELD, FRAMES, KAPPA, PSF = (5, 5), 400, 20.0, GaussianPSF(170.0)


@given(st.floats(0.05, 500.0), st.integers(2, 60), st.integers(1, 7), st.integers(0, 3))
def test_the_sums_are_those_over_all_pairs_of_the_frames_used(
    frames: float, count: int, run: int, skipped: int
) -> None:
    numbers = 5 + np.arange(count)
    numbers = numbers[(numbers // run) % (skipped + 1) == 0]
    if len(numbers) < 2:
        assert Memory.of(frames, numbers) == Memory()
        return
    rho = curve(1.0 / frames, 100)
    apart = np.abs(numbers[:, None] - numbers[None, :])
    alike = rho[apart] / rho[0]
    memory = Memory.of(frames, numbers)
    assert memory.of_mean == pytest.approx(alike.sum() / len(numbers) - 1.0, abs=1e-9)
    assert memory.of_covariance == pytest.approx((alike**2).sum() / len(numbers) - 1.0, abs=1e-9)


def test_without_memory_nothing_is_added() -> None:
    assert Memory.of(None, np.arange(9)) == Memory.of(0.0, np.arange(9)) == Memory()


def scene(field: tuple[int, int] = FIELD) -> tuple[Patches, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches; x, b and the read noise squared."""
    random = torch.Generator().manual_seed(0)
    patches = Patches(Grid(field, 1, 1), PSF, 100.0)
    x = 3.0 * torch.rand(patches.grid.shape, generator=random, dtype=torch.float64)
    return patches, x, torch.full(field, 2.0, dtype=torch.float64), torch.full(field, 0.5, dtype=torch.float64)


def movies(count: int, rho: float, field: tuple[int, int] = FIELD) -> list[CompositeLikelihood]:
    """Gaussian movies of the scene's mean and covariance, whose emission k frames apart is alike by rho^k."""
    patches, x, b, floor = scene(field)
    random = np.random.default_rng(1)
    spread = dense(imaging_pairs(patches.grid, PSF, 100.0))
    mean = (spread @ x.numpy().ravel()).reshape(field) + b.numpy()
    noise_sd = np.sqrt(mean + floor.numpy())
    memory = Memory(2.0 * rho / (1.0 - rho), 2.0 * rho**2 / (1.0 - rho**2))
    found = []
    for _ in range(count):
        steps = random.standard_normal((FRAMES, x.numel()))
        emitted = np.empty_like(steps)
        emitted[0] = steps[0]
        for t in range(1, FRAMES):
            emitted[t] = rho * emitted[t - 1] + math.sqrt(1.0 - rho**2) * steps[t]
        light = emitted * np.sqrt(KAPPA * x.numpy().ravel())
        frames = mean + (light @ spread.T).reshape(-1, *field) + noise_sd * random.standard_normal((FRAMES, *field))
        moments = PatchMoments(patches, mean, 1)
        moments.add(frames)
        found.append(CompositeLikelihood(patches, moments.moments(), Noise(1.0, floor), memory))
    return found


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_slopes_scatter_as_foretold_and_the_misfit_is_one(rho: float) -> None:
    _, x, b, _ = scene()
    made = movies(300, rho)
    slopes = torch.stack([likelihood.value_and_gradient(x, b, KAPPA)[1].fine for likelihood in made])
    foretold = made[0].gradient_sd(x, b, KAPPA)
    # The information leaves out what the noise's own dependence on x tells: under 10 % here.
    ratio = (slopes.std(0) / foretold).flatten()
    assert float(ratio.median()) == pytest.approx(1.0, abs=0.1)
    misfits = [likelihood.covariance_misfit(x, b, KAPPA) for likelihood in made[:60]]
    assert np.mean(misfits) == pytest.approx(1.0, abs=0.05)


def test_slopes_scatter_no_more_than_foretold_where_patches_overlap() -> None:
    field = (20, 20)
    patches, x, b, _ = scene(field)
    assert len(patches) > 4
    made = movies(120, 0.7, field)
    slopes = torch.stack([likelihood.value_and_gradient(x, b, KAPPA)[1].fine for likelihood in made])
    ratio = patches.grid.crop(slopes.std(0) / made[0].gradient_sd(x, b, KAPPA)).flatten()
    # Of 120 movies a standard deviation is known to 6.5 %, and what the noise's own dependence on x tells is left out.
    assert 0.85 < float(ratio.median()) < 1.1
    assert float(ratio.quantile(0.99)) < 1.3 and float(ratio.quantile(0.01)) > 0.6


def test_the_light_that_was_there_is_nearer_with_memory_known() -> None:
    patches, x, b, floor = scene((14, 14))
    random, rho, frames = np.random.default_rng(2), 0.8, 200
    operator = torch.as_tensor(dense(imaging_pairs(patches.grid, PSF, 100.0)))
    forward = lambda fine: (operator @ fine.flatten()).reshape(14, 14)  # noqa: E731
    adjoint = lambda field: (operator.T @ field.flatten()).reshape(x.shape)  # noqa: E731
    memory = Memory(2.0 * rho / (1.0 - rho), 2.0 * rho**2 / (1.0 - rho**2))
    wrong = {"known": 0.0, "not known": 0.0}
    for _ in range(20):
        sd = np.sqrt(KAPPA * x.numpy() * (1.0 + memory.of_mean) / frames)
        emitted = x + torch.as_tensor(sd * random.standard_normal(x.shape))
        shot = torch.sqrt((forward(x) + b + floor) / frames)
        mean = forward(emitted) + b + shot * torch.as_tensor(random.standard_normal((14, 14)))
        for name, known in (("known", memory), ("not known", None)):
            found = realised_emission(Light(x, b, KAPPA), mean, Noise(1.0, floor), forward, adjoint, known)
            wrong[name] += float((found - emitted).square().mean())
    assert wrong["known"] < 0.95 * wrong["not known"]


def test_memory_taken_for_none_is_seen_as_misfit() -> None:
    _, x, b, _ = scene()
    made = movies(60, 0.7)
    for likelihood in made:
        likelihood.memory = Memory()
    assert np.mean([likelihood.covariance_misfit(x, b, KAPPA) for likelihood in made]) > 1.05
