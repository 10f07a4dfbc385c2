"""Drift: found to hundredths of a pixel, not invented, and not claimed where nothing can be seen."""

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.corrections.drift import SEARCH_PX, Drift, estimate_drift, group
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

BLOCKS, FRAMES = 20, 400
PER_BLOCK = FRAMES // BLOCKS
FWHM = 3.24


def block_means(frames, count=BLOCKS):
    return frames.reshape(count, -1, *frames.shape[1:]).mean(1)


def lines(path=None, *, peak=30.0, seed=0, bleaching=20.0):
    """Block means of tilted lines that move by ``path`` (B, 2), and the true shifts."""
    phantom = ArgoPhantom(separations_nm=(120.0, 240.0), angle_deg=17.0, pitch_nm=2000.0, line_length_nm=2500.0)
    drift = None if path is None else np.repeat(path, PER_BLOCK, axis=0)
    movie = SimulatedMovie(
        phantom, peak_photons=peak, n_frames=FRAMES, drift_px=drift, seed=seed, factor=3, bleaching_time_s=bleaching
    )
    frames = np.stack([movie.camera.to_photons(f) for f in movie.frames()])
    true = np.zeros((BLOCKS, 2)) if path is None else path - path.mean(0)
    return block_means(frames), true


def dots(path, *, photons=30.0, side=40, count=25, seed=0):
    generator = np.random.default_rng(seed)
    operator = imaging_operator((side, side), 2, GaussianPSF(324.0), 100.0, shifts=[tuple(p) for p in path.tolist()])
    x = torch.zeros(operator.grid.shape)
    for y, z in generator.integers(0, min(operator.grid.shape), (count, 2)):
        x[y, z] += 1.0
    images = operator.forward(x).numpy()
    images = images * photons / images[0].max() + 2.0
    return np.stack([generator.poisson(i, (PER_BLOCK, *i.shape)).mean(0) for i in images])


def linear(dy, dx):
    return np.linspace(0, 1, BLOCKS)[:, None] * [[dy, dx]]


def jump(dy, dx):
    return np.where(np.arange(BLOCKS)[:, None] >= 9, [[dy, dx]], [[0.0, 0.0]])


def found(blocks, **options):
    return estimate_drift(blocks, np.full(len(blocks), float(PER_BLOCK)), fwhm_px=FWHM, **options)


PATHS = {
    "slow": linear(0.2, 1.0),
    "jump": jump(0.3, 0.9),
    "far": linear(1.0, 4.0),
    "leap": jump(-2.0, 4.0),
    "ten": linear(-3, 9),
}


@pytest.mark.parametrize("name", list(PATHS))
def test_drift_of_lines_is_found(name):
    blocks, true = lines(PATHS[name])
    drift = found(blocks)
    error = drift.shifts - true
    assert drift.significant and drift.observed.shape == (2, 2)
    assert np.sqrt((error**2).mean(0)).max() < 0.03
    # The stated errors are those made.
    assert 0.5 < np.sqrt((error**2 / drift.standard_error**2).mean()) < 1.8
    assert drift.range_px == pytest.approx(np.hypot(*np.ptp(true, axis=0)), abs=0.15)
    assert any("drifts by" in w for w in drift.warnings()) == (drift.range_px > 3)


@pytest.mark.parametrize("name", list(PATHS))
def test_drift_of_dots_is_found(name):
    drift = found(dots(PATHS[name]))
    error = drift.shifts - (PATHS[name] - PATHS[name].mean(0))
    assert drift.significant
    assert np.sqrt((error**2).mean(0)).max() < 0.03


