"""Mitochondria of adherent cells: branched, curved tubules, thick and thin, whole networks or fragments of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_field import CellField, smooth_noise
from fluosr.simulate.cytoplasm import Cytoplasm
from fluosr.simulate.solids import Tubes

STEP_NM = 45.0
CURVATURE_NM = 450.0  # over which a tubule's curvature changes
FORKINGS, FORK_NM = 2, 3000.0  # branches of branches; the length of tubule on which there is one
WARP_SCALE_NM = 4500.0  # over which cells' outlines are bent
LONGEST = 3.0  # mean lengths
# Light out of focus: how far it is smeared, and its share of all of it, for layers further and further away.
LAYERS_NM = ((700.0, 0.4), (1500.0, 0.35), (3500.0, 0.25))


@dataclass(frozen=True)
class MitochondriaPhantom(CellField):
    """Tubules that fill the cytoplasm around nuclei and leave these dark, seen in one optical section.

    Fields differ in how far the network is fragmented. Tubules dip out of the section and come back: they fade in
    places. A brightness of 1 is that of a common tubule at its axis.

    Args:
        shape, pixel_size_nm, seed: as of every :class:`CellField`.
        density_per_um: length of tubules on an area of cytoplasm beside the nucleus, per micrometre.
        width_nm: common diameter.
        persistence_nm: over which a tubule keeps its direction.
        haze: light from tubules outside the section, smeared, relative to that from inside; 0 for none.
        cytoplasm: brightness of the cytoplasm between the tubules.

    Raises:
        UsageError: a number that cannot be.
    """

    density_per_um: float = 1.5
    width_nm: float = 350.0
    persistence_nm: float = 2500.0
    haze: float = 0.0
    cytoplasm: float = 0.02
    _cytoplasm: Cytoplasm = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "mitochondria",
            density_per_um=(0.0, 5.0),
            width_nm=(1.0, 5000.0),
            persistence_nm=(200.0, 1000000.0),
            haze=(0.0, 100.0),
            cytoplasm=(0.0, 1.0),
        )
        generator = np.random.default_rng((self.seed, 0))
        warps = (self.texture({WARP_SCALE_NM: 1.0}, generator), self.texture({WARP_SCALE_NM: 1.0}, generator))
        object.__setattr__(self, "_cytoplasm", Cytoplasm(self.field_nm, warps, generator))

    def tubes(self, layer: int = 0) -> Tubes:
        """The tubules in focus, layer 0, or those of a layer out of focus."""
        generator = np.random.default_rng((self.seed, 1, layer))
        mean_length_nm = 1000.0 * generator.uniform(1.6, 5.0)
        starts = self._cytoplasm.strewn(self.density_per_um / 1000.0 / mean_length_nm, generator)
        lengths = mean_length_nm * _spread(len(starts), generator)
        outwards = self._cytoplasm.at(self._cytoplasm.outwards, starts)
        directions = outwards + generator.normal(0, 0.9, len(starts))
        radii = self.width_nm / 2 * generator.lognormal(-0.02, 0.2, len(starts))
        # Short ones are rods, and thicker.
        radii *= np.where(lengths < 1500.0, 1.2, 1.0)
        bright = generator.lognormal(-0.1, 0.45, len(starts))
        grown = self._grown(starts, directions, lengths, radii, bright, generator)
        parts = [grown.tubes]
        for _ in range(FORKINGS):
            rows = np.arange(len(lengths))
            steps = (generator.uniform(size=len(rows)) * (grown.alive.sum(1) - 1)).astype(int)
            forked = (generator.uniform(size=len(rows)) < 1 - np.exp(-lengths / FORK_NM)) & grown.alive[rows, steps]
            at, after = (grown.curves[rows, steps + k][forked] for k in (0, 1))
            turn = generator.choice([-1, 1], len(at)) * generator.uniform(0.6, 1.4, len(at))
            directions = np.arctan2(*(after - at).T) + turn
            lengths = 0.7 * mean_length_nm * _spread(len(at), generator)
            radii, bright = 0.9 * radii[forked], bright[forked]
            grown = self._grown(at, directions, lengths, radii, bright, generator)
            parts.append(grown.tubes)
        return Tubes.joined(parts)

    def render(self, grid: Grid) -> np.ndarray:
        """The dye on a fine grid: (ny, nx) float64, 1 where a common tubule's axis covers a fine pixel whole."""
        image = self.tubes().render(grid, self.pixel_size_nm)
        coarse = Grid(grid.field_shape, 1, grid.margin)
        smooth = self.cytoplasm * self._cytoplasm.seen(*self.coordinates(coarse))
        for layer, (sigma_nm, share) in enumerate(LAYERS_NM if self.haze else (), start=1):
            tubes = self.tubes(layer).render(coarse, self.pixel_size_nm, points=2)  # it is smeared anyway
            smooth += self.haze * share * ndimage.gaussian_filter(tubes, sigma_nm / self.pixel_size_nm)
        return image + self.seen_finer(smooth, grid)

    def _grown(
        self,
        starts: np.ndarray,
        directions: np.ndarray,
        lengths: np.ndarray,
        radii: np.ndarray,
        bright: np.ndarray,
        generator: np.random.Generator,
    ) -> _Grown:
        """Tubules from their starts (n, 2), each until its length or until it would leave its cell's cytoplasm."""
        count, steps = len(starts), max(2, math.ceil(float(lengths.max(initial=0)) / STEP_NM))
        # A smooth curvature k of correlation c forgets directions over 1 / (sqrt(4 pi) k^2 c).
        spread = math.sqrt(1 / (math.sqrt(4 * math.pi) * CURVATURE_NM * self.persistence_nm))
        per_step = CURVATURE_NM / STEP_NM
        bends = spread * STEP_NM * smooth_noise((count, steps), (0.0, per_step), generator)
        curves = np.empty((count, steps + 1, 2))
        curves[:, 0] = starts
        theta = directions.copy()
        for step in range(steps):
            theta += bends[:, step] + self._cytoplasm.steering(curves[:, step], theta) * STEP_NM
            curves[:, step + 1] = curves[:, step] + STEP_NM * np.stack([np.sin(theta), np.cos(theta)], axis=1)
        inside = self._cytoplasm.at(self._cytoplasm.inside, curves)
        alive = np.logical_and.accumulate(inside, axis=1)[:, 1:]
        alive &= (np.arange(steps) + 1) * STEP_NM <= lengths[:, None]
        whole = alive.sum(1) * STEP_NM
        along = (np.arange(steps) + 0.5) * STEP_NM
        # Round ends, as wide as half a ball; in between thick and thin.
        end = np.clip(np.minimum(along, whole[:, None] - along) / radii[:, None], 0, 1)
        widths = radii[:, None] * np.sqrt(1 - (1 - end) ** 2)
        widths = widths * np.exp(0.2 * smooth_noise((count, steps), (0.0, 400.0 / STEP_NM), generator))
        light = bright[:, None] * np.exp(0.2 * smooth_noise((count, steps), (0.0, 300.0 / STEP_NM), generator))
        height = generator.normal(0, 0.45, (count, 1)) + 0.45 * smooth_noise(
            (count, steps), (0.0, 1500.0 / STEP_NM), generator
        )
        light = light * np.exp(-(height**2))
        return _Grown(Tubes.along(curves, widths, light, alive), curves, alive)


@dataclass(frozen=True, eq=False)
class _Grown:
    """Tubules' pieces, and the (n, steps + 1, 2) curves they lie on, as far as these are (n, steps) alive."""

    tubes: Tubes
    curves: np.ndarray
    alive: np.ndarray


def _spread(count: int, generator: np.random.Generator) -> np.ndarray:
    """(count,) random lengths, of mean 1 but for the longest."""
    return np.minimum(generator.gamma(1.6, 1 / 1.6, count), LONGEST)
