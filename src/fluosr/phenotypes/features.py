"""Features of single cells that a biologist can read, measured on crops in grey values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from fluosr.errors import AcquisitionError, UsageError
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.nuclei import find_nuclei, otsu

GAP, RING, REACH = 1 / 12, 1 / 5, 0.9  # nuclear diameters: gap around the nucleus, width of the ring, cell's reach
CENTRAL = 0.5  # nuclear diameters from the crop's middle within which its nucleus lies
FAINT = 0.02  # of the usual signal's reach: protein below it is not measured, and less than half of it counts as that
SPOT_UM2, SPOT_PX = 0.3, 2  # least area of a spot, whichever is more
SPOT_SMOOTHING_PX = 0.7
SPOT_CONTRAST = 1.5  # of spots over what lies between them, background off: less, and there are none


@dataclass(frozen=True)
class Feature:
    """One figure of a cell.

    Args:
        name: column of the table, with its unit.
        words: of a plot's axis.
        logarithmic: effects are reckoned with its logarithm: a ratio of 2 and of 1/2 are equally far from 1.
        grey: grey values above the background, which noise may put below it.
    """

    name: str
    words: str
    logarithmic: bool = False
    grey: bool = False


FEATURES = (
    Feature("nucleus_to_ring", "nucleus-to-ring ratio", logarithmic=True),
    Feature("spot_count", "spots per cell"),
    Feature("mean_spot_area_um2", "mean spot area (µm²)", logarithmic=True),
    Feature("nucleus_area_um2", "nuclear area (µm²)"),
    Feature("nucleus_mean", "protein in the nucleus (grey values)", logarithmic=True, grey=True),
    Feature("ring_mean", "protein in the ring (grey values)", logarithmic=True, grey=True),
)
PIXELS = {"mean_spot_area_um2": "mean_spot_area_px", "nucleus_area_um2": "nucleus_area_px"}


@dataclass(frozen=True)
class CellMeasure:
    """How cells are measured: the same for all crops of a set, and for what any method makes of them.

    Args:
        nuclei, protein: numbers of the channels, from 0.
        background: grey value of the protein's channel where there is no cell.
        faint: grey values above it below which protein is not measured.
        diameter_px: nuclear diameter, from which the ring has its width.
        pixel_size_nm: nm; None leaves areas in pixels.
        spot_threshold: grey values above the background; None for Otsu's threshold in each cell.

    Raises:
        UsageError: a number that cannot be.
    """

    nuclei: int
    protein: int
    background: float
    faint: float
    diameter_px: float
    pixel_size_nm: float | None = None
    spot_threshold: float | None = None

    def __post_init__(self) -> None:
        if self.nuclei == self.protein:
            raise UsageError(f"nuclei and protein are two channels, and both were given as number {self.nuclei}.")
        if not (math.isfinite(self.background) and self.faint > 0 and self.diameter_px >= 4):
            raise UsageError(
                f"cells cannot be measured with a background of {self.background:g}, a faintest signal of "
                f"{self.faint:g} and a nuclear diameter of {self.diameter_px:g} pixels (4 at least)."
            )
        if self.spot_threshold is not None and not self.spot_threshold > 0:
            raise UsageError(f"the threshold of spots must be positive (grey values), got {self.spot_threshold:g}.")

    @classmethod
    def of(cls, crops: CropSet, *, spot_threshold: float | None = None) -> CellMeasure:
        """For a set of crops, with background and reach of its ground."""
        ground = crops.taken_ground
        return cls(
            crops.nuclei,
            crops.protein,
            float(ground.level[crops.protein]),
            FAINT * float(ground.reach[crops.protein]),
            crops.diameter_px,
            crops.pixel_size_nm,
            spot_threshold,
        )

    @property
    def features(self) -> tuple[Feature, ...]:
        """With areas in um^2, or in pixels where the pixel size is not known."""
        if self.pixel_size_nm is not None:
            return FEATURES
        return tuple(
            replace(f, name=PIXELS[f.name], words=f.words.replace("µm²", "pixels")) if f.name in PIXELS else f
            for f in FEATURES
        )

    @property
    def floor(self) -> float:
        """Grey values above the background that any protein counts as at least, in ratios and logarithms."""
        return self.faint / 2

    def measure(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Every feature of every crop.

        Args:
            pixels: (N, C, R, R) grey values.

        Returns:
            For each feature (N,) float64; NaN where it cannot be told: no nucleus in the middle, no protein to speak
            of for the ratio, no spot for their area.

        Raises:
            AcquisitionError: NaN or infinity in the crops.
            UsageError: crops without these channels.
        """
        pixels = np.asarray(pixels)
        if pixels.ndim != 4 or pixels.shape[1] <= max(self.nuclei, self.protein):
            raise UsageError(
                f"crops to be measured are (N, C, R, R) with the channels {self.nuclei} and {self.protein}, got "
                f"shape {pixels.shape}."
            )
        bad = np.flatnonzero(~np.isfinite(pixels).all((1, 2, 3)))
        if len(bad):
            raise AcquisitionError(f"{len(bad)} of {len(pixels)} crops hold NaN or infinity, the first is {bad[0]}.")
        rows = [self._one(crop[self.nuclei], crop[self.protein]) for crop in pixels]
        return {f.name: np.array([row[i] for row in rows], float) for i, f in enumerate(self.features)}

    def _one(self, nuclear: np.ndarray, protein: np.ndarray) -> tuple[float, ...]:
        nuclei = find_nuclei(nuclear, diameter_px=self.diameter_px)
        middle = (np.array(nuclear.shape) - 1) / 2 + 0.5  # where crops are centred
        away = np.hypot(*(nuclei.centres_px - middle).T)
        if not len(away) or away.min() > CENTRAL * self.diameter_px:
            return (math.nan,) * len(FEATURES)
        mine = nuclei.labels == 1 + int(away.argmin())
        others = (nuclei.labels > 0) & ~mine
        distance = ndimage.distance_transform_edt(~mine)
        to_others = ndimage.distance_transform_edt(~others) if others.any() else np.full(mine.shape, np.inf)
        own = distance < to_others
        gap = max(GAP * self.diameter_px, 1.0)
        ring = own & (distance > gap) & (distance <= gap + max(RING * self.diameter_px, 2.0)) & (to_others > gap)
        signal = protein.astype(float) - self.background
        in_nucleus = float(signal[mine].mean())
        in_ring = float(signal[ring].mean()) if ring.any() else math.nan
        ratio = math.nan
        if max(in_nucleus, in_ring) >= self.faint:
            ratio = max(in_nucleus, self.floor) / max(in_ring, self.floor)
        count, area = self._spots(signal, own & (distance <= REACH * self.diameter_px))
        um2 = 1.0 if self.pixel_size_nm is None else (self.pixel_size_nm / 1000) ** 2
        return ratio, count, area * um2, float(mine.sum()) * um2, in_nucleus, in_ring

    def _spots(self, signal: np.ndarray, cell: np.ndarray) -> tuple[float, float]:
        """(number, mean area in pixels) of what is bright within a cell."""
        smooth = ndimage.gaussian_filter(signal, SPOT_SMOOTHING_PX, mode="nearest")
        threshold = self.spot_threshold
        if threshold is None:
            threshold = max(otsu(smooth[cell]), self.faint)
        bright = cell & (smooth > threshold)
        rest = cell & ~bright
        if not bright.any() or not rest.any():
            return (0.0, math.nan)
        if smooth[bright].mean() < SPOT_CONTRAST * max(float(smooth[rest].mean()), self.faint):
            return (0.0, math.nan)
        labels, _ = ndimage.label(bright, np.ones((3, 3)))
        areas = np.bincount(labels.ravel())[1:]
        least = SPOT_PX
        if self.pixel_size_nm is not None:
            least = max(SPOT_PX, math.ceil(SPOT_UM2 / (self.pixel_size_nm / 1000) ** 2))
        areas = areas[areas >= least]
        return float(len(areas)), float(areas.mean()) if len(areas) else math.nan

    def as_compared(self, feature: Feature, values: np.ndarray) -> np.ndarray:
        """(N,) what effects and classifiers take: the logarithm to the base 2 where the feature asks for it, NaN kept.

        Grey values below the floor count as it. Without it cells without protein, of which half lie below the
        background, would have no logarithm and be left out, those above it not.
        """
        values = np.asarray(values, float)
        if feature.grey:
            values = np.maximum(values, self.floor)  # NaN stays
        if not feature.logarithmic:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log2(values)
        return np.where(np.isfinite(logs), logs, np.nan)

    def matrix(self, features: tuple[Feature, ...], table: Mapping[str, np.ndarray]) -> np.ndarray:
        """(N, F) as compared, in the order of the features."""
        return np.stack([self.as_compared(feature, table[feature.name]) for feature in features], axis=1)

    def floored(self, table: Mapping[str, np.ndarray]) -> int:
        """The number of cells whose ratio is a bound: one of its two parts is below the floor and counted as that."""
        low = np.fmin(table["nucleus_mean"], table["ring_mean"]) < self.floor
        return int((low & np.isfinite(table["nucleus_to_ring"])).sum())
