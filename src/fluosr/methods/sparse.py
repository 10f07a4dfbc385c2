"""Sparse deconvolution of the mean frame on plain fine pixels: what non-negativity and an l1 penalty alone bring."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.mean_frame_maker import MeanFrameMaker
from fluosr.methods.movie_parameters import MovieParameters

if TYPE_CHECKING:
    import torch

    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.reconstruction import Reconstruction
    from fluosr.solvers.fista import FistaState
    from fluosr.solvers.mean_frame import GeneratorProblem

Likelihood = Literal["gaussian", "poisson"]

# As FluoGAN's, so that the two are compared at equal terms.
SPARSITIES = (2.8, 1.4, 0.7, 0.5, 0.35)
START_ITERATIONS, TRIAL_ITERATIONS = 400, 200
FIRST_SPARSITY, FIRST_ITERATIONS = 0.35, 150  # of the fit that tells how much noise to expect where
SAFE_POINT = 50  # iterations between two safe points, and between two looks at the noise where that is Poisson's
WHY = "the sparsest image that predicts held-out frames and pixels as well as the best, to one s.e."


class SparseParameters(MovieParameters):
    """Likelihood, penalties and iterations."""

    sparsity: float | None = Field(
        None, ge=0, description="lambda_1 in units of the noise of the data term's gradient (scale-free)"
    )
    smoothness: float = Field(
        0.3,
        ge=0,
        description="smoothing length of the background in camera pixels: lambda_2 = length^2 x median weight",
    )
    likelihood: Likelihood = Field(
        "gaussian", description="of the mean frame: gaussian (weighted least squares) or poisson"
    )
    iterations: int = Field(1000, ge=1, le=10_000_000, description="FISTA iterations of the image")


class SparseMaker(MeanFrameMaker):
    """Minimises -log likelihood(mean frame | phi) + lambda_1 |x|_1 + lambda_2/2 |grad B beta|^2, phi = A x + B beta.

    Gaussian: 1/2 sum_i w_i (phi_i - ybar_i)^2 with w the inverse variance of the mean frame, taken from a first fit.
    Poisson: frames / excess noise times sum_i (phi_i - ybar_i log phi_i), read noise as an offset of both. Its slope is
    w_i (phi_i - ybar_i) with w_i = frames / (excess noise (phi_i + read noise^2)): it is the Gaussian problem whose
    weights agree with its own solution, so weights are renewed along the way (iteratively reweighted least squares).

    Args:
        movie, factor, device: as for :class:`MeanFrameMaker`.
        parameters: see :class:`SparseParameters`.
        shared: where the choice made on the whole movie is left for its halves.
    """

    def __init__(
        self, movie: CorrectedMovie, factor: int, device: str, parameters: SparseParameters, shared: dict[str, float]
    ) -> None:
        super().__init__(movie, factor, device)
        self._parameters, self._shared = parameters, shared
        self._excess = 1.0

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame."""
        import torch

        from fluosr.solvers.fista import FistaState

        self._look_at_noise(run, stage)
        sparsity = self._parameters.sparsity
        if sparsity is None:
            sparsity = self._shared["sparsity"] if "sparsity" in self._shared else self._choose(run, stage)
            self._shared["sparsity"] = sparsity
        problem, name, total = self._problem(sparsity), f"{stage} iterations", self._parameters.iterations
        kept, curve = run.recall(name), []
        if kept is None:
            state = FistaState.start(problem.start())
        else:
            device = self.operator.device
            state = FistaState.from_tensors(
                {k: v.to(device) if k != "scalars" else v for k, v in kept.items() if k != "curve"}
            )
            curve = kept["curve"].tolist()
        self.show(state.point)
        used = max(1, int(self.movie.used.sum()))
        while state.iteration < total:
            problem = self._advance(problem, state, min(SAFE_POINT, total - state.iteration))
            curve.append(problem.misfit(state.point) / used)
            self.show(state.point)
            run.progress(f"{stage}, iterating", state.iteration, total)
            run.keep(name, state.tensors() | {"curve": torch.tensor(curve, dtype=torch.float64)})
        self.history["misfit per pixel"] = curve
        return self.show(state.point)

    def _advance(
        self, problem: GeneratorProblem, state: FistaState, iterations: int, half: int | None = None
    ) -> GeneratorProblem:
        """At most ``SAFE_POINT`` iterations, in place, and the problem they were of, whose weights may be new.

        New weights depend on nothing but the point, so that a resumed run has them too.
        """
        from fluosr.solvers.fista import Fista

        if self._parameters.likelihood == "poisson" and state.iteration > 0:
            expected = problem.expected(state.point)[0].cpu().numpy()
            weight = self.tensor(1.0 / self._variance(expected, self.count(half)))[None]
            problem = replace(problem, weight=weight * (problem.weight > 0))
        fista = Fista(problem)
        for _ in range(iterations):
            fista.advance(state)
        return problem

    def _variance(self, expected: np.ndarray, n_frames: int) -> np.ndarray:
        """(Y, X) float64: variance of the mean of ``n_frames`` frames that show ``expected`` photons."""
        n_frames = max(1, n_frames)
        one = self.movie.noise_variance(expected.astype(float))
        # A pixel that never saw a photon is not known to be infinitely dark.
        one = np.maximum(one, max(1.0 / n_frames, 1e-2 * float(one.mean()), 1e-12))
        return self._excess * one / n_frames

    def _look_at_noise(self, run: Run, stage: str) -> None:
        """A first fit shows how much noise to expect where, and the camera's fixed pattern."""
        import torch

        name = f"{stage} noise"
        kept = run.recall(name)
        if kept is not None:
            self._first, self._excess = kept["expected"].numpy(), float(kept["excess"])
            return
        from scipy.ndimage import gaussian_filter

        from fluosr.corrections.pattern import fixed_pattern
        from fluosr.optics.psf import FWHM_PER_SIGMA
        from fluosr.solvers.fista import FistaState

        movie = self.movie
        excess = movie.statistics.excess_noise(
            movie.acquisition.camera.read_variance, used=movie.used, drifting=bool(movie.shifts.any())
        )
        self._excess = max(excess, 1e-3)
        self._first = gaussian_filter(self.mean(), 0.5 * movie.fwhm_px / FWHM_PER_SIGMA, mode="nearest")
        problem = self._problem(FIRST_SPARSITY)
        state = FistaState.start(problem.start())
        for _ in range(FIRST_ITERATIONS // SAFE_POINT):
            self._advance(problem, state, SAFE_POINT)
            run.check()
        first = problem.expected(state.point)[0].cpu().numpy().astype(float)
        pattern = fixed_pattern(self.mean() - first, self._variance(first, self.count()), movie.used, movie.fwhm_px)
        self._first, self._excess = first, self._excess * pattern
        run.keep(name, {"expected": torch.from_numpy(first.copy()), "excess": torch.tensor(self._excess).double()})

    def _problem(self, sparsity: float, half: int | None = None, pixels: np.ndarray | None = None) -> GeneratorProblem:
        """The problem on all frames or one interleaved half of them, on all used pixels or only some.

        lambda_1 counts in the gradient's noise at a fine pixel: |A e| sqrt(w) for a column A e and the median weight.
        """
        import torch

        from fluosr.solvers.mean_frame import GeneratorProblem

        taking_part = self.movie.used if pixels is None else self.movie.used & pixels
        weight = 1.0 / self._variance(self._first, self.count(half))
        typical = float(np.median(weight[self.movie.used]))
        probe = torch.zeros(self.operator.shape, dtype=self.operator.dtype, device=self.operator.device)
        probe[self.operator.shape[0] // 2, self.operator.shape[1] // 2] = 1.0
        column = math.sqrt(float((self.operator.forward(probe)[0] ** 2).sum()))
        return GeneratorProblem(
            self.operator,
            self.basis,
            self.tensor(self.mean(half))[None],
            self.tensor(np.where(taking_part, weight, 0.0))[None],
            sparsity * column * math.sqrt(typical),
            self._parameters.smoothness**2 * typical,
        )

    def _choose(self, run: Run, stage: str) -> float:
        """lambda_1: the largest with which one half of the frames predicts the other's held-out pixels as the best."""
        import torch

        from fluosr.methods.held_out import sparsest_as_good_as_best
        from fluosr.solvers.fista import FistaState

        name, words = f"{stage} choice", f"{stage}, choosing the sparsity"
        kept = run.recall(name)
        tensors: dict[str, torch.Tensor] = {} if kept is None else dict(kept)
        total = 2 * (START_ITERATIONS + TRIAL_ITERATIONS * len(SPARSITIES))
        done = 0
        for half in (0, 1):
            pixels = self.kept_pixels(run, half)
            asked = self.movie.used & ~pixels if (self.movie.used & ~pixels).any() else self.movie.used
            unseen = self.mean(1 - half)
            scale = 1.0 / self._variance(self._first, self.count(1 - half))
            jobs = [(f"{half}.start", SPARSITIES[2], START_ITERATIONS)]
            jobs += [(f"{half}.error.{i}", value, TRIAL_ITERATIONS) for i, value in enumerate(SPARSITIES)]
            for job, sparsity, iterations in jobs:
                done += iterations
                if job in tensors or f"{job}.0" in tensors:
                    continue
                problem = self._problem(sparsity, half, pixels)
                point = problem.start()
                if f"{half}.start.0" in tensors:
                    point = [tensors[f"{half}.start.{i}"].to(self.operator.device) for i in (0, 1)]
                state = FistaState.start(point)
                for _ in range(iterations // SAFE_POINT):
                    problem = self._advance(problem, state, SAFE_POINT, half)
                    run.progress(words, done - iterations + state.iteration, total)
                    run.check()
                if job.endswith("start"):
                    tensors |= {f"{job}.{i}": block for i, block in enumerate(state.point)}
                else:
                    residual = problem.expected(state.point)[0].cpu().numpy() - unseen
                    tensors[job] = torch.from_numpy((scale * residual * residual)[asked])
                run.keep(name, tensors)
        errors = [torch.cat([tensors[f"{half}.error.{i}"] for half in (0, 1)]) for i in range(len(SPARSITIES))]
        sparsity = SPARSITIES[sparsest_as_good_as_best(errors)]
        self.chosen["sparsity"] = sparsity
        self.choices["sparsity"] = {
            "value": sparsity,
            "why": WHY,
            "x": list(SPARSITIES),
            "y": [float(e.mean()) for e in errors],
            "x_label": "lambda_1 / noise of the gradient",
            "y_label": "held-out error per pixel",
        }
        return sparsity

    def solving_seconds(self) -> float:
        """Seconds of all iterations, from a few that are tried."""
        from fluosr.solvers.fista import Fista, FistaState

        self._first = np.ones(self.movie.field_shape)
        problem = self._problem(FIRST_SPARSITY)
        state, fista = FistaState.start(problem.start()), Fista(problem)
        fista.advance(state)
        started = time.perf_counter()
        for _ in range(3):
            fista.advance(state)
        each = (time.perf_counter() - started) / 3
        trials = 0 if self._parameters.sparsity is not None else START_ITERATIONS + TRIAL_ITERATIONS * len(SPARSITIES)
        # The choice is made once, in two halves; a third of it is put down to each of the three passes.
        return each * (self._parameters.iterations + FIRST_ITERATIONS + 2 * trials / 3)


def reconstruct(acquisition: Acquisition, parameters: SparseParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames

    shared: dict[str, float] = {}

    def build(movie: CorrectedMovie, factor: int) -> SparseMaker:
        return SparseMaker(movie, factor, run.device, parameters, shared)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="sparse",
    summary="sparse non-negative deconvolution of the mean frame with a smooth background (l1, no learning)",
    parameters=SparseParameters,
    load=_load,
    presets={},
    citation="""@article{Beck2009Fast,
  title = {A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems},
  author = {Beck, Amir and Teboulle, Marc},
  journal = {SIAM Journal on Imaging Sciences},
  volume = {2},
  number = {1},
  pages = {183--202},
  year = {2009},
  doi = {10.1137/080716542}
}""",
)
