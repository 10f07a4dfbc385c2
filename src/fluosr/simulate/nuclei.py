"""Nuclei: ellipsoids full of chromatin grain, with dark nucleoli and bright foci, some of them dividing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_field import CellField, Texture, scattered

JITTER = 0.2  # of nuclei's middles, spacings
BUMPS = 4  # waves around the outline
GRAIN_NM = {220.0: 0.75, 500.0: 0.55, 1300.0: 0.4}  # scales of chromatin and their shares
RIM_NM = 350.0  # of denser chromatin under the envelope
NUCLEOLUS_EDGE_NM = 130.0
OUT_OF_FOCUS_NM = 1100.0  # by which the outline of a nucleus outside the section is smeared


@dataclass(frozen=True)
class NucleiPhantom(CellField):
    """Nuclei labelled by a DNA dye, seen in one optical section.

    Each has its own size, shape, amount of dye and nucleoli; some lie out of focus, blurred and dim, and a few divide:
    plates of condensed chromatin. A brightness of 1 is that of common chromatin.

    Args:
        shape, pixel_size_nm, seed: as of every :class:`CellField`.
        spacing_nm: from a nucleus to its neighbours.
        radius_nm: mean half axis.
        grain: contrast of the chromatin, standard deviation of its logarithm.
        dividing, out_of_focus: shares of the nuclei.

    Raises:
        UsageError: a number that cannot be.
    """

    spacing_nm: float = 12_500.0
    radius_nm: float = 5600.0
    grain: float = 0.33
    dividing: float = 0.04
    out_of_focus: float = 0.18

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "nuclei",
            spacing_nm=(1000.0, 1000000.0),
            radius_nm=(200.0, 1000000.0),
            grain=(0.0, 2.0),
            dividing=(0.0, 1.0),
            out_of_focus=(0.0, 1.0),
        )

    def nuclei(self) -> list[Nucleus]:
        """Those in and around the field; where two would overlap there is one."""
        generator = np.random.default_rng((self.seed, 0))
        places = scattered(self.field_nm, self.spacing_nm, JITTER, 3 * self.radius_nm, generator)
        # One always lies near the middle of the field, so that small fields are not empty.
        places += self.field_nm / 2 - places[np.argmin(np.hypot(*(places - self.field_nm / 2).T))]
        places += generator.uniform(-0.5, 0.5, 2) * self.radius_nm
        places = places[np.argsort(np.hypot(*(places - self.field_nm / 2).T))]
        found: list[Nucleus] = []
        for centre in places:
            nucleus = Nucleus.drawn(centre, self, generator)
            if all(math.dist(centre, other.centre_nm) > 0.93 * (nucleus.reach_nm + other.reach_nm) for other in found):
                found.append(nucleus)
        return found

    def render(self, grid: Grid) -> np.ndarray:
        """The dye on a fine grid: (ny, nx) float64, 1 where common chromatin covers a fine pixel whole."""
        chromatin = self.texture(GRAIN_NM, np.random.default_rng((self.seed, 1)))
        image = np.zeros(grid.shape)
        y, x = self.coordinates(grid)
        fine_nm = self.pixel_size_nm / grid.factor
        for nucleus in self.nuclei():
            reach = nucleus.extent_nm + fine_nm
            rows, columns = (
                slice(*np.searchsorted(side, (middle - reach, middle + reach)))
                for side, middle in zip((y, x), nucleus.centre_nm, strict=True)
            )
            if rows.start < rows.stop and columns.start < columns.stop:
                image[rows, columns] += nucleus.seen(y[rows, None], x[None, columns], chromatin, self.grain, fine_nm)
        return image


@dataclass(frozen=True, eq=False)
class Nucleus:
    """One nucleus.

    Args:
        centre_nm: (y, x).
        axes_nm: half axes.
        angle: of the first, rad from x towards y.
        bumps: (k, 2) cosine and sine amplitudes of the waves around its outline.
        brightness: of its chromatin.
        blur_nm: by which its outline is smeared; 0 for one in focus.
        dips: (n, 3) nucleoli: (y, x) from the middle and radius, nm.
        foci: (n, 3) bright spots of chromatin.
        divides: a plate without nucleoli.
    """

    centre_nm: np.ndarray
    axes_nm: np.ndarray
    angle: float
    bumps: np.ndarray
    brightness: float
    blur_nm: float
    dips: np.ndarray
    foci: np.ndarray
    divides: bool

    @classmethod
    def drawn(cls, centre_nm: np.ndarray, field: NucleiPhantom, generator: np.random.Generator) -> Nucleus:
        """One at random."""
        size = field.radius_nm * generator.lognormal(0, 0.12)
        stretch = math.exp(abs(generator.normal(0.12, 0.14)))
        divides, far = generator.uniform(size=2) < (field.dividing, field.out_of_focus)
        axes = size * np.array([math.sqrt(stretch), 1 / math.sqrt(stretch)])
        if divides:
            axes = size * np.array([0.9, 0.3])
        amount = generator.choice([1.0, 1.6], p=[0.7, 0.3])  # of DNA, before and after its doubling: part in size
        brightness = math.sqrt(amount) * generator.lognormal(-0.1, 0.25) * (1.9 if divides else 1.0)
        waves = generator.standard_normal((BUMPS, 2)) * (0.09 if divides else 0.035) / np.arange(2, BUMPS + 2)[:, None]

        def inside(count: int, reach: float) -> np.ndarray:
            r = reach * np.sqrt(generator.uniform(size=count))
            angle = generator.uniform(0, 2 * math.pi, count)
            return np.stack([r * np.sin(angle), r * np.cos(angle)], axis=1) * axes.min()

        dips = int(generator.integers(1, 5))
        dip_radii = 0.19 * size * generator.lognormal(0, 0.3, dips) / dips**0.3
        foci = int(generator.integers(4, 16))
        return cls(
            centre_nm,
            axes,
            generator.uniform(0, math.pi),
            waves,
            brightness * (0.35 if far else 1.0),
            OUT_OF_FOCUS_NM if far else 0.0,
            np.column_stack([inside(dips, 0.65), dip_radii]) if not divides else np.zeros((0, 3)),
            np.column_stack([inside(foci, 0.9), generator.uniform(180, 380, foci)]),
            bool(divides),
        )

    @property
    def reach_nm(self) -> float:
        """From its middle, further than which its outline does not lie."""
        return float(self.axes_nm.max() * (1 + np.abs(self.bumps).sum()))

    @property
    def extent_nm(self) -> float:
        """From its middle, further than which nothing of it is seen; the smear is longer along the longer axis."""
        return self.reach_nm + 5 * self.blur_nm * float(self.axes_nm.max() / self.axes_nm.min())

    def depth(self, dy_nm: np.ndarray, dx_nm: np.ndarray) -> np.ndarray:
        """How far inside a place is, by its way from the middle: 1 in the middle, 0 at the rim, below 0 outside."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        along, across = dx_nm * cosine + dy_nm * sine, dy_nm * cosine - dx_nm * sine
        around = np.arctan2(across / self.axes_nm[1], along / self.axes_nm[0])
        waves = sum(a * np.cos(k * around) + b * np.sin(k * around) for k, (a, b) in enumerate(self.bumps, start=2))
        return np.asarray(1 + waves - np.hypot(along / self.axes_nm[0], across / self.axes_nm[1]))

    def seen(self, y_nm: np.ndarray, x_nm: np.ndarray, chromatin: Texture, grain: float, fine_nm: float) -> np.ndarray:
        """(n, m) brightness at (n, 1) rows and (1, m) columns."""
        dy, dx = np.broadcast_arrays(y_nm - self.centre_nm[0], x_nm - self.centre_nm[1])
        depth = self.depth(dy, dx)
        below_nm = depth * float(self.axes_nm.min())
        if self.blur_nm:
            thick = 0.7 + 0.4 * np.clip(depth, 0, 1)
            return np.asarray(self.brightness * thick / (1 + np.exp(-2 * below_nm / self.blur_nm)))
        cover = np.clip(below_nm / fine_nm + 0.5, 0, 1)
        # The section is thinner than the nucleus but for its rim, where that is round.
        thick = np.tanh(2.6 * np.sqrt(np.clip(1 - (1 - np.clip(depth, 0, 1)) ** 2, 0, 1)))
        texture = np.exp(grain * chromatin.at(*np.broadcast_arrays(y_nm, x_nm)) - grain**2 / 2)
        texture = texture + 0.25 * np.exp(-((below_nm / RIM_NM - 1) ** 2))
        for y, x, radius in self.foci:
            texture = texture + 0.7 * np.exp(-((dy - y) ** 2 + (dx - x) ** 2) / 2 / (0.6 * radius) ** 2)
        for y, x, radius in self.dips:
            beyond = (np.hypot(dy - y, dx - x) - radius) / NUCLEOLUS_EDGE_NM
            texture = texture * (1 - 0.72 / (1 + np.exp(np.clip(beyond, -50, 50))))
            texture = texture + 0.25 * np.exp(-((beyond - 2) ** 2) / 3)
        return np.asarray(self.brightness * cover * thick * texture)
