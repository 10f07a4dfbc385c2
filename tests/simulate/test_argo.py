"""The ARGO phantom: light, widths and distances of its lines at any angle; and the movie made of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.camera import Camera
from fluosr.errors import MemoryLimitError, UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.argo import LENGTHS, SEPARATIONS_NM, ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

ANGLES = [0.0, 17.0, -31.0, 45.0]


def single_line(angle, width=100.0):
    return ArgoPhantom(separations_nm=(), angle_deg=angle, line_width_nm=width, line_length_nm=1500.0)


def supersampled(phantom, grid, over=16):
    """Fraction of 16 x 16 points of every fine pixel that lie on the line."""
    ny, nx = grid.shape
    step = phantom.pixel_size_nm / grid.factor / over
    y, x = ((np.arange(n * over) + 0.5) * step for n in (ny, nx))
    dy, dx = y[:, None] - phantom.sets[0].centre_nm[0], x[None, :] - phantom.sets[0].centre_nm[1]
    across = dy * phantom.normal[0] + dx * phantom.normal[1]
    along = dy * phantom.direction[0] + dx * phantom.direction[1]
    inside = (np.abs(across) <= phantom.line_width_nm / 2) & (np.abs(along) <= phantom.line_length_nm / 2)
    return inside.reshape(ny, over, nx, over).mean(axis=(1, 3))


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("width", [20.0, 100.0])
def test_area_sampling_equals_supersampling(angle, width):
    phantom = single_line(angle, width)
    grid = Grid(phantom.field_shape, 4)
    image, wanted = phantom.render(grid), supersampled(phantom, grid)
    assert np.abs(image - wanted).max() < 0.12  # the corners of the line, and 16 points' own error
    assert np.sqrt(((image - wanted) ** 2).mean()) < 0.006


@settings(max_examples=25)
@given(angle=st.floats(-60, 60), width=st.sampled_from([20.0, 50.0, 100.0]), factor=st.integers(2, 7))
def test_a_line_carries_its_light_at_any_angle(angle, width, factor):
    phantom = single_line(angle, width)
    fine_nm = 100.0 / factor
    light = phantom.render(Grid(phantom.field_shape, factor)).sum() * fine_nm**2
    assert light == pytest.approx(width * 1500.0, rel=2e-3)


def moments_across(image, phantom, line_set, fine_nm):
    """Mean and variance of the distance from the set's axis, of what one line carries away from its ends."""
    y, x = ((np.arange(n) + 0.5) * fine_nm for n in image.shape)
    dy, dx = y[:, None] - line_set.centre_nm[0], x[None, :] - line_set.centre_nm[1]
    across = dy * phantom.normal[0] + dx * phantom.normal[1]
    along = dy * phantom.direction[0] + dx * phantom.direction[1]
    return across, np.abs(along) < 0.35 * phantom.line_length_nm


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("width", [20.0, 100.0])
def test_lines_have_their_width_and_their_places(angle, width):
    phantom = ArgoPhantom(separations_nm=(150.0, 390.0), angle_deg=angle, line_width_nm=width)
    factor = 8
    fine_nm = 100.0 / factor
    image = phantom.render(Grid(phantom.field_shape, factor))
    for line_set in phantom.sets:
        across, middle = moments_across(image, phantom, line_set, fine_nm)
        for offset in line_set.offsets_nm:
            near = middle & (np.abs(across - offset) < 70.0)
            mean = np.average(across[near], weights=image[near])
            assert mean == pytest.approx(offset, abs=1.0)
            # width^2 / 12, and the pixel's own share.
            variance = np.average((across[near] - mean) ** 2, weights=image[near])
            assert variance == pytest.approx(width**2 / 12 + fine_nm**2 / 12, rel=0.12, abs=12.0)


@pytest.mark.parametrize("angle", ANGLES)
def test_tilt_keeps_the_distance_between_sets(angle):
    phantom = ArgoPhantom(angle_deg=angle)
    assert [s.separation_nm for s in phantom.sets] == [*SEPARATIONS_NM, None]
    for first, second in zip(phantom.sets, phantom.sets[1:], strict=False):
        dy, dx = (b - a for a, b in zip(first.centre_nm, second.centre_nm, strict=True))
        assert dy * phantom.normal[0] + dx * phantom.normal[1] == pytest.approx(2700.0)


