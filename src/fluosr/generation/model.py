"""A trained generator as JSON and safetensors: the average network, its channels and their levels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fluosr.errors import FluosrError, ModelError, UsageError
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.networks.restorer import in_channels_last
from fluosr.networks.stylegan2_generator import StyleGAN2Generator
from fluosr.phenotypes.levels import Levels

KIND = ModelKind("generator", origin="that `fluosr train generator` writes")


@dataclass(frozen=True)
class Knowledge:
    """What a generator makes, and what it was trained on.

    Args:
        resolution: R, pixels.
        channels: names, in their order.
        levels: (dark, bright) grey value of each channel.
        latent_features, mapping_depth, features: as :class:`StyleGAN2Generator` has them.
        pixel_size_nm: of the crops; None where it was not said.
        crops: how many it learnt from.
        images: how many were shown to its discriminator.
    """

    resolution: int
    channels: list[str]
    levels: list[list[float]]
    latent_features: int
    mapping_depth: int
    features: int
    pixel_size_nm: float | None
    crops: int
    images: int

    def build(self, generator: torch.Generator) -> StyleGAN2Generator:
        """A fresh network of this shape."""
        return StyleGAN2Generator(
            generator,
            resolution=self.resolution,
            channels=len(self.channels),
            latent_features=self.latent_features,
            mapping_depth=self.mapping_depth,
            features=self.features,
        )


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """A network that makes crops, and what it knows.

    Args:
        network: the average of the weights, ready to be asked.
        knowledge: what it makes.
        fingerprint: of its files; empty where it was not read from files.
        record: how it was trained, as its file says.
    """

    network: StyleGAN2Generator
    knowledge: Knowledge
    fingerprint: str = ""
    record: dict[str, Any] | None = None

    @property
    def levels(self) -> Levels:
        """Dark and bright grey value of each channel."""
        return Levels.of_pairs(np.array(self.knowledge.levels, float), self.knowledge.channels)

    def to_range(self, grey: torch.Tensor) -> torch.Tensor:
        """Crops (N, C, R, R) in grey values -> in the network's range.

        Raises:
            UsageError: another size, or other channels than it knows.
        """
        known = self.knowledge
        if grey.ndim != 4 or grey.shape[1:] != (len(known.channels), known.resolution, known.resolution):
            raise UsageError(
                f"this generator knows crops of {len(known.channels)} channels ({', '.join(known.channels)}) and "
                f"{known.resolution} x {known.resolution} pixels, got {tuple(grey.shape)}: cut the crops as those that "
                "it learnt from."
            )
        return self.levels.to_range(grey)

    def to_grey(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, C, R, R) in the network's range -> grey values."""
        return self.levels.to_grey(images)

    @torch.no_grad()
    def samples(self, count: int, generator: torch.Generator, *, truncation: float = 1.0) -> torch.Tensor:
        """(count, C, R, R) made crops, grey values; ``generator`` is the processor's."""
        z = torch.randn(count, self.network.latent_features, generator=generator)
        images = self.network(z.to(self.network.mean_w), truncation=truncation)
        return self.to_grey(images)

    def packed(self, record: dict[str, Any]) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors.

        Args:
            record: how it was trained, as plain values.
        """
        return packed(KIND, {"knowledge": asdict(self.knowledge), "training": record}, self.network.state_dict())


def load_generator(name: str | Path) -> TrainedGenerator:
    """The generator called NAME, on the processor, its weights fixed.

    Raises:
        ModelError: not there, damaged, of another kind, version or architecture.
    """
    stored = read_model(KIND, name)
    try:
        known = Knowledge(**stored.description["knowledge"])
        _check(known)
        with torch.device("meta"):  # its shapes, before any memory is taken for them
            shapes = known.build(torch.Generator()).state_dict()
    except (KeyError, TypeError, ValueError, RuntimeError, FluosrError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another architecture ({error}).") from error
    stored.refuse_other_weights(shapes, "it describes")
    stored.refuse_infinite_weights()
    network = known.build(torch.Generator().manual_seed(0))
    network.load_state_dict(stored.tensors)
    in_channels_last(network.eval().requires_grad_(False))
    return TrainedGenerator(network, known, stored.fingerprint, stored.description.get("training"))


def _check(known: Knowledge) -> None:
    """See that what was read is of the kinds that it should be.

    Raises:
        ValueError, UsageError: it is not; says what.
    """
    pixel, sizes = known.pixel_size_nm, ("resolution", "latent_features", "mapping_depth", "features")
    right = {name: type(getattr(known, name)) is int for name in (*sizes, "crops", "images")}  # 32.0 and true are none
    right["channels"] = isinstance(known.channels, list) and all(isinstance(name, str) for name in known.channels)
    right["pixel_size_nm"] = pixel is None or (type(pixel) in (int, float) and 0 < pixel < math.inf)
    wrong = [f"{name} cannot be {getattr(known, name)!r:.40}" for name, fits in right.items() if not fits]
    if wrong:
        raise ValueError("; ".join(wrong))
    Levels.of_pairs(np.array(known.levels, float), known.channels)
