"""Fano factor, memory, bleaching and gain from simulated movies: intervals hold the truth, and nothing fakes kappa."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, gaussian_filter, zoom

from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.corrections.fluctuation_estimate import estimate_fluctuations
from fluosr.corrections.intervals import Interval
from fluosr.corrections.lag_curve import Window
from fluosr.corrections.neighbours import REACH, pair_up, points, window_products
from fluosr.emitters import BlinkingEmitters, CompoundPoissonEmitters, PoissonEmitters, SteadyEmitters
from fluosr.errors import AcquisitionError
from fluosr.io.description import describe_movie
from fluosr.io.simulation import save_simulation
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie

BLINKING = BlinkingEmitters.of_fano_factor(30.0, 0.02, 0.08, 0.01)  # memory: 1.6 frames
PSF = GaussianPSF(324.0)


def film(emitters, seed=0, **options):
    phantom = FilamentPhantom((36, 36), count=8, seed=seed + 50)
    usual = {"factor": 2, "n_frames": 300, "emitters": emitters, "bleaching_time_s": None, "seed": seed}
    return SimulatedMovie(phantom, **usual | options)


def acquired(movie, frames=None, camera=None):
    stack = np.stack(list(movie.frames())) if frames is None else frames
    return Acquisition(ArrayFrames(stack), 100.0, movie.psf, camera or movie.camera, frame_interval_s=0.01)


def estimates(emitters, n=8, **options):
    return [estimate_fluctuations(acquired(film(emitters, seed, **options))) for seed in range(n)]


@pytest.mark.parametrize(
    "emitters", [SteadyEmitters(), PoissonEmitters(), CompoundPoissonEmitters(30.0)], ids=["steady", "poisson", "30"]
)
def test_intervals_hold_the_fano_factor_and_the_gain(emitters):
    found = estimates(emitters)
    kappa = emitters.fano_factor
    assert sum(e.fano_factor.holds(kappa) for e in found) >= 6
    assert sum(e.gain_ratio.holds(1.0) for e in found) >= 6
    values = np.array([e.fano_factor.value for e in found])
    # No bias beyond what eight movies can tell, and narrow enough to be of use.
    assert abs(values.mean() - kappa) < 4 * values.std(ddof=1) / math.sqrt(8) + 0.02 * kappa
    assert values.std() < 0.1 + 0.05 * kappa
    assert sum(e.memory_frames is not None for e in found) <= 1
    assert sum(e.carries_nothing for e in found) >= 6 if kappa == 0 else not any(e.carries_nothing for e in found)
    assert all(e.longest_memory_frames < 2.0 for e in found if kappa > 0)


def test_the_memory_of_blinking_molecules_and_their_fano_factor():
    found = estimates(BLINKING)
    memory = 1 / BLINKING.molecule.switching_rate / 0.01
    assert all(e.memory_frames is not None for e in found)
    assert sum(e.memory_frames.holds(memory) for e in found) >= 6
    assert sum(e.fano_factor.holds(30.0) for e in found) >= 6
    assert found[0].memory_s.value == pytest.approx(0.01 * found[0].memory_frames.value)


@pytest.mark.parametrize("emitters", [BLINKING, CompoundPoissonEmitters(30.0)], ids=["blinking", "bursts"])
@pytest.mark.parametrize("n_frames", [60, 120, 200])
def test_short_movies_know_less_and_not_something_else(emitters, n_frames):
    found = estimates(emitters, 6, n_frames=n_frames, peak_photons=60.0)
    assert sum(e.fano_factor.holds(30.0) for e in found) >= 5
    assert np.median([e.fano_factor.high for e in found]) < 60.0
    unseen = [e for e in found if e.memory_frames is None]
    assert all("none seen, below" in " ".join(e.words(4.0)) for e in unseen)


def test_slow_blinking_is_not_taken_for_weak_blinking():
    """Memory of 20 frames in windows of 30: kappa is hardly known, and its interval says so."""
    slow = BlinkingEmitters.of_fano_factor(30.0, 0.25, 1.0, 0.01)
    found = estimates(slow, 6)
    assert sum(e.fano_factor.holds(30.0) for e in found) >= 5 <= sum(e.memory_frames.holds(20.0) for e in found)
    assert not any(e.carries_nothing for e in found)
    unbounded = [e for e in found if e.memory_frames is not None and math.isinf(e.memory_frames.high)]
    assert unbounded
    for e in unbounded:
        assert math.isinf(e.fano_factor.high) and e.memory_frames.value > 29
        assert any("blink so slowly" in words for words in e.warnings(1.0))


def test_bleaching_is_timed_and_fakes_nothing():
    found = estimates(SteadyEmitters(), 6, bleaching_time_s=3.0)
    assert sum(e.bleaching_s.holds(3.0) for e in found) >= 4
    assert sum(e.fano_factor.holds(0.0) for e in found) >= 4
    still = estimates(PoissonEmitters(), 4)
    assert sum(math.isinf(e.bleaching_frames.high) for e in still) >= 3


def test_drift_fakes_nothing():
    drift = np.round(np.stack([np.linspace(0, 2, 300), np.linspace(1, -0.5, 300)], axis=1), 1)
    for emitters in (SteadyEmitters(), CompoundPoissonEmitters(30.0)):
        found = estimate_fluctuations(acquired(film(emitters, drift_px=drift)))
        assert found.fano_factor.value == pytest.approx(emitters.fano_factor, abs=0.2 + 0.1 * emitters.fano_factor)


def test_a_lamp_that_flickers_fakes_nothing():
    movie = film(SteadyEmitters())
    expected = movie._model.operator.forward(movie._emission)[0].numpy() + movie.background
    generator = np.random.default_rng(0)
    lamp = 1 + 0.04 * generator.standard_normal(300)
    frames = np.stack([movie.camera.expose(expected * level, generator) for level in lamp])
    found = estimate_fluctuations(acquired(movie, frames))
    assert abs(found.fano_factor.value) < 0.2
    assert found.gain_ratio.value == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("emitters", [SteadyEmitters(), CompoundPoissonEmitters(30.0)], ids=["steady", "30"])
def test_a_wrong_gain_is_said_and_the_right_one_suggested(emitters):
    movie = film(emitters)
    wrong = acquired(movie, camera=Camera(7.0, 100.0, 0.5 * 4 / 7))
    found = estimate_fluctuations(wrong)
    assert found.gain_is_wrong and found.gain_ratio.value * 7.0 == pytest.approx(4.0, rel=0.05)
    assert found.fano_factor.value == pytest.approx(emitters.fano_factor, abs=0.2 + 0.1 * emitters.fano_factor)
    (warning,) = (w for w in found.warnings(7.0) if "gain" in w)
    assert "vary less than their photons must" in warning
    assert float(warning.partition("--gain ")[2].split()[0]) == pytest.approx(4.0, rel=0.05)
    right = estimate_fluctuations(acquired(movie))
    assert not right.gain_is_wrong


def test_a_movie_without_fluctuations_is_told_that_they_carry_nothing():
    found = estimate_fluctuations(acquired(film(SteadyEmitters(), 1)))
    assert any("carry nothing" in w and "includes 0" in w for w in found.warnings(4.0))
    assert found.describe()["fano_factor"]["low"] <= 0
    loud = estimate_fluctuations(acquired(film(CompoundPoissonEmitters(30.0), 1)))
    assert loud.warnings(4.0) == []


def test_other_psfs_and_bad_pixels():
    found = estimate_fluctuations(acquired(film(CompoundPoissonEmitters(30.0), psf=AiryPSF(1.2, 600.0))))
    assert found.fano_factor.value == pytest.approx(30.0, rel=0.1)
    movie = film(CompoundPoissonEmitters(30.0), 2)
    frames = np.stack(list(movie.frames()))
    generator = np.random.default_rng(0)
    frames[:, 12, 20] = generator.uniform(0, 5000, 300)
    frames[:, 12, 21] = frames[:, 12, 20]
    used = np.ones((36, 36), bool)
    used[12, 20:22] = False
    found = estimate_fluctuations(acquired(movie, frames), used=used)
    assert found.fano_factor.value == pytest.approx(30.0, rel=0.1)


def test_a_large_field_is_looked_at_where_it_is_bright():
    movie = film(CompoundPoissonEmitters(30.0), n_frames=100)
    frames = np.stack(list(movie.frames()))
    wide = np.random.default_rng(0).normal(104, 2, (100, 60, 260)).astype(np.float32)
    wide[:, 10:46, 200:236] = frames
    found = estimate_fluctuations(acquired(movie, wide))
    assert found.fano_factor.value == pytest.approx(30.0, rel=0.35)


def test_too_few_frames_and_no_contrast_are_refused():
    few = acquired(film(SteadyEmitters(), n_frames=20))
    with pytest.raises(AcquisitionError, match="20 frames are too few"):
        estimate_fluctuations(few)
    dark = np.zeros((60, 20, 20), np.uint16)
    dark[::2, 0, 0] = 1
    flat = Acquisition(ArrayFrames(dark), 100.0, PSF, Camera())
    with pytest.raises(AcquisitionError, match="no contrast"):
        estimate_fluctuations(flat)


def test_hot_pixels_are_left_out_unasked():
    movie = film(CompoundPoissonEmitters(30.0), 2)
    frames = np.stack(list(movie.frames()))
    frames[:, [12, 20, 25], [20, 9, 28]] = 60000
    found = estimate_fluctuations(acquired(movie, frames))
    assert found.fano_factor.value == pytest.approx(30.0, rel=0.1)


def test_frames_that_are_all_identical_are_refused():
    still = Acquisition(ArrayFrames(np.full((60, 20, 20), 500, np.uint16)), 100.0, PSF, Camera())
    with pytest.raises(AcquisitionError, match="all 60 frames are identical"):
        estimate_fluctuations(still)


def test_no_gain_is_suggested_where_neighbours_share_all_noise():
    movie = film(CompoundPoissonEmitters(30.0), n_frames=100)
    frames = np.stack(list(movie.frames()))
    smooth = np.stack([zoom(frame, 3, order=1) for frame in frames.astype(np.float32)])
    (warning,) = estimate_fluctuations(acquired(movie, smooth)).warnings(4.0)
    assert "interpolated" in warning and "--gain" not in warning


def test_fluctuations_are_not_lost_in_a_gain_that_may_be_nil():
    movie = film(CompoundPoissonEmitters(30.0), 1, n_frames=200)
    smooth = gaussian_filter(np.stack(list(movie.frames())).astype(np.float32), (0, 0.7, 0.7))
    found = estimate_fluctuations(acquired(movie, smooth))
    assert found.gain_ratio.value > 0 > found.gain_ratio.low
    assert not found.carries_nothing and found.fano_factor.value == pytest.approx(30.0, rel=0.2)
    (warning,) = found.warnings(4.0)
    assert warning == found.gain_warning(4.0) and "no gain explains them" in warning


def test_noise_beyond_that_of_photons_is_said_and_halves_no_kappa():
    movie = film(CompoundPoissonEmitters(30.0), 3)
    photons = np.stack(list(movie.frames())) / 4.0
    # An EM register: each electron gives a random number of them, of variance 1 about 1.
    multiplied = np.random.default_rng(0).gamma(np.maximum(photons - 25.0, 0.0) + 1e-9, 1.0) + 25.0
    found = estimate_fluctuations(acquired(movie, (4.0 * multiplied).astype(np.float32)))
    assert found.gain_ratio.value == pytest.approx(2.0, rel=0.1)
    assert found.fano_factor.value == pytest.approx(30.0, rel=0.15) and found.divided_by == 1.0
    (warning,) = found.warnings(4.0)
    assert "EM" in warning and float(warning.split("the gain is ")[1].split(",")[0]) == pytest.approx(8.0, rel=0.1)


def test_light_in_one_stretch_of_the_movie_is_refused():
    movie = film(CompoundPoissonEmitters(30.0), n_frames=60)
    frames = np.full((60, 36, 36), 100.0, np.float32)
    frames[7] = next(iter(movie.frames()))
    with pytest.raises(AcquisitionError, match="in one stretch of 12 frames"):
        estimate_fluctuations(acquired(movie, frames))


def test_scattered_bad_pixels_do_not_pull_kappa_down_nor_the_gain_up():
    shifts = []
    for seed in range(4):
        movie = acquired(film(CompoundPoissonEmitters(30.0), seed, n_frames=200))
        used = np.random.default_rng(seed).uniform(size=(36, 36)) > 0.03
        whole, holed = (estimate_fluctuations(movie, used=mask) for mask in (np.ones_like(used), used))
        shifts.append((holed.fano_factor.value / whole.fano_factor.value, holed.gain_ratio.value))
    kappa, gain = np.mean(shifts, 0)
    assert kappa == pytest.approx(1.0, abs=0.03) and gain == pytest.approx(1.0, abs=0.02)


def test_light_that_is_gone_leaves_the_bleaching_time_unknown():
    movie = film(SteadyEmitters(), n_frames=100, bleaching_time_s=0.2)
    low = acquired(movie, camera=Camera(4.0, 103.0, 0.5))  # the offset lies above the last, dark frames
    found = estimate_fluctuations(low)
    assert "bleaching time: not known; some of the movie has no light above the offset" in found.words(4.0)


def test_fluctuations_below_zero_are_not_said_to_include_zero():
    below = replace(estimate_fluctuations(acquired(film(SteadyEmitters(), 1))), fano_factor=Interval(-2.0, -3.0, -1.0))
    (warning,) = below.warnings(4.0)
    assert "carry nothing" in warning and "includes 0" not in warning


def test_pairs_speak_of_the_light_whatever_the_sample_is():
    """sum_p w_p sum_d K_d A_pi A_p+d,i = sum_p v_p A_pi, for points anywhere that the contrast looks at."""
    acquisition = acquired(film(SteadyEmitters(), 3))
    pairs = pair_up(acquisition)
    operator = imaging_operator((36, 36), 4, PSF, 100.0, dtype=torch.float64)
    start = operator.grid.margin * 4
    rows = []
    for y, x in np.random.default_rng(0).integers(start + 24, start + 120, (60, 2)):
        point = torch.zeros(operator.grid.shape, dtype=torch.float64)
        point[y, x] = 1.0
        seen = operator.forward(point)[0].numpy()
        neighbours = correlate(seen, pairs.kernel, mode="constant")
        rows.append(
            [
                (pairs.contrast * seen).sum(),
                (pairs.weight * seen * neighbours).sum(),
                (pairs.own_weight * seen**2).sum(),
            ]
        )
    light, pair, own = np.array(rows).T
    scale = np.abs(light).max()
    assert np.abs(pair - light).max() < 0.02 * scale
    # The mean of the weights of single pixels is taken off: a constant.
    assert np.abs(own - light - np.median(own - light)).max() < 0.05 * scale
    assert pairs.kernel[REACH, REACH] == 0 and pairs.own == pytest.approx((points(PSF, 100.0) ** 2).sum((1, 2)).mean())


def test_products_are_those_of_a_slow_loop():
    generator = np.random.default_rng(0)
    frames = generator.normal(10, 2, (24, 12, 13))
    acquisition = Acquisition(ArrayFrames(frames), 100.0, PSF, Camera())
    pairs = pair_up(acquisition)
    window = Window(12)
    for number, found in enumerate(window_products(acquisition, pairs, window)):
        y = frames[12 * number : 12 * number + 12].astype(np.float32).astype(float)
        rest = np.einsum("st,tyx->syx", window.projection, y)
        for k in (0, 2):
            wanted = 0.0
            for t in range(12 - k):
                for a, b in ((t, t + k), (t + k, t)):
                    padded = np.pad(rest[b], REACH)
                    for dy in range(7):
                        for dx in range(7):
                            moved = padded[dy : dy + 12, dx : dx + 13]
                            wanted += pairs.kernel[dy, dx] * (pairs.weight * rest[a] * moved).sum() / 2
            assert found.shared[k] == pytest.approx(wanted, rel=1e-6, abs=1e-6)
            sums = rest.sum((1, 2))
            total = sum(sums[t] * sums[t + k] - (rest[t] * rest[t + k]).sum() for t in range(12 - k))
            assert found.total[k] == pytest.approx(total, rel=1e-6, abs=1e-6)


def test_info_says_it_where_the_psf_is_known(tmp_path):
    movie = film(replace(BLINKING, photons_per_s=3 * BLINKING.photons_per_s))
    path = save_simulation(movie, tmp_path / "b.tif").files[0]
    said = "\n".join(describe_movie(path, fwhm_nm=324.0, gain=8.0, offset=100.0, read_noise=0.25))
    for words in ("Fano factor", "memory of blinking", "bleaching time", "vary less than", "nothing is missing"):
        assert words in said
    assert "Fano" not in "\n".join(describe_movie(path))
    assert "too few" in "\n".join(describe_movie(path, fwhm_nm=324.0, frames="0:20"))


@pytest.mark.parametrize("method", ["fluogan", "sofi"])
def test_every_method_doubts_a_gain_that_leaves_no_shot_noise(method):
    import fluosr

    movie = film(SteadyEmitters(), n_frames=60)
    quick = {"iterations": 5, "sparsity": 0.7, "smoothness": 0.3} if method == "fluogan" else {}
    said = []
    for gain in (4.0, 8.0):
        made = fluosr.reconstruct(
            acquired(movie, camera=Camera(gain, 100.0, 2.0 / gain)), method=method, factor=2, halves=False, **quick
        )
        said.append([w for w in made.warnings if "vary less than their photons must" in w])
    assert said[0] == [] and len(said[1]) == 1 and "--gain 4" in said[1][0]
