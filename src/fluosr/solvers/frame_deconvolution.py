"""Richardson-Lucy of many frames at once on their own grid: a few iterations each, light from beyond the field allowed.

    x <- x H^T(d / H x) / H^T 1

starting from the frame itself, its border pixels continued outwards. H is the convolution with the PSF, cut to the
field; x lives on the field and a margin of the kernel's radius, so that on a torus of that size nothing wraps into it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

LEAST_SEEN = 1e-4  # of a source's light: what the field sees less of fades away
LEAST = 1e-12  # of the brightest value: under it there is nothing to divide by


class FrameDeconvolution:
    """Deconvolves frames of one shape with one kernel.

    Args:
        field_shape: (Y, X) of the frames.
        kernel: (2r+1, 2r+1), not negative; made to sum to one.
        iterations: of every frame.
        device: where to compute; in single precision.
    """

    def __init__(
        self, field_shape: tuple[int, int], kernel: np.ndarray, iterations: int, device: torch.device | str = "cpu"
    ) -> None:
        self._margin, self._iterations, self._device = kernel.shape[0] // 2, iterations, device
        height, width = field_shape
        self._shape = (height + 2 * self._margin, width + 2 * self._margin)
        self._field = (
            slice(self._margin, self._margin + height),
            slice(self._margin, self._margin + width),
        )
        origin = np.zeros(self._shape)
        axes = [np.arange(-self._margin, self._margin + 1) % n for n in self._shape]
        np.add.at(origin, np.ix_(*axes), kernel / kernel.sum())
        self._transfer = torch.as_tensor(np.fft.rfft2(origin)).to(device, torch.complex64)
        self._seen = self._pull_back(torch.ones((1, *field_shape), device=device)).clamp_min(LEAST_SEEN)

    def apply(self, frames: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
        """(k, Y, X) not negative -> (k, Y, X) float32, deconvolved, in the same unit.

        Args:
            frames: what to deconvolve.
            check: called before every iteration; what it raises ends the work.
        """
        shown = torch.as_tensor(np.ascontiguousarray(frames, np.float32)).to(self._device)
        m = self._margin
        image = torch.nn.functional.pad(shown[:, None], (m, m, m, m), mode="replicate")[:, 0]
        least = LEAST * max(float(shown.max()), LEAST)
        for _ in range(self._iterations):
            check()
            blurred = torch.fft.irfft2(torch.fft.rfft2(image) * self._transfer, s=self._shape)
            ratio = shown / blurred[:, self._field[0], self._field[1]].clamp_min(least)
            # The transform's rounding must not make light negative.
            image = image * (self._pull_back(ratio) / self._seen).clamp_min(0.0)
        return image[:, self._field[0], self._field[1]].cpu().numpy()

    def _pull_back(self, ratio: torch.Tensor) -> torch.Tensor:
        """H^T: (k, Y, X) -> the field with its margin."""
        spread = ratio.new_zeros((len(ratio), *self._shape))
        spread[:, self._field[0], self._field[1]] = ratio
        return torch.fft.irfft2(torch.fft.rfft2(spread) * self._transfer.conj(), s=self._shape)
