"""Bad pixels: injected ones are found, and no structure that light can make is taken for one."""

import numpy as np
import pytest

from fluosr.corrections.pixels import find_bad_pixels
from fluosr.optics.psf import gaussian_integrals
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie


def found_in(frames, **options):
    statistics = frames.mean(0), frames.var(0, ddof=1)
    return find_bad_pixels(*statistics, n_frames=len(frames), **options)


def argo(peak, *, angle=17.0, n_frames=200, seed=0):
    phantom = ArgoPhantom(separations_nm=(120.0,), angle_deg=angle, control=False)
    movie = SimulatedMovie(phantom, peak_photons=peak, n_frames=n_frames, seed=seed, factor=4)
    return np.stack([movie.camera.to_photons(f) for f in movie.frames()])


@pytest.mark.parametrize("peak", [1.0, 10.0, 30.0, 100.0])
@pytest.mark.parametrize("angle", [0.0, 17.0])
@pytest.mark.parametrize("n_frames", [20, 200])
def test_clean_movies_have_no_bad_pixels(peak, angle, n_frames):
    for seed in range(2):
        frames = argo(peak, angle=angle, n_frames=n_frames, seed=seed)
        for fwhm in (3.24, None):
            assert not found_in(frames, fwhm_px=fwhm).mask.any()
        pairs = (np.diff(frames, axis=0)[::2] ** 2).mean(0) / 2
        assert not find_bad_pixels(frames.mean(0), pairs, n_frames=n_frames, fwhm_px=3.24).mask.any()


@pytest.mark.parametrize("fwhm", [1.5, 2.0, 3.24, 6.0])
@pytest.mark.parametrize("place", [(10.5, 10.5), (10.0, 10.5), (10.2, 10.7), (0.5, 10.5), (-0.4, 10.1), (0.5, 0.5)])
@pytest.mark.parametrize("blinking", [False, True])
def test_a_point_source_is_no_bad_pixel(fwhm, place, blinking):
    sigma = fwhm / 2.3548
    edges = np.arange(21.0)
    light = np.outer(*(gaussian_integrals(edges, 1.0, p, sigma) for p in place))
    generator = np.random.default_rng(0)
    for peak in (20.0, 1e3, 1e5):
        level = np.where(generator.random((300, 1, 1)) < 0.1, 10.0, 0.01) if blinking else np.ones((300, 1, 1))
        frames = generator.poisson(level * peak * light / light.max() + 2.0).astype(float)
        for given in (fwhm, None):
            assert not found_in(frames, fwhm_px=given).mask.any()


@pytest.mark.parametrize("peak", [1.0, 10.0, 100.0])
def test_injected_pixels_are_found_and_named(peak):
    frames = argo(peak)
    generator = np.random.default_rng(1)
    background = frames.mean(0).min() + 0.5
    frames[:, 20, 10] = 7.0
    frames[:, 5, 12] += 4.0 * frames.mean(0).max()
    frames[:, 8, 3] += generator.normal(0, 8 * np.sqrt(background), len(frames))
    frames[:, 12, 0] += 4.0 * frames.mean(0).max()
    frames[:, 30, 15] = 5000.0
    bad = found_in(frames, fwhm_px=3.24, saturated_fraction=(frames >= 5000.0).mean(0))
    assert np.argwhere(bad.dead).tolist() == [[20, 10]]
    assert np.argwhere(bad.hot).tolist() == [[5, 12], [8, 3], [12, 0]]
    assert np.argwhere(bad.saturated).tolist() == [[30, 15]]
    assert bad.mask.sum() == 5
    words = bad.warnings()
    assert len(words) == 3 and words[0].startswith("1 of ") and "3 of" in words[1]


def test_two_hot_pixels_side_by_side_are_found():
    frames = argo(30.0)
    frames[:, 5, 12:14] += 300.0
    assert np.argwhere(found_in(frames, fwhm_px=3.24).hot).tolist() == [[5, 12], [5, 13]]


def test_saturation_counts_frames():
    generator = np.random.default_rng(0)
    frames = generator.poisson(np.linspace(20, 80, 400).reshape(20, 20), (300, 20, 20)).astype(float)
    often = (frames >= 90).mean(0)
    frames = np.minimum(frames, 90.0)
    exact = found_in(frames, saturated_fraction=often).saturated
    np.testing.assert_array_equal(exact, often > 0.01)


def test_a_dark_pixel_of_a_dark_movie_and_a_constant_movie_are_not_dead():
    counts = np.random.default_rng(0).poisson(0.002, (500, 30, 30)).astype(float)
    assert (counts.var(0) == 0).any() and not found_in(counts).mask.any()
    assert not found_in(np.full((50, 10, 10), 7.0)).mask.any()
    assert found_in(counts).warnings() == []
    pair = np.random.default_rng(0).poisson(100.0, (2, 30, 30)).astype(float)
    assert (pair[0] == pair[1]).any() and not found_in(pair).dead.any()


def test_wrong_statistics_are_refused():
    image = np.ones((5, 5))
    with pytest.raises(ValueError, match="shapes"):
        find_bad_pixels(image, image[:4], n_frames=10)
    with pytest.raises(ValueError, match="1 frame"):
        find_bad_pixels(image, image, n_frames=1)
