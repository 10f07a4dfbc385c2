"""Molecules into an image: drawn on the fine grid, and what is left of the mean frame as background."""

from __future__ import annotations

import math

import numpy as np
import torch

from fluosr.corrections.movie import CorrectedMovie
from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.image_maker import IMAGE, ImageMaker
from fluosr.methods.spot_fitting.frames import FrameFits
from fluosr.methods.spot_fitting.parameters import SpotFittingParameters
from fluosr.optics.background import KNOTS_PER_FWHM, BackgroundBasis
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import FWHM_PER_SIGMA

DENSE, MANY = 0.2, 0.6  # share of the spots kept, or of those with neighbours, from which on the movie is called dense
OFTEN = 0.3  # share of the spots left out for their misfit that is told
WRONG_WIDTH = 0.1  # by which fitted widths may differ from the PSF's


class SpotFittingMaker(ImageMaker):
    """Fits the frames it is fed, and draws them.

    Args:
        movie: corrected frames: the whole movie, or a half of it.
        factor: L.
        fits: the molecules of the whole movie's frames; frames already fitted are not fitted again.
        parameters: the method's.
    """

    claims_all_light = False  # molecules that were not found are in no image

    def __init__(self, movie: CorrectedMovie, factor: int, fits: FrameFits, parameters: SpotFittingParameters) -> None:
        super().__init__()
        self._movie, self._factor, self._fits, self._parameters = movie, factor, fits, parameters
        self._whole = movie.n_frames == fits.movie.n_frames
        self._numbers = np.zeros(0, np.int64)
        self._sum = np.zeros(movie.field_shape)

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        self._fits.add(numbers, frames)
        self._numbers = np.concatenate([self._numbers, numbers])
        self._sum += frames.sum(0, dtype=np.float64)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`; the molecules are kept with the whole movie alone."""
        own = {"numbers": self._numbers, "sum": self._sum}
        return own | {f"fits.{key}": value for key, value in (self._fits.state() if self._whole else {}).items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._numbers, self._sum = state["numbers"].copy(), state["sum"].copy()
        kept = {key.removeprefix("fits."): value for key, value in state.items() if key.startswith("fits.")}
        if kept:
            self._fits.restore(kept)

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame of the molecules found."""
        table = self._fits.table(self._numbers)
        pixel_nm, field, count = self._movie.acquisition.pixel_size_nm, self._movie.field_shape, len(self._numbers)
        image = table.rendered(field, self._factor, pixel_nm) / np.float32(max(1, count))
        if stage != IMAGE:
            return image
        self.localisations = table
        counted = table.counted(field, self._factor, pixel_nm)
        self.maps = {"localisations_per_um2": counted / np.float32((1e-3 * pixel_nm / self._factor) ** 2)}
        light = self._seen(image)
        self.background = np.maximum(self._smooth_part(self._sum / max(1, count) - light), 0.0)
        self.expected = light + self.background
        self.structure = self._structure(table)
        self._tell(table.uncertainty_nm)
        return image

    def _seen(self, image: np.ndarray) -> np.ndarray:
        """(Y, X) what the camera sees of an image, nothing being known beyond the field."""
        acquisition = self._movie.acquisition
        operator = imaging_operator(
            acquisition.field_shape, self._factor, acquisition.psf, acquisition.pixel_size_nm, dtype=torch.float64
        )
        fine = operator.grid.embed(torch.as_tensor(image, dtype=torch.float64))
        return operator.forward(fine)[0].numpy()

    def _smooth_part(self, image: np.ndarray) -> np.ndarray:
        """(Y, X) the smooth background nearest to an image: least squares keep its light."""
        basis = BackgroundBasis(
            self._movie.field_shape, self._movie.fwhm_px / KNOTS_PER_FWHM, dtype=torch.float64, device="cpu"
        )
        rows, columns = (np.linalg.qr(matrix.numpy())[0] for matrix in basis.factors)
        return rows @ (rows.T @ image @ columns) @ columns.T

    def _structure(self, table: Localisations) -> float:
        """Standard deviations by which single frames hold more than noise: the surest spot, or the places with any.

        Places, not spots: what is wrong with the camera or the background is so in every frame.
        """
        trials = self._fits.detector.places * max(1, self._fits.n_frames)
        surest = self._fits.highest - math.sqrt(2.0 * math.log(trials))
        fwhm_nm = self._movie.acquisition.psf.fwhm_nm
        cells = np.stack([table.y_nm, table.x_nm]) // fwhm_nm
        seen = np.unique(cells, axis=1).shape[1]
        in_all = max(1.0, self._sum.size / self._movie.fwhm_px**2)
        # Twice the false alarms wanted: their rate is nearly, not exactly, known.
        chance = 2.0 * self._fits.detector.false_alarms * self._fits.n_frames
        by_chance = in_all * -math.expm1(-chance / in_all)
        return max(surest, (seen - by_chance) / math.sqrt(by_chance + 1.0))

    def _tell(self, uncertainty_nm: np.ndarray) -> None:
        """What was chosen, what was found, and what is doubtful."""
        fits, counts = self._fits, self._fits.counts
        found, kept, alarms = counts["found"], counts["kept"], fits.detector.false_alarms
        self.chosen = {"box_px": fits.side, "largest_uncertainty_nm": fits.largest_uncertainty_nm}
        self.choices = {
            "threshold": {
                "value": round(fits.detector.level, 3),
                "why": f"standard deviations: {alarms:.3g} false alarms per frame"
                + (", no more of which can be asked for here" if alarms < self._parameters.false_alarms else ""),
            },
            "molecules": {
                "value": kept,
                "why": f"of {found} spots found in {fits.n_frames} frames; left out: {counts['misfits']} that do not "
                f"look like one molecule, {counts['unsure']} too uncertain, too dim or too bright, "
                f"{counts['not_spots']} without a fit at their place",
            },
        }
        if kept:
            typical = float(np.median(uncertainty_nm))
            self.finest_nm = FWHM_PER_SIGMA * typical
            self.choices["uncertainty_nm"] = {
                "value": round(typical, 2),
                "why": "median of the molecules' standard errors (Cramér-Rao bound)",
            }
        beyond_chance = found > 10 + 3 * alarms * fits.n_frames
        if not found:
            self.warnings.append("No spot stands out of the noise of any frame: the table of molecules is empty.")
        elif beyond_chance and (kept < DENSE * found or counts["crowded"] > MANY * found):
            self.warnings.append(
                f"Hardly any spot stands alone: of {found} spots {counts['crowded']} have another one within their box "
                f"of {fits.side} pixels, and {kept} look like single molecules. This method is for sparse molecules; "
                "where they overlap the image misses most of them. Try --method sofi, covariance or fluogan."
            )
        elif beyond_chance and counts["misfits"] > OFTEN * found:
            self.warnings.append(
                f"{counts['misfits']} of {found} spots do not look like one molecule and were left out: they overlap, "
                "or the PSF is not that wide; --fit-width measures it."
            )
        self._tell_width()

    def _tell_width(self) -> None:
        width = self._fits.typical_width_px
        if width is None:
            return
        fwhm_nm = FWHM_PER_SIGMA * width * self._movie.acquisition.pixel_size_nm
        given_nm = self._movie.acquisition.psf.fwhm_nm
        self.choices["fitted_fwhm_nm"] = {"value": round(fwhm_nm, 1), "why": "median of the widths fitted"}
        if abs(fwhm_nm / given_nm - 1.0) > WRONG_WIDTH:
            self.warnings.append(
                f"The molecules' FWHM is {fwhm_nm:.0f} nm, and {given_nm:.0f} nm was given: spots are looked for, and "
                "judged, with the wrong width."
            )
