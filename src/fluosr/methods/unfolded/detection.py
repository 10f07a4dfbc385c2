"""The level above which light is taken for molecules, from how well the patches above it meet true places."""

from __future__ import annotations

import numpy as np

from fluosr.methods.unfolded.molecules import molecules_in
from fluosr.methods.unfolded.network import LEAST_THRESHOLD, UnfoldedGradient

RADIUS = 2.0  # fine pixels within which a place is found
LEVELS = np.geomspace(10 * LEAST_THRESHOLD, 0.9, 20)  # of half the brightest true pixel


def best_level(network: UnfoldedGradient, images: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The level, as a share of half the brightest true pixel, at which most patches are molecules and most found.

    tau judges single pixels; a patch of touching pixels is one molecule, and may be looked for at another level.

    Args:
        network: whose images they are.
        images: pairs of (B, L Y, L X) x_K and truths.
    """
    half = 0.5 * network.units.peak
    return float(max(LEVELS, key=lambda level: sum(patches_found(made, true, half * level) for made, true in images)))


def pixels_found(images: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Sum over the images of the Jaccard index TP / (TP + FN + FP) of single pixels above a level.

    True positives are as many as can be paired one to one within the radius; the paper pairs the closest first, which
    may be fewer. An image where nothing is and nothing was found counts 1.

    Args:
        images, truth: (B, L Y, L X).
        level: photons per fine pixel.
    """
    return sum(
        _jaccard(np.argwhere(made > level), np.argwhere(true > 0)) for made, true in zip(images, truth, strict=True)
    )


def patches_found(images: np.ndarray, truth: np.ndarray, level: float) -> float:
    """The same of the middles of touching pixels."""
    found = molecules_in(images, np.arange(len(images)), np.zeros(len(images)), level, 1.0)
    total = 0.0
    for number, true in enumerate(truth):
        rows = found.in_frame(number)
        total += _jaccard(np.stack([rows.y_nm, rows.x_nm], axis=1), np.argwhere(true > 0) + 0.5)
    return total


def _jaccard(found: np.ndarray, there: np.ndarray) -> float:
    if not len(found) and not len(there):
        return 1.0
    met = _met(found, there)
    return met / (len(found) + len(there) - met)


def _met(found: np.ndarray, there: np.ndarray) -> int:
    """Pairs within the radius, one to one: as many as possible, whichever they are.

    Only their number is wanted. The shortest of them, as :func:`~fluosr.quality.localisation.match` finds them, take a
    hundred times as long where the truth is dense.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import cKDTree

    if not len(found) or not len(there):
        return 0
    near = cKDTree(found).query_ball_tree(cKDTree(there), RADIUS)
    ends = np.cumsum([0, *map(len, near)])
    columns = np.array([j for row in near for j in row], int)
    graph = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(found), len(there)))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
