"""Unfolded projected gradient descent: sparse images and molecules by an algorithm that learned its own parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.unfolded.parameters import UnfoldedParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction

BUFFERS = 8  # images of the fine grid at once, besides those of a batch
BATCH_BUFFERS = 8  # of a batch


def reconstruct(acquisition: Acquisition, parameters: UnfoldedParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.unfolded import fitting, maker

    network, fingerprint = fitting.fitting_model(acquisition, parameters)

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return maker.UnfoldedMaker(movie, network, fingerprint, parameters, run.device)

    return reconstruct_from_frames(
        acquisition,
        parameters.model_copy(update={"factor": network.physics.factor}),
        run,
        METHOD,
        build,
        buffers=BUFFERS,
        working_bytes=4 * BATCH_BUFFERS * maker.BATCH_PIXELS,
        reads_fluctuations=parameters.semi_blind,
    )


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="unfolded",
    summary="unfolded projected gradient with learned steps: molecules of every frame, or the movie's variance",
    parameters=UnfoldedParameters,
    load=_load,
    presets={},
    citation="""@article{Bonettini2024Unfolding,
  title = {Algorithmic unfolding for image reconstruction and localization problems in fluorescence microscopy},
  author = {Bonettini, Silvia and Calatroni, Luca and Pezzi, Danilo and Prato, Marco},
  journal = {arXiv preprint arXiv:2403.17506},
  year = {2024},
  doi = {10.48550/arXiv.2403.17506}
}""",
)
