"""One step of the algorithm but its products, compiled: all that is done to each fine pixel alone, in one pass."""

from __future__ import annotations

import numpy as np

from fluosr.solvers.compiled import compiled


@compiled(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def step(
    newer: np.ndarray,
    extrapolated: np.ndarray,
    slope: np.ndarray,
    penalty: np.float32,
    length: np.float32,
    width: np.float32,
    inertia: np.float32,
) -> None:
    """x <- P_eps(z - alpha (slope + lambda)), then z <- x + beta (x - x before), in place.

    P_eps is :func:`fluosr.methods.unfolded.smoothing.smoothed_projection`. What is not a number stays none.

    Args:
        newer: (n,) float32, x.
        extrapolated: (n,) float32, z.
        slope: (n,) float32, gradient of the data term at z.
        penalty, length, width, inertia: lambda, alpha, eps and the next step's beta.
    """
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    inverse = one / width
    for i in range(newer.size):
        u = extrapolated[i] - length * (slope[i] + penalty)
        above = zero if u < zero else u
        t = above * inverse
        t = one if t > one else t
        projected = above * t * (two - t)
        extrapolated[i] = projected + inertia * (projected - newer[i])
        newer[i] = projected
