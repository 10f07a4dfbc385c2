"""What the fits of a covariance let the user set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluosr.methods.movie_parameters import MovieParameters

Noise = Literal["pixel", "shared", "none"]
BUFFERS = 40  # fine images in single precision: the solver's twenty are in double
Penalty = Literal["l1", "cel0", "reweighted", "tv"]


class SecondOrderParameters(MovieParameters):
    """Penalty, noise and the solver's end."""

    penalty: Penalty = Field(
        "l1", description="what keeps the variances sparse: l1, CEL0 (continuous l0), four reweighted l1, or TV"
    )
    noise_covariance: Noise = Field(
        "shared",
        description="the frames' own noise has one variance for all pixels (published), one for each pixel (only what "
        "pixels do together counts), or is left in",
    )
    sparsity: float | None = Field(
        None,
        ge=0,
        description="threshold of the penalty in units of the noise of the data term's gradient (scale-free)",
    )
    sparsity_of_maximum: float | None = Field(
        None, ge=0, description="the same as a fraction of the data term's maximum, as published; wins over sparsity"
    )
    iterations: int = Field(
        20_000, ge=1, le=10_000_000, description="FISTA iterations at most; it stops earlier once it stands still"
    )
    tolerance: float = Field(
        2e-5, gt=0, description="relative change of objective and variances over an iteration at which it stands still"
    )
