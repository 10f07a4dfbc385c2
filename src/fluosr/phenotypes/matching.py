"""Which cells several sets of crops have in common: those of one well and field whose nuclei lie in one place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.crops import CropSet

SAME_PLACE_PX = 0.1  # along either axis: tables round to .01, and no two nuclei lie so close


def common_cells(sets: Mapping[str, CropSet], name: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The cells that all sets have.

    Args:
        sets: method -> its crops.
        name: of the reference among them.

    Returns:
        For each method the rows of these cells, in the reference's order; and what to say of it.

    Raises:
        UsageError: methods of other channels or sizes, without a common cell, or that do not agree on a well.
    """
    reference = sets[name]
    for method, crops in sets.items():
        if crops.pixels.shape[1:] != reference.pixels.shape[1:]:
            raise UsageError(
                f"{method} has crops of shape {crops.pixels.shape[1:]} and {name} of {reference.pixels.shape[1:]}: the "
                "same channels and size are needed."
            )
    rows = {method: _partners(reference, crops) for method, crops in sets.items()}
    shared = np.all([mine >= 0 for mine in rows.values()], axis=0)
    if not shared.any():
        raise UsageError(f"{' and '.join(sets)} have no cell in common (well, field and place of its nucleus).")
    rows = {method: mine[shared] for method, mine in rows.items()}
    for method, crops in sets.items():
        for what in ("splits", "treatments"):
            theirs, ours = getattr(crops, what)[rows[method]], getattr(reference, what)[rows[name]]
            differs = np.flatnonzero(theirs != ours)
            if len(differs):
                well = reference.wells[rows[name][differs[0]]]
                raise UsageError(
                    f"well {well} is {ours[differs[0]]} in {name} and {theirs[differs[0]]} in {method}: the same cells "
                    "must have the same treatment and split. Make all sets of crops from one plate with the same "
                    "--test-share and --seed."
                )
    notes = []
    if any(len(crops) != shared.sum() for crops in sets.values()):
        notes.append(f"{shared.sum()} cells are in all of {', '.join(sets)}; the others were left out.")
    return rows, notes


def _partners(reference: CropSet, other: CropSet) -> np.ndarray:
    """(N,) for each cell of the reference the row of the nearest of the other set in its place; -1 where none is.

    Places are compared, not rounded: two that straddle a rounding edge would be two cells.
    """
    from scipy.spatial import cKDTree

    found = np.full(len(reference), -1)
    theirs = _fields(other)
    for key, mine in _fields(reference).items():
        if key in theirs:
            tree = cKDTree(other.places_px[theirs[key]])
            away, which = tree.query(reference.places_px[mine], p=np.inf, distance_upper_bound=SAME_PLACE_PX * 1.001)
            there = np.isfinite(away)
            found[mine[there]] = theirs[key][which[there]]
    return found


def _fields(crops: CropSet) -> dict[tuple[str, str], np.ndarray]:
    """(well, field) -> numbers of its cells."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(crops.wells.tolist(), crops.fields.tolist(), strict=True)):
        rows.setdefault(key, []).append(row)
    return {key: np.array(mine) for key, mine in rows.items()}
