"""The mean frame, interpolated: the honest beginning of every comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.movie_parameters import MovieParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.reconstruction import Reconstruction


class MeanParameters(MovieParameters):
    """Nothing but grid and corrections."""


class MeanMaker(ImageMaker):
    """Adds frames up and interpolates with cubic splines."""

    def __init__(self, movie: CorrectedMovie, factor: int) -> None:
        super().__init__()
        self._factor = factor
        self.finest_nm = 2.0 * movie.acquisition.pixel_size_nm  # interpolation adds nothing finer
        self._sum = np.zeros(movie.field_shape)
        self._count = 0

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        self._sum += frames.sum(0, dtype=np.float64)
        self._count += len(frames)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return {"sum": self._sum, "count": np.array(self._count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._sum, self._count = state["sum"].copy(), int(state["count"])

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel, background included."""
        from scipy.ndimage import zoom

        fine = zoom(self._sum / self._count, self._factor, order=3, mode="nearest", grid_mode=True)
        return np.clip(fine, 0.0, None) / self._factor**2


def reconstruct(acquisition: Acquisition, parameters: MeanParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, MeanMaker)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="mean",
    summary="the mean frame, interpolated with cubic splines: what every other image is to be compared with",
    parameters=MeanParameters,
    load=_load,
    presets={},
    citation="@misc{MeanFrame, title = {Mean of the frames, interpolated with cubic splines}}",
)
