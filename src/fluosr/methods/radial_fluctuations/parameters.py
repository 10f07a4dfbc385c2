"""What SRRF and eSRRF let the user set in common."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.movie_parameters import MovieParameters
from fluosr.optics.interpolation import Interpolation

RADIUS = "radius, camera pixels: of the ring (srrf), or the FWHM of the gradients' weight (esrrf)"
TEMPORAL = "what is made of each fine pixel's values over time"


class RadialParameters(MovieParameters):
    """How frames are magnified, and what is done about the pattern that this leaves."""

    interpolation: Interpolation = Field("catmull-rom", description="how frames are magnified")
    intensity_weighting: bool = Field(True, description="multiply by the magnified frame")
    macro_pixel_correction: bool = Field(
        True, description="divide by the mean patch of all camera pixels, against a pattern of their size"
    )
