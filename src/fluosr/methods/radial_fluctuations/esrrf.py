"""eSRRF (Laine et al. 2023): places on which all gradients around them converge, weighted by distance, over time."""

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

STATISTICS: dict[str, Statistic] = {"AVG": "mean", "VAR": "variance", "TAC2": "cumulant 2"}


class EsrrfParameters(RadialParameters):
    """Radius, sensitivity and time, as published."""

    radius: float = Field(1.5, ge=0.1, le=50.0, description=RADIUS)
    sensitivity: float = Field(1.0, gt=0.0, le=20.0, description="power to which the convergence is raised")
    temporal: Literal["AVG", "VAR", "TAC2"] = Field("AVG", description=TEMPORAL)


def reconstruct(acquisition: Acquisition, parameters: EsrrfParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`.

    Raises:
        UsageError: gradients would be looked for farther away than the field is wide.
    """
    from fluosr.methods.from_frames import reconstruct_from_frames
    from fluosr.methods.radial_fluctuations.convergence import Convergence, reach_of
    from fluosr.methods.radial_fluctuations.maker import RadialMaker, driver_options

    statistic = STATISTICS[parameters.temporal]
    height, width = acquisition.field_shape
    if reach_of(parameters.radius) > min(height, width):
        raise UsageError(
            f"{acquisition.name}: a radius of {parameters.radius:g} pixels looks {reach_of(parameters.radius):.1f} "
            f"pixels around each place, more than the field of {height} x {width} holds: choose a smaller --radius; "
            "published are 1.5 to 4."
        )

    def build(movie: CorrectedMovie, factor: int) -> RadialMaker:
        transform = Convergence(factor, parameters.radius, parameters.sensitivity, parameters.interpolation)
        return RadialMaker(transform, statistic, parameters, factor)

    return reconstruct_from_frames(acquisition, parameters, run, METHOD, build, **driver_options(statistic))


def _load() -> ReconstructFunction:
    return reconstruct


METHOD = Method(
    name="esrrf",
    summary="enhanced super-resolution radial fluctuations: where weighted gradients converge (Laine et al. 2023)",
    parameters=EsrrfParameters,
    load=_load,
    presets={
        "paper": {
            "factor": 5,
            "radius": 1.5,
            "sensitivity": 1.0,
            "temporal": "AVG",
            "interpolation": "fourier",
            "drift": False,
            "bleaching": False,
        },
    },
    citation="""@article{Laine2023,
  title = {High-fidelity {3D} live-cell nanoscopy through data-driven enhanced super-resolution radial fluctuation},
  author = {Laine, Romain F. and Heil, Hannah S. and Coelho, Simao and Nixon-Abell, Jonathon and Jimenez, Ang{\\'e}lique
            and Wiesner, Theresa and Mart{\\'i}nez, Dami{\\'a}n and Galgani, Tommaso and R{\\'e}gnier, Louise and
            Stubb, Aki and Follain, Gautier and Webster, Samantha and Goyette, Jesse and Dauphin, Aurelien and
            Salles, Audrey and Culley, Si{\\^a}n and Jacquemet, Guillaume and Hajj, Bassam and Leterrier, Christophe and
            Henriques, Ricardo},
  journal = {Nature Methods},
  volume = {20},
  pages = {1949--1956},
  year = {2023},
  doi = {10.1038/s41592-023-02057-w}
}""",
    uses_time_order=True,  # TAC2; the other modes do not
)
