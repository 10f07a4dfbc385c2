"""Wells of two assays as a microscope for plates takes them, with the phenotype of every cell known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from scipy import ndimage

from fluosr.camera import Camera
from fluosr.errors import UsageError
from fluosr.optics.operators import ImagingOperator, imaging_operator
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid, margin_for
from fluosr.simulate.cell_field import smooth_noise
from fluosr.simulate.culture import AdherentCell, CellCulture, CultureMaps
from fluosr.simulate.golgi import GolgiScattering
from fluosr.simulate.translocation import Translocation

FINE_NM = 220.0  # that the fine grid is to have at most
HAZE_NM = 6000.0  # by which light from out of focus is spread
SCATTER = 14.0  # of strengths around their mean: of a beta distribution, more is closer
SMALLEST_FIELD_PX = 32
WELL_BRIGHTNESS = 0.1  # from well to well: standard deviation of its logarithm


class Assay(Protocol):
    """What a sample shows."""

    @property
    def name(self) -> str:
        """What the assay is called by."""

    @property
    def channels(self) -> tuple[str, str, str]:
        """Names of the channels."""

    def light(
        self,
        culture: CellCulture,
        maps: CultureMaps,
        cells: list[AdherentCell],
        strengths: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(3, ny, nx) brightness on the fine grid, and what is true of each cell."""


ASSAYS: Mapping[str, Assay] = {assay.name: assay for assay in (Translocation(), GolgiScattering())}


@dataclass(frozen=True)
class PlateMicroscope:
    """A wide-field microscope that takes plates.

    Args:
        fwhm_nm: of its PSF.
        photons: in a pixel where a channel is as bright as is common.
        background_photons: in every pixel.
        haze: share of the light that comes from out of focus.
        shading: by which the light falls towards the field's corners.
        camera: gain, offset, read noise.

    Raises:
        UsageError: a number that cannot be.
    """

    fwhm_nm: float = 520.0
    photons: float = 400.0
    background_photons: float = 20.0
    haze: float = 0.12
    shading: float = 0.2
    camera: Camera = Camera(gain_adu_per_e=2.0, offset_adu=100.0, read_noise_e=2.0)

    def __post_init__(self) -> None:
        limits = {
            "fwhm_nm": (1.0, 1e4), "photons": (0.01, 1e6), "background_photons": (0.0, 1e6), "haze": (0.0, 0.9),
            "shading": (0.0, 0.9),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} of a plate microscope lies between {low:g} and {high:g}, got {value:g}.")

    def describe(self) -> dict[str, Any]:
        """All of it, for the record."""
        names = ("fwhm_nm", "photons", "background_photons", "haze", "shading")
        return {name: getattr(self, name) for name in names} | {"camera": self.camera.describe()}


