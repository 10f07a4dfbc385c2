"""SRRF (Gustafsson et al. 2016): places on which the gradients of a ring around them converge, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fluosr.errors import UsageError
from fluosr.methods.base import Method, ReconstructFunction, Run
from fluosr.methods.radial_fluctuations.parameters import RADIUS, TEMPORAL, RadialParameters

if TYPE_CHECKING:
    from fluosr.acquisition import Acquisition
    from fluosr.corrections.movie import CorrectedMovie
    from fluosr.methods.radial_fluctuations.maker import RadialMaker
    from fluosr.methods.radial_fluctuations.temporal import Statistic
    from fluosr.reconstruction import Reconstruction

STATISTICS: dict[str, Statistic] = {
    "TRA": "mean",
    "TRM": "maximum",
    "TRPPM": "pairwise product",
    "TRAC2": "cumulant 2",
    "TRAC3": "cumulant 3",
    "TRAC4": "cumulant 4",
}


class SrrfParameters(RadialParameters):
    """Ring, sign and time, as published."""

    radius: float = Field(0.5, ge=0.1, le=50.0, description=RADIUS)
    ring_samples: int = Field(12, ge=4, le=360, description="places on the ring")
    positivity: bool = Field(True, description="count places that gradients point away from as none")
    temporal: Literal["TRA", "TRM", "TRPPM", "TRAC2", "TRAC3", "TRAC4"] = Field("TRA", description=TEMPORAL)


def reconstruct(acquisition: Acquisition, parameters: SrrfParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`.

    Raises:
        UsageError: the ring is larger than the field.
    """
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.radial_fluctuations.maker import RadialMaker, driver_options
    from fluosr.methods.radial_fluctuations.radiality import Radiality

    statistic = STATISTICS[parameters.temporal]
    height, width = acquisition.field_shape
    if 2 * parameters.radius > min(height, width):
        raise UsageError(
            f"{acquisition.name}: a ring of radius {parameters.radius:g} pixels does not fit into a field of "
            f"{height} x {width}: choose a smaller --radius; published is 0.5."
        )

    def build(movie: CorrectedMovie, factor: int) -> RadialMaker:
        transform = Radiality(factor, parameters.radius, parameters.ring_samples, parameters.positivity)
        return RadialMaker(transform, statistic, parameters, factor)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build, **driver_options(statistic))


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="srrf",
    summary="super-resolution radial fluctuations: where gradients on a ring converge (Gustafsson et al. 2016)",
    parameters=SrrfParameters,
    load=_load,
    presets={
        "paper": {
            "factor": 5,
            "radius": 0.5,
            "ring_samples": 12,
            "temporal": "TRA",
            "macro_pixel_correction": False,
            "drift": False,
            "bleaching": False,
        }
    },
    citation="""@article{Gustafsson2016,
  title = {Fast live-cell conventional fluorophore nanoscopy with {ImageJ} through super-resolution radial
           fluctuations},
  author = {Gustafsson, Nils and Culley, Si{\\^a}n and Ashdown, George and Owen, Dylan M. and Pereira, Pedro Matos and
            Henriques, Ricardo},
  journal = {Nature Communications},
  volume = {7},
  pages = {12471},
  year = {2016},
  doi = {10.1038/ncomms12471}
}""",
    uses_time_order=True,  # TRAC; the other modes do not
)
