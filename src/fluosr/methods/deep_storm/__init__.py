"""Deep-STORM (Nehme et al. 2018): a network, trained on simulated frames of one microscope, that draws molecules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.deep_storm.parameters import CITATION, DeepStormParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction

WIDE = 24  # layers of the network that are held at once, of as many channels as its first one


def reconstruct(acquisition: Acquisition, parameters: DeepStormParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.deep_storm import fitting
    from fluosr.methods.deep_storm.maker import BATCH_PIXELS, DeepStormMaker
    from fluosr.methods.from_frames import reconstruct_from_frames

    model = fitting.fitting_model(acquisition, parameters)

    fine_pixels = math.prod(acquisition.field_shape) * model.instrument.factor**2

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return DeepStormMaker(movie, model, str(parameters.model), parameters.threshold, run.device)

    return reconstruct_from_frames(
        acquisition,
        parameters.model_copy(update={"factor": model.instrument.factor}),
        run,
        METHOD,
        build,
        working_bytes=4 * WIDE * model.filters * max(BATCH_PIXELS, fine_pixels),
    )


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="deep-storm",
    summary="single molecules by a network trained on simulated frames of the microscope (Deep-STORM)",
    parameters=DeepStormParameters,
    load=_load,
    presets={},
    citation=CITATION,
)
