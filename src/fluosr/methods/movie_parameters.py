"""What every method that works on corrected frames lets the user set."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.base import MethodParameters


class MovieParameters(MethodParameters):
    """Grid, corrections and halves; the methods' own parameters come on top."""

    factor: int | None = Field(None, ge=1, le=32, description="fine pixels per camera pixel along each axis (L)")
    drift: bool = Field(True, description="estimate drift and correct it")
    bleaching: bool = Field(True, description="scale frames to even brightness")
    bad_pixels: bool = Field(True, description="leave hot, dead and saturated pixels out")
    halves: bool = Field(True, description="reconstruct two halves of the frames for the resolution figure")
