"""The Golgi assay: a compact ribbon beside the nucleus that breaks into stacks all over the cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fluosr.optics.sampling import Grid
from fluosr.simulate.culture import AdherentCell, CellCulture, CultureMaps, streaks
from fluosr.simulate.solids import Balls

STACKS = (18, 34)  # of one cell, fewest and most
STACK_NM, STACK_SPREAD = 620.0, 0.22  # radius, and the standard deviation of its logarithm
STEP_NM = 480.0  # along the ribbon, from stack to stack
ASIDE_NM = 900.0  # of the ribbon from the nucleus' rim
CLOSEST_NM = 600.0  # likewise, where the cell ends there
WOBBLE_NM = 420.0  # of the stacks across the ribbon
SHAPES = 0.25  # of the ribbons' lengths and widths from cell to cell, standard deviation of the logarithm
FURTHEST = 0.8  # remoteness up to which stacks scatter
AWAY_NM = 9000.0  # from the nucleus' middle, over which they become fewer
EXPRESSION = 0.35
DIFFUSE = 0.1  # of the protein beside its stacks


@dataclass(frozen=True)
class GolgiScattering:
    """DNA, a Golgi protein, and tubulin (as under nocodazole, which dissolves microtubules).

    In a cell of the strength s each stack has left the ribbon with the probability s, for a random place in the
    cytoplasm. Number, size and light of the stacks stay; how many spots there are, and how large, does not.
    """

    name = "golgi"
    channels = ("DNA", "Golgi", "tubulin")

    def light(
        self,
        culture: CellCulture,
        maps: CultureMaps,
        cells: Sequence[AdherentCell],
        strengths: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What shines on the fine grid, and what is true of each cell: arguments as for the other assay.

        Returns:
            (3, ny, nx) brightness, about 1 where it is common; and for each cell the number of stacks that hang
            together, as spots, and their mean area in um^2.
        """
        count = len(cells)
        amount = generator.lognormal(0, EXPRESSION, count)
        centres, radii, bright, members = [], [], [], []
        for number, cell in enumerate(cells):
            stacks = int(generator.integers(STACKS[0], STACKS[1] + 1))
            home, size = (
                _ribbon(maps, cell, number, stacks, generator),
                STACK_NM * generator.lognormal(0, STACK_SPREAD, stacks),
            )
            away, leaves = _scattered(maps, cell, number, home, generator), generator.uniform(size=stacks)
            centres.append(np.where((leaves < strengths[number])[:, None], away, home))
            radii.append(size)
            bright.append(amount[number] * generator.lognormal(0, 0.3, stacks))
            members.append(np.full(stacks, number))
        balls = Balls(np.concatenate(centres), np.concatenate(radii), np.concatenate(bright))
        fine_nm = float(maps.y_nm[1] - maps.y_nm[0])
        golgi = _rendered(balls, maps, fine_nm)
        diffuse = maps.spread(amount, maps.owner) * maps.cytoplasm
        microtubules = streaks(culture.texture({300.0: 1.0}, generator), maps, cells, 9.0, radial=True)
        stain = maps.spread(generator.lognormal(0, 0.2, count), maps.owner)
        whole = maps.spread(1 - 0.9 * strengths, maps.owner)  # of the microtubules, while the drug works
        tubulin = stain * maps.cytoplasm * (0.75 + 0.45 * whole * (np.exp(0.8 * microtubules - 0.32) - 1))
        spots, areas = _connected(balls, np.concatenate(members), count)
        truth = {"spots": spots, "mean_spot_area_um2": areas}
        return np.stack([maps.dna, golgi + DIFFUSE * diffuse, np.maximum(tubulin, 0)]), truth


