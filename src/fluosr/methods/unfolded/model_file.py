"""A trained model as two files, NAME.json with all that is not a weight, and NAME.safetensors; nothing unpickles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fluosr.errors import FluosrError, ModelError, UsageError
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.physics import Physics

FORMAT, VERSION = "fluosr unfolded model", 1
SUFFIXES = (".json", ".safetensors")


def model_paths(name: str | Path) -> tuple[Path, Path]:
    """(description, weights) of a model called NAME, NAME.json or NAME.safetensors.

    Raises:
        UsageError: no name.
    """
    text = str(name)
    for suffix in SUFFIXES:
        text = text.removesuffix(suffix)
    if not Path(text).name:
        raise UsageError("no model was named.")
    return Path(text + SUFFIXES[0]), Path(text + SUFFIXES[1])


def packed(network: UnfoldedGradient, record: dict[str, Any]) -> tuple[bytes, bytes]:
    """The contents of both files.

    Args:
        network: trained.
        record: how it was trained, as plain values.
    """
    import safetensors.torch

    weights = {name: value.detach().cpu().contiguous() for name, value in network.named_parameters()}
    data = safetensors.torch.save(weights, metadata={"format": FORMAT})
    description = {
        "format": FORMAT,
        "format_version": VERSION,
        **network.describe(),
        "in_the_papers_numbers": network.in_the_papers_numbers(),
        "fwhm_nm": network.fwhm_nm,
        "training": record,
        "sha256_of_weights": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(), data


def load_model(name: str | Path) -> tuple[UnfoldedGradient, str]:
    """The network of a model, and the fingerprint of its files.

    Raises:
        ModelError: not there, damaged, not a model of this method, of another version or with weights of another model.
    """
    places = model_paths(name)
    for place in places:
        if not place.is_file():
            raise ModelError(
                f"{place} does not exist. A model is a pair of files, NAME.json and NAME.safetensors, that "
                "`fluosr train unfolded` writes; give --model NAME."
            )
    try:
        text, data = (place.read_bytes() for place in places)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}.") from error
    described = _description(places[0], text)
    if described.get("sha256_of_weights") != hashlib.sha256(data).hexdigest():
        raise ModelError(
            f"{places[1]} is not what {places[0].name} was written with: one of the two is damaged, or they belong to "
            "different models. Train anew or copy both files together."
        )
    network = _network(places[0], described)
    _fill(network, places[1], data)
    return network, hashlib.sha256(text).hexdigest()[:16]


def _description(path: Path, text: bytes) -> dict[str, Any]:
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}).") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ModelError(f"{path} is no model of this method: it does not say {FORMAT!r}.")
    if described.get("format_version") != VERSION:
        raise ModelError(
            f"{path} is of version {described.get('format_version')}; this fluosr reads version {VERSION}. Update "
            "fluosr, or train the model anew."
        )
    return described


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


def _fill(network: UnfoldedGradient, path: Path, data: bytes) -> None:
    import safetensors
    import safetensors.torch

    try:
        weights = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is not a safetensors file, or damaged ({error}).") from error
    own, bounds = dict(network.named_parameters()), network.bounds()
    if weights.keys() != own.keys():
        raise ModelError(
            f"{path} holds {', '.join(sorted(weights)) or 'nothing'}; this method's models hold {', '.join(own)}."
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
