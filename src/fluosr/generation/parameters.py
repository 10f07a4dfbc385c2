"""How a generator is trained; the options of ``fluosr train generator`` are made from this."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.base import MethodParameters

HALF_LIFE_STEPS = 312.5  # of the average weights: 10,000 crops at a batch of 32


class GeneratorTraining(MethodParameters):
    """Networks, lengths, rates and regularisation.

    Sizes, rates and regularisation are by default those of StyleGAN2-ADA's "auto" configuration for one GPU at 32 to
    128 pixels; what differs from it is listed in docs/generator.md.
    """

    images: int = Field(1_000_000, ge=1, le=1_000_000_000, description="crops shown to the discriminator in all")
    batch: int = Field(32, ge=1, le=4096, description="crops a step")
    features: int = Field(
        512,
        ge=1,
        le=2048,
        description="channels of a layer at most; the papers' plan goes down from it above 32 pixels",
    )
    latent_features: int = Field(512, ge=1, le=4096, description="numbers of a code, z and w")
    mapping_depth: int = Field(2, ge=1, le=16, description="layers from z to w")
    learning_rate: float = Field(0.0025, gt=0, le=1, description="of Adam, for both networks")
    mixing: float = Field(0.9, ge=0, le=1, description="probability that an image is made from two codes")
    r1_weight: float | None = Field(
        None, ge=0, description="gamma of R1; 0: none (automatic: 0.0002 x pixels of a crop / batch)"
    )
    r1_interval: int = Field(16, ge=1, le=1000, description="steps from one R1 to the next, weighted by as much")
    path_weight: float = Field(2.0, ge=0, description="of the path length regularisation; 0: none")
    path_interval: int = Field(4, ge=1, le=1000, description="steps from one to the next, weighted by as much")
    path_decay: float = Field(0.01, gt=0, le=1, description="weight of a new batch in the running mean of path lengths")
    ema_half_life: float | None = Field(
        None,
        ge=0,
        description="of the average weights, which are kept, in crops shown (automatic: 312.5 x batch, 10000 at 32)",
    )
    ema_ramp: float = Field(0.05, ge=0, le=1, description="half-life at most, as a share of crops shown; 0: no limit")
    augment: bool = Field(True, description="change crops and images at random before they are judged")
    augment_target: float = Field(0.6, ge=-1, le=1, description="mean sign of the discriminator on real crops")
    augment_interval: int = Field(4, ge=1, le=1000, description="steps from one change of its probability to the next")
    augment_images: float = Field(500_000, ge=1, description="crops over which its probability may rise from 0 to 1")
    look: int = Field(20_000, ge=1, description="crops from one sheet of samples and score to the next")
    score_images: int = Field(500, ge=0, le=1000, description="crops and samples compared at a look; 0: none")

    def r1_gamma(self, resolution: int) -> float:
        """Gamma of R1 for crops of a side."""
        return 0.0002 * resolution**2 / self.batch if self.r1_weight is None else self.r1_weight

    @property
    def average_half_life(self) -> float:
        """Half-life of the average weights, in crops shown: so many steps whatever the batch."""
        return HALF_LIFE_STEPS * self.batch if self.ema_half_life is None else self.ema_half_life
