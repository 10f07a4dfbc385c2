"""Every frame's molecules: found, fitted, kept or left out; each frame once, whoever asks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np

from fluosr.corrections.movie import CorrectedMovie
from fluosr.localisations import COLUMNS, Localisations
from fluosr.methods.spot_fitting.detection import Detections, Detector, significance
from fluosr.methods.spot_fitting.parameters import SpotFittingParameters
from fluosr.optics.psf import FWHM_PER_SIGMA
from fluosr.solvers.spot_fit import SpotFits, allowed_misfit, fit_spots

BOX_REACH = 2.7  # standard deviations of the PSF from a spot's pixel to the side of its box
# What the misfit may be beyond chance, per photon of the spot. A width wrong by a tenth makes .01 to .03; two equal
# molecules .01 one standard deviation of the PSF apart, .04 to .08 at 1.5, .13 to .2 at 2.
TOLERATED_MISFIT = 0.05
COUNTS = ("found", "crowded", "not_spots", "misfits", "unsure", "kept")


class FrameFits:
    """The molecules of a movie's frames.

    Args:
        movie: corrected frames; their drift and brightness are put into the molecules, not into the frames.
        parameters: the method's.

    Attributes:
        counts: how many spots were found; have another one in their box; gave no fit at their place; were left out for
            their misfit; for their uncertainty or photons; were kept.
        highest: significance of the surest molecule that was kept, in standard deviations.
    """

    def __init__(self, movie: CorrectedMovie, parameters: SpotFittingParameters) -> None:
        self.movie, self._parameters = movie, parameters
        self._pixel_nm = movie.acquisition.pixel_size_nm
        self.sigma_px = movie.fwhm_px / FWHM_PER_SIGMA
        self._variance = np.where(
            movie.used, np.broadcast_to(movie.acquisition.camera.read_variance, movie.field_shape), np.inf
        ).astype(np.float32)
        self.detector = Detector(self._variance, self.sigma_px, parameters.false_alarms)
        reach = max(2, round(BOX_REACH * self.sigma_px))
        self.side = min(parameters.box_px or 2 * reach + 1, *movie.field_shape)
        self.largest_uncertainty_nm = (
            parameters.largest_uncertainty_nm or 0.5 * self.sigma_px * movie.acquisition.pixel_size_nm
        )
        self._still = replace(
            movie, shifts=np.zeros_like(movie.shifts), scale=np.ones_like(movie.scale), used=np.ones_like(movie.used)
        )
        self._tables: list[Localisations] = []
        self._done = np.zeros(movie.acquisition.n_frames, bool)
        self._totals = np.zeros(len(COUNTS), np.int64)
        self.highest = 0.0
        self._widths: list[np.ndarray] = []

    @property
    def counts(self) -> dict[str, int]:
        """See the class."""
        return dict(zip(COUNTS, map(int, self._totals), strict=True))

    @property
    def n_frames(self) -> int:
        """Frames looked at."""
        return int(self._done.sum())

    @property
    def typical_width_px(self) -> float | None:
        """Median of the fitted widths of the molecules kept; None where none was fitted."""
        widths = np.concatenate(self._widths) if self._widths else np.zeros(0)
        return float(np.median(widths)) if widths.size else None

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """Look at frames that have not been looked at.

        Args:
            numbers: (k,) frame numbers.
            frames: (k, Y, X) photoelectrons, corrected.
        """
        new = ~self._done[numbers]
        if not new.any():
            return
        numbers, frames = numbers[new], frames[new]
        if self.movie.shifts.any() or (self.movie.scale != 1.0).any():
            frames = np.concatenate([part for _, part in self._still.select(numbers).chunks()])
        self._tables.append(self._look(numbers, frames))
        self._done[numbers] = True

    def table(self, numbers: np.ndarray) -> Localisations:
        """The molecules of these frames, of those looked at."""
        whole = Localisations.joined(self._tables)
        self._tables = [whole]
        wanted = np.zeros(len(self._done), bool)
        wanted[numbers] = True
        return whole.where(wanted[whole.frame])

    def state(self) -> dict[str, np.ndarray]:
        """Everything, for a checkpoint."""
        table = self.table(np.flatnonzero(self._done))
        columns = table.arrays()
        widths = np.concatenate([np.zeros(0), *self._widths])
        return columns | {
            "done": self._done,
            "totals": self._totals,
            "highest": np.array(self.highest),
            "widths": widths,
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""
        self._tables = [Localisations(**{name: state[name] for name in ("frame", *COLUMNS)})]
        self._done, self._totals = state["done"].astype(bool), state["totals"].copy()
        self.highest, self._widths = float(state["highest"]), [state["widths"].copy()]

    def _look(self, numbers: np.ndarray, frames: np.ndarray) -> Localisations:
        """Find, cut, fit, and keep what is a molecule."""
        found = [self.detector.find(frame) for frame in frames]
        which = np.repeat(np.arange(len(frames)), [len(one.rows) for one in found])
        rows, columns, height, skewness = (
            np.concatenate([getattr(one, item.name) for one in found]) for item in fields(Detections)
        )
        corner = [
            np.clip(place - self.side // 2, 0, size - self.side)
            for place, size in zip((rows, columns), self.movie.field_shape, strict=True)
        ]
        inside = np.arange(self.side)
        where = (corner[0][:, None, None] + inside[:, None], corner[1][:, None, None] + inside)
        variance = self._variance[where]
        crowded = _leave_to_neighbours(variance, which, np.stack([rows, columns]), np.stack(corner))
        fits = fit_spots(
            frames[(which[:, None, None], *where)],
            self.sigma_px,
            variance=variance,
            start_px=np.stack([columns - corner[1] + 0.5, rows - corner[0] + 0.5], 1),
            fit_width=self._parameters.fit_width,
        )
        x, y = fits.x_px + corner[1], fits.y_px + corner[0]
        kept = self._kept(fits, np.maximum(np.abs(x - columns - 0.5), np.abs(y - rows - 0.5)), crowded)
        if kept.any():
            self.highest = max(self.highest, float(significance(height[kept], skewness[kept]).max()))
        if self._parameters.fit_width:
            self._widths.append(fits.sigma_px[kept])
        return self._at_rest(numbers[which[kept]], x[kept], y[kept], fits.where(kept))

    def _kept(self, fits: SpotFits, moved_px: np.ndarray, crowded: np.ndarray) -> np.ndarray:
        """(n,) bool: fits that are molecules; the others are counted by what is wrong with them."""
        parameters = self._parameters
        # A fit that left its maximum has found another spot.
        spot = fits.converged & (moved_px <= self.detector.apart + 0.5)
        fitting = np.ones(len(fits), bool)
        if parameters.fit_probability > 0:
            allowed = allowed_misfit(fits, parameters.fit_probability)
            fitting = fits.misfit <= allowed + TOLERATED_MISFIT * fits.photons
        error_nm = _error_px(fits) * self._pixel_nm
        sure = (error_nm <= self.largest_uncertainty_nm) & (fits.photons >= parameters.least_photons)
        if parameters.most_photons is not None:
            sure &= fits.photons <= parameters.most_photons
        kept: np.ndarray = spot & fitting & sure
        steps: Iterable[np.ndarray] = (
            np.ones(len(fits), bool), crowded, ~spot, spot & ~fitting, spot & fitting & ~sure, kept,
        )  # fmt: skip
        self._totals += [int(step.sum()) for step in steps]
        return kept

    def _at_rest(self, numbers: np.ndarray, x_px: np.ndarray, y_px: np.ndarray, fits: SpotFits) -> Localisations:
        """The table, in nm, without the movie's drift and bleaching."""
        movie = self.movie
        shift = movie.shifts[movie.statistics.block_of_frame()[numbers]]
        scale = movie.scale[numbers]
        return Localisations(
            numbers,
            (x_px - shift[:, 1]) * self._pixel_nm,
            (y_px - shift[:, 0]) * self._pixel_nm,
            photons=fits.photons * scale,
            background=fits.background * scale,
            uncertainty_nm=_error_px(fits) * self._pixel_nm,
        )


