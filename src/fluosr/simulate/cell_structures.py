"""The kinds of structure that cells show under a confocal microscope, by name."""

from __future__ import annotations

from collections.abc import Callable

from fluosr.errors import UsageError
from fluosr.simulate.membranes import MembranePhantom
from fluosr.simulate.mitochondria import MitochondriaPhantom
from fluosr.simulate.nuclei import NucleiPhantom
from fluosr.simulate.phantom import Phantom


def deep_mitochondria(shape: tuple[int, int], pixel_size_nm: float, seed: int) -> MitochondriaPhantom:
    """Mitochondria deep in a sample, as a multiphoton microscope shows them: crowded, under light out of focus."""
    return MitochondriaPhantom(shape, pixel_size_nm, seed, density_per_um=2.0, haze=1.5)


STRUCTURES: dict[str, Callable[[tuple[int, int], float, int], Phantom]] = {
    "mitochondria": MitochondriaPhantom,
    "membranes": MembranePhantom,
    "nuclei": NucleiPhantom,
    "multiphoton": deep_mitochondria,
}


def cell_phantom(structure: str, shape: tuple[int, int], pixel_size_nm: float, seed: int) -> Phantom:
    """One field of a structure.

    Args:
        structure: one of ``STRUCTURES``.
        shape: (Y, X), camera pixels.
        pixel_size_nm: camera pixel.
        seed: of the field; another seed is another field.

    Raises:
        UsageError: no such structure, or a field that cannot be.
    """
    if structure not in STRUCTURES:
        raise UsageError(f"there is no structure {structure!r}: take one of {', '.join(STRUCTURES)}.")
    return STRUCTURES[structure](shape, pixel_size_nm, seed)
