"""What SPARCOM can be told beyond what every covariance method can."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluosr.methods.second_order.parameters import SecondOrderParameters


class SparcomParameters(SecondOrderParameters):
    """What is taken off the frames before their second moments are formed."""

    baseline: Literal["mean", "median"] = Field(
        "mean",
        description="taken off the frames: their mean, or their median (published; mean of medians of 25 frames)",
    )
