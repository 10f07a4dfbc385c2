"""FluoGAN's generator objective at delta = 0, and the background's basis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr.optics.background import BackgroundBasis
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.solvers.mean_frame import GeneratorProblem

FIELD = (7, 9)


def make_problem(
    *,
    airy: bool = False,
    n_groups: int = 2,
    spacing: float = 3.0,
    smoothness: float = 0.4,
    variance_term: bool = False,
    seed: int = 0,
) -> GeneratorProblem:
    shifts = [(0.3 * k, -0.6 * k) for k in range(n_groups)]
    psf = AiryPSF(1.4, 520.0, reach_rings=1.5) if airy else GaussianPSF(200.0)
    operator = imaging_operator(FIELD, 2, psf, 100.0, shifts=shifts, grain_fwhm_nm=80.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    mean = 5.0 * torch.rand((n_groups, *FIELD), generator=generator, dtype=torch.float64)
    weight = torch.rand((n_groups, *FIELD), generator=generator, dtype=torch.float64)
    weight[0, 2, 3] = 0.0
    basis = BackgroundBasis(FIELD, spacing, dtype=torch.float64, device="cpu")
    return GeneratorProblem(operator, basis, mean, weight, 0.3, smoothness, variance_term=variance_term)


def random_blocks(problem: GeneratorProblem, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.rand(problem.operator.shape, generator=generator, dtype=torch.float64),
        3.0 * torch.rand(problem.basis.shape, generator=generator, dtype=torch.float64),
    ]


@pytest.mark.parametrize("airy", [False, True])
@pytest.mark.parametrize("variance_term", [False, True])
@pytest.mark.parametrize("spacing", [0.0, 3.0])
def test_the_gradient_is_the_slope_of_the_objective(airy: bool, variance_term: bool, spacing: float) -> None:
    problem = make_problem(airy=airy, variance_term=variance_term, spacing=spacing)
    blocks = random_blocks(problem)
    gradient = [part.clone() for part in problem.gradient(blocks)]
    gradient[0] += problem.sparsity  # the objective holds the penalty, the smooth part does not
    direction = random_blocks(problem, seed=2)
    step = 1e-4
    # The objective is quadratic: a central difference is exact but for rounding.
    ahead, behind = ([b + s * step * d for b, d in zip(blocks, direction, strict=True)] for s in (1, -1))
    slope = (problem.objective(ahead) - problem.objective(behind)) / (2 * step)
    assert slope == pytest.approx(sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True)), rel=1e-7)


def test_the_gradient_is_what_automatic_differentiation_finds() -> None:
    problem = make_problem(variance_term=True)
    blocks = [block.requires_grad_(True) for block in random_blocks(problem)]
    expected = problem.expected(blocks)
    loss = 0.5 * (problem.weight * (expected - problem.mean) ** 2).sum() + 0.5 * (problem.weight * expected).sum()
    background = problem.basis.image(blocks[1])
    loss = loss + 0.5 * problem.smoothness * sum(torch.diff(background, dim=axis).square().sum() for axis in (0, 1))
    wanted = torch.autograd.grad(loss, blocks)
    for found, right in zip(problem.gradient([b.detach() for b in blocks]), wanted, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-12)


def test_the_penalty_is_on_the_light_and_not_on_the_background() -> None:
    assert make_problem().penalty == [0.3, 0.0]


def test_the_expected_square_distance_of_simulated_frames_needs_no_sampling() -> None:
    """E |Y_sim - ybar|^2 = |phi - ybar|^2 + sum(phi) + m sigma^2."""
    generator = np.random.default_rng(0)
    phi, mean, read_noise, draws = 4.0 * generator.random(FIELD), 4.0 * generator.random(FIELD), 0.7, 200_000
    frames = generator.poisson(phi, (draws, *FIELD)) + read_noise * generator.standard_normal((draws, *FIELD))
    distances = ((frames - mean) ** 2).sum((1, 2))
    expected = ((phi - mean) ** 2).sum() + phi.sum() + phi.size * read_noise**2
    assert abs(distances.mean() - expected) < 4 * distances.std() / np.sqrt(draws)


def test_the_papers_data_term_is_half_that_expectation() -> None:
    problem = replace(make_problem(n_groups=1, smoothness=0.0, variance_term=True), sparsity=0.0)
    problem.weight = torch.ones_like(problem.weight)
    blocks = random_blocks(problem)
    phi = problem.expected(blocks)
    wanted = 0.5 * float(((phi - problem.mean) ** 2).sum() + phi.sum())
    assert problem.objective(blocks) == pytest.approx(wanted, rel=1e-12)


def test_pixels_of_no_weight_do_not_pull() -> None:
    problem = make_problem()
    blocks = random_blocks(problem)
    before = [part.clone() for part in problem.gradient(blocks)]
    problem.mean[0, 2, 3] = 1e6
    for first, second in zip(before, problem.gradient(blocks), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_the_start_is_non_negative_and_as_bright_as_the_movie() -> None:
    problem = make_problem()
    start = problem.start()
    assert all(float(block.min()) >= 0.0 for block in start)
    light = problem.expected(start)[problem.weight > 0].mean()
    assert float(light) == pytest.approx(float(problem.mean[problem.weight > 0].mean()), rel=0.25)


bases = st.builds(
    lambda y, x, spacing: BackgroundBasis((y, x), spacing, dtype=torch.float64, device="cpu"),
    y=st.integers(4, 24),
    x=st.integers(4, 24),
    spacing=st.floats(1.01, 40.0),
)


@given(basis=bases)
def test_the_bumps_of_the_background_add_up_to_one_and_are_never_negative(basis: BackgroundBasis) -> None:
    ones = basis.image(torch.ones(basis.shape, dtype=torch.float64))
    torch.testing.assert_close(ones, torch.ones_like(ones), rtol=1e-12, atol=1e-12)
    for column in range(basis.shape[1]):
        unit = torch.zeros(basis.shape, dtype=torch.float64)
        unit[0, column] = 1.0
        assert float(basis.image(unit).min()) >= 0.0


@given(basis=bases, seed=st.integers(0, 1000))
def test_the_adjoint_of_the_background_is_its_adjoint(basis: BackgroundBasis, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    beta = torch.rand(basis.shape, generator=generator, dtype=torch.float64)
    image = torch.rand(basis.image(beta).shape, generator=generator, dtype=torch.float64)
    left, right = (basis.image(beta) * image).sum(), (beta * basis.adjoint(image)).sum()
    assert float(abs(left - right)) <= 1e-12 * float(left)


@given(basis=bases, seed=st.integers(0, 1000))
def test_the_roughness_is_the_explicit_gradient_of_the_image(basis: BackgroundBasis, seed: int) -> None:
    beta = torch.rand(basis.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    image = basis.image(beta)
    explicit = sum(float(torch.diff(image, dim=axis).square().sum()) for axis in (0, 1))
    assert basis.roughness(beta) == pytest.approx(explicit, rel=1e-9, abs=1e-12)


@given(basis=bases, seed=st.integers(0, 1000))
def test_the_curvature_majorises_the_roughness(basis: BackgroundBasis, seed: int) -> None:
    beta = torch.randn(basis.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert basis.roughness(beta) <= float((basis.curvature * beta**2).sum()) * (1 + 1e-9)


@pytest.mark.parametrize("spacing", [0.0, 0.5, 1.0])
def test_with_a_knot_on_every_pixel_the_background_is_free(spacing: float) -> None:
    basis = BackgroundBasis(FIELD, spacing, dtype=torch.float64, device="cpu")
    beta = torch.rand(FIELD, dtype=torch.float64)
    assert basis.shape == FIELD
    torch.testing.assert_close(basis.image(beta), beta)


def test_a_background_of_few_knots_follows_a_slope() -> None:
    basis = BackgroundBasis((24, 20), 8.0, dtype=torch.float64, device="cpu")
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    wanted = (10.0 + 0.3 * y - 0.2 * x).double()
    columns = [basis.image(unit.reshape(basis.shape)).ravel() for unit in torch.eye(int(np.prod(basis.shape))).double()]
    matrix = torch.stack(columns, dim=1)
    found = torch.linalg.lstsq(matrix, wanted.ravel()[:, None]).solution
    assert float((matrix @ found - wanted.ravel()[:, None]).abs().max()) < 0.1
