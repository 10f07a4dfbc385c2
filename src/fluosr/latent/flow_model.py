"""A fitted flow as JSON and safetensors, and the generator that it belongs to."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fluosr.errors import FluosrError, ModelError
from fluosr.generation.model import TrainedGenerator
from fluosr.latent.flow import LatentFlow, fixed
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.networks.stylegan2_generator import StyleGAN2Generator

KIND = ModelKind("flow", origin="of a flow fitted to a generator's codes")


@dataclass(frozen=True)
class FlowKnowledge:
    """What a flow is, and whose codes it was fitted to.

    Args:
        latent_features, transforms, hidden: as :class:`LatentFlow` has them.
        generator: :func:`hash_of` the generator.
        codes: how many it was fitted to.
    """

    latent_features: int
    transforms: int
    hidden: int
    generator: str
    codes: int

    def build(self, generator: torch.Generator) -> LatentFlow:
        """A fresh flow of this shape."""
        return LatentFlow(generator, self.latent_features, transforms=self.transforms, hidden=self.hidden)

    def biases(self) -> dict[str, int]:
        """Names and lengths of the biases of such a flow: they tell its sizes before memory is taken for them."""
        lengths = (self.hidden, 2 * self.latent_features)
        return {
            f"maf.transform.transforms.{block}.hyper.{2 * layer}.bias": length
            for block in range(self.transforms)
            for layer, length in enumerate(lengths)
        }


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """A fitted flow, and what it knows.

    Args:
        flow: its weights as they were fitted.
        knowledge: what it is.
        fingerprint: of its files; empty where it was not read from files.
        record: how it was fitted, as its file says.
    """

    flow: LatentFlow
    knowledge: FlowKnowledge
    fingerprint: str = ""
    record: dict[str, Any] | None = None

    def of(self, made: TrainedGenerator) -> LatentFlow:
        """The flow on this generator's codes, quick to ask and no longer to be fitted.

        Raises:
            ModelError: it was fitted to the codes of another one.
        """
        if hash_of(made.network) != self.knowledge.generator:
            raise ModelError(
                "this flow was fitted to the codes of another generator: their densities have nothing in common. Fit "
                "one to this generator."
            )
        own = self.knowledge.build(torch.Generator().manual_seed(0))
        own.load_state_dict(self.flow.state_dict())
        return fixed(own)

    def packed(self, record: dict[str, Any]) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors.

        Args:
            record: how it was fitted, as plain values.
        """
        return packed(KIND, {"knowledge": asdict(self.knowledge), "fitting": record}, self.flow.state_dict())


def hash_of(network: StyleGAN2Generator) -> str:
    """SHA-256 of a generator's weights, names and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_flow(name: str | Path) -> TrainedFlow:
    """The flow called NAME, on the processor.

    Raises:
        ModelError: not there, damaged, of another kind, version or architecture.
    """
    stored = read_model(KIND, name)
    try:
        known = FlowKnowledge(**stored.description["knowledge"])
        if not isinstance(known.generator, str) or min(known.latent_features, known.transforms, known.hidden) < 1:
            raise ValueError("its sizes or its generator cannot be")
        if known.transforms > len(stored.tensors):
            raise ValueError("it describes more transforms than it has weights")
        for bias, length in known.biases().items():
            if stored.tensors[bias].shape != (length,):
                raise ValueError(f"{bias} does not fit its description")
        flow = known.build(torch.Generator().manual_seed(0))
        flow.load_state_dict(stored.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, FluosrError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another architecture ({error}).") from error
    stored.refuse_infinite_weights()
    flow.eval().requires_grad_(False)
    return TrainedFlow(flow, known, stored.fingerprint, stored.description.get("fitting"))