@pytest.mark.parametrize("peak", [10.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_sample_at_rest_does_not_drift(peak, seed):
    blocks, _ = lines(peak=peak, seed=seed)
    drift = found(blocks)
    assert not drift.significant
    assert drift.rms_px < 0.05
    assert group(drift) == (pytest.approx(np.zeros(BLOCKS)), ((0.0, 0.0),))


@pytest.mark.parametrize("path", [None, PATHS["slow"]])
def test_bleaching_does_not_pull(path):
    blocks, true = lines(path, bleaching=2.0)
    drift = found(blocks)
    assert np.sqrt(((drift.shifts - true) ** 2).mean(0)).max() < 0.03
    assert drift.significant == (path is not None)


def test_shifts_are_relative_to_the_average_over_frames():
    blocks = dots(PATHS["slow"])
    weights = np.linspace(1, 30, BLOCKS)
    drift = estimate_drift(blocks, weights, fwhm_px=FWHM)
    assert np.abs(np.average(drift.shifts, axis=0, weights=weights)).max() < 1e-9


@pytest.mark.parametrize("side", [4, 5, 6, 8])
@pytest.mark.parametrize("path", ["slow", "ten"])
def test_in_a_tiny_field_nothing_is_seen_and_nothing_invented(side, path):
    drift = found(dots(PATHS[path], side=side, count=5))
    assert not drift.significant and not drift.shifts.any() and drift.observed.shape == (2, 0)
    assert (drift.standard_error == SEARCH_PX).all() and "too little structure" in drift.warnings()[0]


@pytest.mark.parametrize("side", [9, 10, 11, 12])
def test_in_a_small_field_at_rest_no_drift_is_invented(side):
    """So few pixels err together that they do not tell how far off a block may be."""
    for seed in range(12):
        drift = found(dots(np.zeros((BLOCKS, 2)), side=side, count=5, seed=seed))
        assert not drift.significant and not drift.shifts.any()


def test_two_blocks_are_enough():
    drift = found(dots(np.array([[0.0, 0.0], [0.5, -0.7]]), photons=300.0))
    assert drift.shifts[1] - drift.shifts[0] == pytest.approx((0.5, -0.7), abs=0.03)
    assert found(dots(np.zeros((1, 2)))).significant is False


@pytest.mark.parametrize("seed", range(3))
def test_along_parallel_lines_nothing_is_claimed(seed):
    """The aperture problem: lines that cross the whole field do not show how they slide."""
    x = np.arange(50.0)
    profile = sum(np.exp(-((x - c) ** 2) / 2 / 1.4**2) for c in (10, 17, 22, 38))
    generator = np.random.default_rng(seed)
    blocks = []
    for step in np.linspace(0, 1, BLOCKS):
        moved = np.interp(x - step, x, profile)
        blocks.append(generator.poisson(30 * moved + 3.0, (PER_BLOCK, 44, 50)).mean(0))
    drift = found(np.stack(blocks))
    assert np.abs(drift.shifts[:, 0]).max() < 0.05
    assert (drift.standard_error[:, 0] > 1.0).all() and (drift.standard_error[:, 1] < 0.03).all()
    assert drift.significant
    assert np.ptp(drift.shifts[:, 1]) == pytest.approx(1.0, abs=0.06)
    assert any("across the structures" in w for w in drift.warnings())


@pytest.mark.parametrize("photons", [0.0, 3.0, 200.0])
def test_a_movie_without_structure_does_not_drift(photons):
    generator = np.random.default_rng(0)
    for _ in range(3):
        drift = found(generator.poisson(photons, (BLOCKS, 40, 44)) / PER_BLOCK)
        assert not drift.significant
        assert not drift.shifts.any() and (drift.standard_error == SEARCH_PX).all()
    assert "too little structure" in drift.warnings()[0]


def test_bad_pixels_do_not_hold_the_image_back():
    """A fixed pattern of hot pixels stays where it is while the sample moves."""
    blocks = dots(PATHS["slow"])
    bad = np.zeros(blocks.shape[1:], bool)
    bad.flat[np.random.default_rng(0).choice(bad.size, 30, replace=False)] = True
    spoilt = blocks + 500.0 * bad
    drift = found(spoilt, pixel_weight=(~bad).astype(float))
    true = PATHS["slow"] - PATHS["slow"].mean(0)
    assert np.sqrt(((drift.shifts - true) ** 2).mean(0)).max() < 0.035


def test_a_large_field_is_judged_by_its_busiest_part():
    path = np.array([[0.0, 0.0], [0.4, -0.3], [0.8, -0.6]])
    part = dots(path, photons=200.0, side=60)
    blocks = np.random.default_rng(0).poisson(2.0 * PER_BLOCK, (3, 300, 420)) / PER_BLOCK
    blocks[:, 200:260, 330:390] = part
    drift = found(blocks)
    np.testing.assert_allclose(drift.shifts, path - path.mean(0), atol=0.05)


@settings(max_examples=60)
@given(seed=st.integers(0, 1000), tolerance=st.floats(0.02, 0.5), most=st.integers(1, 15), count=st.integers(2, 40))
def test_groups_hold_what_lies_together(seed, tolerance, most, count):
    generator = np.random.default_rng(seed)
    weights = generator.integers(1, 30, count).astype(float)
    shifts = np.cumsum(generator.normal(0, 0.1, (count, 2)), axis=0)
    shifts -= np.average(shifts, axis=0, weights=weights)
    drift = Drift(shifts, np.full((count, 2), 0.01), weights, np.eye(2), True)
    labels, places = group(drift, tolerance, max_groups=most)
    assert labels.shape == (count,) and sorted(set(labels.tolist())) == list(range(len(places)))
    assert len(places) <= most
    first = [int(np.argmax(labels == k)) for k in range(len(places))]
    assert first == sorted(first)
    if most == 1:
        return
    for k, place in enumerate(places):
        np.testing.assert_allclose(
            place, np.average(shifts[labels == k], axis=0, weights=weights[labels == k]), atol=1e-12
        )
    if len(places) < most:
        distance = np.hypot(*(shifts - np.array(places)[labels]).T)
        assert distance.max() <= 2 * tolerance + 1e-12
    # The mean place stays the mean place.
    assert np.abs(np.average(np.array(places)[labels], axis=0, weights=weights)).max() < 1e-9


@pytest.mark.parametrize(
    ("blocks", "weights", "fwhm", "words"),
    [
        (np.zeros((3, 8)), np.ones(3), 3.0, "belong together"),
        (np.zeros((3, 8, 8)), np.ones(4), 3.0, "belong together"),
        (np.zeros((3, 8, 8)), np.zeros(3), 3.0, "positive"),
        (np.full((3, 8, 8), np.nan), np.ones(3), 3.0, "finite"),
        (np.zeros((3, 8, 8)), np.ones(3), 0.0, "fwhm_px"),
    ],
)
def test_wrong_calls_are_refused(blocks, weights, fwhm, words):
    with pytest.raises(ValueError, match=words):
        estimate_drift(blocks, weights, fwhm_px=fwhm)
    with pytest.raises(ValueError, match="positive"):
        group(Drift(np.zeros((2, 2)), np.ones((2, 2)), np.ones(2), np.eye(2), True), 0.0)


def test_the_real_phantom_moves_sideways_and_jumps_half_way(shared_data):
    frames = tifffile.imread(shared_data / "fluogan" / "argo_video_210nm_500f.tif").astype(float)
    drift = estimate_drift(block_means(frames, 10), np.full(10, 50.0), fwhm_px=318 / 103)
    assert drift.significant
    assert 0.5 < np.ptp(drift.shifts[:, 1]) < 1.3
    steps = np.abs(np.diff(drift.shifts[:, 1]))
    assert steps.argmax() == 4 and steps.max() > 0.5
