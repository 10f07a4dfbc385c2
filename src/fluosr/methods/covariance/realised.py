"""The light that was there: what the emitters sent during this movie, not what they would send on average.

Emission fluctuates, and the mean of T frames of it still does: with bursts of kappa photons the frames' mean emission
differs from its expectation x by sqrt(kappa x / T). The mean frame shows which way:

    m = x + kappa x o A^T Sigma^-1 (ybar - A x - b),    Sigma = kappa A diag(x) A^T + diag(s mu + v),

the best linear estimate given the mean frame. It lies where x lies and explains the mean frame to within shot noise.
Where emitters remember, their mean fluctuates more, and kappa (1 + 2 / T sum_k n_k rho_k) stands in the place of kappa.
"""

from __future__ import annotations

import torch

from fluosr.methods.covariance.fit import Light
from fluosr.methods.covariance.likelihood import Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.solvers.conjugate_gradients import Operator, solve


def realised_emission(
    light: Light, mean: torch.Tensor, noise: Noise, forward: Operator, adjoint: Operator, memory: Memory | None = None
) -> torch.Tensor:
    """(ny, nx) emission averaged over the movie's frames, photons per fine pixel and frame, not negative.

    Args:
        light: x, b and kappa.
        mean: (Y, X) mean frame, photoelectrons.
        noise: of a pixel.
        forward, adjoint: A and A^T.
        memory: of the emitters.
    """
    kappa = light.fano_factor * (1.0 + (memory or Memory()).of_mean)
    expected = forward(light.fine) + light.background
    variance = noise.slope * expected + noise.floor

    def product(v: torch.Tensor) -> torch.Tensor:
        return kappa * forward(light.fine * adjoint(v)) + variance * v

    aimed = solve(product, mean - expected, 1.0 / variance)
    return (light.fine * (1.0 + kappa * adjoint(aimed))).clamp_min(0.0)
