"""What every method is: a name, typed parameters, and one function from an Acquisition to a Reconstruction."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fluosr.acquisition import Acquisition
from fluosr.errors import UsageError
from fluosr.reconstruction import Reconstruction

if TYPE_CHECKING:
    import torch

CHECKPOINT_SECONDS = 15.0


class MethodParameters(BaseModel):
    """Base of every method's parameters: typed, checked, unknown names refused; units in names and descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Parameters = TypeVar("Parameters", bound=MethodParameters)


class StopRequested(Exception):
    """Raised inside a method at a safe point after the user asked to stop; the method turns it into what it has."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take: seconds of computing and bytes at the peak, above what is held already."""

    seconds: float
    n_bytes: int


@dataclass
class Run:
    """How a method talks to whoever called it: progress, stopping, checkpoints, seed and device.

    Args:
        seed: of every random draw.
        device: torch device.
        on_progress: called with (stage in words, done, total).
        on_estimate: called once, before the long part.
        on_checkpoint: called with all states kept so far, at most every 15 s and when the run stops.
        states: states of an earlier run to resume from: stage -> named tensors.
    """

    seed: int = 0
    device: str = "cpu"
    on_progress: Callable[[str, int, int], None] | None = None
    on_estimate: Callable[[Estimate], None] | None = None
    on_checkpoint: Callable[[dict[str, dict[str, torch.Tensor]]], None] | None = None
    states: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    stop_requested: bool = False
    _saved: float = field(default_factory=time.monotonic, repr=False)

    def stream_seed(self, purpose: str) -> int:
        """The seed of one stream of random numbers; other purposes and other seeds have other streams."""
        words = np.random.SeedSequence([self.seed, *purpose.encode()]).generate_state(1, np.uint64)
        return int(words[0])

    def generator(self, purpose: str) -> torch.Generator:
        """One stream of the processor's random numbers, for torch."""
        import torch

        return torch.Generator().manual_seed(self.stream_seed(purpose) % 2**63)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""
        if self.on_progress:
            self.on_progress(stage, done, total)

    def estimate(self, estimate: Estimate) -> None:
        """Tell what is to come."""
        if self.on_estimate:
            self.on_estimate(estimate)

    def recall(self, stage: str) -> dict[str, torch.Tensor] | None:
        """The state kept for a stage, or None."""
        return self.states.get(stage)

    def keep(self, stage: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep a stage's state: call at safe points, with tensors that are not changed afterwards.

        Raises:
            StopRequested: the user asked to stop; everything kept so far has been saved.
        """
        self.states[stage] = dict(tensors)
        self.check()

    def check(self) -> None:
        """A safe point: save what is kept when it is time, and stop when asked to.

        Raises:
            StopRequested: the user asked to stop; everything kept so far has been saved.
        """
        due = time.monotonic() - self._saved > CHECKPOINT_SECONDS
        if self.on_checkpoint and (due or self.stop_requested):
            self.on_checkpoint(self.states)
            self._saved = time.monotonic()
        if self.stop_requested:
            raise StopRequested


class ReconstructFunction(Protocol):
    """The function that does the work; imported only when it is called."""

    def __call__(self, acquisition: Acquisition, parameters: Any, run: Run) -> Reconstruction:
        """One acquisition in, one reconstruction out."""


@dataclass(frozen=True)
class Method:
    """One method, as the registry lists it.

    Args:
        name: how users call it.
        summary: one line for ``fluosr methods``.
        parameters: the parameter model.
        load: imports and returns the function that reconstructs.
        presets: named sets of parameter values, as published.
        citation: BibTeX of the paper.
        uses_time_order: frames permuted give another image.
        local: the image inside a tile does not depend on what lies farther than ``halo_nm`` from it.
        halo_nm: the halo of tiles, nm, where ``local``.
        non_negative: the image is promised to be >= 0.
    """

    name: str
    summary: str
    parameters: type[MethodParameters]
    load: Callable[[], ReconstructFunction]
    presets: Mapping[str, Mapping[str, Any]]
    citation: str
    uses_time_order: bool = False
    local: bool = False
    halo_nm: float | None = None
    non_negative: bool = True

    @property
    def needs_model(self) -> bool:
        """Whether it does nothing without a model that was trained before."""
        return "model" in self.parameters.model_fields

    def build(self, preset: str | None = None, **values: Any) -> MethodParameters:
        """Parameters from a preset and explicit values, which win.

        Raises:
            UsageError: unknown preset or parameter, or a value out of range; says which and what is allowed.
        """
        chosen: dict[str, Any] = {}
        if preset is not None:
            if preset not in self.presets:
                raise UsageError(f"{self.name} has no preset {preset!r}{nearest(preset, self.presets)}")
            chosen |= self.presets[preset]
        return build_parameters(self.name, self.parameters, {**chosen, **values})


def build_parameters(name: str, kind: type[Parameters], values: Mapping[str, Any]) -> Parameters:
    """A parameter model from values.

    Raises:
        UsageError: unknown parameter, or a value out of range; says which and what is allowed.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            place = ".".join(map(str, item["loc"])) or "parameters"
            if item["type"] == "extra_forbidden":
                lines.append(f"{place}: no such parameter{nearest(place, kind.model_fields)}")
            elif not item["loc"]:  # of several parameters together: the model's own words
                lines.append(item["msg"].removeprefix("Value error, "))
            else:
                lines.append(f"{place}: {item['msg'].removeprefix('Value error, ')} (got {item['input']!r})")
        raise UsageError(f"{name}: " + "; ".join(lines)) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """End of an error message: the names nearest to a wrong one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known are: {', '.join(names) or 'none'}."
