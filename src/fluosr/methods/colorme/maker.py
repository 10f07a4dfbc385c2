"""COL0RME from its two steps: the support from the covariance, the intensity on it from the mean frame."""

from __future__ import annotations

import math

import numpy as np
import torch

from fluosr.methods.base import Run
from fluosr.methods.colorme.intensity import FIRST_SMOOTHNESS, Discrepancy, IntensityProblem, fit_intensity
from fluosr.methods.colorme.parameters import ColormeParameters
from fluosr.methods.second_order.maker import SecondOrderMaker
from fluosr.methods.second_order.problem import SecondOrderProblem
from fluosr.solvers.fista import Fista, FistaState

RADII_PER_FWHM = 6.0  # a support of single pixels along a line leaves gaps that no light can fill
SHORT_FIT = 200  # iterations, for the image of a run that was stopped


class ColormeMaker(SecondOrderMaker):
    """Sets ``background`` and ``expected``: the image is in photons."""

    parameters: ColormeParameters

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame."""
        problem, state, support = self.find_variances(run, stage)
        fit = self._fit(support)
        noise = self._noise_variance(problem, state.point)
        blocks, search = fit_intensity(fit, self._target(noise), run, stage + " intensity")
        self._record(noise, search)
        return self._shown(fit, blocks)

    def image_so_far(self) -> np.ndarray | None:
        """The last variances' support, and a short fit on it."""
        found = self.variances_so_far()
        if found is None:
            return None
        fit = self._fit(found[1])
        fit.smooth(FIRST_SMOOTHNESS)
        state, fista = FistaState.start(fit.start()), Fista(fit)
        for _ in range(SHORT_FIT):
            fista.advance(state)
        return self._shown(fit, state.point)

    def _fit(self, support: torch.Tensor) -> IntensityProblem:
        widened = torch.as_tensor(self._widened(support.cpu().numpy()), device=support.device)
        return IntensityProblem(self.pairs, widened, torch.as_tensor(self.frames.mean, device=support.device))

    def _widened(self, support: np.ndarray) -> np.ndarray:
        """The support with all fine pixels that are no further from it than emitters are misplaced."""
        from scipy.ndimage import binary_dilation

        radius_nm = self.parameters.support_radius_nm
        if radius_nm is None:
            radius_nm = self.fwhm_nm / RADII_PER_FWHM
        radius = radius_nm / self.pixel_size_nm * self.grid.factor
        self.chosen["support_radius_nm"] = radius_nm
        reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
        if len(reach) == 1:
            return support
        disk = reach[:, None] ** 2 + reach**2 <= radius**2
        return np.asarray(binary_dilation(support, disk))

    def _noise_variance(self, problem: SecondOrderProblem, variances: torch.Tensor) -> float:
        """A frame's own noise, mean over the pixels, photons squared.

        Counting photons and reading them out. The published value is s, what the variances found leave of the frames':
        too much where the penalty holds the variances down, and too little where they took the photons' noise for
        structure.
        """
        if self.parameters.noise_target == "frame":
            return problem.noise_variance(variances)
        return float(self._movie.noise_variance(self.frames.mean).mean())

    def _target(self, noise: float) -> float:
        """|residual|^2 that noise explains, photons squared.

        What the emitters do is in x, which is their mean over these very frames; what is left is noise, and in the mean
        of K frames its variance is a K-th. The published target is that of a single frame: the fit smooths too much.
        """
        frames = 1 if self.parameters.noise_target == "frame" else self.frames.count
        return math.prod(self.grid.field_shape) * noise / frames

    def _record(self, noise: float, search: Discrepancy) -> None:
        why = "the fit misses the mean frame by as much as its noise does"
        if not search.reached and math.isnan(search.low[0]):
            why = "with less the fit hardly comes nearer to the mean frame, which its support cannot quite explain"
        elif not search.reached:
            why = "with more the fit hardly goes further from the mean frame: even a smooth image explains it"
        self.choices["smoothness of the image (mu)"] = {"value": math.exp(search.place), "why": why}
        self.choices["noise variance, photons^2"] = {
            "value": noise,
            "why": "of a frame, mean over the pixels",
        }

    def _shown(self, fit: IntensityProblem, blocks: list[torch.Tensor]) -> np.ndarray:
        self.background = blocks[1].cpu().numpy().astype(np.float32)
        self.expected = fit.expected(blocks).cpu().numpy().astype(np.float32)
        return self.cropped(blocks[0])
