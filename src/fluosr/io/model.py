"""Trained models as files: both are written beside their names, then renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fluosr.io.write import write_bytes
from fluosr.methods.unfolded.model_file import model_paths, packed
from fluosr.methods.unfolded.network import UnfoldedGradient


def save_model(name: str | Path, network: UnfoldedGradient, record: dict[str, Any]) -> tuple[Path, Path]:
    """Write NAME.json and NAME.safetensors.

    Should the writing stop between the two, the description does not fit the weights, which loading notices.

    Args:
        name: NAME, with or without either ending.
        network: trained.
        record: how, as plain values that JSON knows.

    Raises:
        OutputError: no room or no permission; the file that could not be written is as it was.
    """
    places = model_paths(name)
    for place, data in reversed(list(zip(places, packed(network, record), strict=True))):
        write_bytes(place, data)
    return places
