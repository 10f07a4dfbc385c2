"""Augmentation for stained cells: what moves, turns and scales a crop, and the gain of each stain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

SHIFT = 0.125  # of the side: the largest whole-pixel shift, and the spread of fractional ones
SCALE_SPREAD = 0.2  # of the binary logarithm
GAIN_SPREAD = 0.5  # of the binary logarithm: Karras's contrast
DARK = -1.0  # the background's value, about which the gain acts


def augmented(images: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Each of seven changes with this probability, image by image; gradients flow through.

    In this order: flip; turn by a random multiple of 90 degrees; shift by whole pixels, up to an eighth of the side;
    scale by 2^N(0, 0.2^2); rotate; scale along x by as much as y shrinks; rotate again; shift by N(0, (side / 8)^2);
    each channel's gain 2^N(0, 0.5^2) about the background. The two rotations have 1 - sqrt(1 - p) each, so that p is
    the probability of any. Pixels beyond the border are its mirror image. There is no change of hue, saturation or
    luma, nor one that mixes channels: stains are no colours.

    The first three move pixels as they are; the others, of which one map is made, interpolate bilinearly, and scaling
    down is not smoothed before. Differs from the paper, which makes one map of all and enlarges with a wavelet filter:
    what a shift by whole pixels has moved out of the picture does not come back by a fractional one.

    Args:
        images: (N, C, R, R), background about -1.
        probability: p; at 0 the images themselves come back.
        generator: on their device.

    Source:
        T. Karras et al., NeurIPS 33 (2020), appendix B, of whose colour changes only the contrast is kept, per channel.
    """
    if probability == 0.0:
        return images
    count, side = len(images), images.shape[-1]
    draws = _Draws(count, probability, generator, images)
    flips = draws.happens() & (draws.uniform() < 0.5)
    turns = draws.happens() * (4 * draws.uniform()).long()
    shifts = torch.stack([torch.round(SHIFT * side * (2 * draws.uniform() - 1)).long() for _ in range(2)], 1)
    images = moved(images, flips, turns, shifts * draws.happens()[:, None])
    return _stained(_interpolated(images, draws), draws)


def moved(images: torch.Tensor, flips: torch.Tensor, turns: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Whole pixels to whole pixels, exactly: columns reversed, then quarter turns, then a shift with mirrored border.

    Args:
        images: (N, C, R, R).
        flips: (N,) bool.
        turns: (N,) quarter turns, counter-clockwise.
        shifts: (N, 2) pixels along y and x.
    """
    images = torch.where(flips[:, None, None, None], images.flip(3), images)
    turned = images
    for quarters in (1, 2, 3):
        rotated = torch.rot90(images, quarters, (2, 3))
        turned = torch.where((turns == quarters)[:, None, None, None], rotated, turned)
    side = images.shape[-1]
    places = torch.arange(side, device=images.device)
    rows, columns = (_mirrored(places - shifts[:, axis, None], side) for axis in (0, 1))
    turned = turned.gather(2, rows[:, None, :, None].expand_as(turned))
    return turned.gather(3, columns[:, None, None, :].expand_as(turned))


def warped(images: torch.Tensor, matrices: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Bilinearly: the pixel at q from the centre shows what was at M q + s, beyond the border the mirror image.

    Args:
        images: (N, C, R, R).
        matrices: M, (N, 2, 2), acting on (x, y).
        shifts: s, (N, 2), along x and y in sides of the image.
    """
    affine = torch.cat([matrices, 2.0 * shifts[:, :, None]], 2)  # grid_sample's image reaches from -1 to 1
    grid = nn.functional.affine_grid(affine, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def composed(changes: Sequence[torch.Tensor], shifts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes one after another, and a shift last of all, as one warp: what :func:`warped` takes.

    Each is given as a warp: the pixel at q shows what was at M q, or at q + s. What is shown after two of them is found
    by the second, and then by the first: the first stands leftmost.

    Args:
        changes: M of each, (N, 2, 2), the first that happens first.
        shifts: s, (N, 2).
    """
    matrix = changes[0]
    for change in changes[1:]:
        matrix = matrix @ change
    return matrix, (matrix @ shifts[:, :, None])[:, :, 0]


def with_gain(images: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Each channel times its gain (N, C), about the background."""
    return torch.where((gains == 1.0)[:, :, None, None], images, (images - DARK) * gains[:, :, None, None] + DARK)


class _Draws:
    """Numbers for each image, on its device and of its type."""

    def __init__(self, count: int, probability: float, generator: torch.Generator, like: torch.Tensor) -> None:
        self.count, self.probability, self.generator = count, probability, generator
        self.device, self.dtype = like.device, like.dtype

    def uniform(self) -> torch.Tensor:
        return torch.rand(self.count, generator=self.generator, device=self.device, dtype=self.dtype)

    def normal(self, *more: int) -> torch.Tensor:
        return torch.randn(self.count, *more, generator=self.generator, device=self.device, dtype=self.dtype)

    def happens(self, probability: float | None = None) -> torch.Tensor:
        return self.uniform() < (self.probability if probability is None else probability)


def _interpolated(images: torch.Tensor, draws: _Draws) -> torch.Tensor:
    rotation = 1.0 - math.sqrt(1.0 - draws.probability)
    eye = torch.eye(2, device=images.device, dtype=images.dtype)
    changes = []
    changed = torch.zeros(draws.count, dtype=torch.bool, device=images.device)
    for change in ("scale", "rotate", "stretch", "rotate"):
        chosen = draws.happens(rotation if change == "rotate" else None)
        if change == "rotate":
            angles = math.pi * (2.0 * draws.uniform() - 1.0)
            cosine, sine = angles.cos(), angles.sin()
            own = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        else:
            factors = torch.exp2(SCALE_SPREAD * draws.normal())
            other = factors if change == "scale" else 1.0 / factors
            own = torch.diag_embed(torch.stack([factors, other], 1))
        changes.append(torch.where(chosen[:, None, None], own, eye))
        changed = changed | chosen
    chosen = draws.happens()
    shifts = torch.where(chosen[:, None], SHIFT * draws.normal(2), 0.0)
    changed = changed | chosen
    # Those that nothing happened to stay as they are, bit for bit.
    return torch.where(changed[:, None, None, None], warped(images, *composed(changes, shifts)), images)


def _stained(images: torch.Tensor, draws: _Draws) -> torch.Tensor:
    gains = torch.exp2(GAIN_SPREAD * draws.normal(images.shape[1]))
    return with_gain(images, torch.where(draws.happens()[:, None], gains, 1.0))


def _mirrored(places: torch.Tensor, side: int) -> torch.Tensor:
    """Places on an endless line of images, each the mirror image of its neighbours -> places in one."""
    within = places % (2 * side)
    return torch.where(within < side, within, 2 * side - 1 - within)
