"""Frames that remember: molecules that shine in one frame shine in the next, and T frames are worth fewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.corrections.lag_curve import curve


@dataclass(frozen=True)
class Memory:
    """How like each other the emission of frames k apart is: rho_k, rho_0 = 1; n_k of T frames lie k apart.

    Attributes:
        of_mean: (2 / T) sum_k n_k rho_k, k from 1: what memory adds to the variance of a mean of emissions, over what
            it is without memory.
        of_covariance: (2 / T) sum_k n_k rho_k^2: the same for the variance of their covariance.
    """

    of_mean: float = 0.0
    of_covariance: float = 0.0

    @classmethod
    def of(cls, memory_frames: float | None, numbers: np.ndarray) -> Memory:
        """Of molecules that forget their state after so many frames; None for frames without memory.

        Args:
            memory_frames: 1 / r.
            numbers: (T,) of the frames that are used, ascending: of a half of the movie every second run.
        """
        if memory_frames is None or not memory_frames > 0 or len(numbers) < 2:
            return cls()
        length = int(numbers[-1] - numbers[0]) + 1
        used = np.zeros(2 * length)
        used[numbers - numbers[0]] = 1.0
        apart = np.rint(np.fft.irfft(np.abs(np.fft.rfft(used)) ** 2, 2 * length)[1:length])
        rho = curve(1.0 / memory_frames, length)
        later = rho[1:] / rho[0]
        count = len(numbers)
        return cls(2.0 * float(apart @ later) / count, 2.0 * float(apart @ np.square(later)) / count)
