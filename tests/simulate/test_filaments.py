"""The network of filaments: its light, its smoothness, its width; and movies of any phantom and any emitters."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.camera import Camera
from fluosr.emitters import BlinkingEmitters, GammaEmitters
from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie

WIDE = 40  # camera pixels of margin: nothing of a filament lies beyond


@settings(max_examples=15)
@given(width=st.sampled_from([5.0, 20.0, 150.0]), factor=st.integers(1, 7), seed=st.integers(0, 1000))
def test_a_network_carries_its_light_whatever_its_width(width, factor, seed):
    phantom = FilamentPhantom((20, 24), count=2, width_nm=width, length_nm=1500.0, seed=seed)
    light = phantom.render(Grid(phantom.field_shape, factor, WIDE)).sum() * (100.0 / factor) ** 2
    assert light == pytest.approx(2 * width * 1500.0, rel=1e-9)


def test_a_straight_filament_is_as_wide_as_it_should_be_and_covers_its_pixels_whole():
    phantom = FilamentPhantom((30, 30), count=1, width_nm=150.0, length_nm=2000.0, persistence_nm=1e6, seed=3)
    factor = 10
    image = phantom.render(Grid(phantom.field_shape, factor, WIDE))
    (curve,) = phantom.curves()
    along = (curve[-1] - curve[0]) / np.linalg.norm(curve[-1] - curve[0])
    y, x = ((np.arange(n) + 0.5) * 10.0 - WIDE * 100.0 for n in image.shape)
    dy, dx = y[:, None] - curve[0][0], x[None, :] - curve[0][1]
    position, across = dy * along[0] + dx * along[1], dy * along[1] - dx * along[0]
    middle = (position > 100) & (position < 1900)
    assert image[middle & (np.abs(across) < 55)].min() > 0.9
    assert image[middle & (np.abs(across) > 95)].max() == 0
    spread = np.average(across[middle] ** 2, weights=image[middle])
    assert spread == pytest.approx(150**2 / 12 + 10**2 / 12, rel=0.1)


def test_directions_are_forgotten_over_the_persistence_length():
    phantom = FilamentPhantom((50, 50), count=400, width_nm=20.0, length_nm=4000.0, persistence_nm=1000.0)
    moves = np.diff(np.array(phantom.curves()), axis=1)
    step = np.linalg.norm(moves[0, 0])
    np.testing.assert_allclose(np.linalg.norm(moves, axis=2), step, rtol=1e-9)
    unit = moves / step
    for n in (10, 50):
        cosine = (unit[:, n:] * unit[:, :-n]).sum(2)
        wanted = math.exp(-n * step / 2000.0)
        error = cosine.mean(1).std() / math.sqrt(400)
        assert abs(cosine.mean() - wanted) < 4.5 * error
    assert (unit[:, 1:] * unit[:, :-1]).sum(2).min() > 0.7  # smooth: no kinks


def test_the_seed_makes_the_network():
    grid = Grid((64, 64), 2)
    one, again, other = (FilamentPhantom(seed=s).render(grid) for s in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert FilamentPhantom(seed=1).describe()["seed"] == 1


@pytest.mark.parametrize(
    "changes",
    [{"count": 0}, {"width_nm": 0.0}, {"length_nm": math.inf}, {"persistence_nm": -1.0}, {"shape": (0, 5)}],
)
def test_networks_that_cannot_be_are_refused(changes):
    with pytest.raises(UsageError):
        FilamentPhantom(**changes)


SMALL = ArgoPhantom(separations_nm=(240.0,), line_length_nm=800.0, control=False, margin_nm=200.0)


def film(phantom=SMALL, **options):
    return SimulatedMovie(phantom, **{"n_frames": 400, "factor": 2, "bleaching_time_s": None, **options})


@pytest.mark.parametrize(
    "emitters",
    [GammaEmitters(20.0), BlinkingEmitters(0.01, 0.02, 0.01, 3000.0), BlinkingEmitters(0.01, 0.02, 0.01, 3000.0, 2.0)],
    ids=["gamma", "blinking", "bleaching"],
)
@pytest.mark.parametrize("phantom", [SMALL, FilamentPhantom((16, 16), count=6, seed=4)], ids=["lines", "filaments"])
def test_a_movie_of_any_phantom_and_emitters_is_in_the_mean_its_truth(phantom, emitters):
    movie = film(phantom, emitters=emitters)
    frames = np.stack([movie.camera.to_photons(f) for f in movie.frames()])
    light = movie._model.operator.forward(movie._emission * movie._kept)[0].numpy()
    total = frames.sum((1, 2)) - movie.background.sum()
    memory = sum((1 if k == 0 else 2) * emitters.covariance_factor(k) for k in range(30))
    noise = math.sqrt(light.sum() * (1 + memory) / len(frames))
    if emitters.levels(2)[1] < 1:
        # Few molecules, and each dies once: their number at the end is a random one.
        noise += emitters.molecule.photons_per_frame * math.sqrt(light.sum() / emitters.molecule.photons_per_frame) / 2
    assert abs(total.mean() - light.sum()) < 4.5 * noise
    assert movie.truth.shape == tuple(2 * n for n in phantom.field_shape)
    assert movie.describe()["emitters"]["model"] == type(emitters).__name__


def test_molecules_that_blink_are_the_truth():
    movie = film(emitters=BlinkingEmitters(0.01, 0.02, 0.01, 3000.0))
    molecules = movie.truth / movie.emitters.molecule.photons_per_frame
    np.testing.assert_allclose(molecules, np.rint(molecules), atol=1e-4)
    assert molecules.max() >= 1 and (molecules == 0).mean() > 0.3


def test_maps_of_the_camera_are_in_the_movie():
    generator = np.random.default_rng(0)
    gain, offset = 2.0 + generator.random(SMALL.field_shape), 100.0 + 20 * generator.random(SMALL.field_shape)
    read = np.where(generator.random(SMALL.field_shape) < 0.1, 20.0, 1.0)
    movie = film(camera=Camera.of(gain, offset, read), n_frames=600, peak_photons=1.0)
    frames = np.stack(list(movie.frames())).astype(float)
    photons = (frames - offset) / gain
    noise = np.sqrt((movie.background + 1.0 + read**2) / 600)
    assert (np.abs(photons.mean(0) - movie.background) < 1.2 + 4.5 * noise).all()
    assert photons.std(0)[read > 10].min() > 15 and photons.std(0)[read < 10].max() < 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"emitters": BlinkingEmitters(0.1, 0.1, 0.01, 100.0, 5.0), "bleaching_time_s": 5.0}, "twice"),
        ({"emitters": BlinkingEmitters(0.1, 0.1, 0.02, 100.0)}, "frames of 0.02 s"),
        ({"camera": Camera.of(np.ones((3, 3)))}, "maps are"),
        ({"phantom": FilamentPhantom((4, 4), count=1, length_nm=10.0, seed=1)}, "nothing of the phantom"),
    ],
)
def test_movies_that_contradict_themselves_are_refused(options, word):
    with pytest.raises(UsageError, match=word):
        film(**options)
