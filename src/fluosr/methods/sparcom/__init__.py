"""SPARCOM: the variances of the emitters themselves, sparse, from the covariance of the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.second_order.parameters import BUFFERS
from fluosr.methods.sparcom.parameters import SparcomParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction


def reconstruct(acquisition: Acquisition, parameters: SparcomParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.sparcom.maker import SparcomMaker

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return SparcomMaker(movie, factor, parameters, baseline=parameters.baseline)

    return reconstruct_from_frames(
        acquisition, parameters, run, METHOD, build, buffers=BUFFERS, reads_fluctuations=True
    )


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
    uses_time_order=True,  # medians of runs of frames; the mean does not
)
