"""Frames that remember: molecules that shine in one frame shine in the next, and T frames are worth fewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.corrections.lag_curve import curve

LONGEST = 1000  # frames, that are looked back


@dataclass(frozen=True)
class Memory:
    """How like each other the emission of frames k apart is: rho_k, rho_0 = 1.

    Attributes:
        of_mean: 2 sum_k rho_k, k from 1: what memory adds to the variance of a mean of emissions, over what it is
            without memory.
        of_covariance: 2 sum_k rho_k^2: the same for the variance of their covariance.
    """

    of_mean: float = 0.0
    of_covariance: float = 0.0

    @classmethod
    def of(cls, frames: float | None) -> Memory:
        """Of molecules that forget their state after so many frames; None for frames without memory."""
        if frames is None or not frames > 0:
            return cls()
        rho = curve(1.0 / min(frames, LONGEST), LONGEST)
        later = rho[1:] / rho[0]
        return cls(2.0 * float(later.sum()), 2.0 * float(np.square(later).sum()))
