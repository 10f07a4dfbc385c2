"""How a restoration network is trained; the options of ``fluosr train restoration`` are made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from fluosr.methods.base import MethodParameters


class RestorationTraining(MethodParameters):
    """What is learnt from which images, by which losses, for how long."""

    arm: Literal["paired", "synthetic", "physics"] = Field(
        "paired",
        description="where the bad images come from: recorded, or made from the good ones by the two-stage pipeline of "
        "Real-ESRGAN, or by the physics of a calibrated scanning microscope",
    )
    network: str = Field("nafnet", description="rrdb-23, rrdb-6, nafnet or span")
    blocks: int | None = Field(None, ge=1, le=64, description="blocks of the network (automatic: the network's own)")
    features: int | None = Field(None, ge=1, le=512, description="channels between blocks (automatic: likewise)")
    iterations: int = Field(2000, ge=1, le=1_000_000, description="steps on the absolute error alone")
    gan_iterations: int = Field(0, ge=0, le=1_000_000, description="steps with the discriminator, after them")
    batch: int = Field(8, ge=1, le=4096, description="patches a step")
    patch: int = Field(48, ge=8, le=4096, description="side of a patch, pixels of the bad image")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam at first; falls to a hundredth along a cosine")
    gan_learning_rate: float = Field(1e-4, gt=0, le=1, description="of both networks in the second stage, likewise")
    gan_weight: float = Field(0.1, ge=0, le=100, description="of the adversarial loss; the absolute error has 1")
    discriminator_features: int = Field(64, ge=1, le=512, description="channels of the discriminator's first layer")
    relativistic: bool = Field(False, description="the discriminator judges which of two is the more real")
    perceptual: Path | None = Field(
        None, description="safetensors file with VGG19's weights, for a perceptual loss (default: none)"
    )
    perceptual_weight: float = Field(1.0, ge=0, le=100, description="of the perceptual loss, where weights are given")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the weights' moving average, which is what is kept")
    clip: float = Field(1.0, gt=0, description="norm that gradients are cut to")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the products while training")
    augment: bool | None = Field(
        None, description="flip and turn (automatic: the good images, where the bad ones are made from them)"
    )
    validation_share: float = Field(0.2, ge=0, le=0.9, description="of the fields, kept aside to stop early; 0: none")
    evaluation: int = Field(100, ge=1, description="steps from one look at the validation fields to the next")
    patience: int = Field(10, ge=1, le=100_000, description="looks without gain after which the first stage ends")

    @model_validator(mode="after")
    def _fits(self) -> RestorationTraining:
        if self.gan_iterations and self.patch % 8:
            raise ValueError(f"patch: the discriminator needs a multiple of 8 pixels, got {self.patch}")
        if self.perceptual is not None and not self.gan_iterations:
            raise ValueError("perceptual: it is a loss of the second stage, and gan_iterations is 0")
        return self
