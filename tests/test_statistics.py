"""What is known of a movie without holding it equals what numpy finds in the whole array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr import acquisition, statistics
from fluosr.acquisition import Acquisition
from fluosr.camera import Camera
from fluosr.errors import AcquisitionError
from fluosr.optics.psf import FWHM_PER_SIGMA, GaussianPSF, gaussian_integrals
from fluosr.statistics import MovieStatistics, gather
from tests.movies import CROSS, FWHM_NM, PIXEL_NM, frames_of, light_of, movie_of


def of_frames(frames: np.ndarray, chunk_bytes: int | None = None, **camera: float) -> MovieStatistics:
    with pytest.MonkeyPatch.context() as patch:
        if chunk_bytes is not None:
            patch.setattr(acquisition, "CHUNK_BYTES", chunk_bytes)
        return gather(movie_of(frames, **camera))


@settings(max_examples=30)
@given(
    n_frames=st.integers(2, 75),
    chunk_bytes=st.integers(1, 40_000),
    gain=st.sampled_from([1.0, 2.5]),
    seed=st.integers(0, 1000),
)
def test_they_equal_the_obvious_ones_for_any_size_of_chunk(
    n_frames: int, chunk_bytes: int, gain: float, seed: int
) -> None:
    frames = np.random.default_rng(seed).poisson(9.0, (n_frames, 5, 7)).astype(np.uint16)
    found = of_frames(frames, chunk_bytes, gain=gain, offset=3.0)
    photons = (frames - 3.0) / gain
    close = {"rtol": 1e-5, "atol": 1e-5}
    assert found.n_frames == n_frames
    np.testing.assert_allclose(found.mean, photons.mean(0), **close)
    np.testing.assert_allclose(found.trace, photons.mean((1, 2)), **close)
    differences = np.diff(photons, axis=0)
    np.testing.assert_allclose(found.variance, (differences**2).sum(0) / (2 * (n_frames - 1)), **close)
    block, half = found.block_of_frame(), np.arange(n_frames) % 2
    for b in range(found.counts.shape[1]):
        np.testing.assert_allclose(found.block_means()[b], photons[block == b].mean(0), **close)
        for h in (0, 1):
            chosen = (block == b) & (half == h)
            assert found.counts[h, b] == chosen.sum()
            np.testing.assert_allclose(found.sums[h, b], photons[chosen].sum(0), **close)


@given(n_frames=st.integers(2, 1200))
def test_blocks_follow_each_other_and_are_about_alike(n_frames: int) -> None:
    found = of_frames(np.zeros((n_frames, 4, 4), np.uint8))
    block = found.block_of_frame()
    assert block.shape == (n_frames,)
    assert (np.diff(block) >= 0).all() and (np.diff(block) <= 1).all()
    sizes = found.counts.sum(0)
    assert len(sizes) <= statistics.MAXIMUM_BLOCKS
    assert sizes.sum() == n_frames and sizes.max() - sizes.min() <= 1
    assert (np.abs(found.counts[0] - found.counts[1]) <= 1).all()


def test_the_halves_hold_every_frame_once() -> None:
    frames = np.zeros((61, 4, 4), np.uint16)
    frames[:, 0, 0] = np.arange(61)
    found = of_frames(frames)
    assert found.sums[0, :, 0, 0].sum() == np.arange(0, 61, 2).sum()
    assert found.sums[1, :, 0, 0].sum() == np.arange(1, 61, 2).sum()


def test_blocks_merge_into_groups() -> None:
    frames = np.random.default_rng(2).poisson(20.0, (57, 4, 6)).astype(np.uint16)
    found = of_frames(frames)
    labels = np.array([0, 1, 1, 0, 2])
    means, counts = found.grouped(labels)
    group = labels[found.block_of_frame()]
    for k in range(3):
        for half in (0, 1):
            chosen = (group == k) & (np.arange(57) % 2 == half)
            assert counts[half, k] == chosen.sum()
            np.testing.assert_allclose(means[half, k], frames[chosen].mean(0), rtol=1e-5)


def test_the_variance_knows_neither_bleaching_nor_drift() -> None:
    decay = np.exp(-np.arange(400) / 150.0)
    frames = np.random.default_rng(0).poisson(50.0 * decay[:, None, None] * np.ones((12, 12))).astype(np.uint16)
    found = of_frames(frames)
    assert found.variance.mean() == pytest.approx(frames.mean(), rel=0.05)
    assert frames.var(0).mean() > 3.0 * frames.mean()  # the plain variance is far off
    assert np.corrcoef(found.trace, decay)[0, 1] > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_at_the_ceiling_are_counted(dtype: type[np.unsignedinteger]) -> None:
    frames = np.full((40, 6, 6), 7, dtype)
    frames[:10, 2, 3] = np.iinfo(dtype).max
    frames[:, 4, 4] = np.iinfo(dtype).max - 1
    found = of_frames(frames, gain=2.2, offset=100.0)
    assert found.at_ceiling[2, 3] == pytest.approx(0.25)
    assert found.at_ceiling[4, 4] == 0.0 and found.at_ceiling.sum() == pytest.approx(0.25)


def test_real_numbers_have_no_ceiling() -> None:
    assert of_frames(np.full((5, 4, 4), 1e12, np.float32)).at_ceiling.max() == 0.0


@pytest.mark.parametrize("photons", [0.02, 0.5, 5.0, 100.0])
@pytest.mark.parametrize("read_noise", [0.0, 1.2])
def test_poisson_frames_show_no_excess_noise(photons: float, read_noise: float) -> None:
    generator = np.random.default_rng(4)
    frames = generator.poisson(photons * (1 + generator.random((40, 50))), (60, 40, 50)).astype(np.float32)
    frames += read_noise * generator.standard_normal(frames.shape).astype(np.float32)
    assert of_frames(frames).excess_noise(read_noise**2) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("excess", [0.25, 2.0, 8.0])
def test_excess_noise_is_measured(excess: float) -> None:
    counts = np.random.default_rng(6).poisson(80.0, (60, 40, 50)) * excess  # variance / mean
    assert of_frames(counts.astype(np.float32)).excess_noise(0.0) == pytest.approx(excess, rel=0.1)


def test_hot_pixels_do_not_raise_it() -> None:
    frames = frames_of(np.full((40, 50), 20.0))
    frames[::2, 7, 9] = 60_000
    frames[::3, 30, 3] = 50_000
    assert of_frames(frames).excess_noise(0.0) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("level", [0, 100])
def test_a_movie_without_noise_tells_nothing_of_it(level: int) -> None:
    assert of_frames(np.full((40, 8, 8), level, np.uint16)).excess_noise(0.25) == 1.0


def test_frames_in_another_order_show_the_same_poisson_noise() -> None:
    frames = frames_of(light_of(CROSS, background=3.0))
    generator = np.random.default_rng(7)
    found = {of_frames(generator.permutation(frames)).excess_noise(0.0) for _ in range(10)}
    assert found == {1.0}


def blinking_movie(
    on_frames: float, off_frames: float, n_frames: int, *, drift_px: float = 0.0, seed: int = 0
) -> np.ndarray:
    """(T, 24, 24) Poisson counts of 150 emitters that switch on and off for geometric times; off 0: always on."""
    generator = np.random.default_rng(seed)
    sigma = FWHM_NM / FWHM_PER_SIGMA / PIXEL_NM
    places = generator.uniform(0, 24, (2, 150))
    on = generator.random(150) < on_frames / (on_frames + off_frames)
    states = np.empty((n_frames, 150))
    for state in states:
        state[:] = on
        on ^= generator.random(150) < np.where(on, 1 / on_frames, 1 / max(off_frames, 1e-9)) * (off_frames > 0)
    light = np.empty((n_frames, 24, 24))
    for number, state in enumerate(states):
        moved = places + drift_px * number / n_frames
        rows, columns = (gaussian_integrals(np.arange(24)[:, None], 1.0, place, sigma) for place in moved)
        light[number] = (rows * 100.0 * state) @ columns.T + 5.0
    return generator.poisson(light)


@pytest.mark.parametrize(
    ("n_frames", "on_frames", "off_frames"), [(200, 10, 30), (500, 10, 30), (1501, 10, 30), (1501, 30, 100)]
)
def test_slow_blinking_is_in_the_noise_of_the_mean_frame(n_frames: int, on_frames: int, off_frames: int) -> None:
    """Against the variance of the mean over all states of the emitters, of which one movie holds only a few."""
    found = of_frames(blinking_movie(on_frames, off_frames, n_frames))
    assert found._fast_excess(0.0) < 1.3  # the halves hardly see it
    # Variance of the mean of T states, correlated by rho^|t|, over that of independent ones, in photons.
    share = on_frames / (on_frames + off_frames)
    rho = 1 - 1 / on_frames - 1 / off_frames
    lags = np.arange(1, n_frames)
    correlated = 1 + 2 * ((1 - lags / n_frames) * rho**lags).sum()
    sigma = FWHM_NM / FWHM_PER_SIGMA / PIXEL_NM
    density, squared = 150 / 24**2, 1 / (4 * np.pi * (sigma**2 + 1 / 12))  # emitters a pixel; sum of the PSF squared
    truth = 1 + 100.0**2 * share * (1 - share) * density * squared * correlated / (100 * share * density + 5)
    assert 0.3 * truth < found.excess_noise(0.0) < 1.7 * truth


@pytest.mark.parametrize("bleaching_frames", [1e9, 500.0, 150.0])
@pytest.mark.parametrize("n_frames", [120, 500, 2000])
def test_steady_emitters_that_bleach_show_no_slow_noise(n_frames: int, bleaching_frames: float) -> None:
    decay = np.exp(-np.arange(n_frames) / bleaching_frames)[:, None, None]
    spots = light_of([(6.2, 5.1, 900.0), (10.0, 12.0, 900.0)])
    slow = light_of([(8.0, 9.0, 600.0)])  # bleaches only half as fast
    for seed in range(3):
        frames = np.random.default_rng(seed).poisson(decay * spots + np.sqrt(decay) * slow + 4.0)
        found = of_frames(frames)
        assert found.excess_noise(0.0) == found._fast_excess(0.0)


def test_a_lamp_that_flickers_and_unseen_drift_are_no_slow_noise() -> None:
    frames = blinking_movie(1, 0, 400, drift_px=0.04)
    lamp = np.repeat(np.random.default_rng(2).uniform(0.8, 1.0, 10), 40)[:, None, None]
    frames = np.random.default_rng(3).binomial(frames, lamp)
    assert of_frames(frames).excess_noise(0.0) == 1.0


def test_blocks_that_drift_are_not_asked_for_slow_noise() -> None:
    frames = blinking_movie(1, 0, 400)
    frames[100:200] = np.roll(frames[100:200], 2, axis=2)
    frames[300:] = np.roll(frames[300:], 3, axis=1)
    found = of_frames(frames)
    assert found.excess_noise(0.0) > 2.0  # drift and blinking look alike here
    assert found.excess_noise(0.0, drifting=True) == 1.0


def test_pixels_that_are_not_used_make_no_slow_noise() -> None:
    frames = frames_of(light_of(CROSS, background=20.0), 300)
    frames[:150, 4:12, 4:14] += 300
    used = np.ones((16, 18), bool)
    used[4:12, 4:14] = False
    assert of_frames(frames).excess_noise(0.0, used=used) == 1.0


@pytest.mark.parametrize("n_frames", [2, 40, 300])
def test_one_image_repeated_is_no_movie(n_frames: int) -> None:
    still = frames_of(light_of(CROSS, background=3.0), 1)
    movie = movie_of(np.repeat(still, n_frames, axis=0))
    with pytest.raises(AcquisitionError, match=f"all {n_frames} frames are identical.*Give the movie"):
        gather(movie)
    frames = np.repeat(still, n_frames, axis=0)
    frames[-1, 0, 0] += 1
    gather(movie_of(frames))  # anything that changes makes it a movie


def test_progress_adds_up_to_the_movie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "CHUNK_BYTES", 5000)
    steps: list[int] = []
    gather(movie_of(np.zeros((70, 16, 18), np.uint16)), steps.append)
    assert sum(steps) == 70 and len(steps) > 10


def test_nan_is_refused() -> None:
    frames = np.ones((30, 8, 8), np.float32)
    frames[21, 3, 3] = np.nan
    movie = movie_of(frames)
    with pytest.raises(AcquisitionError, match="frame 21"):
        gather(movie)


@dataclass
class EndlessFrames:
    """A long movie that exists nowhere: made when it is read, and it remembers how much was asked for at once."""

    shape: tuple[int, int, int]
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint16))
    asked: list[int] = field(default_factory=list)

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        numbers = np.arange(self.shape[0])[indices if isinstance(indices, slice) else list(indices)]
        self.asked.append(len(numbers))
        return np.broadcast_to((numbers % 97).astype(np.uint16)[:, None, None], (len(numbers), *self.shape[1:]))


def test_a_movie_of_20000_frames_is_never_held_whole() -> None:
    frames = EndlessFrames((20_000, 64, 64))
    found = gather(Acquisition(frames, 100.0, GaussianPSF(300.0), Camera()))
    frame_bytes = 64 * 64 * 4
    assert max(frames.asked) * frame_bytes <= acquisition.CHUNK_BYTES < 0.05 * 20_000 * frame_bytes
    assert sum(frames.asked) == 20_000  # each frame once
    assert found.n_frames == 20_000
    held = sum(getattr(found, name).nbytes for name in ("sums", "variance", "at_ceiling"))
    assert held < 110 * frame_bytes
    np.testing.assert_allclose(found.mean, (np.arange(20_000) % 97).mean(), rtol=1e-5)


def test_one_frame_larger_than_a_chunk_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "CHUNK_BYTES", 1)
    frames = EndlessFrames((12, 9, 9))
    gather(Acquisition(frames, 100.0, GaussianPSF(300.0), Camera()))
    assert frames.asked == [1] * 12


def test_reading_takes_little_memory() -> None:
    import tracemalloc

    frames = EndlessFrames((3000, 64, 64))
    tracemalloc.start()
    gather(Acquisition(frames, 100.0, GaussianPSF(300.0), Camera()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * acquisition.CHUNK_BYTES


@pytest.mark.parametrize("seed", range(4))
def test_steady_light_shows_no_fluctuation_and_blinking_does(seed: int) -> None:
    light = light_of(CROSS, background=3.0)
    used = np.ones(light.shape, bool)
    steady = gather(movie_of(frames_of(light, 200, seed=seed))).fluctuation_significance(used)
    blinking = gather(movie_of(frames_of(light, 200, seed=seed, blinking=True))).fluctuation_significance(used)
    assert abs(steady) < 3.5
    assert blinking > 10


def test_model_3_fluctuates_a_little_and_is_seen_to() -> None:
    from fluosr.simulate.argo import ArgoPhantom
    from fluosr.simulate.movie import SimulatedMovie

    movie = SimulatedMovie(ArgoPhantom(separations_nm=(150.0,)), n_frames=500, peak_photons=30.0)
    frames = np.stack([np.rint(f) for f in movie.frames()]).astype(np.uint16)
    opened = movie_of(frames, gain=4.0, offset=100.0, read_noise=0.5)
    assert gather(opened).fluctuation_significance(np.ones(frames.shape[1:], bool)) > 4


def test_a_movie_that_bleaches_or_ends_in_the_dark_has_no_black_frames() -> None:
    light = light_of(CROSS, background=3.0)
    level = np.exp(-np.arange(60) / 10.0)
    level[50:] = 0.0
    frames = np.random.default_rng(0).poisson(light * level[:, None, None]).astype(np.uint16)
    assert not gather(movie_of(frames)).black_frames().any()
    frames[20] = 0
    assert list(np.flatnonzero(gather(movie_of(frames)).black_frames())) == [20]
    # An offset that is a little off leaves the last frames around zero, on both sides of it.
    level = np.exp(-np.arange(200) / 20.0)
    counts = np.random.default_rng(1).poisson(4 + 5 * light * level[:, None, None]).astype(np.uint16)
    assert not gather(movie_of(counts, offset=4.05)).black_frames().any()
