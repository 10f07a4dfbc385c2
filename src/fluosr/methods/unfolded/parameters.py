"""What a user can set of the unfolded method: which model, and on what it is used."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.movie_parameters import MovieParameters


class UnfoldedParameters(MovieParameters):
    """A trained model; the grid is the model's."""

    factor: int | None = Field(
        None, ge=1, le=32, description="fine pixels per camera pixel along each axis (L); only the model's is possible"
    )
    bleaching: bool = Field(False, description="scale frames to even brightness; the model knows single frames")
    model: str | None = Field(None, description="trained model: NAME of NAME.json and NAME.safetensors; needed")
    semi_blind: bool = Field(False, description="deconvolve the variance of the movie, by a model trained for that")
    background: float | None = Field(
        None, ge=0, description="photons per camera pixel, of variances squared (automatic: as the model was trained)"
    )
