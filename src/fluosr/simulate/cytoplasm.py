"""Where the cytoplasm of adherent cells lies: around each nucleus, up to the neighbour's."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from fluosr.simulate.cell_field import Texture, scattered

LATTICE_NM = 250.0  # on which it is known
BEYOND_NM = 8000.0  # outside the field, up to where organelles may begin: they cross its border
CELL_SPACING_NM = 36_000.0
NUCLEUS_NM = (7000.0, 5200.0)  # its half axes
# The middle of the field lies in the cytoplasm: that far from the nearest nucleus' middle.
MIDDLE_NM = (10_000.0, 13_000.0)
THINNING_NM = 9000.0  # over which organelles become fewer, away from the nucleus
GAP_NM = 1000.0  # of cytoplasm without organelles on each side of two cells' border
WARP_NM = 2500.0  # by which cells' outlines are bent


class Cytoplasm:
    """Maps of the cells that a field shows, and of what lies shortly beyond it.

    Args:
        field_nm: (2,), height and width.
        warps: two, by which places are moved along y and x before the nearest nucleus is looked for.
        generator: of the nuclei.
    """

    def __init__(self, field_nm: np.ndarray, warps: tuple[Texture, Texture], generator: np.random.Generator) -> None:
        self.field_nm = field_nm
        centres = scattered(field_nm, CELL_SPACING_NM, 0.12, MIDDLE_NM[1] + BEYOND_NM + CELL_SPACING_NM, generator)
        middle = field_nm / 2
        nearest = centres[np.argmin(np.hypot(*(centres - middle).T))]
        angle = generator.uniform(0, 2 * math.pi)
        aside = generator.uniform(*MIDDLE_NM) * np.array([math.sin(angle), math.cos(angle)])
        centres = centres + middle + aside - nearest
        axes = np.array(NUCLEUS_NM) * generator.lognormal(0, 0.1, (len(centres), 2))
        angles = generator.uniform(0, math.pi, len(centres))

        sides = [np.arange(-BEYOND_NM, side + BEYOND_NM + LATTICE_NM, LATTICE_NM) for side in field_nm]
        y, x = np.meshgrid(*sides, indexing="ij")
        bent = np.stack([y + WARP_NM * warps[0].at(y, x), x + WARP_NM * warps[1].at(y, x)], axis=-1)
        (near, far), (own, _) = (np.moveaxis(found, -1, 0) for found in cKDTree(centres).query(bent, k=2))
        away_y, away_x = np.moveaxis(bent - centres[own], -1, 0)
        cosine, sine = np.cos(angles[own]), np.sin(angles[own])
        along, across = away_x * cosine + away_y * sine, away_y * cosine - away_x * sine
        nucleus = np.hypot(along / axes[own, 0], across / axes[own, 1])  # 1 at its rim
        border = (far - near) / 2
        beside = near * (1 - 1 / np.maximum(nucleus, 1))

        self.inside = (nucleus > 1.03) & (border > GAP_NM)
        self.density = np.where(self.inside, np.exp(-beside / THINNING_NM), 0.0)
        push = np.clip(1.35 - nucleus, 0, 1) / 150.0 - np.clip(1 - border / (3 * GAP_NM), 0, 1) / 700.0
        outwards = np.arctan2(away_y, away_x)
        self.outwards, self.push_y, self.push_x = outwards, push * np.sin(outwards), push * np.cos(outwards)
        over = 0.45 + 0.55 * np.clip((nucleus - 1) * 8, 0, 1)  # less of it lies above and below the nucleus
        self.thickness = np.exp(-near / 2 / THINNING_NM) * np.clip(border / GAP_NM / 4, 0, 1) * over

    def at(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """One of the maps at places (..., 2), that of the nearest lattice point: (...)."""
        rows, columns = np.moveaxis(np.rint((places + BEYOND_NM) / LATTICE_NM).astype(int), -1, 0)
        return np.asarray(values[np.clip(rows, 0, values.shape[0] - 1), np.clip(columns, 0, values.shape[1] - 1)])

    def strewn(self, per_nm2: float, generator: np.random.Generator) -> np.ndarray:
        """(n, 2) random places in the cytoplasm, so many on an area beside the nucleus and fewer away from it."""
        sides = self.field_nm + 2 * BEYOND_NM
        places = generator.uniform(size=(generator.poisson(per_nm2 * sides.prod()), 2)) * sides - BEYOND_NM
        return places[generator.uniform(size=len(places)) < self.at(self.density, places)]

    def steering(self, places: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(n,) curvature, 1/nm, that leads away from the nucleus and from the cell's border."""
        push_y, push_x = self.at(self.push_y, places), self.at(self.push_x, places)
        return np.asarray(push_y * np.cos(theta) - push_x * np.sin(theta))

    def seen(self, y_nm: np.ndarray, x_nm: np.ndarray) -> np.ndarray:
        """How much cytoplasm one looks through, up to 1: (n, m) for n rows and m columns."""
        rows, columns = np.meshgrid((y_nm + BEYOND_NM) / LATTICE_NM, (x_nm + BEYOND_NM) / LATTICE_NM, indexing="ij")
        return np.asarray(ndimage.map_coordinates(self.thickness, [rows, columns], order=1, mode="nearest"))
