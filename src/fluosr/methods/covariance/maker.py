"""From frames to the light that explains their mean and their covariance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from fluosr.methods.base import Run
from fluosr.methods.covariance.fit import COARSE_STEPS, Fit, Light, coarse_light, refitted
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.parameters import CovarianceParameters
from fluosr.methods.covariance.patches import Patches
from fluosr.methods.covariance.realised import realised_emission
from fluosr.methods.covariance.regularisation import ASKED, SPARSITIES, TRIAL_ITERATIONS, choose, penalty
from fluosr.methods.image_maker import IMAGE, ImageMaker
from fluosr.optics.background import KNOTS_PER_FWHM, BackgroundBasis
from fluosr.optics.kronecker import KroneckerSum, imaging_pairs, transposed
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.optics.sampling import Grid, margin_for
from fluosr.solvers.quasi_newton import QuasiNewtonState

if TYPE_CHECKING:
    from fluosr.corrections.movie import CorrectedMovie

LONGEST_RUN = 50  # consecutive frames dealt to one part of the movie: blinking molecules have memory
BAD_PIXEL_NOISE = 1e4  # of the largest variance: a bad pixel says nothing
LEAST_FLOOR = 0.01  # of the mean light: else a pixel that is never lit is worth the more, the darker it is made
LOOK = 25  # iterations between two looks at whether the fit stands still
KEEP = 5  # iterations between two safe points
COVARIANCE_MISFIT = 3.0  # times the noise, from which on the reader is told
EVALUATIONS_PER_ITERATION = 1.3  # shortened steps, and the metric's renewal
CHOICE = " sparsity"  # what its stage is called after


class CovarianceMaker(ImageMaker):
    """Gathers mean and covariance, patch by patch, and fits x, b and kappa to both.

    Args:
        movie: corrected frames.
        factor: L.
        parameters: the method's.
        device: where to compute.
        memory_frames: after which molecules have forgotten whether they were on; None where none is seen.
    """

    def __init__(
        self,
        movie: CorrectedMovie,
        factor: int,
        parameters: CovarianceParameters,
        device: str,
        memory_frames: float | None = None,
    ) -> None:
        super().__init__()
        acquisition = movie.acquisition
        psf, pixel_nm = acquisition.psf, acquisition.pixel_size_nm
        # An emitter further out than three sigma of a Gaussian is not placed by what little of it the field sees.
        reach_nm = min(psf.reach_nm, 3.0 / FWHM_PER_SIGMA * psf.fwhm_nm)
        self.movie, self.parameters, self.device = movie, parameters, device
        self.grid = Grid(acquisition.field_shape, factor, margin_for(reach_nm, pixel_nm))
        self._grain_fwhm = parameters.grain_nm * factor / pixel_nm
        self.patches = Patches(self.grid, psf, pixel_nm, device)
        pairs = imaging_pairs(self.grid, psf, pixel_nm)
        self._forward = KroneckerSum(pairs, device=device)
        self._adjoint = KroneckerSum(transposed(pairs), device=device)
        run_length = max(1, min(LONGEST_RUN, movie.n_frames // 10))
        self.moments = PatchMoments(self.patches, movie.statistics.mean, run_length)
        self._memory = Memory.of(memory_frames, movie.members)
        dealt = np.arange(movie.n_frames) // run_length % 2 == 0
        self._trial_memory = Memory.of(memory_frames, movie.members[dealt])
        self._sum = np.zeros(acquisition.field_shape)
        self._black = movie.statistics.black_frames()  # no emitter made these
        self._latest: tuple[Fit, str, Run] | None = None
        if movie.shifts.any():
            self.warnings.append(
                "Frames were shifted: neighbouring pixels then share some of their shot noise, which this method takes "
                "for fluctuation."
            )

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        lit = frames[~self._black[numbers]]
        self.moments.add(lit)
        self._sum += lit.sum(0, dtype=np.float64)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return self.moments.state() | {"sum": self._sum}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self.moments.restore({key: value for key, value in state.items() if key != "sum"})
        self._sum = state["sum"].copy()

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) mean emission, photons per fine pixel and frame."""
        sparsity = self._sparsity(run, stage)
        likelihood = CompositeLikelihood(self.patches, self.moments.moments(), self.noise(), self._memory)
        fano = self._scaled_fano(likelihood.noise)
        start = coarse_light(likelihood, self.mean(), fano)
        fit = Fit(
            likelihood,
            self.basis(),
            grain_fwhm=self._grain_fwhm,
            penalty=penalty(likelihood, start, sparsity),
            fano_reference=start.fano_factor,
            fano_factor=fano,
        )
        stage += " fit"
        self._latest = (fit, stage, run)
        state = self._minimised(fit, start, run, stage)
        light = fit.light(state)
        if self.parameters.fano is None:
            light = refitted(likelihood, light)
        self._explain(likelihood, light, state)
        return self._shown(light)

    def image_so_far(self) -> np.ndarray | None:
        """The last iterate; None before there was any."""
        if self._latest is None:
            return None
        fit, stage, run = self._latest
        kept = run.recall(stage)
        if kept is None:
            return None
        return self._shown(fit.light(QuasiNewtonState.from_tensors(kept, self.device)))

    def solving_seconds(self) -> float:
        """See :class:`ImageMaker`: one patch's share of one evaluation is timed."""
        part = self.patches.block([0])
        moments = PatchMoments(part, np.ones(part.grid.field_shape), 1)
        moments.add(np.ones((2, *part.grid.field_shape), np.float32))
        floor = torch.ones(part.grid.field_shape, dtype=torch.float64, device=self.device)
        likelihood = CompositeLikelihood(part, moments.moments(), Noise(1.0, floor))
        light = torch.ones(part.grid.shape, dtype=torch.float64, device=self.device)
        likelihood.value_and_gradient(light, floor, 1.0)
        started = time.perf_counter()
        likelihood.value_and_gradient(light, floor, 1.0)
        each = (time.perf_counter() - started) * EVALUATIONS_PER_ITERATION
        trials = len(SPARSITIES) * TRIAL_ITERATIONS * min(ASKED, len(self.patches))
        chosen = trials if self.parameters.sparsity is None else 0
        return each * (len(self.patches) * (self.parameters.iterations + COARSE_STEPS) + chosen)

    def _sparsity(self, run: Run, stage: str) -> float:
        """The given one, or the one that held-out frames speak for; the halves take the whole movie's."""
        if self.parameters.sparsity is not None:
            return self.parameters.sparsity
        kept = run.recall(IMAGE + CHOICE) or run.recall(stage + CHOICE)
        if kept is None:
            words = "choosing the sparsity" if stage == IMAGE else f"choosing the sparsity of {stage}"

            def told(done: int, total: int) -> None:
                run.progress(words, done, total)
                run.check()

            chosen, worse = choose(
                self.patches,
                self.moments,
                self.noise(),
                self.mean(),
                memory=self._trial_memory,
                grain_fwhm=self._grain_fwhm,
                fano_factor=self._scaled_fano(self.noise()),
                spacing=self._spacing,
                advance=told,
            )
            kept = {"numbers": torch.tensor([chosen, *worse], dtype=torch.float64)}
            run.keep(stage + CHOICE, kept)
        sparsity, *worse = kept["numbers"].tolist()
        self.chosen["sparsity"] = sparsity
        self.choices["sparsity"] = {
            "value": sparsity,
            "why": "the strongest that foretells held-out frames as well as the best, to one s.e.",
            "x": list(SPARSITIES[: len(worse)]),
            "y": worse,
            "x_label": "sparsity / noise of the gradient",
            "y_label": "held-out minus log-likelihood above the best, nats",
        }
        return sparsity

    def _minimised(self, fit: Fit, start: Light, run: Run, stage: str) -> QuasiNewtonState:
        kept = run.recall(stage)
        state = fit.start(start) if kept is None else QuasiNewtonState.from_tensors(kept, self.device)
        values = [] if kept is None else kept["values"].tolist()
        half = 0.5 * fit.likelihood.count
        enough = self.parameters.tolerance * len(self.patches)
        while state.iteration < self.parameters.iterations and not state.finished:
            fit.advance(state)
            values.append(half * state.value)
            run.progress(stage, state.iteration, self.parameters.iterations)
            if state.iteration % KEEP == 0:
                run.keep(stage, state.tensors() | {"values": torch.tensor(values, dtype=torch.float64)})
            if len(values) > LOOK and len(values) % LOOK == 0 and values[-1 - LOOK] - values[-1] < enough:
                break
        run.progress(stage, self.parameters.iterations, self.parameters.iterations)
        self.history["minus log-likelihood of mean and covariance, nats"] = values
        return state

    def _explain(self, likelihood: CompositeLikelihood, light: Light, state: QuasiNewtonState) -> None:
        """What the reader should know of the fit."""
        given = self.parameters
        fano = given.fano or light.fano_factor / likelihood.noise.slope
        self.chosen["fano"] = fano
        if given.fano is None:
            self.choices["fano"] = {"value": fano, "why": "the likeliest for the image"}
        if state.iteration >= given.iterations:
            self.warnings.append(
                f"The fit had not come to rest after {given.iterations} iterations: more may separate more."
            )
        elif state.iteration == 0:
            self.warnings.append("The fit took no step: the image is the coarse one that it was to begin with.")
        misfit = likelihood.covariance_misfit(light.fine, light.background, light.fano_factor)
        self.choices["covariance_misfit"] = {
            "value": misfit,
            "why": "rms residual of the covariance over that of as many Gaussian frames with the same memory; rare, "
            "bright bursts raise it",
        }
        if misfit > COVARIANCE_MISFIT:
            self.warnings.append(
                f"The covariance of the frames is fitted no better than {misfit:.1f} times its noise: something else "
                "than independent emitters fluctuates (moving cells, a lamp, focus), or the PSF is another one."
            )

    def _shown(self, light: Light) -> np.ndarray:
        """(L Y, L X); sets what goes with it."""
        emission = realised_emission(light, self.mean(), self.noise(), self._forward, self._adjoint, self._memory)
        self.background = light.background.cpu().numpy().astype(float)
        self.expected = (self._forward(emission) + light.background).cpu().numpy().astype(float)
        image: np.ndarray = self.grid.crop(emission).cpu().numpy().astype(np.float32)
        self.maps["expected_emission_photons"] = self.grid.crop(light.fine).cpu().numpy().astype(np.float32)
        return image

    def mean(self) -> torch.Tensor:
        """(Y, X) mean of the frames so far, photoelectrons."""
        return torch.as_tensor(self._sum / max(1, self.moments.count), device=self.device)

    def _scaled_fano(self, noise: Noise) -> float | None:
        """The given kappa as scaled frames show it: s emission of light x / s varies by s^2 kappa x / s."""
        return None if self.parameters.fano is None else self.parameters.fano * noise.slope

    @property
    def _spacing(self) -> float:
        return self.movie.fwhm_px / KNOTS_PER_FWHM

    def basis(self) -> BackgroundBasis:
        """The background's splines."""
        return BackgroundBasis(self.grid.field_shape, self._spacing, dtype=torch.float64, device=self.device)

    def noise(self) -> Noise:
        """Of a corrected frame's pixels."""
        dark = self.movie.noise_variance(np.zeros(self.grid.field_shape))
        slope = float((self.movie.noise_variance(np.ones(self.grid.field_shape)) - dark).mean())
        used, statistics = self.movie.used, self.movie.statistics
        bad = BAD_PIXEL_NOISE * max(float(statistics.variance[used].max()), 1e-6)
        least = LEAST_FLOOR * max(float(statistics.mean[used].mean()), 1e-6)
        floor = np.where(used, np.maximum(dark, least), bad)
        return Noise(slope, torch.as_tensor(floor, dtype=torch.float64, device=self.device), self.movie.unevenness)
