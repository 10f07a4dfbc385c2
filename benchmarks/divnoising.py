"""DivNoising on single frames whose light is known: PSNR beside plain means and a Gaussian filter, and its spread."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from tables import Table, mean_sd, store

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.corrections.movie import CorrectedMovie, correct
from fluosr.methods.divnoising.noise import CameraNoise, EvenNoise, Noise
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import choose_frames
from fluosr.methods.divnoising.posterior import Denoiser
from fluosr.methods.divnoising.training import Training
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

SIDE, FRAMES, SCORED, FACTOR = 64, 200, 10, 4
FANO, READ_NOISE_E, BACKGROUND_FRACTION = 30.0, 0.5, 0.1
WIDTHS_PX = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0)  # of the Gaussian filter
SAMPLES = (1, 10, 100)
WINDOW = 5  # neighbouring frames of the short mean


@dataclass(frozen=True, eq=False)
class Filmed:
    """A movie and the light behind each of its frames, (T, Y, X) photoelectrons both."""

    light: np.ndarray
    frames: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        """Numbers of the frames that are judged."""
        return np.linspace(WINDOW, len(self.frames) - 1 - WINDOW, SCORED).astype(int)

    def corrected(self) -> CorrectedMovie:
        """As the method meets it, with the camera known."""
        camera = Camera(read_noise_e=READ_NOISE_E)
        acquisition = Acquisition(ArrayFrames(self.frames), 100.0, GaussianPSF(324.0), camera, name="simulated")
        return correct(acquisition, drift=False, bleaching=False, bad_pixels=False)


def film(photons: float, seed: int) -> Filmed:
    """ARGO lines whose emitters come in bursts of 30 photons: each frame shows another light."""
    phantom = ArgoPhantom(separations_nm=(120.0, 180.0, 240.0), line_length_nm=100.0 * SIDE)
    movie = SimulatedMovie(phantom, factor=FACTOR, n_frames=1, peak_photons=photons, bleaching_time_s=None)
    operator = imaging_operator(phantom.field_shape, FACTOR, movie.psf, phantom.pixel_size_nm)
    emission = operator.grid.embed(torch.as_tensor(movie.truth)).numpy()
    generator = np.random.default_rng(seed)
    top, left = (phantom.field_shape[0] - SIDE) // 2, 5
    window = (slice(top, top + SIDE), slice(left, left + SIDE))
    light = np.empty((FRAMES, SIDE, SIDE), np.float32)
    for frame in light:
        drawn = FANO * generator.poisson(emission / FANO)
        frame[:] = (operator.forward(torch.as_tensor(drawn.astype(np.float32)))[0].numpy() + movie.background)[window]
    return Filmed(light, Camera(read_noise_e=READ_NOISE_E).expose(np.maximum(light, 0.0), generator))


def psnr_db(images: np.ndarray, light: np.ndarray) -> float:
    """10 log10(range^2 / mean squared error), over all frames given."""
    return float(10 * np.log10(np.ptp(light) ** 2 / np.mean((images - light) ** 2)))


def filtered(frames: np.ndarray) -> tuple[np.ndarray, float]:
    """Frames under the Gaussian of the least estimated risk, and its width, camera pixels.

    Of a linear filter G with centre weight g and noise of variance v, independent from pixel to pixel, the mean squared
    error is mean |G x - x|^2 + (2 g - 1) mean v in expectation (Stein 1981); the light is not needed.
    """
    variance = float(np.mean(frames)) + READ_NOISE_E**2
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1.0
    risks = []
    for width in WIDTHS_PX:
        made = gaussian_filter(frames, (0, width, width))
        centre = float(gaussian_filter(impulse, width)[20, 20])
        risks.append(float(np.mean((made - frames) ** 2)) + (2 * centre - 1) * variance)
    best = WIDTHS_PX[int(np.argmin(risks))]
    return gaussian_filter(frames, (0, best, best)), best


def trained(filmed: Filmed, noise_model: str, seed: int, iterations: int) -> tuple[Denoiser, Training]:
    """The method's own training on all frames."""
    frames = choose_frames(filmed.corrected(), np.random.default_rng(seed))
    noise: Noise = CameraNoise(READ_NOISE_E)
    if noise_model == "gaussian":
        noise = EvenNoise(float(np.sqrt(frames.mean + READ_NOISE_E**2)))
    training = Training(frames, noise, DivnoisingParameters(iterations=iterations), seed)
    while not training.finished:
        training.step()
    return Denoiser(training.best_network(), frames.mean, frames.spread), training


