"""The fit: x, b and kappa at the minimum of the penalised likelihood, none of them negative.

    x = G s,    b = B c,    kappa = exp(l),    s >= 0,    c > 0,
    minimise Q(x, b, kappa) + (kappa / kappa_0) sum_i p_i s_i

G spreads each grain of light over a narrow Gaussian, or not at all; B are broad splines. A coarse image is made by
multiplicative steps, which cannot get stuck, and the fine one by L-BFGS: first in the square roots of s and c, where
steps are in proportion to the light and large ones do no harm; then in s and c themselves, above their bounds, where
the function is nearer to a parabola. (With kappa = 10 and 30 photons roots alone need 400 iterations for what bounds
reach in 120; with few bright places and kappa = 160 bounds alone need 400 for what roots reach in 60. One after the
other is about as quick as the better of the two.) The penalty is on kappa x, which the covariance knows, and not on x:
it would shrink x and let kappa make up for it, and no light were left for the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from fluosr.methods.covariance.likelihood import CompositeLikelihood
from fluosr.optics.background import BackgroundBasis
from fluosr.optics.kronecker import KroneckerSum
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.solvers.quasi_newton import QuasiNewtonState, advance

LEAST_GRAIN = 1.0  # fine pixels FWHM, under which a grain is a pixel
COARSE_STEPS = 25  # multiplicative steps that make the start
DARK_QUANTILE = 0.1  # of the mean frame: where the background begins
LEAST_OF_CURVATURE = 1e-4  # of the largest
IN_ROOTS = 60  # iterations in square roots
LEAST_MOVED = 1e-3  # of its error, by which a dark pixel that is pulled darker may move at a step
UNKNOWN = 0.1  # of itself, by which background and kappa are still off
FARTHEST = 30.0  # times, that kappa lies from where the penalty has left it
LEAST = 1e-12  # of the largest, in the start: a square root of zero has no slope
LEAST_BACKGROUND = 1e-9  # of the mean


@dataclass(frozen=True, eq=False)
class Light:
    """What is fitted.

    Attributes:
        fine: (ny, nx) mean emission x, photons per fine pixel and frame, on the extended grid.
        background: (Y, X) photons.
        fano_factor: kappa.
    """

    fine: torch.Tensor
    background: torch.Tensor
    fano_factor: float


class Grains:
    """G: symmetric, of unit sum but at the rim.

    Args:
        shape: (ny, nx).
        fwhm: of a grain, fine pixels; 0 for none.
    """

    def __init__(self, shape: tuple[int, int], fwhm: float, device: torch.device) -> None:
        self._spread: KroneckerSum | None = None
        if fwhm >= LEAST_GRAIN:
            sigma = fwhm / FWHM_PER_SIGMA
            factors = []
            for n in shape:
                distance = np.arange(n)[:, None] - np.arange(n)[None, :]
                profile = np.where(np.abs(distance) <= 4 * sigma + 1, np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
                factors.append(profile / np.exp(-0.5 * (np.arange(-n, n + 1) / sigma) ** 2).sum())
            self._spread = KroneckerSum([(factors[0], factors[1])], device=device)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """G s, and G^T r."""
        return image if self._spread is None else self._spread(image)


class Fit:
    """One penalised likelihood, ready to be minimised.

    Args:
        likelihood: of mean and covariance.
        basis: of the background.
        grain_fwhm: of a grain, fine pixels; 0 for none.
        penalty: (ny, nx) or a number, per photon of x where kappa is ``fano_reference``.
        fano_reference: kappa_0.
        fano_factor: kappa where it is known; None to fit it.
    """

    def __init__(
        self,
        likelihood: CompositeLikelihood,
        basis: BackgroundBasis,
        *,
        grain_fwhm: float = 0.0,
        penalty: torch.Tensor | float = 0.0,
        fano_reference: float = 1.0,
        fano_factor: float | None = None,
    ) -> None:
        self.likelihood, self.basis, self.fano_factor = likelihood, basis, fano_factor
        self.penalty = penalty / fano_reference
        self.grains = Grains(likelihood.patches.grid.shape, grain_fwhm, likelihood.patches.device)

    def start(self, light: Light) -> QuasiNewtonState:
        """The state of the quasi-Newton iteration at some light.

        Its background becomes the nearest that the splines can draw; a kappa that is known takes the place of its.
        """
        knots = self._knots(light.background)
        parts = [part.clamp_min(LEAST * float(part.max())).sqrt().flatten() for part in (light.fine, knots)]
        if self.fano_factor is None:
            parts.append(knots.new_tensor([math.log(max(light.fano_factor, 1e-6))]))
        state = QuasiNewtonState.start(self._of_roots, torch.cat(parts))
        grains = light.fine.numel()
        pull = state.gradient[:grains].abs() / state.point[:grains].abs().clamp_min(1e-150)
        curvature = 8.0 * state.point[:grains] ** 2 * self._information(self.light(state)).flatten() + pull
        curvature += LEAST_OF_CURVATURE * curvature.max()
        rest = curvature.median().expand(len(state.point) - grains)  # background and kappa: a few numbers
        state.metric = 1.0 / torch.cat([curvature, rest])
        return state

    def advance(self, state: QuasiNewtonState) -> None:
        """One iteration."""
        if state.lower is None and state.iteration >= IN_ROOTS:
            self._leave_roots(state)
        advance(self._of_roots if state.lower is None else self.value_and_gradient, state)

    def light(self, state: QuasiNewtonState) -> Light:
        """What a state of the iteration stands for."""
        return self._light(self._squared(state.point) if state.lower is None else state.point)

    def _leave_roots(self, state: QuasiNewtonState) -> None:
        """The same light above bounds, with what is known of each variable's error as the metric."""
        light, point = self.light(state), self._squared(state.point)
        grains, knots, _ = self._split(point)
        size = max(float(knots.mean()), 1e-300)
        lower = torch.full_like(point, -math.inf)
        lower[: grains.numel() + knots.numel()] = 0.0
        lower[grains.numel() : grains.numel() + knots.numel()] = LEAST_BACKGROUND * size
        point = point.maximum(lower)
        grains, knots, _ = self._split(point)
        value, gradient = self.value_and_gradient(point)
        known = 2.0 * self._information(light).flatten()  # the curvature of Q
        known = known.clamp_min(LEAST_OF_CURVATURE * float(known.max()))
        pull = gradient[: grains.numel()].abs() / (2.0 * grains.flatten()).clamp_min(1e-150)
        metric = torch.full_like(point, 0.5 * self.likelihood.count * UNKNOWN**2)
        metric[: grains.numel()] = (1.0 / (known + pull)).maximum(LEAST_MOVED / known)
        metric[grains.numel() : grains.numel() + knots.numel()] *= size**2
        state.point, state.value, state.gradient = point, value, gradient
        state.metric, state.lower, state.steps, state.changes, state.finished = metric, lower, [], [], False

    def value_and_gradient(self, point: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The penalised likelihood and its gradient at grains, knots and log kappa, end to end."""
        grains, _, kappa = self._split(point)
        light = self._light(point)
        if not 1e-9 < kappa < 1e9:
            return math.inf, torch.zeros_like(point)
        value, gradient = self.likelihood.value_and_gradient(light.fine, light.background, kappa)
        by_grain = self.grains(gradient.fine) + kappa * self.penalty
        pulled = kappa * float((self.penalty * grains).sum())
        parts = [by_grain.flatten(), self.basis.adjoint(gradient.background).flatten()]
        if self.fano_factor is None:
            parts.append(point.new_tensor([kappa * gradient.fano_factor + pulled]))
        return value + pulled, torch.cat(parts)

    def _of_roots(self, roots: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The same of the square roots of grains and knots, and log kappa."""
        value, gradient = self.value_and_gradient(self._squared(roots))
        slope = 2.0 * roots
        if self.fano_factor is None:
            slope[-1] = 1.0
        return value, slope * gradient

    def _squared(self, roots: torch.Tensor) -> torch.Tensor:
        point = roots**2
        if self.fano_factor is None:
            point[-1] = roots[-1]
        return point

    def _light(self, point: torch.Tensor) -> Light:
        grains, knots, kappa = self._split(point)
        return Light(self.grains(grains), self.basis.image(knots), kappa)

    def _information(self, light: Light) -> torch.Tensor:
        """(ny, nx) Fisher information of one frame on each grain alone: the curvatures span many powers of ten.

        Without this in the metric three times as many steps are needed; renewed on the way it did no better.
        """
        return self.grains(self.likelihood.information(light.fine, light.background, light.fano_factor))

    def _split(self, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        shape = self.likelihood.patches.grid.shape
        n, k = math.prod(shape), math.prod(self.basis.shape)
        kappa = math.exp(min(float(point[n + k]), 50.0)) if self.fano_factor is None else self.fano_factor
        return point[:n].reshape(shape), point[n : n + k].reshape(self.basis.shape), kappa

    def _knots(self, background: torch.Tensor) -> torch.Tensor:
        rows, columns = self.basis.factors
        knots: torch.Tensor = torch.linalg.pinv(rows) @ background @ torch.linalg.pinv(columns).T
        return knots.clamp_min(0.01 * float(background.mean()))


def coarse_light(likelihood: CompositeLikelihood, mean: torch.Tensor, fano_factor: float | None) -> Light:
    """A blurred first image: even light and kappa from the moments, then multiplicative steps.

    Args:
        likelihood: of the frames.
        mean: (Y, X) mean frame, photoelectrons.
        fano_factor: kappa where it is known.
    """
    patches = likelihood.patches
    dark = float(mean.flatten().quantile(DARK_QUANTILE).clamp_min(0.01 * mean.mean().abs()))
    background = torch.full_like(mean, dark)
    light = max(float(mean.mean()) - dark, 0.05 * dark, 1e-9)
    fine = mean.new_full(patches.grid.shape, light / patches.grid.factor**2)
    kappa = likelihood.moments_fano_factor(fine, background) if fano_factor is None else fano_factor
    for _ in range(COARSE_STEPS):
        before = likelihood.value(fine, background, kappa)
        stepped = likelihood.multiplicative_step(fine, background, kappa)
        if likelihood.value(stepped, background, kappa) > before:
            stepped = likelihood.multiplicative_step(fine, background, kappa, careful=True)
        fine = stepped
        if fano_factor is None:
            kappa = likelihood.moments_fano_factor(fine, background)
    return Light(fine, background, kappa)


def refitted(likelihood: CompositeLikelihood, light: Light) -> Light:
    """The same light with the likeliest kappa: the penalty that made the light sparse has pulled on kappa, too."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_kappa: likelihood.value(light.fine, light.background, math.exp(log_kappa)),
        bounds=[math.log(light.fano_factor) + side * math.log(FARTHEST) for side in (-1, 1)],
        method="bounded",
        options={"xatol": 1e-3},
    )
    return replace(light, fano_factor=math.exp(float(found.x)))
