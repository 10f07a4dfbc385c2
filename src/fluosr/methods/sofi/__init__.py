"""SOFI (Dertinger et al. 2009): cumulants of blinking emitters, auto and cross, with bSOFI's linearisation and maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.sofi.parameters import BALANCED, CITATION, PAPER, SofiParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.reconstruction import Reconstruction

SPANS_PER_RUN = 10  # of consecutive frames in a half: it keeps nine tenths of the lagged products


def reconstruct(acquisition: Acquisition, parameters: SofiParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`."""
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.sofi.maker import SofiMaker, buffers

    span = parameters.span_frames
    return reconstruct_from_frames(
        acquisition,
        parameters,
        run,
        METHOD,
        lambda movie, factor: SofiMaker(movie, factor, parameters),
        least_frames=span + 2 * parameters.order,
        run_length=max(1, SPANS_PER_RUN * span),
        frames_in_a_row=span + 1,
        buffers=buffers(acquisition, parameters),
        reads_fluctuations=True,
    )


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="sofi",
    summary="cumulants of emitters that blink on their own; linearised, with emitter maps on request (SOFI, bSOFI)",
    parameters=SofiParameters,
    load=_load,
    presets={"paper": PAPER, "bsofi": BALANCED},
    citation=CITATION,
    uses_time_order=True,
)
