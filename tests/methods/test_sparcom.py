from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, label

import fluosr
from fluosr.methods.base import Run
from fluosr.methods.second_order import support
from fluosr.methods.second_order.frames import MEDIAN_FRAMES, BackProjectedFrames
from fluosr.methods.second_order.parameters import Penalty
from fluosr.methods.second_order.problem import SecondOrderProblem
from fluosr.methods.second_order.support import SupportSearch, thresholds
from fluosr.methods.sparcom import METHOD
from fluosr.optics.kronecker import imaging_pairs
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid
from fluosr.solvers.total_variation import total_variation
from tests.methods.covariances import DenseFit, assert_minimum, dense, independent_movie
from tests.movies import CROSS, movie_of

PLAIN: dict[str, Any] = {"factor": 3, "drift": False, "bleaching": False, "bad_pixels": False, "halves": False}
FIELD = (8, 8)


def small_problem(baseline: str = "mean") -> tuple[SecondOrderProblem, np.ndarray, np.ndarray]:
    pairs = imaging_pairs(Grid(FIELD, 2), GaussianPSF(200.0), 100.0)
    frames = independent_movie([(3.2, 2.9, 80.0), (3.4, 5.6, 50.0), (6.1, 4.0, 60.0)], 75, field=FIELD)
    kept = BackProjectedFrames(pairs, frames[0], medians=baseline == "median")
    for start in range(0, len(frames), 9):
        kept.add(frames[start : start + 9].astype(np.float32))
    return SecondOrderProblem(pairs, kept, "none", baseline=baseline), dense(pairs), frames


def test_second_moments_about_the_streamed_median() -> None:
    problem, a, frames = small_problem("median")
    median = np.mean([np.median(frames[i : i + MEDIAN_FRAMES], axis=0) for i in (0, 25, 50)], axis=0)
    flat = frames.reshape(len(frames), -1) - median.ravel()
    mean = flat.mean(0)
    moments = np.cov(flat.T) + np.outer(mean, mean)
    expected = np.einsum("mi,mn,ni->i", a, moments, a)
    np.testing.assert_allclose(problem.data.numpy().ravel(), expected, rtol=1e-9)


def test_reweighting_solves_four_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert support.REWEIGHTED_ROUNDS == 4
    problem, a, frames = small_problem()
    threshold = thresholds(problem, "reweighted", None, 0.02)
    reference = DenseFit(a, np.cov(frames.reshape(len(frames), -1).T), "none")
    weights = threshold.numpy().ravel()
    for rounds in (1, 2, 3, 4):
        monkeypatch.setattr(support, "REWEIGHTED_ROUNDS", rounds)
        state = SupportSearch(problem, "reweighted", threshold, width=1.7, iterations=20_000, tolerance=1e-10).run(
            Run(), "support"
        )
        x = state.point.numpy().ravel()
        assert state.rounds == rounds
        assert_minimum(reference, weights, x)
        weights = threshold.numpy().ravel() / (x / x.max() + support.REWEIGHTED_EPS)


def test_total_variation_reaches_a_minimum() -> None:
    problem, _, _ = small_problem()
    threshold = thresholds(problem, "tv", None, 0.02)
    search = SupportSearch(problem, "tv", threshold, width=1.7, iterations=4000, tolerance=1e-9)
    found = search.run(Run(), "support").point

    def objective(r: torch.Tensor) -> float:
        return problem.value(r, problem.normal(r)) + 0.85 * float(threshold.max()) * total_variation(r)

    best, generator = objective(found), torch.Generator().manual_seed(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(20):
            noise = torch.randn(found.shape, generator=generator, dtype=found.dtype)
            smooth = torch.as_tensor(gaussian_filter(noise.numpy(), 2.0))
            for step in (noise, smooth):
                other = (found + size * float(found.max()) * step).clamp_min(0.0)
                assert objective(other) >= best - 1e-7 * abs(best)


@pytest.mark.parametrize("penalty", ["l1", "reweighted"])
def test_two_emitters_closer_than_the_psf_is_wide_are_told_apart(penalty: Penalty) -> None:
    points = [(8.0, 7.9, 400.0), (8.0, 10.1, 400.0)]  # 220 nm, the PSF 300
    found = fluosr.reconstruct(movie_of(independent_movie(points, 400)), "sparcom", penalty=penalty, **PLAIN)
    blurred = gaussian_filter(found.image, 0.7)
    _, count = label(blurred > 0.1 * blurred.max())
    assert count == 2


@pytest.mark.parametrize("shift", [(1, 0), (-2, 1), (2, -3)])
def test_with_independent_emitters_a_shifted_movie_shifts_the_image(shift: tuple[int, int]) -> None:
    frames = independent_movie(CROSS, 50, background=0.0)
    still, moved = (
        fluosr.reconstruct(movie_of(f), "sparcom", penalty="tv", sparsity=1.0, iterations=1000, **PLAIN).image
        for f in (frames, np.roll(frames, shift, (1, 2)))
    )
    expected = np.roll(still, [3 * n for n in shift], (0, 1))
    inside = (slice(9, -9),) * 2
    difference = np.abs(gaussian_filter(expected - moved, 1.5)[inside]).max()
    assert difference < 0.04 * gaussian_filter(moved, 1.5).max()


def test_the_papers_preset_runs() -> None:
    frames = independent_movie([(6.0, 6.0, 200.0)], 60, field=(12, 12))
    paper = METHOD.build("paper", halves=False)
    assert (paper.factor, paper.sparsity_of_maximum, paper.iterations) == (8, 0.13, 400)  # type: ignore[attr-defined]
    found = fluosr.reconstruct(movie_of(frames), "sparcom", preset="paper", halves=False)
    y, x = np.unravel_index(gaussian_filter(found.image, 2.0).argmax(), found.image.shape)
    assert abs(y + 0.5 - 48) <= 2 and abs(x + 0.5 - 48) <= 2
