"""SPARCOM: the variances of the emitters themselves, sparse, from the covariance of the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.covariance.parameters import CovarianceParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction


class SparcomParameters(CovarianceParameters):
    """What is taken off the frames before their second moments are formed."""

    baseline: Literal["mean", "median"] = Field(
        "mean",
        description="taken off the frames: their mean, or their median (published; mean of medians of 25 frames)",
    )


def _maker(movie: CorrectedMovie, factor: int, parameters: SparcomParameters) -> ImageMaker:
    from fluosr.methods.covariance.maker import CovarianceMaker

    class SparcomMaker(CovarianceMaker):
        """The variances are the image; its unit is made photons by the mean frame."""

        def image(self, run: Run, stage: str) -> np.ndarray:
            """(L Y, L X) variance, photons squared."""
            _, state, _ = self.find_variances(run, stage)
            return self.cropped(state.point)

        def image_so_far(self) -> np.ndarray | None:
            """The last variances."""
            found = self.variances_so_far()
            return None if found is None else self.cropped(found[0])

    return SparcomMaker(movie, factor, parameters, baseline=parameters.baseline)


def reconstruct(acquisition: Acquisition, parameters: SparcomParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return _maker(movie, factor, parameters)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build, buffers=40, reads_fluctuations=True)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="sparcom",
    summary="variances of the emitters (SPARCOM): a sparse image whose covariance is that of the frames",
    parameters=SparcomParameters,
    load=_load,
    presets={
        "paper": {
            "factor": 8,
            "penalty": "l1",
            "noise_covariance": "none",
            "sparsity_of_maximum": 0.13,
            "baseline": "median",
            "iterations": 400,
            "drift": False,
            "bleaching": False,
        }
    },
    citation="""@article{Solomon2019SPARCOM,
  title = {{SPARCOM}: Sparsity Based Super-Resolution Correlation Microscopy},
  author = {Solomon, Oren and Eldar, Yonina C. and Mutzafi, Maor and Segev, Mordechai},
  journal = {SIAM Journal on Imaging Sciences},
  volume = {12},
  number = {1},
  pages = {392--419},
  year = {2019},
  doi = {10.1137/18M1163287}
}""",
)
