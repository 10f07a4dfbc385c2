"""DivNoising: its noise model and its bound against slow sums, what it learns from, and its training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import fluosr
from fluosr import checkpoint
from fluosr.camera import Camera
from fluosr.corrections.movie import correct
from fluosr.errors import MemoryLimitError
from fluosr.methods.base import Run
from fluosr.methods.divnoising.maker import DivnoisingMaker
from fluosr.methods.divnoising.noise import LEAST_VARIANCE_E2, CameraNoise, EvenNoise, negative_log_likelihood
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import TrainingFrames, TrainingPatches, choose_frames
from fluosr.methods.divnoising.training import bound_terms
from fluosr.networks.variational import VariationalAutoencoder, sample_latent
from tests.methods.trainings import TINY, corrected, finish, frames_to_learn_from, training
from tests.movies import CROSS, cross_movie, light_of, movie_of

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
    patches = TrainingPatches(patches.values.double(), patches.used.double(), torch.tensor([[[1.0]], [[1.3]]]).double())
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
