"""K steps of accelerated projected gradient descent as a network whose weights are the algorithm's own parameters.

    z_k = x_k + beta_k (x_k - x_{k-1}),    x_{k+1} = P_eps(z_k - alpha_k grad f(z_k)),    x_0 = 0
    f(x) = D(A x + b; y) + lambda sum(x)                                                              (7)

D is 1/2 |A x + b - y|^2, or level x sum(A x + b - y + y log(y / (A x + b))): the Kullback-Leibler divergence times a
typical number of photons, so that either data term has steps and penalties of one size.

Source: Bonettini, Calatroni, Pezzi & Prato 2024, arXiv 2403.17506, Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from fluosr.methods.unfolded.inference import images_without_gradient
from fluosr.methods.unfolded.matrices import BatchedOperator, curvature_bound, grid_for, operator_for
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.smoothing import binarised, smoothed_projection
from fluosr.optics.sampling import Grid

INERTIA = 2.1  # a of beta_k = (k - 1) / (k + a); above 2 the iterates converge (Chambolle and Dossal 2015)
LEAST_LIGHT = 0.5  # of the background, that A z + b is taken to hold at least: z may be negative
LEAST_BACKGROUND = 1e-2  # of the frames' mean, that the Kullback-Leibler divergence is given at least
LEAST_THRESHOLD = 1e-3  # of its bound
WIDTHS = (0.5, 2.0)  # that a learned PSF may have, of the stated
LARGEST_STEP = 1e4  # in 1 / |A|^2
FIRST_STEP, FIRST_SPARSITY, FIRST_THRESHOLD = 1.0, 0.05, 0.2  # before training gives others


@dataclass(frozen=True)
class Architecture:
    """What is fixed before training.

    Args:
        iterations: K.
        projection_width: eps, of the largest true pixel.
        transition: half the width over which the binarisation rises, of tau.
    """

    iterations: int = 50
    projection_width: float = 1e-3
    transition: float = 0.5


@dataclass(frozen=True)
class Units:
    """Sizes found on the training data, in which the parameters are counted.

    Args:
        peak: largest pixel of the true images, photons per fine pixel. tau is at most half of it.
        penalty: max A^T (y - b), photons: the least lambda whose image is empty (20), for least squares.
        level: mean of the frames, photons per pixel: what multiplies the Kullback-Leibler divergence.
    """

    peak: float
    penalty: float
    level: float


class UnfoldedGradient(torch.nn.Module):
    """Frames in, sparse images on the fine grid out.

    Its weights, all float64 and free of units:

    - ``sparsity``: lambda / ``units.penalty``.
    - ``steps``: (K,) alpha_k |A|^2.
    - ``threshold``: 2 tau / ``units.peak``.
    - ``width``: sigma of the PSF over the stated one.
    - ``detection``: 2 / ``units.peak`` times the level of light from which on touching pixels are a molecule. Not
      learnt by gradients; see :mod:`fluosr.methods.unfolded.detection`.

    Args:
        physics, architecture, units: see there.
    """

    def __init__(self, physics: Physics, architecture: Architecture, units: Units) -> None:
        super().__init__()
        self.physics, self.architecture, self.units = physics, architecture, units
        self.curvature = curvature_bound(physics)
        self.sparsity = torch.nn.Parameter(torch.tensor(FIRST_SPARSITY, dtype=torch.float64))
        self.steps = torch.nn.Parameter(torch.full((architecture.iterations,), FIRST_STEP, dtype=torch.float64))
        self.threshold = torch.nn.Parameter(torch.tensor(FIRST_THRESHOLD, dtype=torch.float64))
        self.width = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.detection = torch.nn.Parameter(torch.tensor(FIRST_THRESHOLD, dtype=torch.float64), requires_grad=False)

    @property
    def tau(self) -> torch.Tensor:
        """Scalar float64, photons per fine pixel."""
        return self.threshold * (0.5 * self.units.peak)

    @property
    def lengths(self) -> torch.Tensor:
        """(K,) float64 alpha_k. |A|^2 of variances goes with the width to the -4th; that of frames hardly changes."""
        curvature = self.curvature / self.width**4 if self.physics.semi_blind else self.curvature
        return self.steps / curvature

    @property
    def detection_photons(self) -> float:
        """Level from which on light is a molecule, photons per fine pixel."""
        return float(self.detection.detach()) * 0.5 * self.units.peak

    @property
    def fwhm_nm(self) -> float:
        """Of the PSF, learned where it was, nm."""
        return float(self.width.detach()) * self.physics.fwhm_nm

    def bounds(self) -> dict[str, tuple[float, float]]:
        """(lowest, highest) value of every weight."""
        highest = 1.0
        if self.physics.data_term == "kullback-leibler":  # level x max A^T (y / b - 1)
            highest = max(
                1.0, self.units.level / max(self.physics.background_photons or 0.0, LEAST_BACKGROUND * self.units.level)
            )
        return {
            "sparsity": (0.0, highest),
            "steps": (0.0, LARGEST_STEP),
            "threshold": (LEAST_THRESHOLD, 1.0),
            "width": WIDTHS,
            "detection": (LEAST_THRESHOLD, 1.0),
        }

    def operator(self, grid: Grid, like: torch.Tensor) -> BatchedOperator:
        """A on a grid, in the precision and on the device of ``like``."""
        return operator_for(self.physics, grid, self.width.to(like.device), like.dtype)

    def forward(self, frames: torch.Tensor, background: torch.Tensor, segments: int | None = None) -> torch.Tensor:
        """(B, L Y, L X) photons per fine pixel.

        Of the K steps only the images between segments are kept for the backward pass, which computes each segment
        anew: memory grows as sqrt(K).

        Args:
            frames: (B, Y, X) photons; for a semi-blind model variances.
            background: (B,) photons per camera pixel.
            segments: by default sqrt(K); 0 keeps all steps.
        """
        grid = grid_for(self.physics, (frames.shape[-2], frames.shape[-1]))
        operator = self.operator(grid, frames)
        steps = self.lengths.to(frames)
        penalty = (self.sparsity * self.units.penalty).to(frames)
        level = background.to(frames).reshape(-1, 1, 1)
        if self.physics.data_term == "kullback-leibler":
            level = level.clamp(min=LEAST_BACKGROUND * self.units.level)
        count = self.architecture.iterations
        if not torch.is_grad_enabled() and frames.device.type == "cpu" and frames.dtype == torch.float32:
            inertias = [inertia(k) for k in range(count)]
            given = (operator, frames, level, self.residual, steps.tolist(), inertias, float(penalty))
            return grid.crop(images_without_gradient(*given, self.projection_width))
        newer = older = frames.new_zeros((frames.shape[0], *grid.shape))
        length = count if segments == 0 else math.ceil(count / (segments or max(1, round(math.sqrt(count)))))
        keep_all = segments == 0 or not torch.is_grad_enabled()

        def stretch(newer: torch.Tensor, older: torch.Tensor, first: int) -> tuple[torch.Tensor, torch.Tensor]:
            for k in range(first, min(first + length, count)):
                extrapolated = torch.lerp(older, newer, 1.0 + inertia(k))
                slope = self.slope(operator, extrapolated, frames, level) + penalty
                u = torch.addcmul(extrapolated, slope, steps[k], value=-1.0)
                newer, older = smoothed_projection(u, self.projection_width), newer
            return newer, older

        for first in range(0, count, max(1, length)):
            if keep_all:
                newer, older = stretch(newer, older, first)
            else:
                newer, older = checkpoint(stretch, newer, older, first, use_reentrant=False)
        return grid.crop(newer)

    @property
    def projection_width(self) -> float:
        """eps, photons per fine pixel."""
        return self.architecture.projection_width * self.units.peak

    def slope(
        self, operator: BatchedOperator, x: torch.Tensor, frames: torch.Tensor, background: torch.Tensor
    ) -> torch.Tensor:
        """(B, ny, nx) gradient of D at ``x``, without lambda; ``background`` (B, 1, 1)."""
        return operator.adjoint(self.residual(operator.forward(x), frames, background))

    def residual(self, seen: torch.Tensor, frames: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        """Derivative of D with respect to ``seen`` = A x, in the shape of the frames."""
        if self.physics.data_term == "least-squares":
            return seen + (background - frames)
        expected = torch.maximum(seen + background, LEAST_LIGHT * background)
        return self.units.level * (1.0 - frames.clamp(min=0.0) / expected)

    def support(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L Y, L X) in [0, 1]: the smooth binarisation of images."""
        return binarised(x, self.tau.to(x), self.architecture.transition)

    def in_the_papers_numbers(self) -> dict[str, Any]:
        """lambda, alpha_k, tau and sigma as the paper has them: in photons, and sigma in fine pixels."""
        level = self.units.level if self.physics.data_term == "kullback-leibler" else 1.0
        return {
            "lambda": float(self.sparsity.detach()) * self.units.penalty / level,
            "alpha": (level * self.lengths.detach()).tolist(),
            "tau_photons": float(self.tau.detach()),
            "sigma_fine_pixels": float(self.width.detach()) * self.physics.sigma_fine,
        }

    def describe(self) -> dict[str, Any]:
        """Everything but the weights."""
        return {
            "physics": self.physics.describe(),
            "architecture": asdict(self.architecture),
            "units": asdict(self.units),
        }


def inertia(k: int) -> float:
    """beta_k = (k - 1) / (k + a), 0 for the first two steps."""
    return max(0, k - 1) / (k + INERTIA)
