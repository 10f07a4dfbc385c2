"""A plate of simulated wells: some untreated, some treated, no two of one strength."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fluosr.errors import UsageError
from fluosr.simulate.assays import AssayWell, PlateMicroscope, scattered_strength
from fluosr.simulate.culture import CellCulture

WELL_SCATTER = 0.1  # of the strength from well to well, relative
LARGEST_SCATTER = 0.5


def plate_of(
    assay: str,
    wells: int,
    treated: int,
    *,
    strength: float = 0.8,
    non_responders: float = 0.1,
    well_scatter: float = WELL_SCATTER,
    culture: CellCulture | None = None,
    microscope: PlateMicroscope | None = None,
    seed: int = 0,
) -> list[tuple[str, str, AssayWell]]:
    """(name, "untreated" or "treated", well) of a plate, the treated wells last.

    Wells differ in how strongly they respond, as real ones do: their strengths are of a beta distribution about
    ``strength``, or about rest. Cells, brightness and noise are the same whatever the scatter.

    Args:
        assay: translocation, or golgi.
        wells, treated: how many in all, and of them with the phenotype.
        strength, non_responders: of treated wells, see :class:`AssayWell`.
        well_scatter: relative standard deviation of the wells' strengths, 0 to .5; at most half of what a mean near 1
            leaves room for.
        culture, microscope: of every well; seeds are the plate's.
        seed: of the plate.

    Raises:
        UsageError: no well, more treated than wells, such a scatter, or as for :class:`AssayWell`.
    """
    if not 1 <= wells <= 384 or not 0 <= treated <= wells:
        raise UsageError(f"a plate has 1 to 384 wells and no more of them treated, got {wells} and {treated}.")
    if not 0 <= well_scatter <= LARGEST_SCATTER:
        raise UsageError(f"well_scatter lies between 0 and {LARGEST_SCATTER:g}, got {well_scatter:g}.")
    cells, camera = culture or CellCulture(), microscope or PlateMicroscope()
    found = []
    for number in range(wells):
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        rank = np.random.default_rng(np.random.SeedSequence([seed, number], spawn_key=(0,))).uniform()
        acts = number >= wells - treated
        well = AssayWell(
            assay,
            replace(cells, seed=own),
            strength=strength if acts else AssayWell.resting,
            non_responders=non_responders if acts else 0.0,
            microscope=camera,
            seed=own,
        )
        name = f"{chr(ord('A') + number // 24)}{number % 24 + 1:02d}"
        shown = replace(well, strength=_of_well(well.strength, rank, well_scatter))
        found.append((name, "treated" if acts else "untreated", shown))
    return found


def _of_well(mean: float, rank: float, scatter: float) -> float:
    most = 0.5 * math.sqrt(mean * (1 - mean))
    deviation = min(scatter * mean, most)
    return mean if deviation == 0 else scattered_strength(mean, rank, mean * (1 - mean) / deviation**2 - 1)
