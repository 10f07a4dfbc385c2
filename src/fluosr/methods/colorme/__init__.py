"""COL0RME: where emitters are from the covariance of the frames, how bright they are from the mean frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.colorme.parameters import ColormeParameters
from fluosr.methods.second_order.parameters import BUFFERS

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction


def reconstruct(acquisition: Acquisition, parameters: ColormeParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.colorme.maker import ColormeMaker
    from fluosr.methods.from_frames import reconstruct_from_frames

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return ColormeMaker(movie, factor, parameters, restarts=parameters.restarts)

    return reconstruct_from_frames(
        acquisition, parameters, run, METHOD, build, buffers=BUFFERS, reads_fluctuations=True
    )


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="colorme",
    summary="emitters where pixels vary together (COL0RME): a sparse support from the covariance, intensities on it",
    parameters=ColormeParameters,
    load=_load,
    presets={
        "paper": {
            "factor": 4,
            "penalty": "cel0",
            "noise_covariance": "shared",
            "sparsity_of_maximum": 5e-4,
            "support_radius_nm": 0.0,
            "noise_target": "frame",
            "drift": False,
            "bleaching": False,
        }
    },
    citation="""@article{Stergiopoulou2022COL0RME,
  title = {{COL0RME}: Super-resolution microscopy based on sparse blinking/fluctuating fluorophore localization and
           intensity estimation},
  author = {Stergiopoulou, Vasiliki and Calatroni, Luca and de Morais Goulart, Henrique and Schaub, Sebastien and
            Blanc-F{\\'e}raud, Laure},
  journal = {Biological Imaging},
  volume = {2},
  pages = {e1},
  year = {2022},
  doi = {10.1017/S2633903X22000010}
}""",
)
