"""Models of fluctuation by the names that a command line has for them."""

from __future__ import annotations

import math
from collections.abc import Callable

from fluosr.emitters.blinking import BlinkingEmitters
from fluosr.emitters.independent import CompoundPoissonEmitters, GammaEmitters, PoissonEmitters, SteadyEmitters
from fluosr.emitters.model import Emitters
from fluosr.errors import UsageError


def emitters_called(
    name: str,
    *,
    fano_factor: float = math.nan,
    on_time_s: float = math.nan,
    off_time_s: float = math.nan,
    frame_interval_s: float = math.nan,
    bleaching_time_s: float | None = None,
) -> Emitters:
    """The emitters of ``--fluctuations``; each takes of the values what it has, and refuses to go without.

    Args:
        name: poisson (steady light, which the camera counts: the paper's model 4), double-poisson (model 3), fano
            (bursts), gamma, or blinking.
        fano_factor: kappa, photons, of fano, gamma and blinking.
        on_time_s, off_time_s, frame_interval_s, bleaching_time_s: of blinking; see :class:`BlinkingEmitters`.

    Raises:
        UsageError: another name, or values that no emitters can have.
    """
    known: dict[str, Callable[[], Emitters]] = {
        "poisson": SteadyEmitters,
        "double-poisson": PoissonEmitters,
        "fano": lambda: CompoundPoissonEmitters(fano_factor),
        "gamma": lambda: GammaEmitters(fano_factor),
        "blinking": lambda: BlinkingEmitters.of_fano_factor(
            fano_factor, on_time_s, off_time_s, frame_interval_s, bleaching_time_s
        ),
    }
    if name not in known:
        raise UsageError(f"--fluctuations {name}: there are {', '.join(known)}.")
    return known[name]()
