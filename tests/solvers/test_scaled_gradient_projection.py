"""Scaled gradient projection against scipy's bounded solver, and against itself stopped on the way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der

from fluosr.solvers.scaled_gradient_projection import (
    Function,
    ScaledGradientProjection,
    ScaledGradientState,
    Scaling,
)


class Bounded:
    """1/2 u^T H u - c u within a box, some of whose bounds the free minimum lies beyond."""

    def __init__(self, size: int, decades: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        axes = np.linalg.qr(random.standard_normal((size, size)))[0]
        self.hessian = axes * np.logspace(0, decades, size) @ axes.T
        self.pull = random.standard_normal(size)
        self.lower = random.uniform(-0.5, 0.1, size)
        self.upper = self.lower + random.uniform(0.05, 0.6, size)
        self.upper[random.random(size) < 0.2] = np.inf
        self.asked: list[np.ndarray] = []

    def value(self, u: np.ndarray) -> float:
        return float(0.5 * u @ self.hessian @ u - self.pull @ u)

    def gradient(self, u: np.ndarray) -> np.ndarray:
        return self.hessian @ u - self.pull

    @property
    def function(self) -> Function:
        def both(point: torch.Tensor) -> tuple[float, torch.Tensor]:
            self.asked.append(point.numpy().copy())
            return self.value(point.numpy()), torch.as_tensor(self.gradient(point.numpy()))

        return both

    def solver(self, scaling: Scaling | None = None) -> ScaledGradientProjection:
        return ScaledGradientProjection(
            self.function, torch.as_tensor(self.lower), torch.as_tensor(self.upper), scaling
        )


def solved(solver: ScaledGradientProjection, start: np.ndarray, iterations: int) -> ScaledGradientState:
    state = solver.start(torch.tensor(start))
    while state.iteration < iterations and not state.finished:
        solver.advance(state)
    return state


def squares(point: torch.Tensor) -> torch.Tensor:
    return (point.abs() + 0.1).square()


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 12), st.floats(0, 3), st.integers(0, 10_000), st.booleans())
def test_the_minimum_within_the_box_is_scipy_s(size: int, decades: float, seed: int, scaled: bool) -> None:
    problem = Bounded(size, decades, seed)
    bounds = list(zip(problem.lower, np.where(np.isinf(problem.upper), np.nan, problem.upper), strict=True))
    theirs = minimize(
        problem.value,
        np.clip(np.zeros(size), problem.lower, problem.upper),
        jac=problem.gradient,
        method="L-BFGS-B",
        bounds=[(low, None if np.isnan(high) else high) for low, high in bounds],
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    found = solved(problem.solver(squares if scaled else None), np.zeros(size), 1500)
    assert found.value <= theirs.fun + 1e-8 * (1 + abs(theirs.fun))
    point = found.point.numpy()
    slope, low, high = problem.gradient(point), point <= problem.lower + 1e-9, point >= problem.upper - 1e-9
    assert (np.abs(slope[~low & ~high]) < 1e-2).all() and (slope[low] > -1e-2).all() and (slope[high] < 1e-2).all()
    if found.value > theirs.fun - 1e-6:  # theirs may end too early at a bound
        np.testing.assert_allclose(point, theirs.x, atol=1e-4)
    # Karush, Kuhn and Tucker: a projected gradient step leads nowhere.
    stepped = np.clip(found.point.numpy() - problem.gradient(found.point.numpy()), problem.lower, problem.upper)
    np.testing.assert_allclose(stepped, found.point.numpy(), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.floats(0, 4), st.integers(0, 10_000), st.booleans())
def test_the_value_never_rises_and_no_bound_is_left(size: int, decades: float, seed: int, scaled: bool) -> None:
    problem = Bounded(size, decades, seed)
    solver = problem.solver(squares if scaled else None)
    state = solver.start(torch.full((size,), 7.0, dtype=torch.float64))
    values = [state.value]
    for _ in range(40):
        solver.advance(state)
        values.append(state.value)
    assert all(after <= before for before, after in pairwise(values))
    for point in problem.asked:
        assert (point >= problem.lower).all() and (point <= problem.upper).all()


def test_the_bottom_of_rosenbrock_s_valley_is_found_at_the_bound() -> None:
    def function(point: torch.Tensor) -> tuple[float, torch.Tensor]:
        return float(rosen(point.numpy())), torch.as_tensor(rosen_der(point.numpy()))

    box = torch.tensor([-2.0, -2.0]).double(), torch.tensor([0.5, 2.0]).double()
    found = solved(ScaledGradientProjection(function, *box), np.array([-1.2, 1.0]), 2000)
    np.testing.assert_allclose(found.point.numpy(), [0.5, 0.25], atol=1e-4)


def test_gradients_are_asked_for_only_where_the_value_is_good() -> None:
    problem, asked = Bounded(5, 4.0, 1), [0]

    def value(point: torch.Tensor) -> float:
        asked[0] += 1
        return problem.value(point.numpy())

    lower, upper = torch.as_tensor(problem.lower), torch.as_tensor(problem.upper)
    found = solved(ScaledGradientProjection(problem.function, lower, upper, squares, value), np.zeros(5), 20)
    assert len(problem.asked) == found.iteration + 1
    assert asked[0] > found.iteration  # one step at least was too long
    same = solved(problem.solver(squares), np.zeros(5), 20)
    assert found.point.numpy().tobytes() == same.point.numpy().tobytes()


def test_a_step_to_where_the_function_is_not_a_number_is_shortened() -> None:
    def function(point: torch.Tensor) -> tuple[float, torch.Tensor]:
        inside = 1.0 - point
        return float(-inside.log().sum() - 3.0 * point.sum()), 1.0 / inside - 3.0

    no_bounds = torch.full((1,), -np.inf).double(), torch.full((1,), np.inf).double()
    found = solved(ScaledGradientProjection(function, *no_bounds), np.zeros(1), 200)
    assert found.point.item() == pytest.approx(2 / 3, abs=1e-5)


@pytest.mark.parametrize("stop", [0, 1, 7, 20])
def test_taken_up_again_it_goes_on_bit_for_bit(stop: int) -> None:
    problem = Bounded(9, 2.0, 3)
    solver = problem.solver(squares)
    whole = solved(solver, np.zeros(9), 30)
    part = solved(solver, np.zeros(9), stop)
    part = ScaledGradientState.from_tensors({name: value.clone() for name, value in part.tensors().items()})
    while part.iteration < 30 and not part.finished:
        solver.advance(part)
    assert part.tensors().keys() == whole.tensors().keys()
    for name, value in whole.tensors().items():
        assert value.numpy().tobytes() == part.tensors()[name].numpy().tobytes(), name
