"""A trained Pix2Pix as JSON and safetensors: its generator, and the only degradation that it knows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fluosr.errors import FluosrError, ModelError, UsageError
from fluosr.latent.degradation import FACTORS, Degradation
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.networks.pix2pix_generator import Pix2PixGenerator
from fluosr.networks.restorer import in_channels_last
from fluosr.phenotypes.levels import Levels

KIND = ModelKind("pix2pix", origin="that `fluosr train pix2pix` writes")


@dataclass(frozen=True)
class Pix2PixKnowledge:
    """What pairs it was trained on.

    Args:
        resolution: R, pixels of the sharp side.
        channels: names, in their order.
        levels: (dark, bright) grey value of each channel.
        factor: sharp pixels along a coarse one.
        degradation: its name.
        features, dropout: as :class:`Pix2PixGenerator` has them.
        pixel_size_nm: of the crops; None where it was not said.
        crops: how many it learnt from.
        images: how many pairs were shown.
    """

    resolution: int
    channels: list[str]
    levels: list[list[float]]
    factor: int
    degradation: str
    features: int
    dropout: float
    pixel_size_nm: float | None
    crops: int
    images: int

    def build(self, generator: torch.Generator) -> Pix2PixGenerator:
        """A fresh network of this shape."""
        return Pix2PixGenerator(
            generator,
            resolution=self.resolution,
            channels=len(self.channels),
            features=self.features,
            dropout=self.dropout,
        )


@dataclass(frozen=True, eq=False)
class TrainedPix2Pix:
    """A network that was trained on pairs of one degradation, and what it knows.

    Args:
        network: ready to be asked.
        knowledge: of which pairs.
        fingerprint: of its files; empty where it was not read from files.
        record: how it was trained, as its file says.
    """

    network: Pix2PixGenerator
    knowledge: Pix2PixKnowledge
    fingerprint: str = ""
    record: dict[str, Any] | None = None

    @property
    def levels(self) -> Levels:
        """Dark and bright grey value of each channel."""
        return Levels.of_pairs(np.array(self.knowledge.levels, float), self.knowledge.channels)

    def to_grey(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, C, R, R) in the network's range -> grey values."""
        return self.levels.to_grey(images)

    def check(self, degradation: Degradation) -> None:
        """See that coarse images come of the degradation that it was trained for.

        Raises:
            UsageError: of another factor, or another one.
        """
        known = self.knowledge
        if degradation.factor != known.factor:
            raise UsageError(
                f"factor: this Pix2Pix was trained for images {known.factor} times coarser, not {degradation.factor}: "
                "train one for each factor."
            )
        if degradation.name != known.degradation:
            raise UsageError(
                f"this Pix2Pix was trained for another degradation, {known.degradation}, not {degradation.name}: train "
                "one for each."
            )

    def packed(self, record: dict[str, Any]) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors.

        Args:
            record: how it was trained, as plain values.
        """
        return packed(KIND, {"knowledge": asdict(self.knowledge), "training": record}, self.network.state_dict())


def load_pix2pix(name: str | Path) -> TrainedPix2Pix:
    """The Pix2Pix called NAME, on the processor, its weights fixed.

    Raises:
        ModelError: not there, damaged, of another kind, version or architecture.
    """
    stored = read_model(KIND, name)
    try:
        known = Pix2PixKnowledge(**stored.description["knowledge"])
        Levels.of_pairs(np.array(known.levels, float), known.channels)
        pixel = known.pixel_size_nm
        if not all(isinstance(word, str) for word in [*known.channels, known.degradation]):
            raise ValueError("its channels or its degradation cannot be")
        if known.factor not in FACTORS or known.factor > known.resolution or not (pixel is None or pixel > 0):
            raise ValueError("its factor or its pixel size cannot be")
        with torch.device("meta"):  # its shapes, before any memory is taken for them
            shapes = known.build(torch.Generator()).state_dict()
    except (KeyError, TypeError, ValueError, RuntimeError, FluosrError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another architecture ({error}).") from error
    stored.refuse_other_weights(shapes, "it describes")
    stored.refuse_infinite_weights()
    network = known.build(torch.Generator().manual_seed(0))
    network.load_state_dict(stored.tensors)
    in_channels_last(network.eval().requires_grad_(False))
    return TrainedPix2Pix(network, known, stored.fingerprint, stored.description.get("training"))
