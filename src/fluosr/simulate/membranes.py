"""Membranes of a sheet of cells: outlines shared by neighbours, unevenly bright, and vesicles inside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import Voronoi, cKDTree

from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_field import CellField, scattered, smooth_noise
from fluosr.simulate.solids import Balls, Tubes

STEP_NM = 60.0
JITTER = 0.17  # of cells' middles, spacings
BOW = 0.07  # of an edge's middle out of the straight line, edge lengths
WOBBLE_NM, WOBBLE_SCALE_NM = 110.0, 700.0
TILT = 0.55  # spread of an edge's breadth (logarithm): a membrane that leans looks broad and dim
RUFFLES_PER_CELL = 14  # short folds of the membrane above and below
RING_NM, RING_POINTS = 250.0, 20  # larger vesicles are labelled on their outline
GLOW_NM = 600.0  # over which the glow passes from one cell to the next: its borders are bowed, and its cells are not


@dataclass(frozen=True)
class MembranePhantom(CellField):
    """Outlines of cells that touch: the edges of a Voronoi diagram, bowed and wavy, and what hangs on them.

    Each edge has a breadth and a brightness of its own, which vary along it too; clusters sit on it. Inside lie
    vesicles, filled ones and rings, most of them beside the nucleus, faint folds, and a faint glow of the membrane
    above and below. A brightness of 1 is that of a common edge at its axis.

    Args:
        shape, pixel_size_nm, seed: as of every :class:`CellField`.
        cell_size_nm: from a cell's middle to its neighbours'.
        width_nm: common breadth of an edge.
        vesicles_per_cell: mean number.
        glow: brightness of the membrane above and below.

    Raises:
        UsageError: a number that cannot be.
    """

    cell_size_nm: float = 11_500.0
    width_nm: float = 220.0
    vesicles_per_cell: float = 22.0
    glow: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "membranes",
            cell_size_nm=(1000.0, 1000000.0),
            width_nm=(1.0, 5000.0),
            vesicles_per_cell=(0.0, 10000.0),
            glow=(0.0, 1.0),
        )

    def cells(self) -> np.ndarray:
        """(n, 2) middles (y, x) of the cells in and around the field, nm."""
        generator = np.random.default_rng((self.seed, 0))
        return scattered(self.field_nm, self.cell_size_nm, JITTER, 2.5 * self.cell_size_nm, generator)

    def edges(self) -> Tubes:
        """The outlines, and the clusters and folds as short tubes."""
        generator = np.random.default_rng((self.seed, 1))
        diagram = Voronoi(self.cells())
        parts = []
        for first, second in diagram.ridge_vertices:
            if first < 0:  # it has no end
                continue
            ends = diagram.vertices[[first, second]]
            length = math.dist(*ends)
            middle = ends.mean(0)
            reach = length / 2 + self.cell_size_nm / 2
            if ((middle < -reach) | (middle > self.field_nm + reach)).any() or length < STEP_NM:
                continue
            parts.append(self._edge(ends, length, generator))
        return Tubes.joined([*parts, self._ruffles(generator)])

    def vesicles(self) -> tuple[Balls, Tubes]:
        """Filled vesicles, and the outlines of larger ones."""
        generator = np.random.default_rng((self.seed, 2))
        cells = self.cells()
        owner = np.repeat(np.arange(len(cells)), generator.poisson(self.vesicles_per_cell, len(cells)))
        # Two thirds crowd on one side of the nucleus, the others lie anywhere in the cell.
        side = generator.uniform(0, 2 * math.pi, len(cells))
        crowd = cells + 0.2 * self.cell_size_nm * np.stack([np.sin(side), np.cos(side)], axis=1)
        crowded = generator.uniform(size=len(owner)) < 2 / 3
        spread = np.where(crowded, 0.085, 0.2)[:, None] * self.cell_size_nm
        places = np.where(crowded[:, None], crowd[owner], cells[owner])
        places = places + spread * generator.standard_normal(places.shape)
        radii = np.minimum(160.0 * generator.lognormal(0, 0.35, len(owner)), 500.0)
        bright = 0.5 * generator.lognormal(0, 0.6, len(owner)) * generator.lognormal(0, 0.3, len(cells))[owner]
        rings = radii > RING_NM
        filled = Balls(places[~rings], radii[~rings], bright[~rings])
        turns = np.linspace(0, 2 * math.pi, RING_POINTS + 1)
        outline = 1.2 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
        curves = places[rings][:, None] + radii[rings][:, None, None] * outline
        pieces = (int(rings.sum()), RING_POINTS)
        hollow = Tubes.along(curves, np.full(pieces, 90.0), np.repeat(bright[rings, None], RING_POINTS, axis=1))
        return filled, hollow

    def render(self, grid: Grid) -> np.ndarray:
        """The dye on a fine grid: (ny, nx) float64, 1 where a common edge's axis covers a fine pixel whole."""
        filled, hollow = self.vesicles()
        tubes = Tubes.joined([self.edges(), hollow])
        image = tubes.render(grid, self.pixel_size_nm) + filled.render(grid, self.pixel_size_nm)
        return image + self.seen_finer(self._glow(Grid(grid.field_shape, 1, grid.margin)), grid)

    def _edge(self, ends: np.ndarray, length: float, generator: np.random.Generator) -> Tubes:
        steps = max(2, round(length / STEP_NM))
        along = np.linspace(0, 1, steps + 1)
        scale = length / steps
        wave = smooth_noise((steps + 1,), (WOBBLE_SCALE_NM / scale,), generator)
        # Both ends stay where three cells meet.
        aside = BOW * length * generator.standard_normal() * np.sin(math.pi * along)
        aside += WOBBLE_NM * wave * np.minimum(1, 4 * np.minimum(along, 1 - along))
        straight = ends[0] + along[:, None] * (ends[1] - ends[0])
        normal = np.array([ends[1, 1] - ends[0, 1], ends[0, 0] - ends[1, 0]]) / length
        lean = TILT * generator.standard_normal() + 0.25 * smooth_noise((steps,), (1500.0 / scale,), generator)
        middle = (along[1:] + along[:-1]) / 2
        broad = np.exp(np.clip(lean, -0.4, 1.4) * np.minimum(1, 5 * np.minimum(middle, 1 - middle)))
        bright = generator.lognormal(-0.07, 0.4) * broad**-0.8
        bright = bright * np.exp(0.28 * smooth_noise((steps,), (350.0 / scale,), generator))
        clusters = smooth_noise((steps,), (130.0 / scale,), generator)
        bright = bright * (1 + 0.9 * np.clip(clusters - 1.6, 0, 1))
        return Tubes.along(straight + aside[:, None] * normal, self.width_nm / 2 * broad, bright)

    def _ruffles(self, generator: np.random.Generator) -> Tubes:
        cells = self.cells()
        count, steps = RUFFLES_PER_CELL * len(cells), 18
        middles = np.repeat(cells, RUFFLES_PER_CELL, axis=0)
        starts = middles + 0.26 * self.cell_size_nm * generator.standard_normal((count, 2))
        theta = generator.uniform(0, 2 * math.pi, (count, 1)) + np.cumsum(
            0.17 * smooth_noise((count, steps), (0.0, 4.5), generator), axis=1
        )
        moves = STEP_NM * generator.uniform(0.4, 1.6, (count, 1, 1)) * np.stack([np.sin(theta), np.cos(theta)], axis=2)
        curves = np.concatenate([starts[:, None], starts[:, None] + np.cumsum(moves, axis=1)], axis=1)
        bright = np.repeat(generator.uniform(0.04, 0.2, (count, 1)), steps, axis=1)
        return Tubes.along(curves, np.full((count, steps), self.width_nm / 2), bright)

    def _glow(self, grid: Grid) -> np.ndarray:
        """Each cell's own, mottled, less over its nucleus."""
        generator = np.random.default_rng((self.seed, 3))
        cells = self.cells()
        own = generator.lognormal(0, 0.35, len(cells))
        mottled = self.texture({400.0: 0.6, 1500.0: 0.8}, generator)
        y, x = np.meshgrid(*self.coordinates(grid), indexing="ij")
        distance, number = cKDTree(cells).query(np.stack([y, x], axis=-1))
        nucleus = 1 - 0.5 * np.clip(1.5 - distance / (0.22 * self.cell_size_nm), 0, 1)
        level = ndimage.gaussian_filter(own[number] * nucleus, GLOW_NM / self.pixel_size_nm, mode="nearest")
        return np.asarray(self.glow * level * np.exp(0.3 * mottled.at(y, x)))
