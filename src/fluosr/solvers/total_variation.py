"""The proximal map of total variation over the non-negative orthant: FISTA on the dual (Beck & Teboulle 2009, FGP).

    prox(u) = argmin_{x >= 0} 1/2 |x - u|^2 + lambda sum_i |(grad x)_i|_2 = max(0, u + lambda div p),

grad by forward differences with free ends, p a field of vectors of length at most 1. p is handed on from call to call:
where the calls are steps of one iteration, a few steps on p are enough.
"""

from __future__ import annotations

import math

import torch


def gradient(x: torch.Tensor) -> torch.Tensor:
    """(ny, nx) -> (2, ny, nx) forward differences, 0 at the far ends."""
    slope = x.new_zeros((2, *x.shape))
    slope[0, :-1] = x[1:] - x[:-1]
    slope[1, :, :-1] = x[:, 1:] - x[:, :-1]
    return slope


def divergence(field: torch.Tensor) -> torch.Tensor:
    """(2, ny, nx) -> (ny, nx), minus the adjoint of :func:`gradient`."""
    y, x = field
    total = torch.zeros_like(y)
    total[:-1] += y[:-1]
    total[1:] -= y[:-1]
    total[:, :-1] += x[:, :-1]
    total[:, 1:] -= x[:, :-1]
    return total


def roughness_gradient(x: torch.Tensor) -> torch.Tensor:
    """(ny, nx) gradient of |grad x|^2 / 2: -div grad x, without the field between."""
    slope = torch.zeros_like(x)
    down, right = x[1:] - x[:-1], x[:, 1:] - x[:, :-1]
    slope[1:] += down
    slope[:-1] -= down
    slope[:, 1:] += right
    slope[:, :-1] -= right
    return slope


def total_variation(x: torch.Tensor) -> float:
    """Sum of the lengths of the gradient."""
    return float(gradient(x).square().sum(0).sqrt().sum())


def proximal(u: torch.Tensor, weight: float, dual: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The proximal map, after some steps on the dual.

    Args:
        u: (ny, nx).
        weight: lambda, in the unit of ``u``.
        dual: (2, ny, nx) p to begin with; zeros at first.
        steps: of FISTA on p.

    Returns:
        (ny, nx) max(0, u + lambda div p), and p.
    """
    if weight <= 0:
        return u.clamp_min(0.0), dual
    ahead, momentum = dual, 1.0
    for _ in range(steps):
        shown = torch.add(u, divergence(ahead), alpha=weight).clamp_min_(0.0)
        new = torch.add(ahead, gradient(shown), alpha=1.0 / (8.0 * weight))  # 8 bounds |grad|^2
        new /= new.square().sum(0).sqrt_().clamp_min_(1.0)
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = torch.lerp(dual, new, 1.0 + (momentum - 1.0) / following)
        dual, momentum = new, following
    return torch.add(u, divergence(dual), alpha=weight).clamp_min_(0.0), dual
