"""Conjugate gradients with a diagonal preconditioner (Hestenes & Stiefel 1952), for a positive definite operator."""

from __future__ import annotations

from collections.abc import Callable

import torch

MOST_STEPS = 500
RESIDUAL = 1e-8  # relative, at which they are done

Operator = Callable[[torch.Tensor], torch.Tensor]


def solve(product: Operator, right: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """M^-1 b, of the shape of b.

    Args:
        product: v -> M v, M symmetric and positive definite.
        right: b.
        scale: diagonal of a rough inverse of M, positive; the shape of b.
    """
    solution, residual = torch.zeros_like(right), right.clone()
    scaled = scale * residual
    direction, energy = scaled.clone(), float((residual * scaled).sum())
    enough = RESIDUAL**2 * energy
    for _ in range(MOST_STEPS):
        if energy <= enough:
            break
        pushed = product(direction)
        step = energy / float((direction * pushed).sum())
        solution, residual = solution + step * direction, residual - step * pushed
        scaled = scale * residual
        before, energy = energy, float((residual * scaled).sum())
        direction = scaled + (energy / before) * direction
    return solution
