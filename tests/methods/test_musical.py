"""MUSICAL: moments and indicator against plain singular value decompositions; thresholds; refusals."""

from __future__ import annotations

import numpy as np
import pytest

import fluosr
from fluosr.errors import UsageError
from fluosr.methods.musical.indicator import indicator, noise_edge, point_images, signal_of_noise
from fluosr.methods.musical.method import _speaks_for, automatic_window
from fluosr.methods.musical.moments import WindowMoments, add_products, offsets
from tests.movies import FWHM_NM, PIXEL_NM, cross_movie, light_of, movie_of

PLAIN = {"drift": False, "bleaching": False, "halves": False}


def moments_of(frames: np.ndarray, side: int) -> np.ndarray:
    pairs = offsets(side)
    products = np.zeros((len(pairs), *frames.shape[1:]))
    for start in range(0, len(frames), 7):
        add_products(products, frames[start : start + 7], pairs)
    return products


@pytest.mark.parametrize("side", [3, 5])
def test_windows_are_put_together_from_pairs(side: int) -> None:
    frames = np.random.default_rng(0).random((20, 7, 9)).astype(np.float32)
    products, windows = moments_of(frames, side), WindowMoments(side)
    for top in range(7 - side + 1):
        found = windows.row(products, top, np.arange(9 - side + 1))
        for left in range(9 - side + 1):
            window = frames[:, top : top + side, left : left + side].reshape(20, -1).astype(float)
            np.testing.assert_allclose(found[left], window.T @ window, rtol=1e-12)


def test_the_indicator_is_that_of_the_singular_vectors() -> None:
    generator = np.random.default_rng(1)
    window = generator.random((25, 60))  # pixels x frames
    points = generator.random((25, 4))
    left, strengths, _ = np.linalg.svd(window, full_matrices=True)
    signal = np.zeros(25, bool)
    signal[:3] = True
    expected = [(np.linalg.norm(left[:, :3].T @ g) / np.linalg.norm(left[:, 3:].T @ g)) ** 4.0 for g in points.T]
    values, vectors = np.linalg.eigh(window @ window.T)
    np.testing.assert_allclose(np.sqrt(values[::-1][:3]), strengths[:3], rtol=1e-9)
    found = indicator(vectors[None], signal[::-1][None], points, 4.0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    assert not indicator(vectors[None], np.zeros((1, 25), bool), points, 4.0).any()


def test_points_are_imaged_where_they_are() -> None:
    images = point_images(movie_of(np.ones((3, 9, 9), np.uint16)), 7, 2)
    expected = light_of([(2 + 0.75, 3 + 0.25, 1.0)], field=(7, 7))
    np.testing.assert_allclose(images[:, 2, 1, 3, 0].reshape(7, 7), expected, atol=1e-12)


@pytest.mark.parametrize("photons", [0.2, 3.0, 100.0])
@pytest.mark.parametrize("n_frames", [40, 400])
def test_noise_is_hardly_ever_taken_for_signal(photons: float, n_frames: int) -> None:
    """Uneven light that does not fluctuate: beyond its one eigenimage there is nothing but noise."""
    light = light_of([(3.0, 3.5, 50 * photons)], field=(7, 7), background=photons)
    frames = np.random.default_rng(2).poisson(light, (200, n_frames, 7, 7)).reshape(200, n_frames, 49).astype(float)
    moments = np.einsum("wtp,wtq->wpq", frames, frames)
    values, vectors = np.linalg.eigh(moments)
    variance = np.maximum(frames.sum(1), 1.0) / n_frames
    count = signal_of_noise(values, vectors, variance, noise_edge(49, n_frames)).sum(1)
    assert (count > 1).mean() < 0.02
    if photons * n_frames > 20:
        assert (count >= 1).all()


def test_two_blinking_points_are_told_apart_where_the_mean_shows_one() -> None:
    generator = np.random.default_rng(3)
    apart_px = 1.6  # of a FWHM of 3
    frames = np.zeros((1500, 15, 15))
    for x in (7.5 - apart_px / 2, 7.5 + apart_px / 2):
        frames += generator.integers(0, 2, 1500)[:, None, None] * light_of([(7.5, x, 2000.0)], field=(15, 15))
    movie = movie_of(generator.poisson(frames + 1.0).astype(np.uint16))
    found = fluosr.reconstruct(movie, "musical", factor=5, **PLAIN)
    across = found.image[37]
    left, middle, right = across[33], across[37], across[41]
    assert middle < 0.2 * min(left, right)
    blurred = fluosr.reconstruct(movie, "mean", factor=5, **PLAIN).image[37]
    assert blurred[37] >= max(blurred[33], blurred[41])


def test_the_published_preset_needs_no_noise_model() -> None:
    found = fluosr.reconstruct(cross_movie(), "musical", preset="paper", factor=2, halves=False)
    assert (found.parameters["signal_log10"], found.parameters["indicator_power"]) == (-1.0, 4.0)
    assert np.isfinite(found.image).all() and found.image.max() > 0


def test_every_point_is_spoken_for_without_a_seam() -> None:
    side, factor, count = 7, 8, 5
    loudness = np.zeros((count + side - 1) * factor)
    for first in range(count):
        where, weight = _speaks_for(side, factor, first, count)
        assert where.start >= 0 and where.stop <= side
        loudness[(first + where.start) * factor : (first + where.stop) * factor] += weight.ravel()
    assert loudness.min() > 0.3
    assert np.abs(np.diff(loudness)).max() < 0.2


def test_the_automatic_window_is_odd_and_fits() -> None:
    assert automatic_window(FWHM_NM / PIXEL_NM, (16, 18)) == 7
    for fwhm_px in (1.0, 2.2, 3.4, 6.0, 30.0):
        for field in ((4, 40), (12, 9), (64, 64)):
            side = automatic_window(fwhm_px, field)
            assert side % 2 == 1 and 3 <= side <= min(field)


@pytest.mark.parametrize(("side", "says"), [(6, "--window-px 7"), (21, "larger than the field")])
def test_impossible_windows_are_refused(side: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fluosr.reconstruct(cross_movie(), "musical", window_px=side)
