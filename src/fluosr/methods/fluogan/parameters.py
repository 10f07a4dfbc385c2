"""FluoGAN's parameters and the paper's values of them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from fluosr.methods.base import MethodParameters

WITH_FANO = ("fano", "gamma", "blinking")
NEEDS_D: dict[str, JsonValue] = {"needs": "discriminator"}  # without it these have no effect, and the user is told


class FluoganParameters(MethodParameters):
    """Everything that can be set. None means: chosen from the data, without any truth; the report shows the choice."""

    factor: int | None = Field(None, ge=1, le=32, description="fine pixels per camera pixel along each axis (L)")
    iterations: int = Field(
        3000, ge=1, le=10_000_000, description="FISTA iterations of the image without discriminator"
    )
    discriminator: bool = Field(False, description="go on with the discriminator of the paper (delta = 1)")
    adversarial_iterations: int = Field(
        100, ge=1, le=10_000_000, description="iterations with the discriminator", json_schema_extra=NEEDS_D
    )
    sparsity: float | None = Field(
        None, ge=0, description="lambda_1 in units of the noise of the data term's gradient (scale-free)"
    )
    smoothness: float | None = Field(
        None,
        ge=0,
        description="smoothing length of the background in camera pixels: lambda_2 = length^2 x median weight",
    )
    grain_nm: float | None = Field(
        None, ge=0, description="FWHM of the grains the image is made of, nm; 0: single fine pixels; default FWHM / 7"
    )
    background_spacing_nm: float | None = Field(
        None, ge=0, description="distance of the background's spline knots, nm; 0: one free value per camera pixel"
    )
    data_term: Literal["mean-weighted", "paper"] = Field(
        "mean-weighted", description="weight pixels by their noise, or all alike with the variance term of eq. (14)"
    )
    data_weight: float = Field(1.0, gt=0, description="gamma of eq. (14)")
    borders: Literal["open", "periodic"] = Field("open", description="see light from beyond the field, or wrap around")
    drift: bool = Field(True, description="estimate drift and put it into the operator")
    bad_pixels: bool = Field(True, description="leave hot, dead and saturated pixels out")
    halves: bool = Field(True, description="reconstruct two halves of the frames for the resolution figure")
    fluctuations: Literal["poisson", "double-poisson", "fano", "gamma", "blinking"] = Field(
        "poisson",
        description="how the generator's emitters fluctuate: poisson not at all (model 4), double-poisson as in model "
        "(3), fano in bursts, gamma, blinking on and off",
        json_schema_extra=NEEDS_D,
    )
    fano: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="Fano factor of the emitters, photons, for fluctuations fano, gamma and blinking",
        json_schema_extra=NEEDS_D,
    )
    on_time_s: float | None = Field(
        None, gt=0, description="mean time a molecule stays on, s, for fluctuations blinking", json_schema_extra=NEEDS_D
    )
    off_time_s: float | None = Field(
        None, gt=0, description="mean time it stays off, s, for fluctuations blinking", json_schema_extra=NEEDS_D
    )
    batch: int = Field(32, ge=2, le=4096, description="frames per batch (B)", json_schema_extra=NEEDS_D)
    discriminator_rate: float = Field(
        3e-4,
        gt=0,
        le=1,
        description="learning rate of Adam for the discriminator (tau_phi)",
        json_schema_extra=NEEDS_D,
    )
    discriminator_weight: float = Field(1.0, ge=0, description="delta of eq. (14)", json_schema_extra=NEEDS_D)
    gradient_penalty: float = Field(10.0, ge=0, description="lambda of eq. (15)", json_schema_extra=NEEDS_D)
    generator_steps: int = Field(
        1, ge=1, le=1000, description="k_G, steps on image and background per round", json_schema_extra=NEEDS_D
    )
    discriminator_steps: int = Field(
        1, ge=1, le=1000, description="k_D, steps on the discriminator per round", json_schema_extra=NEEDS_D
    )

    @model_validator(mode="after")
    def _check_fluctuations(self) -> Self:
        for name, kinds in (("fano", WITH_FANO), ("on_time_s", ("blinking",)), ("off_time_s", ("blinking",))):
            if getattr(self, name) is not None and self.fluctuations not in kinds:
                raise ValueError(
                    f"--{name.replace('_', '-')} goes with --fluctuations {' or '.join(kinds)}, not with "
                    f"{self.fluctuations}"
                )
        return self


# What the paper states (Table 1, sections 4.1, 4.4 and 5). It states neither lambda_1, lambda_2, gamma nor lambda:
# these stay automatic or at the values above.
PAPER = {
    "factor": 6,
    "discriminator": True,
    "iterations": 1000,
    "adversarial_iterations": 5000,
    "grain_nm": 0.0,
    "background_spacing_nm": 0.0,
    "data_term": "paper",
    "borders": "periodic",
    "drift": False,
    "batch": 32,
    "discriminator_rate": 1e-6,
    "discriminator_weight": 1.0,
    "generator_steps": 1,
    "discriminator_steps": 1,
}

CITATION = """@article{Cachia2023FluoGAN,
  title = {Fluorescence image deconvolution microscopy via generative adversarial learning ({FluoGAN})},
  author = {Cachia, Mayeul and Stergiopoulou, Vasiliki and Calatroni, Luca and Schaub, Sebastien and
            Blanc-F{\\'e}raud, Laure},
  journal = {Inverse Problems},
  volume = {39},
  number = {5},
  pages = {054006},
  year = {2023},
  doi = {10.1088/1361-6420/acc889}
}"""
