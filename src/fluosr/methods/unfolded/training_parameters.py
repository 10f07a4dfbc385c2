"""How a model is trained; the options of ``fluosr train unfolded`` are made from this."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluosr.methods.base import MethodParameters


class TrainingParameters(MethodParameters):
    """What is learnt, from where, and by which optimiser."""

    loss: Literal["localisation", "reconstruction"] = Field(
        "localisation", description="what training makes small: wrong places (14), or the error of the image (13)"
    )
    data_term: Literal["least-squares", "kullback-leibler"] = Field(
        "least-squares", description="how frames are compared with what the image explains: Gaussian or Poisson noise"
    )
    semi_blind: bool = Field(False, description="learn to deconvolve variances of movies, and with it the PSF's width")
    iterations: int = Field(127, ge=1, le=10_000, description="steps of the unfolded algorithm (K)")
    optimiser: Literal["sgp", "adam"] = Field(
        "sgp", description="scaled gradient projection on all pairs at once, or Adam on a batch at a time"
    )
    rounds: int = Field(60, ge=1, le=100_000, description="passes over the training pairs at the most")
    batch: int = Field(8, ge=1, le=4096, description="frames computed at once; bounds the memory")
    learning_rate: float = Field(
        0.05,
        gt=0,
        le=1,
        description="of Adam, relative to each parameter",
        json_schema_extra={"needs": {"optimiser": "adam"}},
    )
    validation_share: float = Field(0.2, ge=0, le=0.9, description="of the frames, kept aside to stop early; 0: none")
    patience: int = Field(10, ge=1, le=100_000, description="rounds without gain on these after which training stops")
    learn_steps: bool = Field(True, description="learn the step of every iteration, else keep the first value")
    learn_fwhm: bool | None = Field(None, description="learn the PSF's width too (automatic: only when semi-blind)")
    first_sparsity: float | None = Field(
        None, gt=0, le=1, description="start of lambda, as a share of its bound (20) (automatic: the best of a few)"
    )
    first_step: float | None = Field(
        None,
        gt=0,
        le=10,
        description="start of every step, times the curvature of the data term (automatic: the best of a few, or few "
        "long steps among short ones)",
    )
    first_threshold: float | None = Field(
        None, gt=0, le=1, description="start of tau, as a share of half the brightest true pixel (automatic: likewise)"
    )
    projection_width: float = Field(
        1e-3, gt=0, le=0.5, description="eps of the smoothed projection, as a share of the brightest true pixel"
    )
    transition: float = Field(0.7, gt=0, le=1, description="half the width over which the binarisation rises, of tau")
