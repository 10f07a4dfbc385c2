"""DivNoising: samples, their mean and spread, and what they gain on a movie whose light is known."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

import fluosr
from fluosr.camera import Camera
from fluosr.corrections.movie import CorrectedMovie
from fluosr.emitters import SteadyEmitters
from fluosr.errors import UsageError
from fluosr.methods.divnoising.maker import DivnoisingMaker
from fluosr.methods.divnoising.noise import CameraNoise, EvenNoise
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.posterior import Denoiser, Estimate
from fluosr.methods.divnoising.training import Training
from fluosr.networks.variational import VariationalAutoencoder
from fluosr.optics.operators import imaging_operator
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie
from tests.methods.trainings import PLAIN, TINY, corrected, finish, frames_to_learn_from
from tests.movies import cross_movie, movie_of

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


def test_a_read_noise_that_differs_from_pixel_to_pixel_is_said_to_be_taken_for_one() -> None:
    told = {}
    for read_noise in (np.linspace(1.0, 3.0, 16 * 18).reshape(16, 18), 2.0):
        movie = corrected(cross_movie(read_noise=read_noise))
        maker = DivnoisingMaker(movie, 1, "cpu", DivnoisingParameters())
        told[np.ndim(read_noise)] = [warning for warning in maker.warnings if "root mean square of 2.08 e" in warning]
    assert len(told[2]) == 1 and told[0] == []
