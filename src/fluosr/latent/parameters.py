"""How a latent space is searched: the paper's numbers, and a stated choice for each that it leaves open."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fluosr.methods.base import MethodParameters

ABLATIONS: dict[str, dict[str, Any]] = {  # of Fig. 7: names, and what is turned off
    "RLS": {},
    "w/o regularisation": {"weight_w": 0.0, "weight_cross": 0.0},
    "w/o p_w": {"weight_w": 0.0},
    "w/o p_cross": {"weight_cross": 0.0},
}


class SearchParameters(MethodParameters):
    """Weights, rate and length of the regularised latent search."""

    weight_w: float = Field(5e-5, ge=0, description="lambda_w, of the codes' log density; 0: without it")
    weight_cross: float = Field(0.01, ge=0, description="lambda_c, of the layers' squared distances; 0: without it")
    misfit: Literal["mean", "sum"] = Field("mean", description="absolute differences: their mean, or their sum")
    iterations: int = Field(200, ge=1, le=1_000_000, description="steps of Adam")
    learning_rate: float = Field(0.5, gt=0, le=1000, description="of Adam")
    relative_rate: bool = Field(False, description="the rate counts in the root mean square spread of w about its mean")
    schedule: Literal["constant", "cosine"] = Field("constant", description="of the rate: cosine falls to nothing")
    keep: Literal["best", "last"] = Field("best", description="the codes of the least loss met, or of the last step")
    start_codes: int = Field(10_000, ge=1, le=10_000_000, description="codes whose mean is where a search begins")
    batch: int = Field(8, ge=1, le=4096, description="images searched at once; the results do not depend on it")


class PulseParameters(MethodParameters):
    """PULSE: codes on a sphere; the published numbers, and a constant rate."""

    weight_pixel: float = Field(100.0, ge=0, description="of the mean squared difference, images between 0 and 1")
    weight_cross: float = Field(0.05, ge=0, description="of the layers' squared angles, summed over pairs")
    iterations: int = Field(100, ge=1, le=1_000_000, description="steps of Adam")
    learning_rate: float = Field(0.4, gt=0, le=1000, description="of Adam, constant")
    fit_codes: int = Field(1_000_000, ge=100, le=100_000_000, description="codes that its whitening is fitted to")
    batch: int = Field(8, ge=1, le=4096, description="images searched at once; the results do not depend on it")


class BrgmParameters(MethodParameters):
    """BRGM without its perceptual term, whose weights are in no package: "BRGM (pixel)"."""

    weight_pixel: float = Field(
        0.001, ge=0, description="of the squared differences, summed over pixels and channels, images from 0 to 255"
    )
    weight_w: float = Field(100.0, ge=0, description="of the mean squared distance of w from its mean, in its spread")
    weight_cosine: float | None = Field(
        None, ge=0, description="of 1 - cosine, summed over pairs of layers (automatic: 0.1; above a factor of 16: 1)"
    )
    iterations: int = Field(501, ge=1, le=1_000_000, description="steps of Adam")
    learning_rate: float = Field(0.1, gt=0, le=1000, description="of Adam, constant")
    fit_codes: int = Field(10_000, ge=100, le=100_000_000, description="codes that mean and spread are taken from")
    batch: int = Field(8, ge=1, le=4096, description="images searched at once; the results do not depend on it")


class UncertaintyParameters(MethodParameters):
    """Several plausible images for each coarse one, from codes about those that a search found."""

    samples: int = Field(6, ge=2, le=10_000, description="plausible images that are handed back for each coarse one")
    samples_a_step: int = Field(6, ge=1, le=10_000, description="codes drawn in each step of the fit")
    prior_shape: float = Field(0.1, gt=0, le=1000, description="of sigma's inverse gamma distribution")
    prior_scale: float = Field(0.95, gt=0, le=1000, description="of the same")
    data_weight: float = Field(1.0, ge=0, description="of log p(w | y), which counts a mean difference, not their sum")
    iterations: int = Field(100, ge=1, le=1_000_000, description="steps of Adam")
    learning_rate: float = Field(0.02, gt=0, le=1000, description="of Adam, for the mean code and log sigma")
    batch: int = Field(4, ge=1, le=4096, description="coarse images at once; the results do not depend on it")
