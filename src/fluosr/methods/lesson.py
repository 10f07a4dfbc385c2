"""What a training is, whatever is learnt: facts, work, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fluosr.methods.base import Run
from fluosr.methods.trained_model import ModelKind

if TYPE_CHECKING:
    import torch

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Lesson(Generic[Made]):
    """A training that is ready to begin.

    Args:
        kind: whose model comes of it.
        facts: everything that it depends on besides seed, device and version, as plain values.
        learn: does it, with the seed and the device of its run; goes on where the run's states say so. Raises
            StopRequested when asked to stop.
        files: the contents of the model's two files, of what was learnt and a record of how.
        record: what the record holds besides the facts.
        kept: in words, what of it states hold.
    """

    kind: ModelKind
    facts: Mapping[str, Any]
    learn: Callable[[Run], Made]
    files: Callable[[Made, dict[str, Any]], tuple[bytes, bytes]]
    record: Callable[[Made], dict[str, Any]]
    kept: Callable[[Mapping[str, Mapping[str, torch.Tensor]]], str]
