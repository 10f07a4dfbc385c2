"""FISTA in a diagonal metric: it finds the minimum others find, as fast as proven, and never goes negative."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls

from fluosr.optics.background import BackgroundBasis
from fluosr.optics.operators import ImagingOperator, imaging_operator
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.solvers import fista as module
from fluosr.solvers.fista import Fista, FistaState, SmoothProblem
from fluosr.solvers.mean_frame import GeneratorProblem

FINE = {"dtype": torch.float64}


def run_fista(problem: SmoothProblem, state: FistaState, iterations: int) -> FistaState:
    """Advance ``state`` by ``iterations``; the state is changed and returned."""
    fista = Fista(problem)
    for _ in range(iterations):
        fista.advance(state)
    return state


class LeastSquares:
    """1/2 |M u - y|^2 + p . u over u >= 0, the variables cut into two blocks.

    The entries of M are non-negative: the row sums of M^T M are a diagonal that majorises it.
    """

    def __init__(self, rows: int, columns: int, seed: int, penalty: float) -> None:
        generator = np.random.default_rng(seed)
        self.matrix = generator.random((rows, columns)) ** 4
        truth = generator.random(columns) * (generator.random(columns) < 0.4)
        self.target = self.matrix @ truth + 0.05 * generator.standard_normal(rows)
        self.penalties = np.full(columns, penalty)
        self.cut = columns // 3
        curvature = (self.matrix.T @ self.matrix).sum(1)
        self.majoriser = self.blocks(curvature)
        self.penalty: list[float | torch.Tensor] = [penalty, torch.full((columns - self.cut,), penalty, **FINE)]

    def blocks(self, vector: np.ndarray) -> list[torch.Tensor]:
        return [torch.tensor(part, **FINE) for part in (vector[: self.cut], vector[self.cut :])]

    def gradient(self, blocks: list[torch.Tensor]) -> list[torch.Tensor]:
        return self.blocks(self.matrix.T @ (self.matrix @ joined(blocks) - self.target))

    def objective(self, vector: np.ndarray) -> float:
        return 0.5 * float(((self.matrix @ vector - self.target) ** 2).sum()) + float(self.penalties @ vector)

    def minimum(self) -> np.ndarray:
        """By an active-set method: the penalty is folded into one more, very heavy, row's worth of linear term."""
        found = minimize(
            self.objective,
            np.maximum(nnls(self.matrix, self.target)[0], 0.0),
            jac=lambda u: self.matrix.T @ (self.matrix @ u - self.target) + self.penalties,
            bounds=[(0.0, None)] * self.matrix.shape[1],
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-12},
        )
        return found.x


def joined(blocks: list[torch.Tensor]) -> np.ndarray:
    return np.concatenate([block.numpy().ravel() for block in blocks])


problems = st.builds(
    LeastSquares,
    rows=st.integers(4, 25),
    columns=st.integers(3, 20),
    seed=st.integers(0, 10_000),
    penalty=st.sampled_from([0.0, 0.01, 0.3]),
)


@settings(max_examples=25)
@given(problem=problems)
def test_it_finds_the_minimum_that_scipy_finds(problem: LeastSquares) -> None:
    best = problem.minimum()
    state = run_fista(problem, FistaState.start(problem.blocks(np.full(best.size, 0.5))), 5000)
    scale = max(problem.objective(best), 0.5 * float((problem.target**2).sum()), 1e-3)
    assert problem.objective(joined(state.point)) - problem.objective(best) <= 1e-6 * scale


@pytest.mark.parametrize("seed", range(5))
def test_without_a_penalty_it_is_non_negative_least_squares(seed: int) -> None:
    problem = LeastSquares(30, 12, seed, 0.0)
    best, _ = nnls(problem.matrix, problem.target)
    state = run_fista(problem, FistaState.start(problem.blocks(np.ones(12))), 5000)
    np.testing.assert_allclose(joined(state.point), best, atol=1e-5)


@settings(max_examples=30)
@given(problem=problems, start=st.floats(0.0, 3.0))
def test_the_objective_falls_at_the_proven_rate(problem: LeastSquares, start: float) -> None:
    best = problem.minimum()
    first = np.full(best.size, start)
    distance = float(((first - best) ** 2 * joined(problem.majoriser)).sum())
    state = FistaState.start(problem.blocks(first))
    fista = Fista(problem)
    for k in range(1, module.RESTART_CHECK):
        fista.advance(state)
        gap = problem.objective(joined(state.point)) - problem.objective(best)
        assert gap <= 2.0 * distance / (k + 1) ** 2 * (1 + 1e-9) + 1e-9


@settings(max_examples=30)
@given(problem=problems)
def test_the_point_is_never_negative_although_the_extrapolated_one_may_be(problem: LeastSquares) -> None:
    state = FistaState.start(problem.blocks(np.full(problem.matrix.shape[1], 2.0)))
    fista = Fista(problem)
    for _ in range(60):
        fista.advance(state)
        assert min(float(block.min()) for block in state.point) >= 0.0


def test_the_extrapolated_point_does_leave_the_orthant() -> None:
    problem = LeastSquares(20, 12, 1, 0.3)
    state = run_fista(problem, FistaState.start(problem.blocks(np.full(12, 2.0))), 8)
    assert min(float(block.min()) for block in state.extrapolated) < 0.0


