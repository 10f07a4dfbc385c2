"""SACD: autocorrelation between two deconvolutions (Zhao et al. 2023)."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.movie_parameters import MovieParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.reconstruction import Reconstruction
    from fluosr.solvers.frame_deconvolution import FrameDeconvolution

GRID = 2  # pixels per camera pixel that products are taken on: a product's frequencies reach twice as far
BATCH_PIXELS = 2**18  # camera pixels of the frames deconvolved at a time
RUN_LENGTH = 10  # consecutive frames dealt to a half: one pair in ten is lost at the seams


class SacdParameters(MovieParameters):
    """The two deconvolutions and what is subtracted between them."""

    frame_iterations: int = Field(7, ge=0, le=10_000, description="Richardson-Lucy iterations of every frame")
    cumulant_iterations: int = Field(
        8, ge=0, le=10_000, description="Richardson-Lucy iterations of the cumulant, with PSF^2"
    )
    mean_share: float = Field(0.8, ge=0, le=1, description="share of the mean that is subtracted from every frame")
    linear: bool = Field(
        True, description="take the square root of the image, so that it is in proportion to brightness"
    )


class SacdMaker(ImageMaker):
    """Two passes: the first for the mean of the deconvolved frames, the second for their products.

        u_t = 2 x Fourier-interpolated RL_7(y_t - min y_t),   v_t = |u_t - .8 mean(u)|,
        image = RL_8(mean over neighbours of v_t v_{t+1}; PSF^2),

    interpolated to L with cubic splines. The first pass is the driver's; :meth:`image` makes the second itself.

    Args:
        movie: corrected frames.
        factor: L.
        device: where to deconvolve.
        parameters: see :class:`SacdParameters`.
    """

    def __init__(self, movie: CorrectedMovie, factor: int, device: str, parameters: SacdParameters) -> None:
        super().__init__()
        self._movie, self._factor, self._device, self._parameters = movie, factor, device, parameters
        self._sum = np.zeros(movie.field_shape)
        self._count = 0

    @cached_property
    def _deconvolution(self) -> FrameDeconvolution:
        from fluosr.solvers.frame_deconvolution import FrameDeconvolution

        acquisition = self._movie.acquisition
        kernel = acquisition.psf.kernel(acquisition.pixel_size_nm)
        return FrameDeconvolution(acquisition.field_shape, kernel, self._parameters.frame_iterations, self._device)

    def _deconvolved(self, frames: np.ndarray) -> np.ndarray:
        """(k, Y, X) frames less their minimum, deconvolved."""
        return self._deconvolution.apply(frames - frames.min((1, 2), keepdims=True))

    def _batches(self, frames: np.ndarray) -> list[slice]:
        step = max(1, BATCH_PIXELS // frames[0].size)
        return [slice(start, start + step) for start in range(0, len(frames), step)]

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        for batch in self._batches(frames):
            # Interpolation is linear: the mean may be interpolated after it was taken.
            self._sum += self._deconvolved(frames[batch]).sum(0, dtype=np.float64)
        self._count += len(frames)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return {"sum": self._sum, "count": np.array(self._count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._sum, self._count = state["sum"].copy(), int(state["count"])

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X), photons, or photons squared where not linear."""
        import torch

        from fluosr.optics.interpolation import fourier_upsample
        from fluosr.solvers.frame_deconvolution import FrameDeconvolution

        name, kept = f"{stage} second pass", run.recall(f"{stage} second pass")
        shape = (GRID * self._movie.field_shape[0], GRID * self._movie.field_shape[1])
        subtracted = self._parameters.mean_share * fourier_upsample(self._sum / self._count, GRID)
        products, last = np.zeros(shape), np.zeros(shape, np.float32)
        pairs = done = 0
        last_number = -2
        if kept is not None:
            products, last = kept["products"].numpy().copy(), kept["last"].numpy()
            pairs, done, last_number = (int(n) for n in kept["numbers"])
        for numbers, frames in self._movie.chunks(done):
            for batch in self._batches(frames):
                fine = fourier_upsample(self._deconvolved(frames[batch]), GRID)
                above = np.abs(fine - subtracted).astype(np.float32)
                joined = np.concatenate([last[None], above])
                neighbours = np.diff(numbers[batch], prepend=last_number) == 1
                products += (joined[:-1][neighbours] * joined[1:][neighbours]).sum(0, dtype=np.float64)
                pairs += int(neighbours.sum())
                last, last_number = above[-1].copy(), int(numbers[batch][-1])
            done += len(numbers)
            run.progress(f"{stage}, second pass", done, self._movie.n_frames)
            kept = {
                "products": torch.from_numpy(products.copy()),
                "last": torch.from_numpy(last),
                "numbers": torch.tensor([pairs, done, last_number]),
            }
            run.keep(name, kept)
        acquisition = self._movie.acquisition
        kernel = acquisition.psf.kernel(acquisition.pixel_size_nm / GRID) ** 2
        second = FrameDeconvolution(shape, kernel, self._parameters.cumulant_iterations, self._device)
        image = _on_grid(second.apply((products / max(1, pairs))[None], run.check)[0], self._factor)
        return np.sqrt(image) if self._parameters.linear else image

    def image_so_far(self) -> np.ndarray | None:
        """None: there is no image before the second pass is done."""
        return None

    def solving_seconds(self) -> float:
        """The second pass, of which a frame is tried, and the cumulant on its finer grid."""
        frames = np.ones((1, *self._movie.field_shape), np.float32)
        self._deconvolved(frames)
        started = time.perf_counter()
        self._deconvolved(frames)
        each = time.perf_counter() - started
        share = self._parameters.cumulant_iterations / max(1, self._parameters.frame_iterations)
        return each * (1.5 * self._movie.n_frames + share * GRID**2)


