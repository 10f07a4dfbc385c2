"""SACD against its formula, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from fluosr.corrections.movie import correct
from fluosr.methods.base import Run
from fluosr.methods.registry import get_method
from fluosr.methods.sacd import SacdMaker, SacdParameters, _on_grid
from fluosr.optics.interpolation import fourier_upsample
from fluosr.solvers.frame_deconvolution import FrameDeconvolution
from tests.movies import cross_movie

PLAIN = {"drift": False, "bleaching": False, "bad_pixels": False}


@pytest.mark.parametrize("members", [np.arange(12), np.array([0, 1, 2, 5, 6, 9])], ids=["all", "with gaps"])
def test_it_is_the_formula(members: np.ndarray) -> None:
    movie = correct(cross_movie(12), **PLAIN).select(members)
    maker = SacdMaker(movie, 2, "cpu", SacdParameters(linear=False))
    for numbers, frames in movie.chunks():
        maker.add(numbers[:4], frames[:4])  # as it is fed makes no difference
        maker.add(numbers[4:], frames[4:])
    found = maker.image(Run(), "image")

    acquisition = movie.acquisition
    first = FrameDeconvolution(movie.field_shape, acquisition.psf.kernel(100.0), 7)
    frames = acquisition.photons([int(n) for n in members])
    fine = [fourier_upsample(first.apply((f - f.min())[None])[0].astype(float), 2) for f in frames]
    mean = sum(fine) / len(fine)
    above = {int(n): np.abs(f - 0.8 * mean) for n, f in zip(members, fine, strict=True)}
    products = [above[n] * above[n + 1] for n in above if n + 1 in above]
    cumulant = sum(products) / len(products)
    second = FrameDeconvolution(cumulant.shape, acquisition.psf.kernel(50.0) ** 2, 8)
    np.testing.assert_allclose(found, second.apply(cumulant[None])[0], rtol=1e-3, atol=1e-3 * found.max())


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = correct(cross_movie(12), **PLAIN)
    images = []
    for pixels in (2**18, 16 * 18 * 5):
        monkeypatch.setattr("fluosr.methods.sacd.BATCH_PIXELS", pixels)
        maker = SacdMaker(movie, 3, "cpu", SacdParameters())
        for numbers, frames in movie.chunks():
            maker.add(numbers, frames)
        images.append(maker.image(Run(), "image"))
    np.testing.assert_allclose(images[0], images[1], rtol=1e-4, atol=1e-6 * images[0].max())


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_any_factor_keeps_an_even_image_even(factor: int) -> None:
    image = _on_grid(np.full((8, 6), 3.0, np.float32), factor)
    assert image.shape == (4 * factor, 3 * factor)
    np.testing.assert_allclose(image, 3.0, rtol=1e-6)


def test_the_published_values() -> None:
    paper = get_method("sacd").build(preset="paper")
    assert (paper.factor, paper.frame_iterations, paper.cumulant_iterations, paper.mean_share) == (2, 7, 8, 0.8)
    assert not paper.linear
