"""MUSICAL: where a point's image lies in the space of the window's eigenimages (Agarwal & Machan 2016)."""

from __future__ import annotations

from fluosr.methods.base import Method, ReconstructFunction
from fluosr.methods.musical.parameters import CITATION, PAPER, MusicalParameters


def _load() -> ReconstructFunction:
    from fluosr.methods.musical.method import reconstruct

    return reconstruct


METHOD = Method(
    name="musical",
    summary="points whose image is a combination of the eigenimages of sliding windows (MUSICAL)",
    parameters=MusicalParameters,
    load=_load,
    presets={"paper": PAPER},
    citation=CITATION,
)
