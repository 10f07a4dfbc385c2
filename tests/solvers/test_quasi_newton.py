"""L-BFGS against scipy's, with bounds against least squares above zero, and against itself stopped on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls, rosen, rosen_der

from fluosr.solvers.quasi_newton import Function, QuasiNewtonState, advance


def function_of(value: object, gradient: object) -> Function:
    """numpy's functions as the solver takes them."""

    def both(point: torch.Tensor) -> tuple[float, torch.Tensor]:
        return float(value(point.numpy())), torch.as_tensor(gradient(point.numpy()))  # type: ignore[operator]

    return both


def minimised(function: Function, start: np.ndarray, iterations: int) -> QuasiNewtonState:
    state = QuasiNewtonState.start(function, torch.tensor(start))
    while state.iteration < iterations and not state.finished:
        advance(function, state)
    return state


class Quadratic:
    """1/2 u^T H u - c u with curvatures over ``decades`` powers of ten along turned axes."""

    def __init__(self, size: int, decades: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        axes = np.linalg.qr(random.standard_normal((size, size)))[0]
        self.hessian = axes * np.logspace(0, decades, size) @ axes.T
        self.pull = random.standard_normal(size)
        self.minimum = np.linalg.solve(self.hessian, self.pull)

    def value(self, u: np.ndarray) -> float:
        return float(0.5 * u @ self.hessian @ u - self.pull @ u)

    def gradient(self, u: np.ndarray) -> np.ndarray:
        return self.hessian @ u - self.pull

    @property
    def function(self) -> Function:
        return function_of(self.value, self.gradient)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_the_bottom_of_rosenbrock_s_valley_is_found_in_no_more_steps_than_scipy_s_need_twice(size: int) -> None:
    start = np.tile([-1.2, 1.0], size)[:size]
    theirs = minimize(rosen, start, jac=rosen_der, method="L-BFGS-B", options={"maxcor": 12, "ftol": 0, "gtol": 1e-8})
    ours = minimised(function_of(rosen, rosen_der), start, 2 * theirs.nit)
    assert ours.value < 1e-10
    np.testing.assert_allclose(ours.point.numpy(), theirs.x, atol=1e-4)


@settings(max_examples=12)
@given(size=st.integers(2, 25), decades=st.floats(0.0, 3.0), seed=st.integers(0, 1000))
def test_a_badly_conditioned_quadratic_comes_to_its_minimum_and_never_rises(
    size: int, decades: float, seed: int
) -> None:
    problem = Quadratic(size, decades, seed)
    state = QuasiNewtonState.start(problem.function, torch.zeros(size, dtype=torch.float64))
    values, least = [state.value], problem.value(problem.minimum)
    while values[-1] - least > 1e-6 * abs(least) and len(values) < 600:
        advance(problem.function, state)
        values.append(state.value)
    assert np.diff(values).max() <= 0
    assert values[-1] - least <= 1e-6 * abs(least)


def test_steps_on_a_badly_conditioned_quadratic_are_about_as_good_as_scipy_s() -> None:
    problem = Quadratic(60, 4.0, 5)
    theirs = minimize(
        problem.value,
        np.zeros(60),
        jac=problem.gradient,
        method="L-BFGS-B",
        options={"maxcor": 12, "maxiter": 150, "ftol": 0, "gtol": 0},
    )
    ours = minimised(problem.function, np.zeros(60), 300)
    least = problem.value(problem.minimum)
    assert ours.value - least <= theirs.fun - least + 1e-9 * abs(least)


def test_a_metric_that_knows_the_curvatures_makes_it_quick() -> None:
    curvatures = np.logspace(0, 8, 30)
    target = np.random.default_rng(1).standard_normal(30)
    function = function_of(lambda u: 0.5 * float(curvatures @ (u - target) ** 2), lambda u: curvatures * (u - target))
    found = []
    for metric in (None, torch.tensor(1.0 / curvatures)):
        state = QuasiNewtonState.start(function, torch.zeros(30, dtype=torch.float64), metric=metric)
        while state.iteration < 20 and not state.finished:
            advance(function, state)
        found.append(state.value)
    assert found[1] < 1e-12 < 1e-3 * found[0]


@settings(max_examples=15)
@given(size=st.integers(2, 30), decades=st.floats(0.0, 3.0), seed=st.integers(0, 1000), metric=st.booleans())
def test_least_squares_above_zero_are_those_of_lawson_and_hanson(
    size: int, decades: float, seed: int, metric: bool
) -> None:
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.standard_normal((size, size)))[0]
    matrix = axes * np.logspace(0, decades / 2, size) @ axes.T
    wanted = random.standard_normal(size)
    function = function_of(
        lambda u: 0.5 * float(((matrix @ u - wanted) ** 2).sum()), lambda u: matrix.T @ (matrix @ u - wanted)
    )
    state = QuasiNewtonState.start(
        function,
        torch.ones(size, dtype=torch.float64),
        metric=torch.tensor(1.0 / (matrix**2).sum(0)) if metric else None,
        lower=torch.zeros(size, dtype=torch.float64),
    )
    values = [state.value]
    while state.iteration < 400 and not state.finished:
        advance(function, state)
        assert float(state.point.min()) >= 0
        values.append(state.value)
    least = 0.5 * nnls(matrix, wanted)[1] ** 2
    assert np.diff(values).max() <= 0
    assert state.value - least <= 1e-6 * values[0]