def _error_px(fits: SpotFits) -> np.ndarray:
    """(n,) of one coordinate: the root of the mean of both variances."""
    return np.hypot(fits.x_error_px, fits.y_error_px) / math.sqrt(2.0)


def _leave_to_neighbours(
    variance: np.ndarray, which: np.ndarray, places: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Make the variance infinite of those pixels of each spot's box that lie nearer to another spot of its frame.

    Args:
        variance: (n, w, w), changed in place.
        which: (n,) frame of each spot.
        places, corners: (2, n) row and column of its pixel, and of its box's first.

    Returns:
        (n,) bool: another spot lies in the box.
    """
    from scipy.spatial import cKDTree

    crowded, side = np.zeros(len(which), bool), variance.shape[1]
    if len(which) < 2:
        return crowded
    far = 10 * side  # frames lie apart
    pairs = cKDTree(np.stack([which * far, *places], 1)).query_pairs(2 * side, p=np.inf, output_type="ndarray")
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    away = places[:, other] - corners[:, one]
    crowded[one[((away >= 0) & (away < side)).all(0)]] = True
    # Half way to the other spot lies in the box only if that spot is near enough.
    own = places - corners
    corner = np.hypot(*np.maximum(own, side - 1 - own))
    near = np.hypot(*(places[:, one] - places[:, other])) < 2.0 * corner[one]
    one, other = one[near], other[near]
    inside = np.arange(side)

    def distance(spots: np.ndarray) -> np.ndarray:
        rows, columns = (
            ((corners[axis, one, None] + inside - places[axis, spots, None]) ** 2).astype(np.int32) for axis in (0, 1)
        )
        return rows[:, :, None] + columns[:, None, :]

    pair, row, column = np.nonzero(distance(other) < distance(one))
    variance[one[pair], row, column] = np.inf
    return crowded
