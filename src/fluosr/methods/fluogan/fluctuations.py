"""Which emitters the generator has: as given, and what is not given from the movie itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fluosr.corrections.fluctuation_estimate import FluctuationEstimate, estimate_fluctuations
from fluosr.emitters import BlinkingEmitters, CompoundPoissonEmitters, Emitters, PoissonEmitters, emitters_called
from fluosr.emitters.blinking import BYTES_PER_MOLECULE
from fluosr.errors import AcquisitionError, UsageError
from fluosr.methods.fluogan.setup import DEFAULT_SMOOTHNESS_PX, FIRST_SPARSITY, Setup

ON_SHARE = 0.1  # of its time that a molecule is on, where neither time is given: the covariance does not tell
MOST_MOLECULES = 10_000_000  # in a frame: drawing them takes about a second, and a round draws tens of frames


@dataclass(frozen=True)
class Chosen:
    """The generator's emitters.

    Attributes:
        emitters: how they fluctuate; None for model (4), where they do not.
        values: what was used of ``fano``, ``on_time_s`` and ``off_time_s``.
        reasons: for those that were not given, how they were found.
        warnings: in plain words.
    """

    emitters: Emitters | None
    values: dict[str, float]
    reasons: dict[str, str]
    warnings: list[str]

    def choices(self) -> dict[str, dict[str, object]]:
        """What was measured, as the report shows it."""
        return {name: {"value": self.values[name], "why": why} for name, why in self.reasons.items()}


NONE = Chosen(None, {}, {}, [])


def choose(setup: Setup) -> Chosen:
    """The emitters of ``--fluctuations``.

    Raises:
        UsageError: values that no emitters can have, or that the movie does not tell and were not given.
    """
    parameters = setup.parameters
    kind = parameters.fluctuations
    if kind == "poisson":
        return NONE
    if kind == "double-poisson":
        return Chosen(PoissonEmitters(), {}, {}, [])
    values = {name: getattr(parameters, name) for name in ("fano", "on_time_s", "off_time_s")}
    values = {name: float(value) for name, value in values.items() if value is not None}
    needed = ("fano", "on_time_s", "off_time_s") if kind == "blinking" else ("fano",)
    reasons: dict[str, str] = {}
    if any(name not in values for name in needed):
        found = _estimate(setup)
        if "fano" not in values:
            if found.carries_nothing:
                warning = (
                    f"The emitters do not fluctuate beyond chance (kappa {found.fano_factor}): the generator is that "
                    "of model (4). Give --fano if their Fano factor is known."
                )
                return Chosen(None, {}, {}, [warning])
            values["fano"] = found.fano_factor.value
            reasons["fano"] = f"measured on the movie: {found.fano_factor}"
        if kind == "blinking" and not {"on_time_s", "off_time_s"} <= values.keys():
            memory = found.memory_s
            if memory is None:
                why = (
                    "the frame interval is not known"
                    if found.memory_frames is not None
                    else "frames show no memory of each other"
                )
                warning = (
                    f"On and off times could not be measured, because {why}: the generator's emitters send bursts of "
                    "one frame, of the same Fano factor. Give --on-time-s and --off-time-s if they are known."
                )
                return Chosen(CompoundPoissonEmitters(values["fano"]), {"fano": values["fano"]}, reasons, [warning])
            _complete_times(values, reasons, memory.value, str(memory))
    if kind != "blinking":
        return Chosen(emitters_called(kind, fano_factor=values["fano"]), values, reasons, [])
    interval = setup.acquisition.frame_interval_s
    if interval is None:
        raise UsageError("--fluctuations blinking needs the time between frames: give --frame-interval (s).")
    times = {name: values[name] for name in ("on_time_s", "off_time_s")}
    emitters = emitters_called(kind, fano_factor=values["fano"], frame_interval_s=interval, **times)
    return Chosen(emitters, values, reasons, [])


def check_molecules(setup: Setup, emitters: Emitters | None) -> int:
    """Bytes that the molecules of a frame take; 0 for emitters that are none.

    Raises:
        UsageError: so many that no fit would end.
    """
    if not isinstance(emitters, BlinkingEmitters):
        return 0
    # The flat image that every fit begins with has about as much light as any that it comes to.
    flat = setup.problem(FIRST_SPARSITY, DEFAULT_SMOOTHNESS_PX).start()[0]
    light = float(setup.operator.spread(flat).sum(dtype=torch.float64)) * float(setup.brightness.max())
    each = emitters.molecule.photons_per_frame
    count = light / each
    if count > MOST_MOLECULES:
        enough = emitters.fano_factor * count / MOST_MOLECULES
        raise UsageError(
            f"--fluctuations blinking with a Fano factor of {emitters.fano_factor:.3g} photons takes the light for "
            f"about {count:.1e} molecules in every frame, of {each:.2g} photons each; at most {MOST_MOLECULES:.0e} are "
            f"drawn. A --fano above {enough:.2g} or a smaller --crop would do; so would --fluctuations gamma, which "
            "draws no molecules, or poisson for light that hardly fluctuates."
        )
    return math.ceil(BYTES_PER_MOLECULE * count)


def _estimate(setup: Setup) -> FluctuationEstimate:
    try:
        return estimate_fluctuations(setup.acquisition, used=setup.used)
    except AcquisitionError as error:
        raise UsageError(
            f"{error} Give --fano (and for blinking --on-time-s and --off-time-s), or leave --fluctuations at poisson."
        ) from None


def _complete_times(values: dict[str, float], reasons: dict[str, str], memory_s: float, words: str) -> None:
    """On and off times from 1 / r = t_on t_off / (t_on + t_off): one of them, or both at an assumed share."""
    said = f"from the memory of blinking, {words} s"
    given = [name for name in ("on_time_s", "off_time_s") if name in values]
    if not given:
        values["on_time_s"], values["off_time_s"] = memory_s / (1 - ON_SHARE), memory_s / ON_SHARE
        assumed = f"{said}; molecules taken to be on for {ON_SHARE:.0%} of the time"
        reasons["on_time_s"] = reasons["off_time_s"] = assumed
        return
    other = "off_time_s" if given[0] == "on_time_s" else "on_time_s"
    rest = 1.0 / memory_s - 1.0 / values[given[0]]
    if not (math.isfinite(rest) and rest > 0):
        raise UsageError(
            f"--{given[0].replace('_', '-')} {values[given[0]]:g} is shorter than the memory of blinking that the "
            f"movie shows ({words} s), and neither time can be: give both times."
        )
    values[other], reasons[other] = 1.0 / rest, said
