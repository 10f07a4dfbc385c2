"""From frames to variances on the fine grid: what COL0RME and SPARCOM do alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from fluosr.methods.base import Run
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.second_order.frames import BackProjectedFrames
from fluosr.methods.second_order.parameters import SecondOrderParameters
from fluosr.methods.second_order.problem import SecondOrderProblem, automatic_sparsity
from fluosr.methods.second_order.support import SupportSearch, SupportState, thresholds
from fluosr.optics.kronecker import imaging_pairs
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.optics.sampling import Grid, margin_for

if TYPE_CHECKING:
    from fluosr.corrections.movie import CorrectedMovie

TYPICAL_ITERATIONS = {"l1": 2000, "cel0": 12_000, "reweighted": 6000, "tv": 4000}
WHY_SPARSITY = "what the data term's noise passes in one of 20 movies without emitters that fluctuate"


class SecondOrderMaker(ImageMaker):
    """Gathers the variances and finds where emitters fluctuate.

    Args:
        movie: corrected frames.
        factor: L.
        parameters: the method's.
        baseline: what is taken off the frames: their "mean" or "median".
        restarts: of CEL0.
    """

    def __init__(
        self,
        movie: CorrectedMovie,
        factor: int,
        parameters: SecondOrderParameters,
        *,
        baseline: str = "mean",
        restarts: int = 0,
    ) -> None:
        super().__init__()
        acquisition = movie.acquisition
        psf, pixel_nm = acquisition.psf, acquisition.pixel_size_nm
        # An emitter further out than three sigma of a Gaussian is not placed by what little of it the field sees.
        reach_nm = min(psf.reach_nm, 3.0 / FWHM_PER_SIGMA * psf.fwhm_nm)
        self.grid = Grid(acquisition.field_shape, factor, margin_for(reach_nm, pixel_nm))
        self.parameters = parameters
        self.pairs = imaging_pairs(self.grid, psf, pixel_nm)
        self.frames = BackProjectedFrames(self.pairs, movie.statistics.mean, medians=baseline == "median")
        self._baseline, self._restarts = baseline, restarts
        self.fwhm_nm, self.pixel_size_nm = psf.fwhm_nm, pixel_nm
        self._fwhm_px = movie.fwhm_px
        self._movie = movie
        if movie.shifts.any() or not movie.used.all():
            self.warnings.append(
                "Frames were shifted or bad pixels put together from their neighbours: neighbouring pixels then share "
                "some of their shot noise, which this method takes for emitters."
            )
        self._latest: tuple[SupportSearch, str, Run] | None = None

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        self.frames.add(frames)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return self.frames.state()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self.frames.restore(state)

    def find_variances(self, run: Run, stage: str) -> tuple[SecondOrderProblem, SupportState, torch.Tensor]:
        """The fit, its end, and the support, (ny, nx) bool.

        Raises:
            StopRequested: the user asked to stop.
        """
        problem, search = self._search(run.device)
        stage += " support"
        self._latest = (search, stage, run)
        state = search.run(run, stage)
        support = search.support(state)
        self.history["objective of the support"] = search.objective
        if self.parameters.sparsity_of_maximum is None:
            self.chosen["sparsity"] = self._sparsity()
        if self.parameters.sparsity is None and self.parameters.sparsity_of_maximum is None:
            self.choices["sparsity"] = {"value": self._sparsity(), "why": WHY_SPARSITY}
        if not bool(support.any()):
            given = self.parameters.sparsity is not None or self.parameters.sparsity_of_maximum is not None
            self.warnings.append(
                "No emitter passes the threshold that was given: lower it, or leave it out."
                if given
                else "No emitter was seen to fluctuate: pixels do not vary together beyond their noise. This method "
                "needs blinking; for a steady sample take another."
            )
        self.maps["variance_photons2"] = self.cropped(state.point)
        self.maps["support"] = self.cropped(support.to(torch.float32))
        return problem, state, support

    def variances_so_far(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """After a stop: the last r, and its support; None before there was any."""
        if self._latest is None:
            return None
        search, stage, run = self._latest
        kept = run.recall(stage)
        if kept is None:
            return None
        named = {key: value for key, value in kept.items() if key != "objective"}
        state = SupportState.from_tensors(named, torch.device(run.device))
        return state.point, search.support(state)

    def cropped(self, fine: torch.Tensor) -> np.ndarray:
        """(L Y, L X) float32, the field's part of an extended fine image."""
        part: np.ndarray = self.grid.crop(fine).cpu().numpy().astype(np.float32)
        return part

    def solving_seconds(self) -> float:
        """See :class:`ImageMaker`: a few products are timed."""
        size = self.grid.shape
        trial = BackProjectedFrames(self.pairs, np.zeros(self.grid.field_shape))
        trial.add(np.ones((2, *self.grid.field_shape), np.float32))
        problem = SecondOrderProblem(self.pairs, trial, self.parameters.noise_covariance)
        image = torch.ones(size, dtype=torch.float64)
        problem.normal(image)
        started = time.perf_counter()
        for _ in range(3):
            problem.gradient(image, problem.normal(image))
        each = (time.perf_counter() - started) / 3
        most = TYPICAL_ITERATIONS[self.parameters.penalty] * (1 + self._restarts)
        return 1.5 * each * min(most, self.parameters.iterations * (1 + self._restarts))

    def _sparsity(self) -> float:
        if self.parameters.sparsity is not None:
            return self.parameters.sparsity
        return automatic_sparsity(self.grid.field_shape, self._fwhm_px, self.frames.count)

    def _search(self, device: str) -> tuple[SecondOrderProblem, SupportSearch]:
        given = self.parameters
        problem = SecondOrderProblem(
            self.pairs, self.frames, given.noise_covariance, baseline=self._baseline, device=device
        )
        threshold = thresholds(problem, given.penalty, self._sparsity(), given.sparsity_of_maximum)
        width = self._fwhm_px / FWHM_PER_SIGMA * self.grid.factor
        search = SupportSearch(
            problem,
            given.penalty,
            threshold,
            width=width,
            iterations=given.iterations,
            tolerance=given.tolerance,
            restarts=self._restarts,
        )
        return problem, search
