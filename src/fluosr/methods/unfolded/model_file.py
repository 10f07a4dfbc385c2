"""A trained unfolded network in a model's files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluosr.errors import FluosrError, ModelError
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.physics import Physics

if TYPE_CHECKING:
    import torch

KIND = ModelKind("unfolded")


def contents(network: UnfoldedGradient, record: dict[str, Any]) -> tuple[bytes, bytes]:
    """The contents of NAME.json and NAME.safetensors.

    Args:
        network: trained.
        record: how it was trained, as plain values.
    """
    description = {
        **network.describe(),
        "in_the_papers_numbers": network.in_the_papers_numbers(),
        "fwhm_nm": network.fwhm_nm,
        "training": record,
    }
    return packed(KIND, description, dict(network.named_parameters()))


def load_model(name: str | Path) -> tuple[UnfoldedGradient, str]:
    """The network of a model, and the fingerprint of its files.

    Raises:
        ModelError: not there, damaged, not a model of this method, of another version or with weights of another model.
    """
    stored = read_model(KIND, name)
    network = _network(stored.path, stored.description)
    _fill(network, stored.path, stored.tensors)
    return network, stored.fingerprint


def _network(path: Path, described: dict[str, Any]) -> UnfoldedGradient:
    try:
        physics = dict(described["physics"])
        if physics.pop("psf", None) != "gaussian":
            raise ValueError("its PSF is not a Gaussian")
        units = Units(**{name: float(value) for name, value in described["units"].items()})
        if not (0 < units.peak < float("inf") and 0 < units.penalty < float("inf") and 0 < units.level < float("inf")):
            raise ValueError("its units are not positive numbers")
        architecture = Architecture(**described["architecture"])
        if not (isinstance(architecture.iterations, int) and 0 < architecture.iterations <= 10_000):
            raise ValueError("its number of iterations cannot be")
        if not (0 < architecture.projection_width <= 1 and 0 < architecture.transition <= 1):
            raise ValueError("its smoothing widths cannot be")
        return UnfoldedGradient(Physics(**physics), architecture, units)
    except (KeyError, TypeError, ValueError, AttributeError, FluosrError) as error:
        raise ModelError(f"{path} is damaged, or of another architecture ({error}).") from error


def _fill(network: UnfoldedGradient, path: Path, weights: dict[str, torch.Tensor]) -> None:
    own, bounds = dict(network.named_parameters()), network.bounds()
    if weights.keys() != own.keys():
        raise ModelError(
            f"{path}: its weights are {', '.join(sorted(weights)) or 'none'}; this method's are {', '.join(own)}."
        )
    for name, value in weights.items():
        wanted = own[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise ModelError(
                f"{path}: {name} is {tuple(value.shape)} of {value.dtype}, the description asks for "
                f"{tuple(wanted.shape)} of {wanted.dtype}."
            )
        low, high = bounds[name]
        if not bool(((value >= low) & (value <= high)).all()):
            raise ModelError(f"{path}: {name} lies outside {low:g} ... {high:g}; it is damaged.")
        wanted.data.copy_(value)
        wanted.requires_grad_(False)
