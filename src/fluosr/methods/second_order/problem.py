"""The least squares over all pairs of camera pixels, without any pair written out.

    f(r) = min_noise 1/2 |R - A diag(r) A^T - noise|_F^2  =  1/2 <r, W r> - <v, r> + ...,

    W = (A^T A) o (A^T A),    v_i = (A^T R A)_ii,    noise = 0, s I (s >= 0), or any diagonal.

A free diagonal (one variance for each pixel, as photons have) takes the pairs of a pixel with itself out of the sum:
W and v lose what these pairs gave, (A o A)^T (A o A) and (A o A)^T Var(y). For one shared s the minimum over s is
taken at every r, s = max(0, <I, R - A diag(r) A^T> / M), M the number of camera pixels; f stays convex, its gradient is
W r - v + s a^2 with a_i the norm of column i of A.

Source: Stergiopoulou et al. 2022 (COL0RME, Biological Imaging 2, e1); Solomon et al. 2019 (SPARCOM), whose noise is
none.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch

from fluosr.methods.second_order.frames import BackProjectedFrames
from fluosr.methods.second_order.parameters import Noise
from fluosr.optics.kronecker import KroneckerSum, Pair, column_sums, gram, squared, transposed

LEAST_CURVATURE = 1e-3  # of the largest: emitters in the far margin hardly show
FALSE_ALARMS = 0.05  # share of movies without fluctuating emitters in which a threshold may be passed


class SecondOrderProblem:
    """f, its gradient and a diagonal that majorises its Hessian; all images are (ny, nx) float64.

    Args:
        pairs: factors of A.
        frames: what was gathered.
        noise: what the frames add of their own.
        baseline: what is taken off the frames.
        device: where to compute.

    Attributes:
        data: v.
        columns: n_i, norm of the column of the fit that belongs to r_i.
        scatter: standard deviation of v_i from sampling where there are no emitters that fluctuate.
    """

    def __init__(
        self,
        pairs: list[Pair],
        frames: BackProjectedFrames,
        noise: Noise,
        *,
        baseline: str = "mean",
        device: torch.device | str = "cpu",
    ) -> None:
        pixel, projected = frames.variances(baseline)
        squares = squared(pairs)
        self._normal = KroneckerSum(squared(gram(pairs)), device=device)
        self._square = KroneckerSum(squares, device=device)
        self._square_back = KroneckerSum(transposed(squares), device=device)
        self._noise = noise
        self._pixels, self._trace = pixel.size, float(pixel.sum())
        norms = torch.as_tensor(column_sums(squares), device=device).clamp_min_(0.0)  # a^2
        self._norms = norms
        variance = torch.as_tensor(pixel, device=device)
        own = self._square_back(variance)  # what the pixels' own variances give to v
        # Var(R_mn) = R_mm R_nn / T for two pixels that do not know of each other: Var(v_i) is a double sum over pixels.
        self.scatter = own.clamp_min(0.0) * math.sqrt(2.0 / (frames.count - 1))
        self.data = torch.as_tensor(projected, device=device)
        self.columns = norms
        if noise == "pixel":
            self.data = self.data - own
            fourth = torch.as_tensor(column_sums(squared(squares)), device=device)
            self.columns = (norms**2 - fourth).clamp_min_(0.0).sqrt_()

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the extended fine grid."""
        ny, nx = self.data.shape
        return ny, nx

    @cached_property
    def majoriser(self) -> torch.Tensor:
        """Row sums of W, whose entries are not negative: the diagonal matrix of these is not less than W."""
        sums = self.normal(torch.ones_like(self.data))
        return sums.clamp_min_(max(LEAST_CURVATURE * float(sums.max()), 1e-300))

    def normal(self, r: torch.Tensor) -> torch.Tensor:
        """W r."""
        product = self._normal(r)
        if self._noise == "pixel":
            product -= self._square_back(self._square(r))
        return product

    def shared_noise(self, r: torch.Tensor) -> float:
        """s, photons squared; 0 unless one noise variance is shared."""
        if self._noise != "shared":
            return 0.0
        return max(0.0, (self._trace - float(torch.dot(self._norms.view(-1), r.view(-1)))) / self._pixels)

    def gradient(self, r: torch.Tensor, product: torch.Tensor) -> torch.Tensor:
        """W r - v + s a^2, with W r known."""
        slope = product - self.data
        noise = self.shared_noise(r)
        return slope.add_(self._norms, alpha=noise) if noise else slope

    def value(self, r: torch.Tensor, product: torch.Tensor) -> float:
        """f less its value without emitters and noise, with W r known."""
        flat = r.view(-1)
        quadratic = 0.5 * float(torch.dot(flat, product.view(-1))) - float(torch.dot(flat, self.data.view(-1)))
        return quadratic - 0.5 * self._pixels * self.shared_noise(r) ** 2

    def noise_variance(self, r: torch.Tensor) -> float:
        """Mean over the pixels of a frame's own noise variance, photons squared."""
        light = float(torch.dot(self._norms.view(-1), r.reshape(-1)))
        return max(0.0, (self._trace - light) / self._pixels)


def automatic_sparsity(field_shape: tuple[int, int], fwhm_px: float, n_frames: int) -> float:
    """Threshold over which the data term's noise hardly ever rises, in its own standard deviations.

    Without emitters that fluctuate v_i / E v_i is a variance measured on T frames, chi^2 / (T - 1) on T - 1 degrees of
    freedom (nearly: without a pixel's pairs with itself less is left to vary). The threshold is passed by one of the
    n patches of half the PSF's width in ``FALSE_ALARMS`` of such movies.
    """
    from scipy.special import chdtri

    patches = max(1.0, math.prod(field_shape) / (fwhm_px / 2.0) ** 2)
    degrees = n_frames - 1
    return float((chdtri(degrees, FALSE_ALARMS / patches) / degrees - 1.0) / math.sqrt(2.0 / degrees))
