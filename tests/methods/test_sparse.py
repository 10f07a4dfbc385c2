"""Sparse deconvolution: its minimum is the minimum of what the page says, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fluosr
from fluosr.corrections.movie import correct
from fluosr.methods.base import Run
from fluosr.methods.sparse import SPARSITIES, SparseMaker, SparseParameters
from fluosr.solvers.fista import FistaState
from tests.movies import cross_movie

PLAIN = {"factor": 2, "drift": False, "bleaching": False}


def fitted(likelihood: str, sparsity: float = 0.7) -> tuple[SparseMaker, list[torch.Tensor], float]:
    """A maker that saw the cross, the point where it ends, and lambda_1 in the data term's units."""
    movie = correct(cross_movie(read_noise=1.0), drift=False, bleaching=False, bad_pixels=False)
    parameters = SparseParameters(likelihood=likelihood, sparsity=sparsity, smoothness=0.0, iterations=6000, **PLAIN)
    maker = SparseMaker(movie, 2, "cpu", parameters, {})
    for numbers, frames in movie.chunks():
        maker.add(numbers, frames)
    run = Run()
    maker.image(run, "image")
    kept = run.recall("image iterations")
    assert kept is not None
    point = FistaState.from_tensors({k: v for k, v in kept.items() if k != "curve"}).point
    return maker, point, float(maker._problem(sparsity).penalty[0])


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_the_minimum_is_that_of_the_likelihood_with_its_penalty(likelihood: str) -> None:
    maker, (image, beta), penalty = fitted(likelihood)
    mean, read = maker.mean(), maker.read_variance
    seen = (maker.operator.forward(image)[0] + maker.basis.image(beta)).numpy().astype(float)
    if likelihood == "poisson":
        # d/dphi of n / excess [phi - d log(phi)], read noise as so many photons more in both
        slope = maker.count() / maker._excess * (1.0 - (mean + read) / (seen + read))
    else:
        slope = (seen - mean) / maker._variance(maker._first, maker.count())
    gradient = maker.operator.adjoint(maker.tensor(slope)[None]) + penalty
    inside, active = maker.operator.grid.crop(gradient), maker.operator.grid.crop(image) > 1e-3 * image.max()
    assert float(inside[active].abs().max()) < 0.05 * penalty  # flat where there is light
    assert float(inside.min()) > -0.05 * penalty  # and uphill from where there is none
    assert float(maker.basis.adjoint(maker.tensor(slope)).abs().max()) < 0.05 * float(
        maker.basis.adjoint(maker.tensor(np.abs(slope))).max()
    )


def test_more_sparsity_lights_fewer_pixels() -> None:
    lit = [
        int((fluosr.reconstruct(cross_movie(), "sparse", sparsity=s, halves=False, **PLAIN).image > 0.5).sum())
        for s in (0.1, 3.0)
    ]
    assert lit[1] < lit[0]


def test_the_same_sparsity_means_the_same_at_any_gain_of_frames() -> None:
    """lambda_1 grows with the square root of the frames, as the gradient's noise does."""
    penalties = []
    for n_frames in (25, 100):
        movie = correct(cross_movie(n_frames), drift=False, bleaching=False, bad_pixels=False)
        maker = SparseMaker(movie, 2, "cpu", SparseParameters(**PLAIN), {})
        for numbers, frames in movie.chunks():
            maker.add(numbers, frames)
        maker._look_at_noise(Run(), "image")
        penalties.append(float(maker._problem(1.0).penalty[0]))
    assert penalties[1] / penalties[0] == pytest.approx(2.0, rel=0.1)


def test_the_choice_is_made_without_truth_and_shown() -> None:
    found = fluosr.reconstruct(cross_movie(), "sparse", iterations=200, **PLAIN)
    choice = found.choices["sparsity"]
    assert choice["value"] == found.parameters["sparsity"] and choice["value"] in SPARSITIES
    assert choice["x"] == list(SPARSITIES) and np.isfinite(choice["y"]).all()
    assert found.halves is not None


def test_both_likelihoods_agree_where_photons_are_many() -> None:
    images = [
        fluosr.reconstruct(cross_movie(200), "sparse", likelihood=name, sparsity=0.7, halves=False, **PLAIN).image
        for name in ("gaussian", "poisson")
    ]
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.99
