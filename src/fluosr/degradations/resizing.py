"""Images in another size: areas averaged, or interpolated linearly or by cubics."""

from __future__ import annotations

import torch

MODES = ("area", "bilinear", "bicubic")


def resize(images: torch.Tensor, shape: tuple[int, int], mode: str, *, antialias: bool = True) -> torch.Tensor:
    """The same field of view on other pixels: outer corners stay where they are, and so does every point between.

    Constant images stay constant. Where sides shrink by whole numbers, ``area`` keeps the mean exactly; the other two
    keep it to what happens at the border, and only if they are antialiased: without, they pass over pixels.

    Args:
        images: (B, Y, X).
        shape: the new (Y, X).
        mode: one of ``MODES``.
        antialias: widen the two interpolating kernels to the larger of the pixels, where sides shrink.

    Returns:
        (B, *shape); ``bicubic`` overshoots at edges.
    """
    if mode == "area":
        return torch.nn.functional.interpolate(images[:, None], size=shape, mode="area")[:, 0]
    return torch.nn.functional.interpolate(
        images[:, None], size=shape, mode=mode, align_corners=False, antialias=antialias
    )[:, 0]
