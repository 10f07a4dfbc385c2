"""A trained Deep-STORM: its network, the instrument it knows, and what data it refuses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fluosr.errors import FluosrError, ModelError
from fluosr.methods.deep_storm.examples import Instrument
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.networks.deep_storm import DeepStorm

KIND = ModelKind("deep-storm")
MOST_FILTERS = 1024


@dataclass(frozen=True, eq=False)
class TrainedDeepStorm:
    """A network and what it was trained for.

    Args:
        network: ready to be asked.
        instrument: that made its examples.
        filters: of the network's first layer.
        fingerprint: of its files; empty where it was not read from files.
    """

    network: DeepStorm
    instrument: Instrument
    filters: int
    fingerprint: str = ""

    def packed(self, record: dict[str, Any]) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors.

        Args:
            record: how it was trained, as plain values.
        """
        described = {"instrument": asdict(self.instrument), "filters": self.filters, "training": record}
        return packed(KIND, described, self.network.state_dict())


def load_model(name: str | Path) -> TrainedDeepStorm:
    """The model called NAME.

    Raises:
        ModelError: not there, damaged, of another version or architecture.
    """
    stored = read_model(KIND, name)
    try:
        given = dict(stored.description["instrument"])
        for pair in ("density_per_um2", "background_photons"):
            least, most = given[pair]
            given[pair] = (float(least), float(most))
        instrument, filters = Instrument(**given), stored.description["filters"]
        if not (isinstance(filters, int) and 1 <= filters <= MOST_FILTERS and isinstance(instrument.factor, int)):
            raise ValueError("its size cannot be")
    except (KeyError, TypeError, ValueError, FluosrError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another architecture ({error}).") from error
    network = DeepStorm(torch.Generator().manual_seed(0), filters)
    try:
        network.load_state_dict(stored.tensors)
    except RuntimeError as error:
        said = str(error).splitlines()[-1].strip()
        raise ModelError(f"{stored.path}: its weights are of another network ({said}).") from error
    stored.refuse_infinite_weights()
    return TrainedDeepStorm(network.eval(), instrument, filters, stored.fingerprint)
