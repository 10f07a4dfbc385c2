"""Three smooth functions: the projection onto x >= 0, the binarisation (16), and Huber's |t| (15)."""

from __future__ import annotations

import torch


def smoothed_projection(u: torch.Tensor, width: float) -> torch.Tensor:
    """P_eps: 0 for u <= 0, 2 u^2 / eps - u^3 / eps^2 between, u from eps on: u t (2 - t) with t = u / eps in [0, 1].

    Once differentiable, with slopes up to 4/3; it differs from max(0, u) by 4 eps / 27 at the most.

    Args:
        u: any shape.
        width: eps > 0, in the unit of ``u``.
    """
    return _SmoothedProjection.apply(u, width)


class _SmoothedProjection(torch.autograd.Function):
    """P_eps with the slope written out: autograd would keep five images for it."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, u: torch.Tensor, width: float) -> torch.Tensor:
        ctx.save_for_backward(u)
        ctx.width = width  # type: ignore[attr-defined]
        t = (u / width).clamp_(0.0, 1.0)
        return u.clamp(min=0.0).mul_(t).mul_(2.0 - t)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, slope: torch.Tensor) -> tuple[torch.Tensor, None]:
        (u,) = ctx.saved_tensors  # type: ignore[attr-defined]
        t = (u / ctx.width).clamp_(0.0, 1.0)  # type: ignore[attr-defined]
        return slope * (4.0 - 3.0 * t).mul_(t), None


def smoothed_step(t: torch.Tensor) -> torch.Tensor:
    """S(t) = 3 t^2 - 2 t^3 on [0, 1], 0 below, 1 above; S(1/2) = 1/2."""
    t = t.clamp(0.0, 1.0)
    return t.square() * (3.0 - 2.0 * t)


def binarised(x: torch.Tensor, threshold: torch.Tensor, transition: float) -> torch.Tensor:
    """B(x) = S((x - tau + w) / 2 w) with w a share of tau (16), c = 1: 0 below tau - w, 1/2 at tau, 1 above tau + w.

    Args:
        x: (B, ny, nx), photons per fine pixel.
        threshold: tau > 0, photons per fine pixel; B is differentiable in it.
        transition: w / tau, in (0, 1].
    """
    half_width = transition * threshold
    return smoothed_step((x - threshold + half_width) / (2.0 * half_width))


def huber(t: torch.Tensor, width: float) -> torch.Tensor:
    """h_delta(t) = t^2 / (2 delta) for |t| <= delta, |t| - delta / 2 beyond (15).

    Args:
        t: any shape.
        width: delta > 0.
    """
    size = t.abs()
    near = size.clamp(max=width)
    return near * (size - 0.5 * near) / width
