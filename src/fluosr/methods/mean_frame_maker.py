"""What methods that fit light through the PSF to the mean frame share: the means, the operator, the background."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fluosr.methods.base import Run
from fluosr.methods.held_out import HELD_OUT
from fluosr.methods.image_maker import ImageMaker

if TYPE_CHECKING:
    import torch

    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.optics.background import BackgroundBasis
    from fluosr.optics.operators import ImagingOperator

LEAST_FWHM_PX = 2.0  # under which light changes from pixel to pixel, and no pixel can be told from its neighbours
LEAST_SEEN = 1e-3  # of the best seen source's light
LEAST_START = 1e-3  # of the mean light: multiplicative steps never leave zero
DARK_QUANTILE = 0.1  # of the mean frame around a knot: where the background begins


class MeanFrameMaker(ImageMaker):
    """Keeps the means of the frames' two interleaved halves; fits mean frame = A x + B beta, x and beta >= 0.

    Args:
        movie: corrected frames.
        factor: L.
        device: where to compute.
    """

    def __init__(self, movie: CorrectedMovie, factor: int, device: str = "cpu") -> None:
        super().__init__()
        self.movie, self.factor, self.device = movie, factor, device
        self._sums = np.zeros((2, *movie.field_shape))
        self._counts = np.zeros(2, int)
        self._latest: np.ndarray | None = None

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        first = int(self._counts.sum()) % 2
        for offset in (0, 1):
            dealt = frames[offset::2]
            self._sums[(first + offset) % 2] += dealt.sum(0, dtype=np.float64)
            self._counts[(first + offset) % 2] += len(dealt)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return {"sums": self._sums, "counts": self._counts}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._sums, self._counts = state["sums"].copy(), state["counts"].copy()

    def image_so_far(self) -> np.ndarray | None:
        """The last iterate, or None before the first."""
        return self._latest

    def count(self, half: int | None = None) -> int:
        """Frames in one of the two interleaved halves, or in both."""
        return int(self._counts.sum() if half is None else self._counts[half])

    def mean(self, half: int | None = None) -> np.ndarray:
        """(Y, X) float64, mean frame of one of the two interleaved halves, or of both, photoelectrons."""
        total = self._sums.sum(0) if half is None else self._sums[half]
        return total / max(1, self.count(half))

    @property
    def read_variance(self) -> float:
        """Read noise as so many photons more: noise variance is in proportion to light plus this; of a map the mean."""
        dark = self.movie.noise_variance(np.zeros((1, 1))).mean()
        return float(dark / (self.movie.noise_variance(np.ones((1, 1))).mean() - dark))

    @cached_property
    def operator(self) -> ImagingOperator:
        """A, with light from beyond the field."""
        from fluosr.optics.operators import imaging_operator

        acquisition = self.movie.acquisition
        return imaging_operator(
            acquisition.field_shape, self.factor, acquisition.psf, acquisition.pixel_size_nm, device=self.device
        )

    @cached_property
    def basis(self) -> BackgroundBasis:
        """B."""
        from fluosr.optics.background import KNOTS_PER_FWHM, BackgroundBasis

        spacing = self.movie.fwhm_px / KNOTS_PER_FWHM
        return BackgroundBasis(self.movie.field_shape, spacing, dtype=self.operator.dtype, device=self.operator.device)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """An array in the operator's precision and place."""
        import torch

        return torch.as_tensor(np.asarray(array)).to(self.operator.device, self.operator.dtype)

    def kept_pixels(self, run: Run, half: int) -> np.ndarray:
        """(Y, X) bool: pixels to fit to where a choice is made; the others are asked how well they were foretold.

        What is common to all frames of a pixel (the camera's fixed pattern) is foretold by the other half of the
        frames, and must not be rewarded: the pixels asked are not those that were fitted. Where the PSF is narrower
        than two pixels nothing but a pixel itself can tell its light, and all are kept.
        """
        if self.movie.fwhm_px < LEAST_FWHM_PX:
            return np.ones(self.movie.field_shape, bool)
        generator = np.random.default_rng(run.stream_seed(f"held-out pixels {half}"))
        return generator.random(self.movie.field_shape) >= HELD_OUT

    def start(self, mean: np.ndarray) -> list[torch.Tensor]:
        """[x, beta]: the background where the mean frame is dark around, the rest, smoothed, as the image.

        An even image would do for the likelihood, but where sample and background are alike it and the background would
        share the light for ever: what is as even as a background had better begin as one.
        """
        import torch
        from scipy.ndimage import gaussian_filter

        from fluosr.optics.psf import FWHM_PER_SIGMA

        used, width = self.movie.used, self.movie.fwhm_px / FWHM_PER_SIGMA
        seen = np.maximum(gaussian_filter(used.astype(float), width, mode="nearest"), 1e-12)
        smooth = np.maximum(gaussian_filter(np.where(used, mean, 0.0), width, mode="nearest") / seen, 0.0)
        whole = float(smooth[used].mean())
        rows, columns = (factor.cpu().numpy() > 0 for factor in self.basis.factors)
        beta = np.empty(self.basis.shape)
        for k in range(beta.shape[0]):
            for m in range(beta.shape[1]):
                near = smooth[np.ix_(rows[:, k], columns[:, m])][used[np.ix_(rows[:, k], columns[:, m])]]
                beta[k, m] = np.quantile(near, DARK_QUANTILE) if near.size else whole
        beta = np.maximum(beta, LEAST_START * whole)
        background = self.tensor(beta)
        excess = np.where(used, np.maximum(smooth - self.basis.image(background).cpu().numpy(), 0.0), 0.0)
        taking_part = self.operator.adjoint(self.tensor(used.astype(float))[None])
        taking_part.clamp_min_(LEAST_SEEN * float(taking_part.max()))
        image = self.operator.adjoint(self.tensor(excess)[None]) / taking_part
        ones = torch.ones(self.operator.shape, dtype=self.operator.dtype, device=self.operator.device)
        per_source = 1.0 / float(self.operator.forward(ones).mean())
        return [(image + LEAST_START * whole) * per_source, background]

    def show(self, blocks: list[torch.Tensor]) -> np.ndarray:
        """Take [x, beta] for the result so far: (L Y, L X) photons per fine pixel and frame.

        Sets :attr:`background` and :attr:`expected`.
        """
        background = self.basis.image(blocks[1])
        self.background = background.cpu().numpy().astype(float)
        self.expected = (self.operator.forward(blocks[0])[0] + background).cpu().numpy().astype(float)
        self._latest = self.operator.grid.crop(blocks[0]).cpu().numpy().astype(np.float32)
        return self._latest
