"""The forward model's moments: formula against explicit matrices and against its own samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.camera import Camera
from fluosr.emitters import (
    BlinkingEmitters,
    CompoundPoissonEmitters,
    GammaEmitters,
    PoissonEmitters,
    SteadyEmitters,
)
from fluosr.forward import ForwardModel, sample_photons
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import GaussianPSF

FIELD = (4, 5)


def tiny(emitters, *, factor=2, read_noise=0.7, gain=3.0, shifts=((0.0, 0.0),)):
    operator = imaging_operator(FIELD, factor, GaussianPSF(180.0), 100.0, dtype=torch.float64, shifts=shifts)
    return ForwardModel(operator, Camera(gain, 50.0, read_noise), emitters)


def scene(model, seed=0):
    generator = np.random.default_rng(seed)
    fine = torch.as_tensor(generator.gamma(0.4, 4.0, model.operator.grid.shape))
    return fine, torch.as_tensor(0.5 + generator.random(FIELD))


def matrix(operator):
    n = math.prod(operator.grid.shape)
    eye = torch.eye(n, dtype=torch.float64).reshape(n, *operator.grid.shape)
    return np.stack([operator.forward(e)[0].numpy().ravel() for e in eye], axis=1)


def covariance(model, fine, background):
    n = math.prod(FIELD)
    eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, *FIELD)
    return np.stack([model.covariance_product(fine, background, e).numpy().ravel() for e in eye], axis=1)


@pytest.mark.parametrize("emitters", [SteadyEmitters(), PoissonEmitters(), CompoundPoissonEmitters(30.0)])
def test_the_covariance_product_is_the_explicit_matrix(emitters):
    model = tiny(emitters)
    fine, background = scene(model)
    a = matrix(model.operator)
    x, b = fine.numpy().ravel(), background.numpy().ravel()
    wanted = a @ np.diag(emitters.fano_factor * x) @ a.T + np.diag(a @ x + b) + 0.7**2 * np.eye(len(b))
    np.testing.assert_allclose(covariance(model, fine, background), wanted, rtol=1e-10, atol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), kappa=st.floats(0.01, 100))
def test_the_covariance_is_symmetric_and_positive(seed, kappa):
    model = tiny(CompoundPoissonEmitters(kappa))
    found = covariance(model, *scene(model, seed))
    np.testing.assert_allclose(found, found.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() >= 0.7**2 * (1 - 1e-9)


BLINKING = BlinkingEmitters(0.02, 0.03, 0.01, 500.0)


@pytest.mark.parametrize(
    "emitters",
    [SteadyEmitters(), PoissonEmitters(), CompoundPoissonEmitters(4.0), GammaEmitters(4.0)],
    ids=["model 4", "model 3", "compound", "gamma"],
)
def test_samples_have_the_mean_and_covariance_of_the_model(emitters):
    count = 6000
    model = tiny(emitters)
    fine, background = scene(model)
    generator = np.random.default_rng(1)
    frames = model.frames(fine, background, groups=np.zeros(count, int), brightness=np.ones(count), generator=generator)
    y = np.stack([model.camera.to_photons(f).ravel() for f in frames]).astype(float)
    wanted = covariance(model, fine, background)
    sd = np.sqrt(np.diag(wanted))
    mean = model.mean(fine, background)[0].numpy().ravel()
    assert np.abs((y.mean(0) - mean) / sd).max() < 4.5 / math.sqrt(count)
    error = (np.cov(y.T) - wanted) / np.outer(sd, sd)
    assert np.abs(error).max() < 6.5 / math.sqrt(count)
    # The covariances that only fluctuating emitters make are there, or are not.
    near = np.array([wanted[i, i + 1] / sd[i] / sd[i + 1] for i in range(3)])
    assert (near > 0.02).all() if emitters.fano_factor else (near == 0).all()


def test_blinking_frames_vary_together_over_time_as_the_lagged_covariance_says():
    count, lag = 6000, 1
    model = tiny(BLINKING)
    unit = BLINKING.molecule.photons_per_frame
    fine = torch.as_tensor(unit * np.random.default_rng(0).poisson(0.5, model.operator.grid.shape)).double()
    background = torch.full(FIELD, 0.5, dtype=torch.float64)
    frames = model.frames(
        fine, background, groups=np.zeros(count, int), brightness=np.ones(count), generator=np.random.default_rng(1)
    )
    y = np.stack([model.camera.to_photons(f).ravel() for f in frames]).astype(float)
    a, x = matrix(model.operator), fine.numpy().ravel()
    n = math.prod(FIELD)
    eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, *FIELD)
    product = np.stack([model.covariance_product(fine, background, e, lag=lag).numpy().ravel() for e in eye], axis=1)
    wanted = a @ np.diag(BLINKING.covariance_factor(lag) * x) @ a.T
    np.testing.assert_allclose(product, wanted, rtol=1e-9, atol=1e-12)
    deviation = y - model.mean(fine, background).numpy().reshape(1, -1)
    sd = np.sqrt(np.diag(covariance(model, fine, background)))
    found = deviation[lag:].T @ deviation[:-lag] / (count - lag)
    # Blinking is remembered over about 1 / (r D) = 1.2 frames: fewer frames count.
    assert np.abs((found - wanted) / np.outer(sd, sd)).max() < 6.5 / math.sqrt(count / 3)
    assert (np.diag(wanted) / sd**2).max() > 0.1


def test_model_4_variance_is_the_diagonal():
    model = tiny(SteadyEmitters())
    fine, background = scene(model)
    mean = model.mean(fine, background)
    np.testing.assert_allclose(model.variance(mean).numpy().ravel(), np.diag(covariance(model, fine, background)))
    assert float(model.variance(torch.tensor(-1.0))) == pytest.approx(0.7**2)


@pytest.mark.parametrize("read_noise", [0.0, 1.3])
def test_photons_are_sampled_with_the_camera_s_variance(read_noise):
    camera = Camera(2.0, 100.0, read_noise)
    expected = torch.tensor([-1.0, 0.0, 0.3, 5.0, 400.0]).expand(40_000, 5)
    drawn = sample_photons(expected, camera, torch.Generator().manual_seed(0)).double()
    wanted = camera.noise_variance(expected[0]).double()
    torch.testing.assert_close(wanted, expected[0].clamp_min(0).double() + read_noise**2, rtol=1e-6, atol=0)
    np.testing.assert_allclose(drawn.var(0), wanted, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(0), expected[0].clamp_min(0), atol=4 * math.sqrt(400 / 40_000))
    exposed = camera.to_photons(camera.expose(expected.clamp_min(0).numpy(), np.random.default_rng(0)))
    np.testing.assert_allclose(exposed.var(0), wanted, rtol=0.05, atol=1e-6)
    same = sample_photons(expected, camera, torch.Generator().manual_seed(0)).double()
    assert torch.equal(drawn, same)


@pytest.mark.parametrize("emitters", [SteadyEmitters(), PoissonEmitters()])
def test_each_frame_takes_its_group_and_its_brightness(emitters):
    shifts = ((0.0, 0.0), (1.0, 0.0))
    model = tiny(emitters, shifts=shifts, read_noise=0.0)
    fine, background = scene(model)
    fine, background = fine * 1e6, background * 1e6
    groups, brightness = np.array([0, 1, 1]), np.array([1.0, 1.0, 0.25])
    frames = model.frames(fine, background, groups=groups, brightness=brightness, generator=np.random.default_rng(0))
    means = model.mean(fine, background).numpy()
    for frame, group, level in zip(frames, groups, brightness, strict=True):
        np.testing.assert_allclose(model.camera.to_photons(frame), means[group] * level, rtol=0.02)
