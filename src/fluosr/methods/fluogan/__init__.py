"""FluoGAN (Cachia et al. 2023): the physics as generator, fitted to a movie, with or without a discriminator."""

from __future__ import annotations

from fluosr.methods.base import Method, ReconstructFunction
from fluosr.methods.fluogan.parameters import CITATION, PAPER, FluoganParameters


def _load() -> ReconstructFunction:
    from fluosr.methods.fluogan.method import reconstruct

    return reconstruct


METHOD = Method(
    name="fluogan",
    summary="physics-inspired generator fitted to the movie's statistics; optional discriminator (Cachia et al. 2023)",
    parameters=FluoganParameters,
    load=_load,
    presets={"paper": PAPER},
    citation=CITATION,
)
