"""Richardson-Lucy with a background, against its formula in plain matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.optics.background import BackgroundBasis
from fluosr.optics.operators import ImagingOperator, imaging_operator
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.solvers.expectation_maximisation import EmState, PoissonEm, poisson_deviance

FIELD = (7, 9)


def parts(airy: bool = False) -> tuple[ImagingOperator, BackgroundBasis, torch.Tensor, torch.Tensor]:
    psf = AiryPSF(1.4, 520.0, reach_rings=1.5) if airy else GaussianPSF(250.0)
    operator = imaging_operator(FIELD, 2, psf, 100.0, dtype=torch.float64)
    basis = BackgroundBasis(FIELD, 3.0, dtype=torch.float64, device="cpu")
    generator = torch.Generator().manual_seed(0)
    mean = 5.0 * torch.rand(FIELD, generator=generator, dtype=torch.float64)
    weight = torch.ones_like(mean)
    weight[2, 3] = 0.0
    return operator, basis, mean, weight


def matrix_of(operator: ImagingOperator, basis: BackgroundBasis) -> np.ndarray:
    """(Y X, sources + coefficients) float64: [A, B], a column at a time."""
    columns = []
    for shape, apply in ((operator.shape, lambda u: operator.forward(u)[0]), (basis.shape, basis.image)):
        for j in range(shape[0] * shape[1]):
            unit = torch.zeros(shape[0] * shape[1], dtype=torch.float64)
            unit[j] = 1.0
            columns.append(apply(unit.reshape(shape)).numpy().ravel())
    return np.stack(columns, axis=1)


def flat_start(operator: ImagingOperator, basis: BackgroundBasis) -> list[torch.Tensor]:
    return [torch.full(operator.shape, 0.3, dtype=torch.float64), torch.full(basis.shape, 1.0, dtype=torch.float64)]


@pytest.mark.parametrize("airy", [False, True])
def test_a_step_is_the_formula(airy: bool) -> None:
    operator, basis, mean, weight = parts(airy)
    offset = 0.4
    em = PoissonEm(operator, basis, mean, weight, offset)
    state = em.start(flat_start(operator, basis))
    matrix, unknown = matrix_of(operator, basis), np.concatenate([p.numpy().ravel() for p in state.point])
    w, d = weight.numpy().ravel(), mean.numpy().ravel() + offset
    for _ in range(3):
        em.advance(state)
        seen = matrix.T @ w
        unknown = unknown * (matrix.T @ (w * d / (matrix @ unknown + offset))) / seen
    well_seen = matrix.T @ w > 1e-4 * (matrix.T @ w).max()  # the others fade away instead
    found = np.concatenate([p.numpy().ravel() for p in state.point])
    np.testing.assert_allclose(found[well_seen], unknown[well_seen], rtol=1e-4)


def test_every_step_raises_the_likelihood_and_keeps_the_light() -> None:
    operator, basis, mean, weight = parts()
    em = PoissonEm(operator, basis, mean, weight)
    state = em.start(flat_start(operator, basis))
    last = np.inf
    for _ in range(30):
        em.advance(state)
        deviance = float((weight * poisson_deviance(mean, state.expected, 10)).sum())
        assert deviance < last
        last = deviance
        assert float((weight * state.expected).sum()) == pytest.approx(float((weight * mean).sum()), rel=1e-3)
    assert all((p >= 0).all() for p in state.point)


def test_unused_pixels_change_nothing() -> None:
    operator, basis, mean, weight = parts()
    found = []
    for value in (0.0, 1e5):
        data = mean.clone()
        data[2, 3] = value
        em = PoissonEm(operator, basis, data, weight)
        state = em.start(flat_start(operator, basis))
        for _ in range(10):
            em.advance(state)
        found.append(state.point[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_darkness_stays_dark() -> None:
    operator, basis, mean, weight = parts()
    em = PoissonEm(operator, basis, torch.zeros_like(mean), weight)
    state = em.start(flat_start(operator, basis))
    em.advance(state)
    assert all((p == 0).all() for p in state.point)


def test_the_state_survives_its_tensors() -> None:
    operator, basis, mean, weight = parts()
    em = PoissonEm(operator, basis, mean, weight)
    state = em.start(flat_start(operator, basis))
    em.advance(state)
    again = EmState.from_tensors(state.tensors(), torch.device("cpu"))
    em.advance(state)
    em.advance(again)
    assert again.iteration == state.iteration == 2
    assert torch.equal(again.point[0], state.point[0]) and torch.equal(again.expected, state.expected)


def test_the_deviance_of_the_truth_is_about_one() -> None:
    generator = np.random.default_rng(0)
    expected = generator.uniform(2.0, 30.0, (100, 100))
    mean = generator.poisson(expected * 20) / 20
    deviance = poisson_deviance(torch.as_tensor(mean), torch.as_tensor(expected), 20)
    assert float(deviance.mean()) == pytest.approx(1.0, abs=0.05)
    nothing = torch.zeros(3, dtype=torch.float64)
    assert float(poisson_deviance(nothing, nothing, 5).abs().max()) < 1e-9
