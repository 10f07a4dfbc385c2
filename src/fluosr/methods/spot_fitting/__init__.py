"""Localisation microscopy by fitting: isolated spots, frame by frame, each with the bound on its error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.spot_fitting.parameters import CITATION, SpotFittingParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction


def reconstruct(acquisition: Acquisition, parameters: SpotFittingParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.spot_fitting.frames import FrameFits
    from fluosr.methods.spot_fitting.maker import SpotFittingMaker

    fits: list[FrameFits] = []

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        if not fits:  # the whole movie comes first; the halves are drawn from what was found in it
            fits.append(FrameFits(movie, parameters))
        return SpotFittingMaker(movie, factor, fits[0], parameters)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="spot-fitting",
    summary="single molecules found frame by frame and fitted by maximum likelihood, each with its error",
    parameters=SpotFittingParameters,
    load=_load,
    presets={},
    citation=CITATION,
)
