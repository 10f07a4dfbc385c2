"""What the user of SOFI can set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fluosr.methods.movie_parameters import MovieParameters

LARGEST_CROSS_ORDER = 4


class SofiParameters(MovieParameters):
    """Which cumulant, and what is made of it."""

    order: int = Field(2, ge=2, le=6, description="order n of the cumulant: the PSF narrows by sqrt(n)")
    kind: Literal["auto", "cross"] = Field(
        "cross",
        description="auto: a pixel with itself at different times; cross: neighbouring pixels at one time (order 2-4)",
    )
    lag: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="frames between the factors of an auto-cumulant; 0 keeps shot noise; automatic is 1, for cross 0",
    )
    linearise: bool = Field(
        True, description="deconvolve, take the n-th root and blur again, so that brightness adds up"
    )
    deconvolution_iterations: int = Field(
        20,
        ge=1,
        le=1000,
        description="Richardson-Lucy iterations of the linearisation",
        json_schema_extra={"needs": "linearise"},
    )
    block_loss: float = Field(
        0.04,
        gt=0,
        le=1,
        description="part of the first light lost within a block of frames; cumulants are averaged over blocks",
    )
    ldrc_window_px: int | None = Field(
        None,
        ge=3,
        description="window of local dynamic range compression, camera pixels; usual is 25, automatic is none",
    )
    emitter_maps: bool = Field(
        False, description="map density, brightness and on-time ratio of the emitters from orders 2-4"
    )

    @model_validator(mode="after")
    def _cross_cumulants_have_their_limits(self) -> SofiParameters:
        if self.kind == "cross" and self.order > LARGEST_CROSS_ORDER:
            raise ValueError(
                f"cross-cumulants go up to order {LARGEST_CROSS_ORDER}, got {self.order}: choose --kind auto"
            )
        if self.kind == "cross" and self.lag:
            raise ValueError(
                f"cross-cumulants are taken within one frame, got a lag of {self.lag}: choose --lag 0, or --kind auto"
            )
        return self

    @property
    def lag_frames(self) -> int:
        """The lag in use."""
        if self.lag is not None:
            return self.lag
        return 0 if self.kind == "cross" else 1

    @property
    def span_frames(self) -> int:
        """Frames from the first factor of a cumulant to its last."""
        return (self.order - 1) * self.lag_frames


PAPER = {
    "kind": "auto",
    "order": 2,
    "lag": 1,
    "linearise": False,
    "block_loss": 1.0,
    "drift": False,
    "bleaching": False,
}
BALANCED = {"kind": "cross", "order": 4, "linearise": True, "emitter_maps": True}

CITATION = """@article{Dertinger2009,
  author  = {Dertinger, T. and Colyer, R. and Iyer, G. and Weiss, S. and Enderlein, J.},
  title   = {Fast, background-free, {3D} super-resolution optical fluctuation imaging ({SOFI})},
  journal = {Proceedings of the National Academy of Sciences},
  year    = {2009},
  volume  = {106},
  number  = {52},
  pages   = {22287--22292},
  doi     = {10.1073/pnas.0907866106}
}
@article{Geissbuehler2012,
  author  = {Geissbuehler, Stefan and Bocchio, Noelia L. and Dellagiacoma, Claudio and Berclaz, Corinne and
             Leutenegger, Marcel and Lasser, Theo},
  title   = {Mapping molecular statistics with balanced super-resolution optical fluctuation imaging ({bSOFI})},
  journal = {Optical Nanoscopy},
  year    = {2012},
  volume  = {1},
  number  = {4},
  doi     = {10.1186/2192-2853-1-4}
}"""