def test_a_start_below_the_bounds_begins_at_them_and_what_has_no_bound_may_go_anywhere() -> None:
    target = np.array([-3.0, -3.0, 4.0])
    function = function_of(lambda u: 0.5 * float(((u - target) ** 2).sum()), lambda u: u - target)
    lower = torch.tensor([1.0, -math.inf, -math.inf], dtype=torch.float64)
    state = QuasiNewtonState.start(function, torch.zeros(3, dtype=torch.float64), lower=lower)
    assert state.point.tolist() == [1.0, 0.0, 0.0]
    while state.iteration < 50 and not state.finished:
        advance(function, state)
    np.testing.assert_allclose(state.point.numpy(), [1.0, -3.0, 4.0], atol=1e-9)


@settings(max_examples=20)
@given(stops=st.lists(st.integers(0, 40), max_size=4), with_metric=st.booleans(), bounded=st.booleans())
def test_a_run_stopped_and_taken_up_again_gives_the_same_bits(
    stops: list[int], with_metric: bool, bounded: bool
) -> None:
    start = np.tile([-1.2, 1.0], 4)
    function = function_of(rosen, rosen_der)
    whole = QuasiNewtonState.start(
        function,
        torch.tensor(start),
        metric=torch.linspace(0.1, 2.0, 8, dtype=torch.float64) if with_metric else None,
        lower=torch.full((8,), -0.5, dtype=torch.float64) if bounded else None,
    )
    broken = QuasiNewtonState.from_tensors({key: value.clone() for key, value in whole.tensors().items()})
    for number in range(40):
        if number in stops:
            broken = QuasiNewtonState.from_tensors({key: value.clone() for key, value in broken.tensors().items()})
        advance(function, whole)
        advance(function, broken)
    assert torch.equal(whole.point, broken.point) and torch.equal(whole.gradient, broken.gradient)
    assert (whole.value, whole.iteration, whole.finished) == (broken.value, broken.iteration, broken.finished)
    assert (broken.metric is not None) == with_metric and (broken.lower is not None) == bounded
    assert not bounded or float(whole.point.min()) >= -0.5


def test_where_no_descent_is_left_it_says_so() -> None:
    function = function_of(lambda u: float((u**2).sum()), lambda u: 2 * u)
    state = QuasiNewtonState.start(function, torch.zeros(3, dtype=torch.float64))
    for _ in range(3):
        advance(function, state)
    assert state.finished and state.iteration == 0
    wrong = function_of(lambda u: float((u**2).sum()), lambda u: -2 * u)
    state = QuasiNewtonState.start(wrong, torch.ones(3, dtype=torch.float64))
    advance(wrong, state)
    assert state.finished and torch.equal(state.point, torch.ones(3, dtype=torch.float64))


def test_a_step_into_the_infinite_is_shortened() -> None:
    """Where the function ends (a matrix is not definite any more) it is infinite, and its slope is anything."""

    def walled(point: torch.Tensor) -> tuple[float, torch.Tensor]:
        if not bool((point > 0).all()):
            return math.inf, torch.full_like(point, math.nan)
        return float((point - point.log()).sum()), 1.0 - 1.0 / point

    state = minimised(walled, np.array([1e-3, 50.0]), 100)
    np.testing.assert_allclose(state.point.numpy(), 1.0, atol=1e-5)


def test_where_the_function_curves_down_it_still_descends() -> None:
    state = minimised(
        function_of(lambda u: float(np.cos(u).sum()), lambda u: -np.sin(u)), np.array([0.01, -0.02, 3.0]), 60
    )
    assert state.value == pytest.approx(-3.0, abs=1e-9)
