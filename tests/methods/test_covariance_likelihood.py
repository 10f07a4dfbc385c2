"""The likelihood of mean and covariance against one written out in numpy, pixel by pixel; its slopes; its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.methods.covariance import likelihood as module
from fluosr.methods.covariance.fit import Fit, Light, coarse_light
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.regularisation import penalty
from fluosr.optics.background import BackgroundBasis
from fluosr.optics.psf import AiryPSF, GaussianPSF, PointSpreadFunction
from tests.methods.test_covariance_patches import coordinates_of, patch_operators, patches_of

NARROW, WIDE, AIRY = GaussianPSF(130.0), GaussianPSF(320.0), AiryPSF(1.2, 600.0, reach_rings=2.0)
KAPPA, SLOPE = 7.0, 0.8


@dataclass(eq=False)
class Problem:
    """Frames that the model made, or nearly, and a light near the one that made them."""

    psf: PointSpreadFunction
    field: tuple[int, int]
    n_frames: int = 60
    factor: int = 2
    slope: float = SLOPE
    seed: int = 0

    def __post_init__(self) -> None:
        self.patches = patches_of(self.psf, self.field, self.factor)
        random = np.random.default_rng(self.seed)
        self.x = 4.0 * random.random(self.patches.grid.shape) ** 4
        self.b = 2.0 + random.random(self.field)
        self.floor = 0.3 + random.random(self.field)
        self.frames = random.gamma(3.0, 2.0, (self.n_frames, *self.field)).astype(np.float32)
        moments = PatchMoments(self.patches, self.frames.mean(0), 1)
        moments.add(self.frames)
        self.likelihood = CompositeLikelihood(self.patches, moments.moments(), Noise(self.slope, tensor(self.floor)))

    def value(self, x: np.ndarray, b: np.ndarray, kappa: float) -> float:
        return self.likelihood.value(tensor(x), tensor(b), kappa)

    def reference(self, x: np.ndarray, b: np.ndarray, kappa: float, *, compressed: bool) -> float:
        """Q from dense matrices; of the pixels themselves, or of the coordinates z = Q^T y."""
        height, width = self.patches.side
        q = coordinates_of(self.patches) if compressed else np.eye(height * width)
        total = 0.0
        for (top, left), a in zip(self.patches.corners, patch_operators(self.patches, self.psf), strict=True):
            part = (slice(top, top + height), slice(left, left + width))
            mu = a @ x.ravel() + b[part].ravel()
            sigma = q.T @ (kappa * (a * x.ravel()) @ a.T + np.diag(self.slope * mu + self.floor[part].ravel())) @ q
            y = self.frames[(slice(None), *part)].reshape(self.n_frames, -1).astype(float)
            inverse = np.linalg.inv(sigma)
            total += np.linalg.slogdet(sigma)[1]
            total += np.mean([(frame - mu) @ q @ inverse @ q.T @ (frame - mu) for frame in y])
        pixels = height * width * len(self.patches)
        return total * self.field[0] * self.field[1] / pixels


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


@pytest.mark.parametrize("field", [(6, 5), (9, 11)], ids=["one patch", "overlapping patches"])
def test_the_value_is_that_of_every_pixel_and_frame(field: tuple[int, int]) -> None:
    problem = Problem(NARROW, field)
    assert problem.patches.size == math.prod(problem.patches.side), "nothing is compressed here"
    wanted = problem.reference(problem.x, problem.b, KAPPA, compressed=False)
    assert problem.value(problem.x, problem.b, KAPPA) == pytest.approx(wanted, rel=1e-9)


def test_the_value_in_few_coordinates_is_that_of_the_frames_in_these() -> None:
    problem = Problem(WIDE, (9, 8))
    assert problem.patches.size < math.prod(problem.patches.side)
    wanted = problem.reference(problem.x, problem.b, KAPPA, compressed=True)
    assert problem.value(problem.x, problem.b, KAPPA) == pytest.approx(wanted, rel=1e-9)


def test_a_psf_that_is_no_gaussian_is_worked_with_in_the_same_way() -> None:
    problem = Problem(AIRY, (9, 8))
    wanted = problem.reference(problem.x, problem.b, KAPPA, compressed=False)
    assert problem.value(problem.x, problem.b, KAPPA) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("psf", [NARROW, WIDE, AIRY], ids=["narrow", "wide", "airy"])
@pytest.mark.parametrize("slope", [SLOPE, 0.0], ids=["shot noise", "read noise alone"])
def test_the_gradient_is_the_slope_in_every_direction(psf: PointSpreadFunction, slope: float) -> None:
    problem = Problem(psf, (11, 9), slope=slope)
    value, gradient = problem.likelihood.value_and_gradient(tensor(problem.x), tensor(problem.b), KAPPA)
    assert value == pytest.approx(problem.value(problem.x, problem.b, KAPPA), rel=1e-12)
    random, step = np.random.default_rng(3), 1e-5

    def slope_along(dx: np.ndarray | float, db: np.ndarray | float, dkappa: float) -> float:
        ahead, behind = (
            problem.value(problem.x + sign * step * dx, problem.b + sign * step * db, KAPPA + sign * step * dkappa)
            for sign in (1, -1)
        )
        return (ahead - behind) / (2 * step)

    for _ in range(3):
        dx, db = random.standard_normal(problem.x.shape), random.standard_normal(problem.b.shape)
        assert slope_along(dx, 0.0, 0.0) == pytest.approx(float((gradient.fine * tensor(dx)).sum()), rel=1e-4)
        assert slope_along(0.0, db, 0.0) == pytest.approx(float((gradient.background * tensor(db)).sum()), rel=1e-4)
    assert slope_along(0.0, 0.0, 1.0) == pytest.approx(gradient.fano_factor, rel=1e-4)


def test_patches_worked_on_one_by_one_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(NARROW, (11, 20))
    light = tensor(problem.x), tensor(problem.b), KAPPA
    value, gradient = problem.likelihood.value_and_gradient(*light)
    monkeypatch.setattr(module, "BATCH_BYTES", 1)
    single = CompositeLikelihood(problem.patches, problem.likelihood.moments, problem.likelihood.noise)
    again, same = single.value_and_gradient(*light)
    assert again == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(same.fine, gradient.fine, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(single.information(*light), problem.likelihood.information(*light))


def test_the_value_of_what_cannot_be_is_infinite_and_its_gradient_does_not_stop_the_fit() -> None:
    problem = Problem(NARROW, (6, 5))
    below = tensor(-problem.x)
    value, _ = problem.likelihood.value_and_gradient(below, tensor(problem.b), 1e3)
    assert value == math.inf and problem.likelihood.value(below, tensor(problem.b), 1e3) == math.inf


def test_the_information_is_fisher_s_where_noise_does_not_depend_on_the_light() -> None:
    """mu_i^T P mu_i + tr(P Sigma_i P Sigma_i) / 2, with mu_i and Sigma_i the derivatives by x_i."""
    problem = Problem(NARROW, (6, 5), slope=0.0)
    x, b = tensor(problem.x), tensor(problem.b)
    information = problem.likelihood.information(x, b, KAPPA)
    (a,) = patch_operators(problem.patches, problem.psf)
    sigma = KAPPA * (a * problem.x.ravel()) @ a.T + np.diag(problem.floor.ravel())
    inverse = np.linalg.inv(sigma)
    for index in (13, 55, 71):
        slope = KAPPA * np.outer(a[:, index], a[:, index])
        mean = a[:, index] @ inverse @ a[:, index]
        covariance = 0.5 * np.trace(inverse @ slope @ inverse @ slope)
        assert float(information.flatten()[index]) == pytest.approx(mean + covariance, rel=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), kappa=st.floats(0.5, 100.0), power=st.floats(-2.0, 2.0))
def test_a_multiplicative_step_does_not_raise_the_covariance_s_own_likelihood(
    seed: int, kappa: float, power: float
) -> None:
    """Where hardly any light makes much covariance, the mean tells nothing: what is left is majorised."""
    problem = Problem(NARROW, (6, 5), slope=0.0, seed=seed)
    problem.likelihood.moments.mean.zero_()
    faint, dark = 1e-9 * 10.0**power * tensor(problem.x), torch.zeros(problem.field, dtype=torch.float64)
    values = [problem.likelihood.value(faint, dark, 1e9 * kappa)]
    for _ in range(4):
        faint = problem.likelihood.multiplicative_step(faint, dark, 1e9 * kappa)
        values.append(problem.likelihood.value(faint, dark, 1e9 * kappa))
    assert np.diff(values).max() <= 1e-7 * abs(values[0])
    assert values[-1] < values[0]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    slope=st.sampled_from([0.0, 0.5, 1.0]),
    kappa=st.floats(-3.0, 2.0).map(lambda power: 10.0**power),
    scale=st.floats(-3.0, 2.0).map(lambda power: 10.0**power),
    field=st.sampled_from([(6, 5), (9, 11)]),
)
def test_a_careful_step_never_raises_the_likelihood(
    seed: int, slope: float, kappa: float, scale: float, field: tuple[int, int]
) -> None:
    problem = Problem(NARROW, field, n_frames=20, slope=slope, seed=seed)
    fine, background = scale * tensor(problem.x), tensor(problem.b)
    values = [problem.likelihood.value(fine, background, kappa)]
    for _ in range(4):
        fine = problem.likelihood.multiplicative_step(fine, background, kappa, careful=True)
        values.append(problem.likelihood.value(fine, background, kappa))
    assert np.diff(values).max() <= 1e-12 * abs(values[0])


def test_a_quick_step_may_raise_it_where_the_mean_tells_nearly_all() -> None:
    problem = Problem(NARROW, (6, 5), slope=0.0)
    fine, background = tensor(problem.x), tensor(problem.b)
    before = problem.likelihood.value(fine, background, 0.01)
    stepped = problem.likelihood.multiplicative_step(fine, background, 0.01)
    assert problem.likelihood.value(stepped, background, 0.01) > 2.0 * before


@pytest.mark.parametrize("careful", [False, True], ids=["quick", "careful"])
def test_both_steps_go_where_the_slope_points_and_stand_still_where_it_is_nil(careful: bool) -> None:
    problem = Problem(NARROW, (9, 11))
    fine, background = tensor(problem.x).clamp_min(1e-3), tensor(problem.b)
    _, gradient = problem.likelihood.value_and_gradient(fine, background, KAPPA)
    stepped = problem.likelihood.multiplicative_step(fine, background, KAPPA, careful=careful)
    assert torch.equal(stepped < fine, gradient.fine > 0)


def fit_of(problem: Problem, *, grain_fwhm: float = 0.0, fano_factor: float | None = None) -> tuple[Fit, Light]:
    basis = BackgroundBasis(problem.field, 3.0, dtype=torch.float64, device="cpu")
    light = Light(tensor(problem.x) + 0.1, tensor(problem.b), KAPPA)
    pull = penalty(problem.likelihood, light, 2.0)
    return Fit(problem.likelihood, basis, grain_fwhm=grain_fwhm, penalty=pull, fano_factor=fano_factor), light


@pytest.mark.parametrize("fano_factor", [None, 3.0], ids=["kappa fitted", "kappa known"])
@pytest.mark.parametrize("grain_fwhm", [0.0, 2.5], ids=["pixels", "grains"])
def test_the_slope_of_the_penalised_fit_is_that_of_its_value(grain_fwhm: float, fano_factor: float | None) -> None:
    fit, light = fit_of(Problem(NARROW, (9, 11)), grain_fwhm=grain_fwhm, fano_factor=fano_factor)
    roots = fit.start(light)
    generator = torch.Generator().manual_seed(0)
    natural = roots.point.abs() + 0.1  # anywhere above the bounds
    for point, function in ((roots.point, fit._of_roots), (natural, fit.value_and_gradient)):
        _, gradient = function(point)
        for _ in range(4):
            way = torch.randn(point.shape, generator=generator, dtype=torch.float64)
            ahead, behind = (function(point + sign * 1e-6 * way)[0] for sign in (1, -1))
            assert (ahead - behind) / 2e-6 == pytest.approx(float(gradient @ way), rel=1e-4)


@pytest.mark.parametrize("fano_factor", [None, 3.0], ids=["kappa fitted", "kappa known"])
@pytest.mark.parametrize("grain_fwhm", [0.0, 2.5], ids=["pixels", "grains"])
def test_the_fit_descends_from_its_start_and_its_light_is_never_negative(
    grain_fwhm: float, fano_factor: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluosr.methods.covariance.fit.IN_ROOTS", 10)
    fit, light = fit_of(Problem(NARROW, (9, 11)), grain_fwhm=grain_fwhm, fano_factor=fano_factor)
    state = fit.start(light)
    values = [state.value]
    for number in range(30):
        before = fit.light(state)
        fit.advance(state)
        values.append(state.value)
        assert (state.lower is None) == (number < 10)
        assert fit.value_and_gradient(state.point)[0] == values[-1] or state.lower is None
    found = fit.light(state)
    assert np.diff(values).max() <= 0 and values[30] < values[10] < values[0]
    assert float(found.fine.min()) >= 0 and float(found.background.min()) > 0 and found.fano_factor > 0
    assert not torch.equal(before.fine, found.fine)


@pytest.mark.parametrize("grain_fwhm", [0.0, 2.5], ids=["pixels", "grains"])
def test_leaving_the_roots_changes_nothing_but_what_is_iterated_upon(grain_fwhm: float) -> None:
    fit, light = fit_of(Problem(NARROW, (9, 11)), grain_fwhm=grain_fwhm)
    state = fit.start(light)
    for _ in range(5):
        fit.advance(state)
    value, before = state.value, fit.light(state)
    fit._leave_roots(state)
    after = fit.light(state)
    assert state.value == pytest.approx(value, rel=1e-12) and after.fano_factor == before.fano_factor
    torch.testing.assert_close(after.fine, before.fine)
    torch.testing.assert_close(after.background, before.background)


def test_a_start_is_the_light_it_was_given_with_its_nearest_smooth_background() -> None:
    fit, light = fit_of(Problem(NARROW, (9, 11)), fano_factor=3.0)
    begun = fit.light(fit.start(Light(light.fine, torch.full((9, 11), 2.5, dtype=torch.float64), 9.0)))
    torch.testing.assert_close(begun.fine, light.fine)
    torch.testing.assert_close(begun.background, torch.full((9, 11), 2.5, dtype=torch.float64))
    assert begun.fano_factor == 3.0


@given(kappa=st.floats(0.1, 100.0))
@settings(max_examples=10)
def test_the_moments_fano_factor_of_exact_moments_is_exact(kappa: float) -> None:
    problem = Problem(NARROW, (6, 5))
    x, b = tensor(problem.x), tensor(problem.b)
    problem.likelihood.moments.covariance.copy_(problem.likelihood.model(x, b, kappa))
    assert problem.likelihood.moments_fano_factor(x, b) == pytest.approx(kappa, rel=1e-9)
    assert problem.likelihood.covariance_misfit(x, b, kappa) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("fano_factor", [None, 0.01, 30.0])
def test_a_coarse_image_explains_more_than_even_light(fano_factor: float | None) -> None:
    problem = Problem(NARROW, (9, 11))
    mean = tensor(problem.frames.mean(0))
    light = coarse_light(problem.likelihood, mean, fano_factor)
    even = torch.full_like(light.fine, float(mean.mean()) / problem.factor**2)
    coarse = problem.likelihood.value(light.fine, light.background, light.fano_factor)
    assert coarse < problem.likelihood.value(even, torch.zeros_like(mean), light.fano_factor)
    assert bool((light.fine >= 0).all())
