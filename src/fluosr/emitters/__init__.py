"""Emitters: how the fluorescence of the fine image fluctuates from frame to frame."""

from fluosr.emitters.bleaching import bleaching_curve
from fluosr.emitters.blinking import BlinkingEmitters
from fluosr.emitters.independent import CompoundPoissonEmitters, GammaEmitters, PoissonEmitters, SteadyEmitters
from fluosr.emitters.model import Emitters
from fluosr.emitters.named import emitters_called
from fluosr.emitters.telegraph import Telegraph

__all__ = [
    "BlinkingEmitters",
    "CompoundPoissonEmitters",
    "Emitters",
    "GammaEmitters",
    "PoissonEmitters",
    "SteadyEmitters",
    "Telegraph",
    "bleaching_curve",
    "emitters_called",
]
