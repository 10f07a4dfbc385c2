"""Molecules that remember: how sure the likelihood is of its slopes, and what residual the covariance may leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr.corrections.lag_curve import curve
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.patches import Patches
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid

FIELD, FRAMES, MEMORY, KAPPA = (5, 5), 400, 4.0, 20.0


@given(st.floats(0.05, 50.0))
def test_the_sums_are_those_of_the_lag_curve(frames: float) -> None:
    rho = curve(1.0 / frames, 5000)
    rho = rho[1:] / rho[0]
    memory = Memory.of(frames)
    assert memory.of_mean == pytest.approx(2.0 * rho.sum(), rel=1e-6)
    assert memory.of_covariance == pytest.approx(2.0 * (rho**2).sum(), rel=1e-6)


def test_without_memory_nothing_is_added() -> None:
    assert Memory.of(None) == Memory.of(0.0) == Memory()


def scene() -> tuple[Patches, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One patch; x, b and the read noise squared."""
    random = torch.Generator().manual_seed(0)
    patches = Patches(Grid(FIELD, 1, 1), GaussianPSF(170.0), 100.0)
    assert len(patches) == 1
    x = 3.0 * torch.rand(patches.grid.shape, generator=random, dtype=torch.float64)
    return patches, x, torch.full(FIELD, 2.0, dtype=torch.float64), torch.full(FIELD, 0.5, dtype=torch.float64)


def movies(count: int, rho: float) -> list[CompositeLikelihood]:
    """Gaussian movies of the scene's mean and covariance, whose emission k frames apart is alike by rho^k."""
    patches, x, b, floor = scene()
    random = np.random.default_rng(1)
    mean = patches.forward(patches.windows(x)).numpy()[0] + b.numpy()
    spread = patches.forward(torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape)).numpy().reshape(-1, 25).T
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
        frames = mean + (light @ spread.T).reshape(-1, *FIELD) + noise_sd * random.standard_normal((FRAMES, *FIELD))
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


def test_memory_taken_for_none_is_seen_as_misfit() -> None:
    _, x, b, _ = scene()
    made = movies(60, 0.7)
    for likelihood in made:
        likelihood.memory = Memory()
    assert np.mean([likelihood.covariance_misfit(x, b, KAPPA) for likelihood in made]) > 1.05
