"""What of spot fitting can be set."""

from __future__ import annotations

from pydantic import Field, model_validator

from fluosr.methods.movie_parameters import MovieParameters

CITATION = """@article{Smith2010,
  title = {Fast, single-molecule localization that achieves theoretically minimum uncertainty},
  author = {Smith, Carlas S. and Joseph, Nikolai and Rieger, Bernd and Lidke, Keith A.},
  journal = {Nature Methods}, volume = {7}, pages = {373--375}, year = {2010}, doi = {10.1038/nmeth.1449}
}"""


class SpotFittingParameters(MovieParameters):
    """Detection, fit, and what is kept."""

    # Frames are fitted as they were taken: a shifted or scaled frame is no longer made of photon counts.
    drift: bool = Field(
        False, description="estimate drift and take it off the coordinates; frames are left as they are"
    )
    bleaching: bool = Field(False, description="scale the photons of each frame to even brightness")
    false_alarms: float = Field(
        0.1,
        gt=0.0,
        le=1000.0,
        description="spots per frame that noise may bring in, before fits are looked at; the threshold is never below "
        "2 standard deviations, which caps them (the report says where)",
    )
    box_px: int | None = Field(
        None,
        ge=4,
        le=41,
        description="side of the square fitted around a spot, camera pixels; automatic is about 6 standard deviations "
        "of the PSF",
    )
    fit_width: bool = Field(False, description="fit the width of each spot instead of taking the PSF's")
    largest_uncertainty_nm: float | None = Field(
        None,
        gt=0.0,
        description="molecules known less well are left out (nm, standard deviation); automatic is half of the PSF's "
        "standard deviation",
    )
    fit_probability: float = Field(
        1e-3,
        ge=0.0,
        lt=1.0,
        description="spots that fit the PSF worse than chance allows with this probability are left out; 0 keeps all",
    )
    least_photons: float = Field(0.0, ge=0.0, description="molecules of fewer photons per frame are left out")
    most_photons: float | None = Field(
        None, gt=0.0, description="molecules of more photons per frame are left out; automatic is no limit"
    )

    @model_validator(mode="after")
    def _range(self) -> SpotFittingParameters:
        if self.most_photons is not None and self.most_photons <= self.least_photons:
            raise ValueError(f"most_photons ({self.most_photons:g}) must exceed least_photons ({self.least_photons:g})")
        return self
