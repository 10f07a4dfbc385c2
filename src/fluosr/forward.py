"""The forward model: emitters, optics and camera composed. Everything that knows the physics imports this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.camera import Camera
from fluosr.emitters import Emitters, SteadyEmitters
from fluosr.optics.operators import ImagingOperator


def sample_photons(expected: torch.Tensor, camera: Camera, generator: torch.Generator) -> torch.Tensor:
    """Frames of model (4) in photoelectrons, (...), for expected photoelectrons (...): Poisson count and read noise.

    :meth:`Camera.expose` on the device of ``expected``, and before gain and offset.
    """
    frames = torch.poisson(expected.clamp_min(0.0), generator=generator)
    if camera.read_noise_e:
        noise = camera.maps.read_noise_e
        read = camera.read_noise_e if noise is None else torch.as_tensor(noise).to(frames)
        frames += read * torch.randn(expected.shape, generator=generator, device=expected.device)
    return frames


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """y = alpha Poisson(A e(x) + b) + noise, e the emitters' fluctuation (paper, models 3 and 4).

    Args:
        operator: A = U H; its grid says where x lives (extended fine grid).
        camera: gain, offset, read noise.
        emitters: how x fluctuates; steady for model (4).
    """

    operator: ImagingOperator
    camera: Camera
    emitters: Emitters = SteadyEmitters()

    def mean(self, fine: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        """phi(x, b) = A x + b, (K, Y, X) photoelectrons (paper, eq. 2).

        Args:
            fine: (ny, nx) photons per fine pixel and frame, on the extended grid.
            background: (Y, X) photons per camera pixel and frame.
        """
        return self.operator.forward(fine) + background

    def variance(self, mean: torch.Tensor) -> torch.Tensor:
        """Variance of one frame under model (4), electrons squared: phi + read_noise^2; same shape as ``mean``."""
        return self.camera.noise_variance(mean)

    def covariance_product(
        self, fine: torch.Tensor, background: torch.Tensor, vector: torch.Tensor, *, lag: int = 0
    ) -> torch.Tensor:
        """Cov(y_t, y_{t+k}) v in electrons squared, without the matrix:

            Cov = A diag(kappa_k x) A^T  (+ diag(A x + b) + read_noise^2 I at lag k = 0)

        with kappa_k the emitters' covariance factor: shot and read noise are new in every frame and pixel. Of emitters
        that bleach by themselves kappa_k is that of the first frame, and x its emission.

        Args:
            fine: (ny, nx) mean emission; background: (Y, X); vector: (1, Y, X), for one drift group.
            lag: k >= 0, frames.

        Returns:
            (1, Y, X).
        """
        factor = self.emitters.covariance_factor(lag)
        shared = self.operator.forward(factor * fine * self.operator.adjoint(vector))
        return shared + self.variance(self.mean(fine, background)) * vector if lag == 0 else shared

    def frames(
        self,
        fine: torch.Tensor,
        background: torch.Tensor,
        *,
        groups: np.ndarray,
        brightness: np.ndarray,
        generator: np.random.Generator,
    ) -> Iterator[np.ndarray]:
        """One simulated frame after the other, (Y, X) float32 ADU.

        Args:
            fine: (ny, nx) mean emission before bleaching, photons per fine pixel and frame.
            background: (Y, X) photons per camera pixel and frame; bleaches with the emitters.
            groups: (T,) drift group of each frame.
            brightness: (T,) relative brightness of each frame (bleaching that the emitters do not do by themselves).
            generator: source of randomness.
        """
        levels = brightness * self.emitters.levels(len(brightness))
        still = self.operator.forward(fine) if isinstance(self.emitters, SteadyEmitters) else None
        flat = background.cpu().numpy()
        drawn = iter(()) if still is not None else self.emitters.frames(fine.cpu().numpy(), brightness, generator)
        for group, level in zip(groups, levels, strict=True):
            if still is not None:
                light = still[group].cpu().numpy() * level
            else:
                emission = torch.as_tensor(next(drawn)).to(self.operator.device, self.operator.dtype)
                light = self.operator.forward_one(emission, int(group)).cpu().numpy()
            yield self.camera.expose(np.clip(light + flat * level, 0.0, None), generator)
