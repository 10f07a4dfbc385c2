"""Richardson-Lucy deconvolution of the mean frame: what a well-made image of the mean shows, without any prior."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
    from fluosr.solvers.expectation_maximisation import PoissonEm

MOST_ITERATIONS = 1000  # that are tried
PATIENCE, PATIENCE_SHARE = 30, 0.5  # iterations without a better prediction, at least, and of those at the best one
TYPICAL_ITERATIONS = 150  # for the estimate of the time
BACKGROUND_WAITS = 10  # iterations
SAFE_POINT = 25  # iterations between two safe points
WHY = "predicts held-out frames and pixels best"


class RichardsonLucyParameters(MovieParameters):
    """Grid, corrections and when to stop."""

    iterations: int | None = Field(
        None, ge=1, le=10_000_000, description="iterations; default: until held-out frames are predicted no better"
    )


class RichardsonLucyMaker(MeanFrameMaker):
    """Expectation maximisation from the mean frame.

    Args:
        movie, factor, device: as for :class:`MeanFrameMaker`.
        iterations: how many; None to choose.
        shared: where the choice made on the whole movie is left for its halves.
    """

    def __init__(
        self, movie: CorrectedMovie, factor: int, device: str, iterations: int | None, shared: dict[str, int]
    ) -> None:
        super().__init__(movie, factor, device)
        self._given, self._shared = iterations, shared

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame."""
        import torch

        from fluosr.solvers.expectation_maximisation import EmState, poisson_deviance

        total = self._given or self._shared.get("iterations") or self._choose(run, stage)
        self._shared["iterations"] = total
        em, name = self._problem(None, self.movie.used), f"{stage} iterations"
        used = torch.as_tensor(self.movie.used, device=self.operator.device)
        mean, curve, kept = self.tensor(self.mean()), [], run.recall(name)
        if kept is None:
            state = em.start(self.start(self.mean()))
        else:
            state, curve = EmState.from_tensors(kept, self.operator.device), kept["curve"].tolist()
        self.show(state.point)
        while state.iteration < total:
            em.advance(state)
            if state.iteration % SAFE_POINT == 0 or state.iteration == total:
                deviance = poisson_deviance(mean, state.expected, self.count(), self.read_variance)
                curve.append(float(deviance[used].mean()))
                self.show(state.point)
                run.progress(f"{stage}, iterating", state.iteration, total)
                run.keep(name, state.tensors() | {"curve": torch.tensor(curve, dtype=torch.float64)})
        self.history["deviance per pixel"] = curve
        return self.show(state.point)

    def _problem(self, half: int | None, pixels: np.ndarray) -> PoissonEm:
        from fluosr.solvers.expectation_maximisation import PoissonEm

        mean, weight = self.tensor(self.mean(half)), self.tensor(pixels.astype(float))
        return PoissonEm(self.operator, self.basis, mean, weight, self.read_variance, BACKGROUND_WAITS)

    def _choose(self, run: Run, stage: str) -> int:
        """The number of iterations after which one half of the frames predicts the other's held-out pixels best."""
        import torch

        from fluosr.solvers.expectation_maximisation import EmState, poisson_deviance

        name, used = f"{stage} choice", self.movie.used
        kept_pixels = [self.kept_pixels(run, half) for half in (0, 1)]
        problems = [self._problem(half, used & kept_pixels[half]) for half in (0, 1)]
        asked: list[torch.Tensor] = []
        for pixels in kept_pixels:
            held = used if pixels.all() else used & ~pixels
            asked.append(torch.as_tensor(held if held.any() else used, device=self.operator.device))
        unseen = [self.tensor(self.mean(1 - half)) for half in (0, 1)]
        earlier, curve = run.recall(name), []
        if earlier is None:
            states = [problems[half].start(self.start(self.mean(half))) for half in (0, 1)]
        else:
            curve = earlier["curve"].tolist()
            named = [{k[2:]: v for k, v in earlier.items() if k.startswith(f"{half}.")} for half in (0, 1)]
            states = [EmState.from_tensors(tensors, self.operator.device) for tensors in named]
        while not _settled(curve):
            errors = []
            for half in (0, 1):
                problems[half].advance(states[half])
                deviance = poisson_deviance(
                    unseen[half], states[half].expected, self.count(1 - half), self.read_variance
                )
                errors.append(float(deviance[asked[half]].double().mean()))
            curve.append(sum(errors) / 2)
            if len(curve) % SAFE_POINT == 0 or _settled(curve):
                run.progress(f"{stage}, choosing the iterations", len(curve), MOST_ITERATIONS)
                tensors = {f"{half}.{k}": v for half in (0, 1) for k, v in states[half].tensors().items()}
                run.keep(name, tensors | {"curve": torch.tensor(curve, dtype=torch.float64)})
        best = int(np.argmin(curve)) + 1
        if best == MOST_ITERATIONS:
            self.warnings.append(
                f"Held-out frames were still predicted better after {MOST_ITERATIONS} iterations; give --iterations "
                "to go further."
            )
        self.chosen["iterations"] = best
        self.choices["iterations"] = {
            "value": best,
            "why": WHY,
            "x": [float(i + 1) for i in range(len(curve))],
            "y": curve,
            "x_label": "iterations",
            "y_label": "held-out deviance per pixel",
        }
        return best

    def solving_seconds(self) -> float:
        """Seconds of all iterations, from two that are tried."""
        em = self._problem(None, self.movie.used)
        state = em.start(self.start(np.ones(self.movie.field_shape)))
        em.advance(state)
        started = time.perf_counter()
        em.advance(state)
        return (time.perf_counter() - started) * (self._given or 2 * TYPICAL_ITERATIONS)


def _settled(curve: list[float]) -> bool:
    """Whether more iterations will not predict better."""
    if len(curve) >= MOST_ITERATIONS or (curve and not np.isfinite(curve[-1])):
        return True
    best = int(np.argmin(curve)) + 1 if curve else 0
    return len(curve) - best >= max(PATIENCE, PATIENCE_SHARE * best)


def reconstruct(acquisition: Acquisition, parameters: RichardsonLucyParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames

    shared: dict[str, int] = {}

    def build(movie: CorrectedMovie, factor: int) -> RichardsonLucyMaker:
        return RichardsonLucyMaker(movie, factor, run.device, parameters.iterations, shared)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="richardson-lucy",
    summary="Poisson deconvolution of the mean frame with a smooth background: no prior, stopped by held-out frames",
    parameters=RichardsonLucyParameters,
    load=_load,
    presets={},
    citation="""@article{Lucy1974Iterative,
  title = {An iterative technique for the rectification of observed distributions},
  author = {Lucy, Leon B.},
  journal = {The Astronomical Journal},
  volume = {79},
  pages = {745--754},
  year = {1974},
  doi = {10.1086/111605}
}
@article{Richardson1972Bayesian,
  title = {Bayesian-Based Iterative Method of Image Restoration},
  author = {Richardson, William Hadley},
  journal = {Journal of the Optical Society of America},
  volume = {62},
  number = {1},
  pages = {55--59},
  year = {1972},
  doi = {10.1364/JOSA.62.000055}
}""",
)
