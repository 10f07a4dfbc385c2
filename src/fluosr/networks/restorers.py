"""The list of restoration networks: a name and typed options are all that a stored model says of which one it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fluosr.errors import UsageError
from fluosr.networks.nafnet import NAFNet
from fluosr.networks.restorer import Restorer, in_channels_last
from fluosr.networks.rrdb import RRDBNet
from fluosr.networks.span import SPAN


class NetworkOptions(BaseModel):
    """Base of a network's options: typed, checked, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RRDBOptions(NetworkOptions):
    """Of the paper's network."""

    blocks: int = Field(23, ge=1, le=64, description="residual-in-residual dense blocks")
    features: int = Field(64, ge=1, le=512, description="channels between blocks")
    growth: int = Field(32, ge=1, le=256, description="channels that each convolution of a dense block adds")


class LightRRDBOptions(RRDBOptions):
    """Of the paper's network with fewer blocks."""

    blocks: int = Field(6, ge=1, le=64, description="residual-in-residual dense blocks")


class NAFNetOptions(NetworkOptions):
    """Of the network of NAF blocks."""

    blocks: int = Field(8, ge=1, le=64, description="NAF blocks")
    features: int = Field(48, ge=1, le=512, description="channels between blocks")
    window_px: int = Field(
        7, ge=0, le=63, description="side of the attention's window, LR pixels, odd; 0: no attention"
    )

    @field_validator("window_px")
    @classmethod
    def _odd(cls, window_px: int) -> int:
        if window_px and window_px % 2 == 0:
            raise ValueError("must be odd, or 0")
        return window_px


class SPANOptions(NetworkOptions):
    """Of the parameter-free attention network."""

    blocks: int = Field(6, ge=2, le=64, description="attention blocks")
    features: int = Field(48, ge=1, le=512, description="channels between blocks")


@dataclass(frozen=True)
class RestorerKind:
    """One network, as the list has it.

    Args:
        name: how users call it.
        summary: one line.
        options: the model of its options.
        build: from (generator, scale, channels=..., options as keywords).
    """

    name: str
    summary: str
    options: type[NetworkOptions]
    build: Callable[..., Restorer]


_KINDS = {
    kind.name: kind
    for kind in (
        RestorerKind("rrdb-23", "RRDBNet with 23 blocks, as Real-ESRGAN's", RRDBOptions, RRDBNet),
        RestorerKind("rrdb-6", "RRDBNet with 6 blocks", LightRRDBOptions, RRDBNet),
        RestorerKind(
            "nafnet", "NAF blocks at one resolution, with attention of a bounded window", NAFNetOptions, NAFNet
        ),
        RestorerKind("span", "attention without weights of its own, 3 x 3 convolutions only", SPANOptions, SPAN),
    )
}


def restorer_names() -> list[str]:
    """All names, in the order they are listed."""
    return list(_KINDS)


def get_restorer(name: str) -> RestorerKind:
    """The network of that name.

    Raises:
        UsageError: no such network; the known ones are named.
    """
    if name not in _KINDS:
        raise UsageError(f"there is no restoration network {name!r}; known are: {', '.join(_KINDS)}.")
    return _KINDS[name]


def restorer_options(name: str, values: Mapping[str, Any]) -> NetworkOptions:
    """The options of a network from some values, with its defaults for the rest; ``model_dump()`` stores them.

    Raises:
        UsageError: no such network or option, or a value out of range; says which.
    """
    try:
        return get_restorer(name).options(**values)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, item['loc']))}: {item['msg']} (got {item['input']!r})" for item in error.errors())
        raise UsageError(f"{name}: " + "; ".join(lines)) from None


def build_restorer(
    name: str, generator: torch.Generator, scale: int, *, channels: int = 1, options: Mapping[str, Any] | None = None
) -> Restorer:
    """A network with drawn weights, laid out channels-last, which is faster on a CPU.

    Args:
        name: one of :func:`restorer_names`.
        generator: draws the weights.
        scale: 1, 2 or 4.
        channels: of the image.
        options: by name; defaults for the rest.

    Raises:
        UsageError: as :func:`restorer_options`, or another scale.
    """
    chosen = restorer_options(name, options or {})
    return in_channels_last(get_restorer(name).build(generator, scale, channels=channels, **chosen.model_dump()))
