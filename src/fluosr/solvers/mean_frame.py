"""FluoGAN's generator objective without the discriminator (paper, eq. 14 with delta = 0), without sampling.

For Y_sim = Poisson(phi) + noise, phi = A x + b, in photoelectrons,

    E |Y_sim - ybar|^2 = |phi - ybar|^2 + sum(phi) + m sigma^2,

so the expectation needs no random draw. Two data terms are offered:

    "mean-weighted"  1/2 sum_k sum_i w_ki (phi_ki - ybar_ki)^2,  w = frames / Var(one frame): the Gaussian likelihood
                     of the mean frame, where photons, not pixels, carry the weight;
    "paper"          gamma/2 E |Y_sim - ybar|^2 as above, all pixels alike, its variance term sum(phi) included.

Both are counted in units of the mean frame's noise, so that lambda_1 means the same at any exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fluosr.optics.background import BackgroundBasis
from fluosr.optics.operators import ImagingOperator


@dataclass(eq=False)
class GeneratorProblem:
    """The smooth part of (14) in the blocks [grains c, background coefficients beta], with x = G c and b = B beta.

    Args:
        operator: A G, light of grains on the camera, per drift group.
        basis: B.
        mean: (K, Y, X) mean frame of each group, photoelectrons.
        weight: (K, Y, X) inverse variance of ``mean``; 0 where a pixel is not used.
        sparsity: lambda_1, per photon, in units of the data term.
        smoothness: lambda_2, per (photon / pixel)^2, in the same units.
        variance_term: include sum(phi), as the paper's expectation does.
    """

    operator: ImagingOperator
    basis: BackgroundBasis
    mean: torch.Tensor
    weight: torch.Tensor
    sparsity: float
    smoothness: float
    variance_term: bool = False

    def __post_init__(self) -> None:
        """Diagonal majoriser of the Hessian.

        All entries of M = [A, B] are non-negative, so for any v > 0 the matrix M^T W M is majorised by the diagonal
        [M^T W M v]_j / v_j. With v = (1, s) the two blocks share the curvature; s balances their mean light.
        """
        ones = torch.ones(self.operator.shape, dtype=self.mean.dtype, device=self.mean.device)
        light = self.operator.forward(ones)
        balance = float(light.mean())
        total = self.weight * (light + balance)
        grains = self.operator.adjoint(total)
        # A grain in the far margin sends almost no light: its exact step would be huge, and its share of noise too.
        grains.clamp_(min=1e-3 * float(grains.max()))
        coefficients = self.basis.adjoint(total.sum(0)) / balance + self.smoothness * self.basis.curvature
        coefficients.clamp_(min=1e-6 * float(coefficients.max()))
        self.majoriser = [grains, coefficients]
        self.penalty: list[float | torch.Tensor] = [self.sparsity, 0.0]

    def expected(self, blocks: list[torch.Tensor]) -> torch.Tensor:
        """phi = A G c + B beta, (K, Y, X)."""
        return self.operator.forward(blocks[0]) + self.basis.image(blocks[1])

    def pull_back(self, slope: torch.Tensor, beta: torch.Tensor) -> list[torch.Tensor]:
        """From d f / d phi, (K, Y, X), to the gradient in the blocks, the background's smoothness included."""
        grains = self.operator.adjoint(slope)
        coefficients = self.basis.adjoint(slope.sum(0))
        if self.smoothness:
            coefficients += self.smoothness * self.basis.roughness_gradient(beta)
        return [grains, coefficients]

    def slope(self, expected: torch.Tensor) -> torch.Tensor:
        """d f / d phi, (K, Y, X)."""
        slope = (expected - self.mean).mul_(self.weight)
        if self.variance_term:
            slope += 0.5 * self.weight
        return slope

    def gradient(self, blocks: list[torch.Tensor]) -> list[torch.Tensor]:
        """Gradient of the smooth part at ``blocks``."""
        return self.pull_back(self.slope(self.expected(blocks)), blocks[1])

    def misfit(self, blocks: list[torch.Tensor]) -> float:
        """Sum of w (phi - ybar)^2: about the number of pixels less the degrees of freedom when the fit is right."""
        residual = self.expected(blocks) - self.mean
        return float((self.weight * residual * residual).sum())

    def objective(self, blocks: list[torch.Tensor]) -> float:
        """The whole of (14) at delta = 0, constants left out."""
        value = 0.5 * self.misfit(blocks) + self.sparsity * float(blocks[0].sum())
        value += 0.5 * self.smoothness * self.basis.roughness(blocks[1])
        if self.variance_term:
            value += 0.5 * float((self.weight * self.expected(blocks)).sum())
        return value

    def start(self) -> list[torch.Tensor]:
        """A flat start: half the mean light in the image, the darkest tenth in the background."""
        used = self.mean[self.weight > 0]
        if not used.numel():
            used = self.mean.ravel()
        dark = float(used.quantile(0.1)) if used.numel() < 1_000_000 else float(used[::7].quantile(0.1))
        light = max(float(used.mean()) - max(dark, 0.0), 1e-3)
        ones = torch.ones(self.operator.shape, dtype=self.mean.dtype, device=self.mean.device)
        level = light / float(self.operator.forward(ones).mean())
        grains = torch.full(self.operator.shape, level, dtype=self.mean.dtype, device=self.mean.device)
        coefficients = torch.full(self.basis.shape, max(dark, 0.0), dtype=self.mean.dtype, device=self.mean.device)
        return [grains, coefficients]