def _ribbon(
    maps: CultureMaps, cell: AdherentCell, number: int, stacks: int, generator: np.random.Generator
) -> np.ndarray:
    """(n, 2) places along an arc around a part of the nucleus, on the side where its microtubules begin."""
    nucleus = cell.nucleus
    # Some are drawn out, others heaped.
    length, width = generator.lognormal(0, SHAPES, 2)
    along = (np.arange(stacks) - (stacks - 1) / 2) * STEP_NM * length
    middle = cell.angle + generator.normal(0, 0.3)
    around_nm = float(np.sqrt(nucleus.axes_nm.prod())) + ASIDE_NM
    turned = middle + along / around_nm
    ways = np.stack([np.sin(turned), np.cos(turned)], axis=1)
    # How far the rim lies in that direction: depth falls by about 1 over the way to it.
    probe = float(nucleus.axes_nm.min())
    rim = probe / np.maximum(1 - nucleus.depth(*(probe * ways).T), 1e-3)
    out = rim + ASIDE_NM + WOBBLE_NM * width * generator.standard_normal(stacks)
    places = nucleus.centre_nm + out[:, None] * ways
    rows, columns = (
        np.searchsorted(side, places.T[i]).clip(0, len(side) - 1) for i, side in enumerate((maps.y_nm, maps.x_nm))
    )
    # Where another cell begins, or none is, the ribbon keeps close to the nucleus, which is always in its own cell.
    outside = maps.owner[rows, columns] != number
    return np.asarray(np.where(outside[:, None], nucleus.centre_nm + (rim + CLOSEST_NM)[:, None] * ways, places))


def _scattered(
    maps: CultureMaps, cell: AdherentCell, number: int, home: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """(n, 2) random places in the cell's cytoplasm; a cell of which nothing is drawn keeps them where they were."""
    reach = cell.reach_nm
    rows, columns = (
        slice(*np.searchsorted(side, (middle - reach, middle + reach)))
        for side, middle in zip((maps.y_nm, maps.x_nm), cell.centre_nm, strict=True)
    )
    here = (maps.owner[rows, columns] == number) & (maps.nucleus[rows, columns] < 0)
    here &= maps.remoteness[rows, columns] < FURTHEST
    chosen = generator.uniform(size=len(home))
    moved = generator.uniform(-0.5, 0.5, home.shape)
    y, x = np.nonzero(here)
    if not len(y):
        return home
    places = np.stack([maps.y_nm[rows][y], maps.x_nm[columns][x]], axis=1)
    weights = np.cumsum(np.exp(-np.hypot(*(places - cell.nucleus.centre_nm).T) / AWAY_NM))
    found = places[np.minimum(np.searchsorted(weights, chosen * weights[-1]), len(places) - 1)]
    return np.asarray(found + moved * float(maps.y_nm[1] - maps.y_nm[0]))


def _rendered(balls: Balls, maps: CultureMaps, fine_nm: float) -> np.ndarray:
    """Of the balls what lies on the maps; their first fine pixel begins half a pixel before its middle."""
    corner = np.array([maps.y_nm[0], maps.x_nm[0]]) - fine_nm / 2
    moved = Balls(balls.centres_nm - corner, balls.radii_nm, balls.brightness)
    return moved.render(Grid(maps.owner.shape, 1), fine_nm)


def _connected(balls: Balls, members: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,) groups of balls that overlap, and the mean area that a group covers, um^2."""
    spots, areas = np.zeros(count, int), np.zeros(count)
    step = STACK_NM / 6
    for number in range(count):
        mine = members == number
        centres, radii = balls.centres_nm[mine], balls.radii_nm[mine]
        apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
        touching = coo_matrix(apart < radii[:, None] + radii[None])
        spots[number] = connected_components(touching, directed=False)[0]
        low = centres.min(0) - radii.max()
        shape = tuple(math.ceil(side / step) + 1 for side in centres.max(0) + radii.max() - low)
        covered = np.zeros(shape, bool)
        for centre, radius in zip((centres - low) / step, radii / step, strict=True):
            begin = np.maximum(np.floor(centre - radius).astype(int), 0)
            end = np.ceil(centre + radius).astype(int) + 1
            y, x = np.ogrid[begin[0] : end[0], begin[1] : end[1]]
            part = covered[begin[0] : end[0], begin[1] : end[1]]
            part |= ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2)[: part.shape[0], : part.shape[1]]
        areas[number] = covered.sum() * step**2 / 1e6 / spots[number]
    return spots, areas
