"""The Gaussian likelihood of mean and covariance, patch by patch, and its gradient in x, b and kappa.

    mu = A x + b,    Sigma = kappa A diag(x) A^T + diag(s mu + v),
    Q = w sum_p log|Sigma_p| + tr(Sigma_p^-1 C_p),    C_p = S_p + (m_p - mu_p)(m_p - mu_p)^T,

with S and m the sample covariance and mean of T frames. (T / 2) Q is the composite negative log-likelihood, up to a
constant: composite, because patches overlap and are taken for independent; w makes up for it on average. s and v are
what the camera's noise became where frames were scaled to even brightness (1 and the read noise squared if not).

With P = Sigma^-1 and W = P - P C P the gradient in x is kappa diag(A^T W A) + s A^T diag(W) - 2 A^T P (m - mu), in b it
is s diag(W) - 2 P (m - mu), in kappa <x, diag(A^T W A)>.

Sources: the covariance's model is that of the fluctuations with a Fano factor kappa; as a likelihood of a covariance
that is linear in non-negative unknowns it is a kin of sparse Bayesian learning (Wipf & Rao 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fluosr.emitters.model import LARGEST_FANO_FACTOR
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import Moments
from fluosr.methods.covariance.patches import Patches

LEAST_FANO_FACTOR = 1e-3  # from which a fit can still find a larger one
BATCH_BYTES = 2**28  # of matrices at once


@dataclass(frozen=True, eq=False)
class Noise:
    """The variance of a pixel from its expected light: ``slope`` mu + ``floor``.

    Attributes:
        slope: 1 for photons; the mean factor where frames were scaled, as which kappa grows too.
        floor: (Y, X) electrons squared: read noise, and much where a pixel is bad.
        unevenness: mean square over squared mean of the factors by which frames were scaled. The sample covariance
            scatters as that of so many times fewer frames.
    """

    slope: float
    floor: torch.Tensor
    unevenness: float = 1.0


@dataclass(frozen=True, eq=False)
class Gradient:
    """Of Q, by x (ny, nx), b (Y, X) and kappa."""

    fine: torch.Tensor
    background: torch.Tensor
    fano_factor: float


class CompositeLikelihood:
    """Q and what follows from it, for one set of moments.

    Args:
        patches: geometry.
        moments: mean and covariance of the frames.
        noise: of a pixel.
        memory: of the emitters. Q is that of independent frames all the same; how sure it is depends on memory.
    """

    def __init__(self, patches: Patches, moments: Moments, noise: Noise, memory: Memory | None = None) -> None:
        self.patches, self.moments, self.noise = patches, moments, noise
        self.memory = memory or Memory()
        self._floor = patches.gather(noise.floor)
        size = 8 * patches.size**2
        self._batch = max(1, int(BATCH_BYTES / (6 * size)))

    @property
    def count(self) -> int:
        """Frames."""
        return self.moments.count

    def value(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> float:
        """Q; infinity where Sigma is not definite."""
        return float(self.by_patch(fine, background, fano_factor).sum()) * self.patches.weight

    def by_patch(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> torch.Tensor:
        """(P,) Q_p, unweighted."""
        values = []
        for members, windows, mean in self._parts(fine, background):
            inverse, residual, log_determinant = self._solved(members, windows, mean, fano_factor)
            values.append(log_determinant + self._misfit(members, inverse, residual))
        return torch.cat(values)

    def value_and_gradient(
        self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float
    ) -> tuple[float, Gradient]:
        """Q and its gradient."""
        patches, slope = self.patches, self.noise.slope
        value, by_kappa = 0.0, 0.0
        by_fine, by_background = [], []
        for members, windows, mean in self._parts(fine, background):
            inverse, residual, log_determinant = self._solved(members, windows, mean, fano_factor)
            moment = self.moments.covariance[members] + residual[:, :, None] * residual[:, None, :]
            whitened = inverse @ moment
            value += float((log_determinant + whitened.diagonal(dim1=-2, dim2=-1).sum(-1)).sum())
            pull = torch.baddbmm(inverse, whitened, inverse, alpha=-1.0)  # W
            aimed = (inverse @ residual[:, :, None])[:, :, 0]  # P (m - mu)
            shared = patches.covariance_adjoint(pull)
            by_pixel = slope * patches.noise_adjoint(pull) - 2.0 * patches.project_adjoint(aimed)
            by_fine.append(fano_factor * shared + patches.adjoint(by_pixel))
            by_background.append(by_pixel)
            by_kappa += float((windows * shared).sum())
        weight = patches.weight
        return weight * value, Gradient(
            weight * patches.windows_adjoint(torch.cat(by_fine)),
            weight * patches.gather_adjoint(torch.cat(by_background)),
            weight * by_kappa,
        )

    def multiplicative_step(
        self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float, *, careful: bool = False
    ) -> torch.Tensor:
        """x times sqrt(what pulls it up / what pulls it down): from far away it goes fast, and never below zero.

        With B_i = kappa a_i a_i^T + s diag(a_i), what one photon of x_i adds to Sigma, the covariance pulls up with
        tr(B_i P C P) and down with tr(B_i P); the mean with 2 a_i^T P (m - mu), up or down by its sign. Where x is at
        rest the slope is nil. Were C fixed and the mean without slope, Q would never rise (it is majorised by terms in
        x and 1 / x). The mean's part may overshoot, and Q then rises: by a few per cent where kappa < 1, by much more
        where there is no shot noise either (s = 0).

        A careful step never raises Q. With h_i = 1 / (kappa + s / sum a_i) >= a_i^T B_i^-1 a_i the same construction
        holds for the mean's part, (m - mu)^T P (m - mu), which is split among emitters and noise:

            x^2 -> x^2 (tr(B P C P) + 2 a^T P (m - mu) + h) / (tr(B P) + h)

        Args:
            fine, background, fano_factor: where to step from; x > 0.
            careful: the slower step.
        """
        patches, slope = self.patches, self.noise.slope
        up, down = [], []
        for members, windows, mean in self._parts(fine, background):
            inverse, residual, _ = self._solved(members, windows, mean, fano_factor)
            moment = self.moments.covariance[members] + residual[:, :, None] * residual[:, None, :]
            pull = inverse @ moment @ inverse
            aimed = 2.0 * patches.seen_adjoint((inverse @ residual[:, :, None])[:, :, 0])
            rising, falling = aimed.clamp_min(0.0), -aimed.clamp_max(0.0)
            if careful:
                seen = patches.adjoint(torch.ones_like(mean)).clamp_min(1e-300)  # sum a_i
                falling = 1.0 / (fano_factor + slope / seen)
                rising = aimed + falling
            rises = fano_factor * patches.covariance_adjoint(pull) + rising
            falls = fano_factor * patches.covariance_adjoint(inverse) + falling
            up.append(rises + patches.adjoint(slope * patches.noise_adjoint(pull)))
            down.append(falls + patches.adjoint(slope * patches.noise_adjoint(inverse)))
        ratio = patches.windows_adjoint(torch.cat(up)) / patches.windows_adjoint(torch.cat(down)).clamp_min(1e-300)
        return fine * ratio.clamp(1e-4, 1e4).sqrt()

    def information(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> torch.Tensor:
        """(ny, nx) Fisher information of one frame on each x_i by itself.

        q + (kappa q)^2 / 2 with q = diag(A^T P A): what the mean tells and what the covariance tells; the noise's own
        dependence on x is left out.
        """
        found = []
        for members, windows, mean in self._parts(fine, background):
            inverse, _, _ = self._solved(members, windows, mean, fano_factor)
            seen = self.patches.covariance_adjoint(inverse)
            found.append(seen + 0.5 * (fano_factor * seen) ** 2)
        return self.patches.weight * self.patches.windows_adjoint(torch.cat(found))

    def gradient_sd(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> torch.Tensor:
        """(ny, nx) standard deviation of dQ/dx_i over movies that this light made.

        Of one patch without memory it is 2 sqrt(F / T), F = q + (kappa q)^2 / 2 the Fisher information of one frame.
        Where frames were scaled, the second part of F grows by the noise's unevenness.
        With memory the two parts of F grow by 1 + 2 s sum rho_k and 1 + 2 s^2 sum rho_k^2, where a^T P y owes s of its
        variance to the emitters, which remember, and the rest to noise, which does not. Patches that overlap see the
        same light: their standard deviations add up, not their variances (at most; where they hardly overlap it is up
        to a quarter too much), so that the pull weighs the same beside the likelihood wherever patches lie.
        """
        levels, spreads = [], []
        for members, windows, mean in self._parts(fine, background):
            inverse, _, _ = self._solved(members, windows, mean, fano_factor)
            seen = self.patches.covariance_adjoint(inverse)
            noise = self._sigma(members, windows, mean, 0.0)
            share = 1.0 - self.patches.covariance_adjoint(inverse @ noise @ inverse) / seen.clamp_min(1e-300)
            share = share.clamp(0.0, 1.0)
            levels.append((seen * (1.0 + self.memory.of_mean * share)).clamp_min(0.0).sqrt())
            spreads.append(0.5**0.5 * fano_factor * seen * (1.0 + self.memory.of_covariance * share**2).sqrt())
        level, spread = (self.patches.windows_adjoint(torch.cat(parts)) for parts in (levels, spreads))
        return 2.0 * self.patches.weight * ((level**2 + self.noise.unevenness * spread**2) / self.count).sqrt()

    def covariance_misfit(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> float:
        """rms of the whitened covariance's residual, over what Gaussian frames of this covariance would leave.

        R = L^-1 S L^-T, L L^T = Sigma, is the unit matrix up to (1 + delta_ij + 2 (G_ii G_jj + G_ij^2) sum rho_k^2) / T
        in the variance of R_ij, with G = L^-1 (Sigma - N) L^-T: the emitters' part of the whitened frames, which
        remembers. Where frames were scaled, the variance grows by the noise's unevenness.
        """
        total, entries = 0.0, 0
        for members, windows, mean in self._parts(fine, background):
            root = torch.linalg.cholesky(self._sigma(members, windows, mean, fano_factor))
            residual = whitened(self.moments.covariance[members], root)
            residual.diagonal(dim1=-2, dim2=-1).sub_(1.0)
            emitted = whitened(self._sigma(members, windows, mean, 0.0), root).neg_()
            emitted.diagonal(dim1=-2, dim2=-1).add_(1.0)
            each = emitted.diagonal(dim1=-2, dim2=-1).clone()
            remembered = each[:, :, None] * each[:, None, :] + emitted**2
            expected = 1.0 + self.memory.of_covariance * remembered
            expected.diagonal(dim1=-2, dim2=-1).add_(1.0)
            total += float((residual**2 / expected).sum())
            entries += residual.numel()
        return (self.count * total / entries / self.noise.unevenness) ** 0.5

    def moments_fano_factor(self, fine: torch.Tensor, background: torch.Tensor) -> float:
        """kappa for given light, by least squares over all covariances weighted as if kappa were 0; 1e-3 to 1e6.

        With N = Sigma at kappa = 0, K = dSigma / dkappa and P = N^-1: tr(P (S - N) P K) / tr(P K P K). Bad pixels,
        whose noise is taken to be large, have no say.
        """
        aimed, weight = 0.0, 0.0
        for members, windows, mean in self._parts(fine, background):
            alone = self._sigma(members, windows, mean, 0.0)
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(alone))
            shared = inverse @ self.patches.covariance(windows)
            excess = inverse @ (self.moments.covariance[members] - alone)
            aimed += float((excess * shared.mT).sum())
            weight += float((shared * shared.mT).sum())
        return min(max(LEAST_FANO_FACTOR, aimed / max(weight, 1e-300)), LARGEST_FANO_FACTOR)

    def model(self, fine: torch.Tensor, background: torch.Tensor, fano_factor: float) -> torch.Tensor:
        """(P, M, M) Sigma."""
        return torch.cat(
            [
                self._sigma(members, windows, mean, fano_factor)
                for members, windows, mean in self._parts(fine, background)
            ]
        )

    def _parts(self, fine: torch.Tensor, background: torch.Tensor):  # type: ignore[no-untyped-def]
        """Batches of patches: which, their windows (p, hy, hx), their mean frames mu (p, py, px)."""
        windows, flat = self.patches.windows(fine), self.patches.gather(background)
        for first in range(0, len(self.patches), self._batch):
            members = slice(first, first + self._batch)
            yield members, windows[members], self.patches.forward(windows[members]) + flat[members]

    def _sigma(self, members: slice, windows: torch.Tensor, mean: torch.Tensor, fano_factor: float) -> torch.Tensor:
        noise = self.patches.noise(self.noise.slope * mean + self._floor[members])
        return noise.add_(self.patches.covariance(windows), alpha=fano_factor)

    def _solved(
        self, members: slice, windows: torch.Tensor, mean: torch.Tensor, fano_factor: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The inverse of Sigma, m - mu in the coordinates, and log|Sigma|."""
        sigma = self._sigma(members, windows, mean, fano_factor)
        root, failed = torch.linalg.cholesky_ex(sigma)
        if bool(failed.any()):
            return sigma, self.moments.mean[members], torch.full_like(failed, torch.inf, dtype=torch.float64)
        inverse = torch.cholesky_inverse(root)
        residual = self.moments.mean[members] - self.patches.project(mean)
        return inverse, residual, 2.0 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def _misfit(self, members: slice, inverse: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        spread = (inverse * self.moments.covariance[members]).sum((-2, -1))
        return spread + (residual * (inverse @ residual[:, :, None])[:, :, 0]).sum(-1)


def whitened(matrix: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """L^-1 M L^-T of symmetric M; (P, M, M) each, L lower triangular."""
    half = torch.linalg.solve_triangular(root, matrix, upper=False)
    return torch.linalg.solve_triangular(root, half.mT, upper=False)
