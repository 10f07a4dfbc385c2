"""DivNoising: its bound against slow sums, its training, and what it gains on a movie whose light is known."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import fluosr
from fluosr import checkpoint
from fluosr.acquisition import Acquisition
from fluosr.camera import Camera
from fluosr.corrections.movie import CorrectedMovie, correct
from fluosr.emitters import SteadyEmitters
from fluosr.errors import MemoryLimitError, UsageError
from fluosr.methods.base import Run
from fluosr.methods.divnoising.maker import DivnoisingMaker
from fluosr.methods.divnoising.noise import LEAST_VARIANCE_E2, CameraNoise, EvenNoise, negative_log_likelihood
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import Patches, TrainingFrames, choose_frames
from fluosr.methods.divnoising.posterior import Denoiser, Estimate
from fluosr.methods.divnoising.training import Training, bound_terms
from fluosr.networks.variational import VariationalAutoencoder, sample_latent
from fluosr.optics.operators import imaging_operator
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie
from tests.movies import CROSS, cross_movie, light_of, movie_of

TINY = {"iterations": 12, "batch": 2, "patch_px": 16, "filters": 4, "frame_samples": 1, "samples": 3}
PLAIN = {"drift": False, "bleaching": False, "bad_pixels": False}


def corrected(movie: Acquisition | None = None) -> CorrectedMovie:
    return correct(cross_movie() if movie is None else movie, **PLAIN)


def frames_to_learn_from(movie: CorrectedMovie | None = None) -> TrainingFrames:
    return choose_frames(movie or corrected(), np.random.default_rng(0))


def training(**changes: Any) -> Training:
    return Training(frames_to_learn_from(), CameraNoise(0.5), DivnoisingParameters(**(TINY | changes)), seed=0)


def finish(made: Training) -> Training:
    while not made.finished:
        made.step()
    return made


# The noise


@settings(deadline=None, max_examples=50)
@given(
    x=st.floats(-5, 500),
    s=st.floats(-5, 500),
    read_noise=st.floats(0, 5),
    scale=st.floats(0.5, 2),
)
def test_the_likelihood_is_the_cameras(x: float, s: float, read_noise: float, scale: float) -> None:
    frame, signal, scales = (torch.tensor([[[v]]], dtype=torch.float64) for v in (x, s, scale))
    # A frame scaled by c showed s / c photons; the floor is one of the camera's counts.
    seen = Camera(read_noise_e=read_noise).noise_variance(np.array(s / scale))
    variance = scale**2 * max(float(seen), LEAST_VARIANCE_E2)
    found = float(negative_log_likelihood(frame, signal, scales, CameraNoise(read_noise)))
    assert found == pytest.approx(-norm.logpdf(x, s, math.sqrt(variance)), rel=1e-9, abs=1e-9)
    even = float(negative_log_likelihood(frame, signal, scales, EvenNoise(1.5)))
    assert even == pytest.approx(-norm.logpdf(x, s, 1.5 * scale), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("light", [0.1, 3.0, 40.0])
def test_the_likeliest_signal_is_the_light_itself(light: float) -> None:
    """The variance depends on the signal, and must not draw it to where noise is large."""
    counts = Camera(read_noise_e=0.5).expose(np.full(200_000, light), np.random.default_rng(0))
    signals = np.linspace(0.6, 1.4, 81) * light
    frame, ones = torch.as_tensor(counts)[None, None].double(), torch.ones(1, 1, 1, dtype=torch.float64)
    losses = [
        float(negative_log_likelihood(frame, torch.full_like(frame, s), ones, CameraNoise(0.5)).mean()) for s in signals
    ]
    assert signals[int(np.argmin(losses))] == pytest.approx(light, rel=0.03)


def test_a_dark_or_negative_signal_has_a_finite_loss_and_slope() -> None:
    signal = torch.tensor([[[-100.0, -1.0, 0.0, 1e-8]]], requires_grad=True)
    loss = negative_log_likelihood(torch.ones(1, 1, 4), signal, torch.ones(1, 1, 1), CameraNoise(0.0))
    loss.sum().backward()
    assert torch.isfinite(loss).all() and signal.grad is not None
    assert (signal.grad < 0).all()  # more light is likelier


# The bound


def test_the_bound_is_the_slow_sum() -> None:
    frames = frames_to_learn_from()
    generator = torch.Generator().manual_seed(2)
    network = VariationalAutoencoder(generator, 3).double()
    patches = frames.draw(torch.tensor([0, 3]), 16, generator)
    patches = Patches(patches.values.double(), patches.used.double(), torch.tensor([[[1.0]], [[1.3]]]).double())
    patches.used[0, 2, 5] = patches.used[1, :, 7] = 0.0
    normal = torch.randn(2, 64, 4, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        found = [float(term) for term in bound_terms(network, patches, frames, CameraNoise(0.7), normal)]
        mean, log_variance = network.encode((patches.values - frames.mean) / frames.spread)
        signal = frames.mean + frames.spread * network.decode(sample_latent(mean, log_variance, normal))
    unlikely, seen = 0.0, 0
    for b in range(2):
        for y in range(16):
            for x in range(16):
                if patches.used[b, y, x] == 0:
                    continue
                scale, s = float(patches.scale[b]), float(signal[b, y, x])
                variance = max(scale * max(s, 0.0) + (0.7 * scale) ** 2, 0.25 * scale**2)
                unlikely -= norm.logpdf(float(patches.values[b, y, x]), s, math.sqrt(variance))
                seen += 1
    posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum()
    assert seen == int(patches.used.sum()) < 2 * 256
    assert found[0] == pytest.approx(unlikely / seen, rel=1e-9)
    assert found[1] == pytest.approx(float(divergence) / seen, rel=1e-6)


# The frames


def test_patches_are_pieces_of_the_frames_in_all_eight_orientations() -> None:
    values = torch.arange(2 * 8 * 12, dtype=torch.float32).reshape(2, 8, 12)
    used = torch.arange(8 * 12).reshape(8, 12) % 7 % 2 * 1.0
    frames = TrainingFrames(values, used, torch.tensor([1.0, 2.0]), torch.arange(2), torch.arange(2), 0.0, 1.0)
    generator, found = torch.Generator().manual_seed(0), set()
    for _ in range(100):
        patches = frames.draw(torch.tensor([1]), 8, generator)
        assert float(patches.scale) == 2.0
        for top, left, turns, flip in np.ndindex(1, 5, 4, 2):
            where = (slice(top, top + 8), slice(left, left + 8))
            piece, seen = (torch.rot90(image[where], turns) for image in (values[1], used))
            if torch.equal(piece.flip(0) if flip else piece, patches.values[0]):
                assert torch.equal(seen.flip(0) if flip else seen, patches.used[0])
                found.add((left, turns, flip))
                break
        else:
            pytest.fail("no piece of the frame in any orientation")
    assert {(turns, flip) for _, turns, flip in found} == {(t, f) for t in range(4) for f in range(2)}


def test_a_long_movie_is_learnt_from_a_bounded_number_of_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = corrected()
    monkeypatch.setattr("fluosr.methods.divnoising.patches.TRAINING_BYTES", 20 * 4 * 16 * 18)
    frames = frames_to_learn_from(movie)
    assert frames.values.shape == (20, 16, 20)  # 18 pixels made 20
    assert sorted([*frames.learnt.tolist(), *frames.held_out.tolist()]) == list(range(20))
    assert len(frames.held_out) == 2
    assert float(frames.used.sum()) == 16 * 18
    seen = frames.values[:, :, :18].double()
    assert (frames.mean, frames.spread) == pytest.approx((float(seen.mean()), float(seen.std(correction=0))))


def test_frames_bring_what_they_were_scaled_with_and_which_pixels_lie() -> None:
    fading = np.exp(-np.arange(60) / 60.0)[:, None, None]
    light = light_of(CROSS, background=20.0)
    frames = np.random.default_rng(0).poisson(light * fading).astype(np.uint16)
    frames[:, 3, 4] = 800
    movie = correct(movie_of(frames), drift=False)
    found = choose_frames(movie, np.random.default_rng(0))
    assert not movie.used[3, 4] and float(found.used[3, 4]) == 0.0
    assert float(found.used.sum()) == movie.used.sum()
    np.testing.assert_allclose(found.scale.numpy(), movie.scale[movie.members], rtol=1e-6)
    assert np.ptp(movie.scale) > 0.4
    assert found.mean < 1000.0


def test_more_than_the_memory_is_refused_whatever_the_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.from_frames.available_memory_bytes", lambda: 2**28)
    options = TINY | {"factor": 1, "halves": False}
    assert fluosr.reconstruct(cross_movie(8), "divnoising", **options).finished
    with pytest.raises(MemoryLimitError, match="no factor fits"):
        fluosr.reconstruct(cross_movie(8), "divnoising", **(options | {"batch": 1024, "filters": 256}))


# Training


def test_a_training_goes_on_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.divnoising.training.EVALUATION", 4)
    whole = finish(training())
    early = training()
    for _ in range(7):
        early.step()
    kept = {key: value.clone() for key, value in early.tensors().items()}
    resumed = training()
    resumed.restore(kept)
    finish(resumed)
    first, second = whole.tensors(), resumed.tensors()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(whole.curves["KL, nats per pixel"]) == 3


def test_where_nothing_gets_better_the_rate_falls_and_the_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.divnoising.training.EVALUATION", 1)
    still = finish(training(iterations=200, learning_rate=1e-30))
    assert still.iteration == 13  # the first is the best; then three plateaus of four
    assert still.adam.param_groups[0]["lr"] == pytest.approx(1e-30 / 8)


def test_the_weights_of_the_best_bound_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.divnoising.training.EVALUATION", 5)
    made = finish(training(iterations=60, learning_rate=0.03))
    curve = made.curves["held-out loss, nats per pixel"]
    with torch.no_grad():
        terms = bound_terms(made.best_network(), made._asked, made.frames, made.noise, made._asked_normal)
    assert float(sum(terms)) == pytest.approx(min(curve), rel=1e-5)


class Collapsing(VariationalAutoencoder):
    """A network that looks at no frame, as often as it is told."""

    times = 0

    def __init__(self, generator: torch.Generator, filters: int) -> None:
        super().__init__(generator, filters)
        self.blind = Collapsing.times > 0
        Collapsing.times -= 1

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = super().encode(images)
        return (0.0 * mean, 0.0 * log_variance) if self.blind else (mean, log_variance)


@pytest.mark.parametrize(
    ("times", "words"),
    [(0, None), (1, "begun anew, 1 time."), (2, "begun anew with an annealed KL term, 2 times"), (9, "also when")],
)
def test_a_collapsed_posterior_is_seen_and_said(times: int, words: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.divnoising.training.VariationalAutoencoder", Collapsing)
    maker = DivnoisingMaker(corrected(), 1, "cpu", DivnoisingParameters(**TINY))
    monkeypatch.setattr(Collapsing, "times", times)
    image = maker.image(Run(), "image")
    assert np.isfinite(image).all()
    told = [warning for warning in maker.warnings if "posterior collapsed" in warning]
    assert (words is None and not told) or (len(told) == 1 and words is not None and words in told[0])
    assert (maker.history["KL, nats per pixel"][-1] > 0) == (times < 9)


def test_an_annealed_training_begins_without_the_divergence() -> None:
    made = training(iterations=20)
    made.restarts = 2
    weights = []
    while not made.finished:
        weights.append(made.divergence_weight)
        made.step()
    np.testing.assert_allclose(weights, np.minimum(1.0, np.arange(20) / 10))


def test_what_is_kept_is_numbers_alone(tmp_path: Path) -> None:
    made = training()
    made.step()
    kept = made.tensors()
    checkpoint.save(tmp_path, checkpoint.Checkpoint({"stage": kept}), {})
    again = checkpoint.load(tmp_path, {}).states["stage"]
    assert again.keys() == kept.keys() and all(torch.equal(again[key], kept[key]) for key in kept)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


# Samples


@cache
def blind_denoiser(filters: int = 4) -> Denoiser:
    return Denoiser(VariationalAutoencoder(torch.Generator().manual_seed(4), filters), 5.0, 3.0)


def a_frame(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).poisson(5.0, shape).astype(np.float32)


def test_an_estimate_is_mean_and_spread_of_the_samples() -> None:
    frame = a_frame((13, 11))
    drawn = np.concatenate(list(blind_denoiser().samples(frame, 7, 3)))
    made = blind_denoiser().estimate(frame, 7, 3)
    assert drawn.shape == (7, 13, 11)
    np.testing.assert_allclose(made.mean, drawn.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.spread, drawn.std(0, ddof=1), rtol=1e-3, atol=1e-5)
    assert all(np.array_equal(made.examples[i], drawn[i]) for i in range(2))
    assert (blind_denoiser().estimate(frame, 1, 3).spread == 0).all()


def test_tiles_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = a_frame((90, 121))
    whole = blind_denoiser().estimate(frame, 2, 3)
    monkeypatch.setattr("fluosr.methods.divnoising.posterior.TILE_PX", 32)
    monkeypatch.setattr("fluosr.methods.divnoising.posterior.BATCH_PIXELS", 1)
    tiled = blind_denoiser().estimate(frame, 2, 3)
    np.testing.assert_allclose(whole.mean, tiled.mean, rtol=1e-4, atol=1e-4)


def test_frames_are_standardised_once() -> None:
    """Brighter by any amount and factor, and the denoiser told so: brighter by as much."""
    frame = a_frame((12, 12))
    network = VariationalAutoencoder(torch.Generator().manual_seed(4), 4)
    once = Denoiser(network, 5.0, 3.0).estimate(frame, 2, 0)
    more = Denoiser(network, 5.0 * 4 + 100, 3.0 * 4).estimate(4 * frame + 100, 2, 0)
    np.testing.assert_allclose(more.mean, 4 * once.mean + 100, rtol=1e-5)
    np.testing.assert_allclose(more.spread, 4 * once.spread, rtol=1e-3, atol=1e-4)


# A movie whose light is known


@cache
def filmed() -> tuple[CorrectedMovie, np.ndarray]:
    """60 frames of a steady phantom, 8 photons at its brightest, and (Y, X) the light behind each of them."""
    phantom = ArgoPhantom(separations_nm=(300.0,), line_length_nm=2000.0, pitch_nm=1800.0)
    movie = SimulatedMovie(
        phantom,
        factor=3,
        n_frames=60,
        peak_photons=8.0,
        bleaching_time_s=None,
        camera=Camera(read_noise_e=0.5),
        emitters=SteadyEmitters(),
    )
    operator = imaging_operator(phantom.field_shape, 3, movie.psf, phantom.pixel_size_nm)
    light = operator.forward(operator.grid.embed(torch.as_tensor(movie.truth)))[0].numpy() + movie.background
    return corrected(movie_of(np.stack(list(movie.frames())), read_noise=0.5)), light


@cache
def denoised() -> tuple[np.ndarray, list[Estimate]]:
    """(10, Y, X) frames and their estimates, after a short training."""
    movie, _ = filmed()
    parameters = DivnoisingParameters(iterations=160, batch=4, patch_px=24)
    learnt = frames_to_learn_from(movie)
    network = finish(Training(learnt, CameraNoise(0.5), parameters, 0)).best_network()
    denoiser = Denoiser(network, learnt.mean, learnt.spread)
    _, frames = next(movie.select(np.arange(10)).chunks())
    return frames, [denoiser.estimate(frame, 30, number) for number, frame in enumerate(frames)]


def psnr_db(image: np.ndarray, light: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(light) ** 2 / np.mean((image - light) ** 2)))


def test_an_estimate_lies_nearer_to_the_light_than_the_frame() -> None:
    _, light = filmed()
    frames, estimates = denoised()
    noisy, found = psnr_db(frames, light), psnr_db(np.stack([e.mean for e in estimates]), light)
    sample = psnr_db(np.stack([e.examples[0] for e in estimates]), light)
    assert 13.5 < noisy < 15.0  # dB; what a frame of 8 photons has
    assert found > noisy + 3.0  # 19.5 dB where this was written
    assert noisy < sample < found  # one sample is a possible truth, not the likeliest


def test_the_spread_covers_the_error() -> None:
    _, light = filmed()
    _, estimates = denoised()
    error = np.stack([e.mean for e in estimates]) - light
    spread = np.stack([e.spread for e in estimates])
    assert spread.min() > 0
    assert (np.abs(error) < 2 * spread).mean() > 0.6  # .81 where this was written; the model's own bias is not in it
    assert float(np.sqrt((spread**2).mean())) == pytest.approx(float(np.sqrt((error**2).mean())), rel=0.6)


def test_one_frames_estimate_samples_and_spread_are_among_the_results() -> None:
    found = fluosr.reconstruct(cross_movie(), "divnoising", factor=2, halves=False, **PLAIN, **TINY, shown_frame=7)
    assert set(found.maps) == {
        "frame_photons",
        "mmse_photons",
        "spread_photons",
        "sample_1_photons",
        "sample_2_photons",
    }
    assert all(image.shape == (32, 36) and image.dtype == np.float32 for image in found.maps.values())
    shown = cross_movie().photons([7])[0]
    # A cubic spline through the pixels, read between them: each pixel's mean is nearly its value.
    coarse = found.maps["frame_photons"].reshape(16, 2, 18, 2).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), shown.ravel())[0, 1] > 0.98
    assert found.maps["spread_photons"].min() >= 0 and found.maps["spread_photons"].max() > 0
    assert not np.array_equal(found.maps["sample_1_photons"], found.maps["sample_2_photons"])
    assert found.parameters["shown_frame"] == 7
    assert len(found.history["held-out loss, nats per pixel"]) == 1


def test_a_frame_to_show_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="shown_frame=50, but the movie's frames are 0 to 49"):
        fluosr.reconstruct(cross_movie(), "divnoising", **TINY, shown_frame=50)


def test_what_the_network_misses_of_the_mean_frame_is_put_back_where_it_is_no_noise() -> None:
    movie = cross_movie()
    options = {"factor": 1, "halves": False} | PLAIN | TINY
    raw = fluosr.reconstruct(movie, "divnoising", calibrate=False, **options)
    made = fluosr.reconstruct(movie, "divnoising", **options)
    share = made.choices["share_put_back"]["value"]
    assert 0.5 < share < 1.0  # so short a training misses much
    assert "share_put_back" not in raw.choices
    assert any("is missing" in warning for warning in raw.warnings)
    assert any("was put back" in warning for warning in made.warnings)
    # Nearer to the mean frame by what was put back, and both of the mean frame's light.
    far, near = (np.abs(found.image - found.mean).mean() for found in (raw, made))
    assert near < 0.3 * far


def test_the_noise_of_one_gaussian_is_the_cameras_at_the_mean_light_or_given() -> None:
    movie = corrected()
    made = {
        noise_e: DivnoisingMaker(movie, 1, "cpu", DivnoisingParameters(noise_model="gaussian", noise_e=noise_e))
        for noise_e in (None, 4.0)
    }
    frames = frames_to_learn_from(movie)
    assert made[None]._noise(frames) == EvenNoise(pytest.approx(math.sqrt(frames.mean)))
    assert made[4.0]._noise(frames) == EvenNoise(4.0)