@dataclass(frozen=True, eq=False)
class AssayWell:
    """One field of one well.

    Args:
        assay: translocation, or golgi.
        culture: the cells.
        strength: mean of the phenotype over the cells that respond, 0 to 1; single cells scatter about it.
        non_responders: share of cells that stay at ``resting``.
        resting: strength of cells that do not respond.
        microscope: that takes it.
        seed: of responses, expression, textures and noise; the culture has its own.

    Raises:
        UsageError: no such assay, a strength or share outside 0 to 1, or a field too small.
    """

    assay: str
    culture: CellCulture
    strength: float = 0.0
    non_responders: float = 0.0
    resting: float = 0.03
    microscope: PlateMicroscope = field(default_factory=PlateMicroscope)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.assay not in ASSAYS:
            raise UsageError(f"there is no assay {self.assay!r}: take one of {', '.join(ASSAYS)}.")
        for name in ("strength", "non_responders", "resting"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} lies between 0 and 1, got {getattr(self, name):g}.")
        if min(self.culture.shape) < SMALLEST_FIELD_PX:
            raise UsageError(
                f"a well needs {SMALLEST_FIELD_PX} x {SMALLEST_FIELD_PX} pixels, got {self.culture.shape}."
            )

    @property
    def channels(self) -> tuple[str, str, str]:
        """Names of the channels."""
        return ASSAYS[self.assay].channels

    @cached_property
    def cells(self) -> list[AdherentCell]:
        """Those in and around the field."""
        return self.culture.cells()

    @cached_property
    def strengths(self) -> np.ndarray:
        """(n,) strength of the phenotype in each cell."""
        generator = self._generator("strengths")
        ranks, responds = generator.uniform(size=(2, len(self.cells)))
        mean = np.where(responds < self.non_responders, self.resting, self.strength)
        return np.array([scattered_strength(m, rank, SCATTER) for m, rank in zip(mean, ranks, strict=True)])

    @cached_property
    def maps(self) -> CultureMaps:
        """Of the culture, on the fine grid."""
        return self.culture.maps(self._operator.grid, self.cells)

    @cached_property
    def _operator(self) -> ImagingOperator:
        pixel, psf = self.culture.pixel_size_nm, GaussianPSF(self.microscope.fwhm_nm)
        factor = max(1, math.ceil(pixel / FINE_NM))
        margin = margin_for(max(psf.reach_nm, self.culture.margin_nm), pixel)
        return imaging_operator(self.culture.shape, factor, psf, pixel, grid=Grid(self.culture.shape, factor, margin))

    @cached_property
    def _light(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return ASSAYS[self.assay].light(
            self.culture, self.maps, self.cells, self.strengths, self._generator("expression")
        )

    def expected(self) -> np.ndarray:
        """(3, Y, X) photoelectrons, float64: the image without its noise."""
        microscope, generator = self.microscope, self._generator("microscope")
        pixel, shape = self.culture.pixel_size_nm, self.culture.shape
        found = []
        brightness = generator.lognormal(0, WELL_BRIGHTNESS, 3)
        for light, level in zip(self._light[0], brightness, strict=True):
            fine = torch.as_tensor(light * microscope.photons * level / self._operator.grid.factor**2)
            seen = self._operator.forward(fine.to(self._operator.dtype))[0].double().numpy()
            far = ndimage.gaussian_filter(seen, HAZE_NM / pixel, mode="nearest")
            seen = (1 - microscope.haze) * seen + microscope.haze * far + microscope.background_photons
            found.append(seen * _shading(shape, microscope.shading, generator))
        return np.stack(found)

    def image(self) -> np.ndarray:
        """(3, Y, X) uint16, ADU; what lies beyond 16 bits is cut off."""
        adu = self.microscope.camera.expose(self.expected(), self._generator("noise"))
        return np.clip(np.rint(adu), 0, 2**16 - 1).astype(np.uint16)

    def labels(self) -> np.ndarray:
        """(2, Y, X) uint16: nuclei and cells, the number of the cell from 1 in every pixel, 0 for none."""
        grid = self._operator.grid
        start = grid.factor // 2
        return np.stack(
            [
                grid.crop(torch.as_tensor(part)).numpy()[start :: grid.factor, start :: grid.factor] + 1
                for part in (self.maps.nucleus, self.maps.owner)
            ]
        ).astype(np.uint16)

    def truth(self) -> dict[str, np.ndarray]:
        """For each cell whose nucleus' middle lies in the field, its number and what is true of it.

        ``cell`` is its number in ``labels``; ``y_px``, ``x_px`` the nucleus' middle in pixels, 0 the middle of the
        first; ``nucleus_area_um2`` and the rest as the assay tells.
        """
        count = len(self.cells)
        fine_um2 = (self.culture.pixel_size_nm / self._operator.grid.factor / 1000) ** 2
        ones = np.ones(self.maps.owner.shape)
        centres = np.array([cell.nucleus.centre_nm for cell in self.cells]) / self.culture.pixel_size_nm - 0.5
        columns = {
            "cell": np.arange(1, count + 1),
            "y_px": centres[:, 0],
            "x_px": centres[:, 1],
            "strength": self.strengths,
            "nucleus_area_um2": self.maps.sums(ones, self.maps.nucleus, count) * fine_um2,
            **self._light[1],
        }
        inside = ((centres > -0.5) & (centres < np.array(self.culture.shape) - 0.5)).all(1)
        return {name: values[inside] for name, values in columns.items()}

    def clean_protein(self) -> np.ndarray:
        """(ny, nx) brightness of the assay's protein on the extended fine grid: no blur, no noise, no background."""
        return self._light[0][1]

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from, for the record."""
        return {
            "assay": self.assay,
            "culture": self.culture.describe(),
            "strength": self.strength,
            "non_responders": self.non_responders,
            "resting": self.resting,
            "microscope": self.microscope.describe(),
            "seed": self.seed,
        }

    def _generator(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *what.encode()])


def scattered_strength(mean: float, rank: float, closeness: float) -> float:
    """The quantile of a beta distribution, of variance mean (1 - mean) / (closeness + 1); none at the ends."""
    from scipy.stats import beta

    if mean in (0.0, 1.0):
        return float(mean)
    return float(beta.ppf(rank, mean * closeness, (1 - mean) * closeness))


def _shading(shape: tuple[int, int], depth: float, generator: np.random.Generator) -> np.ndarray:
    """(Y, X) about 1: brightest near the middle, darker by ``depth`` in the corners, and a little uneven."""
    middle = generator.uniform(-0.25, 0.25, 2)
    y, x = (np.linspace(-1, 1, n) - m for n, m in zip(shape, middle, strict=True))
    uneven = smooth_noise((8, 8), (1.5, 1.5), generator)
    fine = ndimage.zoom(uneven, [n / 8 for n in shape], order=1, mode="nearest", grid_mode=True)
    return np.asarray(1 - depth * (y[:, None] ** 2 + x[None] ** 2) / 2 + 0.1 * depth * fine)