@pytest.mark.parametrize("angle", [*ANGLES, 60.0])
def test_the_field_holds_every_line_with_its_margin(angle):
    phantom = ArgoPhantom(separations_nm=(0.0, 390.0), angle_deg=angle)
    image = phantom.render(Grid(phantom.field_shape, 3))
    rim = math.floor(3 * 0.9 * phantom.margin_nm / 100.0)
    assert max(image[:rim].max(), image[-rim:].max(), image[:, :rim].max(), image[:, -rim:].max()) < 1e-9
    # Light of eight 100-nm lines and the control; d = 0 adds up to a line of double brightness.
    assert image.sum() * (100 / 3) ** 2 == pytest.approx(9 * 100 * 3000, rel=2e-3)
    assert image.max() == pytest.approx(2.0, abs=0.02)


def test_the_margin_of_the_grid_moves_nothing():
    phantom = ArgoPhantom(separations_nm=(120.0,), angle_deg=17.0)
    bare, extended = phantom.render(Grid(phantom.field_shape, 3)), Grid(phantom.field_shape, 3, 4)
    np.testing.assert_allclose(phantom.render(extended)[12:-12, 12:-12], bare, atol=1e-9)


def test_a_phantom_of_nothing_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        ArgoPhantom(separations_nm=(), control=False)


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300])
def test_lengths_that_cannot_be_are_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} lies above 0"):
        ArgoPhantom(**{name: value})


@pytest.mark.parametrize("changes", [{"separations_nm": (-1.0,)}, {"angle_deg": 90.0}, {"angle_deg": float("nan")}])
def test_patterns_that_cannot_be_are_refused(changes):
    with pytest.raises(UsageError):
        ArgoPhantom(**changes)


def small_movie(**options):
    phantom = ArgoPhantom(separations_nm=(240.0,), line_length_nm=1000.0, control=False)
    return SimulatedMovie(phantom, **{"n_frames": 60, "factor": 3, **options})


def test_a_movie_has_its_mean_its_truth_and_its_peak():
    movie = small_movie(peak_photons=200.0, bleaching_time_s=0.3)
    frames = np.stack([movie.camera.to_photons(f) for f in movie.frames()])
    assert frames.shape == (60, *movie.phantom.field_shape)
    assert movie.truth.shape == tuple(3 * n for n in movie.phantom.field_shape)
    light = frames.mean(0) - movie.background
    assert light.sum() == pytest.approx(movie.truth.sum(), rel=0.01)
    assert light.max() == pytest.approx(200.0, rel=0.06)
    # exp(-0.59 / 0.3) from the first to the last frame.
    assert frames[-5:].mean() / frames[:5].mean() == pytest.approx(math.exp(-0.55 / 0.3), rel=0.05)
    assert movie.background.mean() == pytest.approx(20.0, rel=0.2) and movie.background.min() > 0


def test_the_same_seed_gives_the_same_movie_and_another_seed_another():
    first, again, other = (np.stack(list(small_movie(seed=s, n_frames=5).frames())) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_movie_follows_its_drift():
    path = np.repeat([[0.0, 0.0], [0.0, 2.0]], 30, axis=0)
    movie = small_movie(drift_px=path, peak_photons=300.0, bleaching_time_s=None, camera=Camera())
    frames = np.stack(list(movie.frames()))
    before, after = (part.mean(0) - movie.background for part in (frames[:30], frames[30:]))
    x = np.arange(before.shape[1])
    moved = after.sum(0) @ x / after.sum() - before.sum(0) @ x / before.sum()
    assert moved == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("phantom", "options"),
    [
        (ArgoPhantom(pixel_size_nm=0.01), {}),
        (ArgoPhantom(line_length_nm=1e9), {}),  # a field narrow but so high that the matrices of one axis do not fit
        (ArgoPhantom(), {"n_frames": 10**13}),
        (ArgoPhantom(), {"factor": 10**5}),
    ],
)
def test_a_movie_larger_than_the_memory_is_refused_before_any_is_taken(phantom, options):
    with pytest.raises(MemoryLimitError, match=r"GiB of memory, and .* GiB are free"):
        SimulatedMovie(phantom, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"peak_photons": float("nan")},
        {"peak_photons": 0.0},
        {"frame_interval_s": -1.0},
        {"bleaching_time_s": 0.0},
        {"background_fraction": -0.1},
        {"n_frames": 0},
        {"drift_px": np.zeros((3, 2))},
    ],
)
def test_a_movie_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError):
        small_movie(**options)


def test_the_record_holds_the_drift():
    drift = np.repeat([[0.0, 0.0], [0.5, -0.25]], 30, axis=0)
    assert small_movie(drift_px=drift).describe()["drift_px"] == drift.tolist()
    assert small_movie().describe()["drift_px"] is None
