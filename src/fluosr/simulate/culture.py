"""A culture of adherent cells: each with a nucleus, an outline of its own, and neighbours that it touches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_field import CellField, Texture, scattered
from fluosr.simulate.nuclei import NucleiPhantom, Nucleus

JITTER = 0.22  # of cells' middles, spacings
WAVES = 4  # around a cell's outline, from the second on: stretched, three-cornered, ...
RAGGED = {900.0: 0.5, 3500.0: 1.0}  # scales by which outlines are bent, nm, and their shares
NUCLEUS_ASIDE = 0.12  # of the nucleus from the cell's middle, cell radii
APART = 0.96  # least distance of two nuclei over the sum of their reaches
BORDER_NM = 900.0  # over which a cell grows thin at its rim
ABOVE_NUCLEUS = 0.35  # of the cytoplasm's thickness that is left above and below the nucleus


@dataclass(frozen=True, eq=False)
class AdherentCell:
    """One cell.

    Args:
        nucleus: it.
        centre_nm: (y, x) of the cell.
        radius_nm: mean, where no neighbour is in the way.
        waves: (k, 2) cosine and sine amplitudes of the waves around its outline.
        angle: of its fibres, rad from x towards y.
    """

    nucleus: Nucleus
    centre_nm: np.ndarray
    radius_nm: float
    waves: np.ndarray
    angle: float

    @property
    def reach_nm(self) -> float:
        """From its centre, further than which nothing of it lies; bent outlines included."""
        return 1.5 * self.radius_nm * (1 + float(np.hypot(*self.waves.T).sum()))

    def remoteness(self, y_nm: np.ndarray, x_nm: np.ndarray) -> np.ndarray:
        """0 in its centre, 1 on its outline."""
        dy, dx = y_nm - self.centre_nm[0], x_nm - self.centre_nm[1]
        around = np.arctan2(dy, dx)
        waves = sum(a * np.cos(k * around) + b * np.sin(k * around) for k, (a, b) in enumerate(self.waves, start=2))
        return np.asarray(np.hypot(dy, dx) / self.radius_nm / np.maximum(1 + waves, 0.35))


@dataclass(frozen=True, eq=False)
class CultureMaps:
    """What a culture looks like on a fine grid, every map (ny, nx).

    Args:
        y_nm, x_nm: (ny,) and (nx,) middles of the fine pixels.
        owner: number of the cell that covers a pixel, -1 for none.
        nucleus: number of the nucleus, -1 for none.
        remoteness: 0 in the cell's centre, 1 on its outline.
        cytoplasm: thickness of the cytoplasm, 1 at its thickest.
        nuclear: thickness of the nucleus, 1 at its thickest.
        dna: brightness of the DNA.
    """

    y_nm: np.ndarray
    x_nm: np.ndarray
    owner: np.ndarray
    nucleus: np.ndarray
    remoteness: np.ndarray
    cytoplasm: np.ndarray
    nuclear: np.ndarray
    dna: np.ndarray

    def sums(self, values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
        """(count,) sum of the values where the labels name a cell."""
        there = labels >= 0
        return np.bincount(labels[there], values[there], minlength=count)


@dataclass(frozen=True)
class CellCulture(CellField):
    """A field of adherent cells seen from above, some places left empty.

    Args:
        shape, pixel_size_nm, seed: as of every :class:`CellField`.
        spacing_nm: from a cell to its neighbours.
        nucleus_nm: mean half axis of the nuclei.
        empty: share of places without a cell.

    Raises:
        UsageError: a number that cannot be.
    """

    spacing_nm: float = 24_000.0
    nucleus_nm: float = 5600.0
    empty: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "cells", spacing_nm=(5000.0, 1e6), nucleus_nm=(1000.0, self.spacing_nm / 2), empty=(0.0, 0.95)
        )  # fmt: skip

    @property
    def margin_nm(self) -> float:
        """Beyond the field, up to where cells are whole: no cell of the field is cut by the end of what is drawn."""
        return 1.1 * self.spacing_nm

    def cells(self) -> list[AdherentCell]:
        """Those in and around the field, from its middle outwards; where nuclei would overlap there is one."""
        generator = np.random.default_rng((self.seed, 0))
        nuclei = NucleiPhantom(
            self.shape, self.pixel_size_nm, self.seed, self.spacing_nm, self.nucleus_nm, dividing=0.0, out_of_focus=0.0
        )
        places = scattered(self.field_nm, self.spacing_nm, JITTER, self.margin_nm + self.spacing_nm, generator)
        places = places[np.argsort(np.hypot(*(places - self.field_nm / 2).T))]
        kept = generator.uniform(size=len(places)) >= self.empty
        found: list[AdherentCell] = []
        for number, (place, there) in enumerate(zip(places, kept, strict=True)):
            radius = 0.62 * self.spacing_nm * generator.lognormal(0, 0.15)
            aside = NUCLEUS_ASIDE * radius * generator.standard_normal(2)
            nucleus = Nucleus.drawn(place + aside, nuclei, generator)
            size = np.array([0.24, 0.11, 0.07, 0.05])
            waves = size[:, None] * generator.standard_normal((WAVES, 2)) / math.sqrt(2)
            cell = AdherentCell(nucleus, place, radius, waves, generator.uniform(0, math.pi))
            apart = all(
                math.dist(nucleus.centre_nm, other.nucleus.centre_nm)
                > APART * (nucleus.reach_nm + other.nucleus.reach_nm)
                for other in found
            )
            if apart and (there or number == 0):  # one always lies near the middle of the field
                found.append(cell)
        return found

    def maps(self, grid: Grid, cells: Sequence[AdherentCell]) -> CultureMaps:
        """All of them on a fine grid; a pixel belongs to the cell whose outline it lies deepest in."""
        y, x = self.coordinates(grid)
        ragged = self.texture(RAGGED, np.random.default_rng((self.seed, 1)))
        shape = grid.shape
        owner, nucleus = np.full(shape, -1), np.full(shape, -1)
        first, second = np.full(shape, np.inf), np.full(shape, np.inf)
        radius, nuclear, dna = np.ones(shape), np.zeros(shape), np.zeros(shape)
        chromatin = self.texture({600.0: 0.7, 1400.0: 0.6}, np.random.default_rng((self.seed, 2)))
        fine_nm = self.pixel_size_nm / grid.factor
        for number, cell in enumerate(cells):
            window, rows, columns = _window(y, x, cell.centre_nm, cell.reach_nm)
            bent = 1 + 0.09 * ragged.at(*np.broadcast_arrays(rows, columns))
            inside = cell.nucleus.depth(rows - cell.nucleus.centre_nm[0], columns - cell.nucleus.centre_nm[1])
            # Its nucleus, and 1 um around it, is a cell's own whatever its outline and its neighbours.
            own = inside * float(cell.nucleus.axes_nm.min()) > -1000.0
            deep = cell.remoteness(rows, columns) * bent
            deep = np.where(own, np.minimum(deep, 0.3), deep)
            nearer = deep < first[window]
            second[window] = np.where(nearer, first[window], np.minimum(second[window], deep))
            first[window] = np.minimum(first[window], deep)
            owner[window] = np.where(nearer & (deep < 1), number, owner[window])
            radius[window] = np.where(nearer, cell.radius_nm, radius[window])
        for number, cell in enumerate(cells):
            window, rows, columns = _window(y, x, cell.nucleus.centre_nm, cell.nucleus.extent_nm + fine_nm)
            inside = cell.nucleus.depth(rows - cell.nucleus.centre_nm[0], columns - cell.nucleus.centre_nm[1])
            nucleus[window] = np.where(inside > 0, number, nucleus[window])
            round_top = np.sqrt(np.clip(1 - (1 - np.clip(inside, 0, 1)) ** 2, 0, 1))
            nuclear[window] = np.maximum(nuclear[window], np.tanh(2.6 * round_top))
            dna[window] += cell.nucleus.seen(rows, columns, chromatin, 0.25, fine_nm)
        return CultureMaps(
            y, x, owner, nucleus, np.minimum(first, 1.0), _thickness(first, second, radius, nuclear), nuclear, dna
        )


def _window(
    y: np.ndarray, x: np.ndarray, centre: np.ndarray, reach: float
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """(the part of a map near a place, its rows (n, 1) and columns (1, m) in nm)."""
    rows, columns = (
        slice(*np.searchsorted(side, (middle - reach, middle + reach)))
        for side, middle in zip((y, x), centre, strict=True)
    )
    return (rows, columns), y[rows, None], x[None, columns]


def _thickness(first: np.ndarray, second: np.ndarray, radius: np.ndarray, nuclear: np.ndarray) -> np.ndarray:
    """Of the cytoplasm: highest beside the nucleus, thin at the rim and where two cells meet."""
    within = np.clip(1 - first, 0, 1)
    apart = np.subtract(second, first, where=np.isfinite(first), out=np.zeros_like(first))  # no cell is near: none
    rim = np.clip(within * radius / BORDER_NM, 0, 1)
    meeting = 0.45 + 0.55 * np.clip(apart * radius / 2 / BORDER_NM, 0, 1)
    slope = 0.22 + 0.78 * np.clip(within / 0.8, 0, 1) ** 1.3
    above = 1 - (1 - ABOVE_NUCLEUS) * np.clip(nuclear, 0, 1)
    return np.asarray(rim * meeting * slope * above)


def streaks(
    texture: Texture, maps: CultureMaps, cells: Sequence[AdherentCell], length: float, *, radial: bool
) -> np.ndarray:
    """(ny, nx) a texture of mean 0 drawn out into streaks within each cell.

    Args:
        texture: of the streaks, of mean 0 and variance 1.
        maps, cells: of the culture.
        length: of the streaks over their width.
        radial: away from beside the nucleus, as microtubules; else along the cell, as stress fibres.
    """
    found = np.zeros(maps.owner.shape)
    for number, window in _each_cell(maps, len(cells)):
        cell, here = cells[number], maps.owner[window] == number
        y, x = np.broadcast_arrays(maps.y_nm[window[0], None], maps.x_nm[None, window[1]])
        dy, dx = y[here] - cell.centre_nm[0], x[here] - cell.centre_nm[1]
        shift = 37_000.0 * number  # another part of the texture, which is mirrored beyond its end
        if not radial:
            cosine, sine = math.cos(cell.angle), math.sin(cell.angle)
            along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
            found[window][here] = texture.at(across + shift, along / length + shift)
            continue
        # From beside the nucleus, where the centrosome lies.
        aside = 0.75 * float(cell.nucleus.axes_nm.min()) * np.array([math.sin(cell.angle), math.cos(cell.angle)])
        from_y, from_x = cell.nucleus.centre_nm - cell.centre_nm + aside
        dy, dx = dy - from_y, dx - from_x
        turn = np.arctan2(dy, dx) / (2 * math.pi) + 0.5
        out, arc = np.hypot(dy, dx) / length + shift, 6500.0 * 2 * math.pi
        # Two readings, one whole turn apart, faded into each other: no seam where the turn begins.
        ahead, behind = texture.at(turn * arc + shift, out), texture.at((turn + 1) * arc + shift, out)
        found[window][here] = (turn * ahead + (1 - turn) * behind) / np.sqrt(turn**2 + (1 - turn) ** 2)
    return found


def _each_cell(maps: CultureMaps, count: int) -> Iterator[tuple[int, tuple[slice, slice]]]:
    from scipy import ndimage

    for number, window in enumerate(ndimage.find_objects(maps.owner + 1, count)):
        if window is not None:
            yield number, window
