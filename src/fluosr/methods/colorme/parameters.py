"""What COL0RME can be told beyond what every covariance method can."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluosr.methods.second_order.parameters import SecondOrderParameters


class ColormeParameters(SecondOrderParameters):
    """The support's penalty, and what the intensity on it has to reach."""

    restarts: int = Field(
        0,
        ge=0,
        le=100,
        description="of CEL0, from the midpoints between each point found and its nearest neighbour",
        json_schema_extra={"needs": {"penalty": "cel0"}},
    )
    support_radius_nm: float | None = Field(
        None,
        ge=0,
        description="by which the support is widened before light is put on it, nm: emitters are placed no better; "
        "automatic is a sixth of the PSF's FWHM, published 0",
    )
    noise_target: Literal["mean", "frame"] = Field(
        "mean",
        description="the fit misses the mean frame by the mean frame's noise, or by a single frame's (published)",
    )
