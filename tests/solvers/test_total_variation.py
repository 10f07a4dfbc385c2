import numpy as np
import torch
from scipy.optimize import minimize

from fluosr.solvers.total_variation import divergence, gradient, proximal, roughness_gradient, total_variation


def noisy_step(seed: int = 0) -> torch.Tensor:
    u = np.random.default_rng(seed).normal(0.0, 0.3, (6, 5))
    u[2:5, 1:4] += 2.0
    return torch.as_tensor(u)


def test_the_divergence_is_minus_the_adjoint_of_the_gradient() -> None:
    x, p = torch.rand(5, 7, dtype=torch.float64), torch.rand(2, 5, 7, dtype=torch.float64)
    torch.testing.assert_close((gradient(x) * p).sum(), -(x * divergence(p)).sum())
    torch.testing.assert_close(roughness_gradient(x), -divergence(gradient(x)))


def test_the_proximal_map_is_the_minimum() -> None:
    u, weight = noisy_step(), 0.4
    found, dual = proximal(u, weight, torch.zeros(2, *u.shape, dtype=u.dtype), 3000)

    def objective(values: np.ndarray) -> float:
        x = torch.as_tensor(values.reshape(u.shape))
        return float(0.5 * (x - u).square().sum()) + weight * total_variation(x)

    assert dual.square().sum(0).max() <= 1.0 + 1e-12
    assert found.min() >= 0.0
    best = objective(found.numpy().ravel())
    searched = minimize(
        objective, found.numpy().ravel() + 0.01, method="L-BFGS-B", bounds=[(0, None)] * 30, options={"maxiter": 300}
    )
    assert best <= searched.fun + 1e-6
    # Duality gap: the minimum over x >= 0 for this p.
    shown = u + weight * divergence(dual)
    lower = 0.5 * float(u.square().sum()) - 0.5 * float(shown.clamp_min(0.0).square().sum())
    assert best - lower < 1e-5 * best


def test_few_steps_from_the_last_dual_go_on() -> None:
    u, dual = noisy_step(), torch.zeros(2, 6, 5, dtype=torch.float64)
    exact, _ = proximal(u, 0.4, dual, 3000)
    for _ in range(60):
        found, dual = proximal(u, 0.4, dual, 10)
    torch.testing.assert_close(found, exact, rtol=0.0, atol=2e-3)


def test_no_weight_only_makes_positive() -> None:
    u = noisy_step()
    found, _ = proximal(u, 0.0, torch.zeros(2, 6, 5, dtype=torch.float64), 10)
    torch.testing.assert_close(found, u.clamp_min(0.0))
