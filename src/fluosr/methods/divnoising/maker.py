"""DivNoising on a movie: train on its frames, sample every frame's posterior, and bring the mean on the fine grid."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.divnoising.noise import CameraNoise, EvenNoise, Noise
from fluosr.methods.divnoising.parameters import DivnoisingParameters
from fluosr.methods.divnoising.patches import TrainingFrames, choose_frames, frames_held, padded
from fluosr.methods.divnoising.posterior import BATCH_PIXELS, TILE_PX, Denoiser
from fluosr.methods.divnoising.training import Training, train
from fluosr.methods.image_maker import ImageMaker
from fluosr.networks.variational import REACH_PX

if TYPE_CHECKING:
    from fluosr.corrections.movie import CorrectedMovie

FRAMES_PER_SAFE_POINT = 10
MISFIT = 4.0  # variance of what the estimates' mean misses, in units of its noise, from which on the user is told
TRIAL_STEPS = 2
LAYERS_TRAINING, LAYERS_DENOISING = 16, 4  # full-sized, of as many channels as filters, that are held at once


class DivnoisingMaker(ImageMaker):
    """Two passes: the first is the driver's, for the mean frame; :meth:`image` reads frames to learn from, then all.

    Args:
        movie: corrected frames.
        factor: L.
        device: where to train.
        parameters: the method's.

    Raises:
        UsageError: the frame to be shown is not in the movie.
    """

    def __init__(self, movie: CorrectedMovie, factor: int, device: str, parameters: DivnoisingParameters) -> None:
        super().__init__()
        self._movie, self._factor, self._device, self._parameters = movie, factor, device, parameters
        self.finest_nm = 2.0 * movie.acquisition.pixel_size_nm  # interpolation adds nothing finer
        self._sums: _Sums | None = None
        wanted, total = parameters.shown_frame, movie.acquisition.n_frames
        if wanted is not None and wanted >= total:
            raise UsageError(f"divnoising: shown_frame={wanted}, but the movie's frames are 0 to {total - 1}.")
        if movie.shifts.any() or not movie.used.all():
            self.warnings.append(
                "Frames were shifted or bad pixels put together from their neighbours: neighbouring pixels then share "
                "some of their noise, which this method takes for light."
            )
        camera = movie.acquisition.camera
        if parameters.noise_model == "camera" and camera.maps.read_noise_e is not None:
            self.warnings.append(
                f"The camera's read noise differs from pixel to pixel; the noise model has one for all, its root mean "
                f"square of {camera.read_noise_e:.3g} e."
            )

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`: nothing is kept, :meth:`image` reads again what it learns from."""

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`: nothing."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`: there is nothing to restore."""

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame, background included.

        Raises:
            StopRequested: the user asked to stop.
        """
        frames = choose_frames(self._movie, np.random.default_rng(run.stream_seed(f"{stage} frames to learn from")))
        denoiser = None
        if frames.all_alike:
            self.warnings.append("All pixels of all frames are alike: there was nothing to learn, and no noise.")
        else:
            denoiser = self._trained(frames, run, stage)
        self._sums = _Sums(self._movie.field_shape)
        self._denoise(denoiser, self._sums, run, stage)
        if denoiser is not None:
            self._show(denoiser, run, stage)
        return self._finished(self._sums)

    def image_so_far(self) -> np.ndarray | None:
        """The mean of the frames denoised so far; None while the network still learns."""
        if self._sums is None or not self._sums.count:
            return None
        return self._finished(self._sums)

    def solving_seconds(self) -> float:
        """See :class:`ImageMaker`: a few training steps and one frame are timed, on noise."""
        parameters = self._parameters
        y, x = self._movie.field_shape
        generator = torch.Generator().manual_seed(0)
        trial = padded(torch.rand((2, y, x), generator=generator))
        one = torch.tensor([0])
        frames = TrainingFrames(trial, torch.ones(trial.shape[1:]), torch.ones(2), one, one, 0.5, 0.3)
        training = Training(frames, CameraNoise(1.0), parameters, 0, self._device)
        training.step()  # compiling and caches are not counted
        started = time.perf_counter()
        for _ in range(TRIAL_STEPS):
            training.step()
        each = (time.perf_counter() - started) / TRIAL_STEPS
        started = time.perf_counter()
        Denoiser(training.network, 0.5, 0.3).estimate(np.ones((y, x), np.float32), parameters.frame_samples, 0)
        frame = time.perf_counter() - started
        shown = frame * parameters.samples / parameters.frame_samples
        return each * parameters.iterations + frame * self._movie.n_frames + shown

    def _noise(self, frames: TrainingFrames) -> Noise:
        if self._parameters.noise_model == "camera":
            return CameraNoise(self._movie.acquisition.camera.read_noise_e)
        noise_e = self._parameters.noise_e
        if noise_e is None:
            light = np.array([frames.mean])
            noise_e = float(np.sqrt(max(self._movie.acquisition.camera.noise_variance(light)[0], 1e-12)))
            self.chosen["noise_e"] = noise_e
            self.choices["noise_e"] = {"value": noise_e, "why": "photon and read noise at the movie's mean light"}
        return EvenNoise(noise_e)

    def _trained(self, frames: TrainingFrames, run: Run, stage: str) -> Denoiser:
        seed = run.stream_seed(f"{stage} training")
        training = Training(frames, self._noise(frames), self._parameters, seed, self._device)
        train(training, run, f"{stage}, training")
        self.history |= training.curves
        if training.collapsed:
            self.warnings.append(
                "The posterior collapsed, also when the KL term was annealed: every frame is taken for the same. The "
                "frames may differ by nothing but noise, or hold too little light to be told apart."
            )
        elif training.restarts:
            how = " with an annealed KL term" if training.annealed else ""
            self.warnings.append(
                f"The posterior collapsed in training; it was begun anew{how}, {training.restarts} "
                f"{'time' if training.restarts == 1 else 'times'}."
            )
        return Denoiser(training.best_network(), frames.mean, frames.spread)

    def _denoise(self, denoiser: Denoiser | None, sums: _Sums, run: Run, stage: str) -> None:
        """Add every frame and its estimate to ``sums``, from where an earlier run stopped."""
        name = f"{stage}, denoising"
        kept = run.recall(name)
        if kept is not None:
            sums.restore(kept)
        for numbers, frames in self._movie.chunks(sums.count):
            for number, frame in zip(numbers, frames, strict=True):
                made: np.ndarray = frame
                if denoiser is not None:
                    seed = run.stream_seed(f"{stage} samples of frame {number}")
                    made = denoiser.estimate(frame, self._parameters.frame_samples, seed).mean
                sums.add(frame, made)
                if sums.count % FRAMES_PER_SAFE_POINT == 0 or sums.count == self._movie.n_frames:
                    run.progress(name, sums.count, self._movie.n_frames)
                    run.keep(name, sums.tensors())

    def _show(self, denoiser: Denoiser, run: Run, stage: str) -> None:
        """One frame as it is, its estimate, the spread and two samples of its posterior, as maps."""
        members, wanted = self._movie.members, self._parameters.shown_frame
        middle = members[len(members) // 2] if wanted is None else wanted
        number = int(members[np.abs(members - middle).argmin()])
        _, frames = next(self._movie.select(np.array([number])).chunks())
        seed = run.stream_seed(f"{stage} samples shown")
        estimate = denoiser.estimate(frames[0], self._parameters.samples, seed)
        self.chosen["shown_frame"] = number
        self.maps = {
            "frame_photons": self._on_fine_grid(frames[0]),
            "mmse_photons": self._on_fine_grid(estimate.mean),
            "spread_photons": np.maximum(self._on_fine_grid(estimate.spread), 0.0),
        }
        for index, example in enumerate(estimate.examples, 1):
            self.maps[f"sample_{index}_photons"] = self._on_fine_grid(example)

    def _finished(self, sums: _Sums) -> np.ndarray:
        mean, estimate = sums.frames / sums.count, sums.estimates / sums.count
        used = self._movie.used
        # A pixel that never saw a photon is not known to be infinitely dark.
        one = self._movie.noise_variance(mean)
        variance = np.maximum(one, max(1.0 / sums.count, 1e-2 * float(one.mean()), 1e-12)) / sums.count
        missed = mean - estimate
        misfit = float((missed**2 / variance)[used].mean())
        if self._parameters.calibrate:
            share = max(0.0, 1.0 - 1.0 / misfit) if misfit > 0 else 0.0
            estimate = estimate + share * missed
            self.choices["share_put_back"] = {
                "value": round(share, 4),
                "why": "of the mean frame less the estimates' mean: the part that its noise does not explain",
            }
        if misfit > MISFIT:
            done = "was put back" if self._parameters.calibrate else "is missing"
            self.warnings.append(
                f"The mean of the denoised frames differs from the mean frame by {misfit:.1f} times the noise (in "
                f"variance): the network smooths more than the data allow. What it misses {done}; more --iterations "
                "bring the two together."
            )
        return np.clip(self._on_fine_grid(estimate), 0.0, None) / self._factor**2

    def _on_fine_grid(self, image: np.ndarray) -> np.ndarray:
        """(Y, X) -> (L Y, L X) float32, the same values read with cubic splines."""
        from scipy.ndimage import zoom

        fine: np.ndarray = zoom(np.asarray(image, float), self._factor, order=3, mode="nearest", grid_mode=True)
        return fine.astype(np.float32)


def working_bytes(field_shape: tuple[int, int], n_frames: int, parameters: DivnoisingParameters) -> int:
    """What frames held in memory, and the network's layers in training or denoising, take at the most."""
    y, x = field_shape
    held = 2 * 4 * y * x * frames_held(field_shape, n_frames)  # once more where they are padded
    patches = parameters.batch * min(parameters.patch_px, y, x) ** 2 * LAYERS_TRAINING
    decoded = max(BATCH_PIXELS, min(y * x, (TILE_PX + 2 * REACH_PX) ** 2)) * LAYERS_DENOISING
    return held + 4 * parameters.filters * max(patches, decoded)


class _Sums:
    """Frames and their estimates added up.

    Args:
        field_shape: (Y, X), camera pixels.
    """

    def __init__(self, field_shape: tuple[int, int]) -> None:
        self.frames, self.estimates = np.zeros(field_shape), np.zeros(field_shape)
        self.count = 0

    def add(self, frame: np.ndarray, estimate: np.ndarray) -> None:
        """One frame, (Y, X), and its estimate."""
        self.frames += frame
        self.estimates += estimate
        self.count += 1

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        made = {"frames": self.frames, "estimates": self.estimates, "count": np.array(self.count)}
        return {key: torch.from_numpy(np.array(value)) for key, value in made.items()}

    def restore(self, named: dict[str, torch.Tensor]) -> None:
        """Back from :meth:`tensors`."""
        self.frames, self.estimates = named["frames"].numpy().copy(), named["estimates"].numpy().copy()
        self.count = int(named["count"])
