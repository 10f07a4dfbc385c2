"""How a flow is fitted to a generator's codes."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.base import MethodParameters


class FlowFitting(MethodParameters):
    """Sizes and rates; 100,000 codes, 5 transforms and 1024 hidden units are the paper's, the rest it does not say."""

    codes: int = Field(100_000, ge=100, le=10_000_000, description="codes that it is fitted to, held-out ones included")
    transforms: int = Field(5, ge=1, le=64, description="autoregressive transforms")
    hidden: int = Field(1024, ge=1, le=65_536, description="hidden units of each")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the codes that tell when to stop")
    batch: int = Field(512, ge=1, le=100_000, description="codes a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam; falls to nothing along a cosine")
    epochs: int = Field(50, ge=1, le=100_000, description="passes through the codes at most")
    patience: int = Field(5, ge=1, description="passes without gain on the held-out codes after which it ends")