Scores = dict[str, list[float]]


def measure(photons: float, seed: int, iterations: int, gaussian: bool, scores: Scores) -> None:
    """All rows of one movie."""
    filmed = film(photons, seed)
    chosen, light = filmed.scored, filmed.light[filmed.scored]
    noisy = filmed.frames[chosen]
    half = WINDOW // 2
    around = np.stack([filmed.frames[n - half : n + half + 1].mean(0) for n in chosen])
    smooth, width = filtered(noisy)
    found = {
        "the frame": noisy,
        f"mean of {WINDOW} frames around": around,
        f"mean of all {FRAMES} frames": np.broadcast_to(filmed.frames.mean(0), noisy.shape),
        "Gaussian filter": smooth,
    }
    for name, images in found.items():
        scores.setdefault(name, []).append(psnr_db(images, light))
    scores.setdefault("width", []).append(width)
    for noise_model in ("camera", "gaussian") if gaussian else ("camera",):
        began = time.process_time()
        denoiser, training = trained(filmed, noise_model, seed, iterations)
        head = f"DivNoising, {noise_model}"
        scores.setdefault(f"{head}: training", []).append(time.process_time() - began)
        scores.setdefault(f"{head}: KL", []).append(training.curves["KL, nats per pixel"][-1])
        for count in SAMPLES:
            made = [denoiser.estimate(frame, count, number) for number, frame in enumerate(noisy)]
            mean = np.stack([estimate.mean for estimate in made])
            scores.setdefault(f"{head}, {count}", []).append(psnr_db(mean, light))
            spread = np.stack([estimate.spread for estimate in made])
        scores.setdefault(f"{head}: covered", []).append(100 * float((np.abs(mean - light) < 2 * spread).mean()))
    print(photons, seed, {key: round(values[-1], 2) for key, values in scores.items()}, flush=True)


def rows(photons: float, scores: Scores) -> list[list[object]]:
    """Of one number of photons, in the order they were measured."""
    table: list[list[object]] = []
    for name, values in scores.items():
        if name == "width" or ": " in name:
            continue
        covered = seconds = ""
        text = name
        if name == "Gaussian filter":
            text = f"Gaussian filter, {mean_sd(scores['width'])} px"
        if name.startswith("DivNoising"):
            head, count = name.rsplit(", ", 1)
            text = f"{head} noise, {count} sample{'s' if count != '1' else ''}"
            seconds = mean_sd(scores[f"{head}: training"], 0)
            covered = mean_sd(scores[f"{head}: covered"], 0) if int(count) == SAMPLES[-1] else ""
        table.append([f"{photons:g}", text, len(values), mean_sd(values), covered, seconds])
    return table


def main() -> None:
    """About ten core-minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=DivnoisingParameters().iterations)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(
        "PSNR of single frames",
        ("photons", "what", "seeds", "PSNR, dB", "light within 2 spreads, %", "training, CPU-s"),
        f"ARGO lines, {SIDE} x {SIDE} px, {FRAMES} frames, FWHM 324 nm on 100-nm pixels, emitters in bursts of "
        f"{FANO:g} photons, so that every frame shows another light; photons at the brightest of the mean; read noise "
        f"{READ_NOISE_E} e. {SCORED} frames of each movie against the light behind them, mean and sd over the seeds. "
        f"Nothing is chosen with the truth: DivNoising has its defaults ({options.iterations} steps at most), the "
        "Gaussian filter the width of the least risk by Stein's estimate. The spread is the network's own: its bias is "
        "not in it.",
    )
    for photons in (5.0, 30.0):
        scores: Scores = {}
        for seed in range(options.seeds):
            measure(photons, seed, options.iterations, seed == 0, scores)
        table.rows += rows(photons, scores)
    store("divnoising", "DivNoising beside plain filters", [table], version=fluosr.__version__)


if __name__ == "__main__":
    main()