@settings(max_examples=15)
@given(problem=problems, before=st.integers(0, 60), after=st.integers(1, 60))
def test_a_state_kept_as_tensors_goes_on_bit_for_bit(problem: LeastSquares, before: int, after: int) -> None:
    start = problem.blocks(np.full(problem.matrix.shape[1], 0.7))
    whole = run_fista(problem, FistaState.start(start), before + after)
    kept = run_fista(problem, FistaState.start(start), before).tensors()
    back = FistaState.from_tensors({name: tensor.clone() for name, tensor in kept.items()})
    assert back.iteration == before
    resumed = run_fista(problem, back, after)
    for name, tensor in whole.tensors().items():
        assert tensor.numpy().tobytes() == resumed.tensors()[name].numpy().tobytes(), name


def test_kept_tensors_do_not_change_when_the_run_goes_on() -> None:
    problem = LeastSquares(20, 12, 4, 0.01)
    state = run_fista(problem, FistaState.start(problem.blocks(np.ones(12))), 10)
    kept = state.tensors()
    copies = {name: tensor.clone() for name, tensor in kept.items()}
    run_fista(problem, state, 20)
    assert all(torch.equal(kept[name], copies[name]) for name in kept)


def test_the_start_is_copied() -> None:
    problem = LeastSquares(20, 12, 4, 0.01)
    start = problem.blocks(np.ones(12))
    run_fista(problem, FistaState.start(start), 5)
    assert all(bool((block == 1.0).all()) for block in start)


def test_momentum_restarts_when_it_points_uphill(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = LeastSquares(12, 12, 7, 0.0)
    best = problem.objective(problem.minimum())
    gaps = {}
    for check in (5, 10**9):
        monkeypatch.setattr(module, "RESTART_CHECK", check)
        state, momenta, fista = FistaState.start(problem.blocks(np.full(12, 3.0))), [], Fista(problem)
        for _ in range(600):
            fista.advance(state)
            momenta.append(state.momentum)
        restarts = sum(later < earlier for earlier, later in itertools.pairwise(momenta))
        assert (restarts > 0) == (check == 5)
        gaps[check] = problem.objective(joined(state.point)) - best
    assert gaps[5] < gaps[10**9]


def test_the_proximal_step_is_the_minimum_of_the_model_it_stands_for() -> None:
    problem = LeastSquares(10, 6, 2, 0.2)
    point = problem.blocks(np.linspace(0.0, 1.0, 6))
    gradient = problem.gradient(point)
    new = Fista(problem).proximal_step(point, gradient)

    def model(vector: np.ndarray) -> float:
        step = vector - joined(point)
        return float(joined(gradient) @ step + 0.5 * step**2 @ joined(problem.majoriser) + problem.penalties @ vector)

    generator = np.random.default_rng(0)
    for _ in range(200):
        other = np.maximum(joined(new) + 0.1 * generator.standard_normal(6), 0.0)
        assert model(other) >= model(joined(new)) - 1e-12


def dense_hessian(problem: GeneratorProblem) -> np.ndarray:
    """Hessian of the smooth part, column by column: its gradient is affine."""
    shapes = [problem.operator.shape, problem.basis.shape]
    sizes = [int(np.prod(shape)) for shape in shapes]

    def gradient(vector: np.ndarray) -> np.ndarray:
        parts = np.split(vector, [sizes[0]])
        blocks = [torch.tensor(part.reshape(shape), **FINE) for part, shape in zip(parts, shapes, strict=True)]
        return joined([block.clone() for block in problem.gradient(blocks)])

    at_zero = gradient(np.zeros(sum(sizes)))
    return np.stack([gradient(unit) - at_zero for unit in np.eye(sum(sizes))], axis=1)


def tiny_operator(kind: str, factor: int, n_groups: int, grain_nm: float, periodic: bool) -> ImagingOperator:
    psf = GaussianPSF(150.0) if kind == "gaussian" else AiryPSF(1.4, 400.0, reach_rings=1.5)
    shifts = [(0.7 * k, -0.4 * k) for k in range(n_groups)]
    return imaging_operator(
        (4, 5), factor, psf, 100.0, shifts=shifts, periodic=periodic, grain_fwhm_nm=grain_nm, dtype=torch.float64
    )


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["gaussian", "airy"]),
    factor=st.integers(1, 2),
    n_groups=st.integers(1, 3),
    grain_nm=st.sampled_from([0.0, 90.0]),
    periodic=st.booleans(),
    spacing=st.sampled_from([0.0, 2.0, 8.0]),
    smoothness=st.sampled_from([0.0, 0.3, 30.0]),
    unused=st.floats(0.0, 0.6),
    seed=st.integers(0, 1000),
)
def test_the_majoriser_of_the_generators_problem_majorises(
    kind: str,
    factor: int,
    n_groups: int,
    grain_nm: float,
    periodic: bool,
    spacing: float,
    smoothness: float,
    unused: float,
    seed: int,
) -> None:
    operator = tiny_operator(kind, factor, n_groups, grain_nm, periodic)
    basis = BackgroundBasis((4, 5), spacing, dtype=torch.float64, device="cpu")
    generator = np.random.default_rng(seed)
    weight = generator.random((n_groups, 4, 5)) ** 3 * (generator.random((4, 5)) >= unused)
    weight[0, 0, 0] = 1.0
    mean = generator.random((n_groups, 4, 5)) * 10
    problem = GeneratorProblem(
        operator, basis, torch.tensor(mean), torch.tensor(weight), 0.1, smoothness, variance_term=seed % 2 == 0
    )
    hessian = dense_hessian(problem)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-9 * np.abs(hessian).max())
    majoriser = np.diag(joined(problem.majoriser))
    smallest = np.linalg.eigvalsh(majoriser - (hessian + hessian.T) / 2).min()
    assert smallest >= -1e-9 * majoriser.max()
    assert np.linalg.eigvalsh(hessian).min() >= -1e-9 * majoriser.max()
