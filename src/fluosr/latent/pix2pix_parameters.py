"""How Pix2Pix is trained; the options of ``fluosr train pix2pix`` are made from this."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.base import MethodParameters


class Pix2PixTraining(MethodParameters):
    """Sizes, lengths and rates; sizes, rate and weights are the paper's, whose batches are of 1 to 10."""

    images: int = Field(100_000, ge=1, le=1_000_000_000, description="pairs shown in all")
    batch: int = Field(4, ge=1, le=4096, description="pairs a step")
    features: int = Field(
        64, ge=1, le=1024, description="channels of the first layer of either network; 8 times at most"
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="of three layers of the generator, its only noise, later too; 0: one image for each",
    )
    l1_weight: float = Field(100.0, ge=0, description="of the mean absolute difference beside the discriminator's loss")
    learning_rate: float = Field(2e-4, gt=0, le=1, description="of Adam, for both networks")
    look: int = Field(5000, ge=1, description="pairs from one sheet of images and line of the log to the next")
