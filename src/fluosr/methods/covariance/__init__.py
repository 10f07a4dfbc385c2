"""The likelihood of mean and covariance: what the frames say of the light, in their average and in how they differ.

A method of this project's own. FluoGAN's model (3), with any Fano factor in place of 1, makes frames whose covariance
is kappa A diag(x) A^T plus the camera's noise: the light x stands in the mean and in the covariance, and the covariance
knows it through the square of the PSF. Both enter one likelihood, and x, b and kappa are fitted to it together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.covariance.parameters import CovarianceParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.image_maker import ImageMaker
    from fluosr.reconstruction import Reconstruction

BUFFERS = 180  # fine images in single precision: the solver's 34 are in double, and the patches' matrices weigh as much
LEAST_FRAMES = 8
FRAMES_PER_RUN = 10  # of the halves: molecules that shine in one frame shine in the next


def reconstruct(acquisition: Acquisition, parameters: CovarianceParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.covariance.fall_back import compared, look_at, mean_instead
    from fluosr.methods.covariance.maker import CovarianceMaker
    from fluosr.methods.from_frames import reconstruct_from_frames

    found = look_at(acquisition, parameters, run)
    if parameters.fall_back and found.nothing is not None:
        return compared(mean_instead(acquisition, parameters, run, found.nothing, METHOD), found)

    def build(movie: CorrectedMovie, factor: int) -> ImageMaker:
        return CovarianceMaker(movie, factor, parameters, run.device, found.memory_frames)

    made = reconstruct_from_frames(
        acquisition,
        parameters,
        run,
        METHOD,
        build,
        least_frames=LEAST_FRAMES,
        run_length=FRAMES_PER_RUN,
        buffers=BUFFERS,
        reads_fluctuations=False,
        doubt_gain=not found.doubts,  # they have an interval
    )
    return compared(made, found)


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="covariance",
    summary="light from mean and covariance of blinking frames by one likelihood; from the mean where they are still",
    parameters=CovarianceParameters,
    load=_load,
    presets={},
    citation="""@software{fluosr,
  title = {fluosr: computational super-resolution for fluorescence microscopy},
  author = {{The fluosr developers}},
  note = {Likelihood of mean and covariance}
}""",
)
