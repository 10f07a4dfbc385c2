"""DivNoising (Prakash, Krull, Jug 2021): a variational autoencoder trained on the movie's own noisy frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.divnoising.parameters import CITATION, PAPER, DivnoisingParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction

BUFFERS = 24  # fine images: five maps, three of the halves, and what interpolation holds


def reconstruct(acquisition: Acquisition, parameters: DivnoisingParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.divnoising.maker import DivnoisingMaker, working_bytes
    from fluosr.methods.from_frames import reconstruct_from_frames

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return DivnoisingMaker(movie, factor, run.device, parameters)

    besides = working_bytes(acquisition.field_shape, acquisition.n_frames, parameters)
    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build, buffers=BUFFERS, working_bytes=besides)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="divnoising",
    summary="frames denoised by a network trained on the movie itself (DivNoising): samples, their mean and spread",
    parameters=DivnoisingParameters,
    load=_load,
    presets={"paper": PAPER},
    citation=CITATION,
    uses_time_order=True,  # frames are picked by their number, to learn from and to be held out
)