def _on_grid(image: np.ndarray, factor: int) -> np.ndarray:
    """(2 Y, 2 X) -> (L Y, L X), not negative: cubic splines, or means of the pixels that a larger one covers."""
    from scipy.ndimage import zoom

    if factor == GRID:
        return image
    if factor < GRID:
        y, x = image.shape
        return image.reshape(y // GRID, GRID, x // GRID, GRID).mean((1, 3))
    return np.clip(zoom(image, factor / GRID, order=3, mode="nearest", grid_mode=True), 0.0, None)


def reconstruct(acquisition: Acquisition, parameters: SacdParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames

    def build(movie: CorrectedMovie, factor: int) -> SacdMaker:
        return SacdMaker(movie, factor, run.device, parameters)

    return reconstruct_from_frames(
        acquisition, parameters, run, METHOD, build, run_length=RUN_LENGTH, frames_in_a_row=2, reads_fluctuations=True
    )


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="sacd",
    summary="autocorrelation between two deconvolutions (SACD): few frames, every frame deconvolved",
    parameters=SacdParameters,
    load=_load,
    presets={
        "paper": {
            "factor": GRID,
            "frame_iterations": 7,
            "cumulant_iterations": 8,
            "mean_share": 0.8,
            "linear": False,
            "drift": False,
            "bleaching": False,
        }
    },
    citation="""@article{Zhao2023SACD,
  title = {Enhanced detection of fluorescence fluctuations for high-throughput super-resolution imaging},
  author = {Zhao, Weisong and Zhao, Shiqun and Han, Zhenqian and Ding, Xiangyan and Hu, Guangwei and Qu, Liying and
            Huang, Yuanyuan and Wang, Xinwei and Mao, Heng and Jiu, Yaming and others},
  journal = {Nature Photonics},
  volume = {17},
  number = {9},
  pages = {806--813},
  year = {2023},
  doi = {10.1038/s41566-023-01234-9}
}""",
    uses_time_order=True,
)
