"""From a method's image, in whatever unit, to photons, to what the camera should see, and to the evidence for it.

A ring of gradients or a cumulant is in no unit that a camera knows. What every image claims, though, is where light
comes from: seen through the PSF, on some smooth background, it should look like the mean frame,

    mean frame = alpha A x + B beta + noise,   alpha, beta >= 0,

(SQUIRREL's test, Culley et al. 2018, with the known PSF and a background that may vary.) alpha makes photons of the
image; what is left is its residual map; and questions are put to the data, in standard deviations:

- Is there anything finer than a smooth background in the mean frame at all? (the brightest patch of the PSF's size)
- Does the image made from one half of the frames foretell the other half's mean frame? (the t-value of alpha)

Methods that read fluctuations are asked a third: do neighbouring pixels change together at all? Shot noise is brightest
where the sample is, so that a cumulant of nothing but noise foretells the mean frame well.

The least of them is the image's significance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.corrections.movie import CorrectedMovie
from fluosr.corrections.pattern import fixed_pattern
from fluosr.optics.background import KNOTS_PER_FWHM, BackgroundBasis
from fluosr.optics.operators import imaging_operator
from fluosr.reconstruction import NOTHING_HERE
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.mean_frame import GeneratorProblem

COARSE_PER_FWHM, LIKELY_ITERATIONS = 5.0, 150


Half = tuple[np.ndarray, np.ndarray]  # (L Y, L X) image made from half of the frames, (Y, X) the mean of these frames
Halves = tuple[Half, Half]


@dataclass(frozen=True, eq=False)
class Evidence:
    """An image put before the mean frame.

    Attributes:
        scale: alpha, photons per unit of the image.
        background: (Y, X) float32, B beta, photons per camera pixel and frame.
        mean: (Y, X) float32, mean of the corrected frames, photons.
        expected: (Y, X) float32, alpha A x + B beta.
        standard_error: (Y, X) float32, of ``mean``, photons; infinite where a pixel was not used.
        structure: standard deviations by which the mean frame exceeds a smooth background where it does so most.
        foretold: t-value with which each half's image foretells the other half's mean frame; None without halves.
        fluctuations: standard deviations by which neighbouring pixels change together; None where the method does not
            live on that.
        excess_noise, fixed_pattern: what the standard error was enlarged by, as variances.
        empty: the image holds no light at all.
    """

    scale: float
    background: np.ndarray
    mean: np.ndarray
    expected: np.ndarray
    standard_error: np.ndarray
    structure: float
    foretold: float | None
    fluctuations: float | None
    excess_noise: float
    fixed_pattern: float
    empty: bool

    @property
    def significance(self) -> float:
        """The least of ``structure``, ``foretold`` and ``fluctuations``; at most 0 for an empty image."""
        if self.empty:
            return min(0.0, self.structure)
        return min(value for value in (self.structure, self.foretold, self.fluctuations) if value is not None)

    def warnings(self) -> list[str]:
        """What the evidence says against the image, in plain words."""
        if self.structure < NOTHING_HERE:
            return [
                "Nothing here: the mean frame is explained by a smooth background alone, within its noise. "
                "Whatever the image shows is not evidence of structure."
            ]
        if self.empty:
            return ["Nothing here: with these parameters the image holds no light, though the mean frame shows some."]
        if self.fluctuations is not None and self.fluctuations < NOTHING_HERE:
            return [
                "Nothing here for this method: it lives on emitters that fluctuate, and frame by frame this movie "
                "shows no more than photon and read noise. What the image shows is that noise, where the sample is "
                "bright."
            ]
        if self.foretold is not None and self.foretold < NOTHING_HERE:
            return [
                "Nothing here: there is structure in the mean frame, but the image made from one half of the frames "
                "does not foretell the other half. What it shows is noise."
            ]
        return []


class Witness:
    """The mean frame of a movie and its noise, before which any image of the field can be put.

    Args:
        movie: corrected frames.
        mean: (Y, X) their mean, photoelectrons.
        factor: L of the images.
        device: where to compute.
        reads_fluctuations: the images come from how the frames differ, not from their mean.
    """

    def __init__(
        self,
        movie: CorrectedMovie,
        mean: np.ndarray,
        factor: int,
        device: torch.device | str = "cpu",
        *,
        reads_fluctuations: bool = False,
    ) -> None:
        acquisition = movie.acquisition
        self._movie = movie
        self._fluctuations = movie.statistics.fluctuation_significance(movie.used) if reads_fluctuations else None
        self._operator = imaging_operator(
            acquisition.field_shape,
            factor,
            acquisition.psf,
            acquisition.pixel_size_nm,
            dtype=torch.float64,
            device=device,
        )
        basis = BackgroundBasis(
            acquisition.field_shape, movie.fwhm_px / KNOTS_PER_FWHM, dtype=torch.float64, device="cpu"
        )
        self._rows, self._columns = (matrix.numpy() for matrix in basis.factors)
        self._read_variance = acquisition.camera.read_variance
        self.mean = np.asarray(mean, float)
        excess = movie.statistics.excess_noise(self._read_variance, used=movie.used, drifting=bool(movie.shifts.any()))
        self.excess_noise = max(excess, 1e-3)
        self._background_only, _ = self._fit(None)
        likely = self._likely()
        self.fixed_pattern = fixed_pattern(self.mean - likely, self._variance(likely), movie.used, movie.fwhm_px)

    def light(self, image: np.ndarray) -> np.ndarray:
        """A x: (L Y, L X) -> (Y, X) float64, in the image's unit times pixels."""
        fine = torch.as_tensor(np.asarray(image, float)).to(self._operator.device)
        # Nothing is known of what lies beyond the field: it is taken to go on as it is at the border.
        margin = self._operator.grid.margin * self._operator.grid.factor
        wide = torch.nn.functional.pad(fine[None, None], (margin,) * 4, mode="replicate")[0, 0]
        return self._operator.forward(wide)[0].cpu().numpy()

    def examine(self, image: np.ndarray, halves: Halves | None = None) -> Evidence:
        """Scale an image of unknown unit to photons and weigh it.

        Args:
            image: (L Y, L X), not negative, any unit.
            halves: the same from each of two halves of the frames, and the mean of these frames.
        """
        light = self.light(image)
        expected, scale = self._fit(light)
        background = np.maximum(expected - scale * light, 0.0)
        return self.weigh(scale, background, expected, halves, empty=not image.max() > 0)

    def weigh(
        self,
        scale: float,
        background: np.ndarray,
        expected: np.ndarray,
        halves: Halves | None = None,
        *,
        empty: bool = False,
    ) -> Evidence:
        """The evidence for an image whose fit to the mean frame is known.

        Args:
            scale: photons per unit of the image; 1 for methods that work in photons.
            background, expected: (Y, X), photons per camera pixel and frame.
            halves: as for :meth:`examine`.
            empty: the image holds no light at all.
        """
        variance = self._variance(expected) * self.fixed_pattern
        error = np.where(self._movie.used, np.sqrt(variance), np.inf)
        return Evidence(
            scale,
            background.astype(np.float32),
            self.mean.astype(np.float32),
            expected.astype(np.float32),
            error.astype(np.float32),
            self._structure(),
            None if halves is None else self._foretold(halves),
            self._fluctuations,
            self.excess_noise,
            self.fixed_pattern,
            empty,
        )

    def _variance(self, expected: np.ndarray, share: float = 1.0) -> np.ndarray:
        """(Y, X) variance of the mean of ``share`` of the frames, the fixed pattern left out."""
        frames = self._movie.n_frames * share
        one = self._movie.noise_variance(expected)
        # A pixel that never saw a photon is not known to be infinitely dark.
        one = np.maximum(one, max(1.0 / frames, 1e-2 * float(one.mean()), 1e-12))
        return self.excess_noise * one / frames

    def _likely(self) -> np.ndarray:
        """(Y, X) what some light through this PSF makes of the mean frame: a short deconvolution on a coarse grid.

        Pixels that differ from it differ in a way that no light does.
        """
        acquisition = self._movie.acquisition
        operator = imaging_operator(
            acquisition.field_shape,
            max(1, round(COARSE_PER_FWHM / self._movie.fwhm_px)),
            acquisition.psf,
            acquisition.pixel_size_nm,
        )
        basis = BackgroundBasis(
            acquisition.field_shape, self._movie.fwhm_px / KNOTS_PER_FWHM, dtype=operator.dtype, device=operator.device
        )
        mean = self.mean.astype(np.float32)
        weight = np.where(self._movie.used, 1.0 / self._variance(self.mean), 0.0).astype(np.float32)
        problem = GeneratorProblem(
            operator, basis, torch.as_tensor(mean)[None], torch.as_tensor(weight)[None], 0.0, 0.0
        )
        state, fista = FistaState.start(problem.start()), Fista(problem)
        for _ in range(LIKELY_ITERATIONS):
            fista.advance(state)
        return problem.expected(state.point)[0].numpy().astype(float)

    def _structure(self) -> float:
        from scipy.ndimage import uniform_filter

        side = max(1, round(self._movie.fwhm_px))
        variance = self._variance(self._background_only) * self.fixed_pattern
        used = self._movie.used.astype(float)
        seen = np.maximum(uniform_filter(used, side, mode="nearest"), 1.0 / side**2)
        signal = uniform_filter(used * (self.mean - self._background_only), side, mode="nearest") / seen
        spread = uniform_filter(used * variance, side, mode="nearest") / seen
        noise = np.sqrt(np.maximum(spread, 0.0) / (side**2 * seen))
        # The brightest of many patches is a few sigma high by chance: that expectation is taken off.
        patches = max(2.0, used.size / side**2)
        return float((signal / np.maximum(noise, 1e-12)).max() - math.sqrt(2 * math.log(patches)))

    def _foretold(self, halves: Halves) -> float:
        """Each half's image against the other half's mean frame; the two t-values as one."""
        values = []
        for which in (0, 1):
            mean = np.asarray(halves[1 - which][1], float)
            variance = self._variance(self.mean, 0.5) * self.fixed_pattern
            light = self.light(halves[which][0])
            weight = np.where(self._movie.used, 1.0 / variance, 0.0)
            # What of the image's light no background can mimic, and what of the mean frame.
            own, left = self._beyond_background(light, weight), self._beyond_background(mean, weight)
            information = float((weight * own * own).sum())
            if information <= 1e-12 * float((weight * light * light).sum()) or information <= 0.0:
                values.append(0.0)
                continue
            alpha = float((weight * own * left).sum()) / information
            misfit = float((weight * (left - alpha * own) ** 2).sum()) / max(1, int(self._movie.used.sum()))
            # Noise is each pixel's own; what is left beyond it is structure, alike over the PSF.
            alike = max(1.0, self._movie.fwhm_px**2)
            values.append(alpha * math.sqrt(information / (1.0 + alike * max(0.0, misfit - 1.0))))
        # Images linear in the frames give the same value twice: no more is made of two than of one.
        return sum(values) / 2.0

    def _beyond_background(self, image: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(Y, X) an image less its best background, of either sign."""
        from scipy.sparse.linalg import LinearOperator, cg

        rows, columns = self._rows, self._columns
        shape = (rows.shape[1], columns.shape[1])

        def normal(beta: np.ndarray) -> np.ndarray:
            return (rows.T @ (weight * (rows @ beta.reshape(shape) @ columns.T)) @ columns).ravel()

        size = shape[0] * shape[1]
        diagonal = ((rows**2).T @ weight @ columns**2).ravel()
        diagonal = np.maximum(diagonal, 1e-12 * max(float(diagonal.max()), 1e-300))
        precondition = LinearOperator((size, size), lambda v: v / diagonal)
        beta, _ = cg(
            LinearOperator((size, size), normal),
            (rows.T @ (weight * image) @ columns).ravel(),
            rtol=1e-8,
            maxiter=500,
            M=precondition,
        )
        return image - rows @ beta.reshape(shape) @ columns.T

    def _fit(self, light: np.ndarray | None) -> tuple[np.ndarray, float]:
        """(Y, X) likeliest alpha A x + B beta with alpha, beta >= 0, and alpha.

        Poisson likelihood, read noise as so many photons more on both sides: it keeps the light, which a weighted sum
        of squares does not where the image cannot explain the mean frame.
        """
        from scipy.optimize import minimize

        rows, columns = self._rows, self._columns
        shape = (rows.shape[1], columns.shape[1])
        used = self._movie.used.astype(float)
        bright = max(float(np.abs(self.mean).max()), 1e-12)
        # Dark pixels still see something: the logarithm wants more than nothing.
        floor = np.maximum(self._read_variance, 1e-3 * bright)
        counted = np.maximum(self.mean, 0.0) + floor
        unit = 0.0 if light is None or not light.max() > 0 else bright / float(light.max())
        shown = np.zeros_like(self.mean) if light is None else unit * light
        total = float((used * counted).sum()) or 1.0

        def objective(unknown: np.ndarray) -> tuple[float, np.ndarray]:
            beta = bright * unknown[1:].reshape(shape)
            seen = unknown[0] * shown + rows @ beta @ columns.T + floor
            pulled = used * (1.0 - counted / seen)
            slope = np.concatenate([[(pulled * shown).sum()], bright * (rows.T @ pulled @ columns).ravel()])
            return float((used * (seen - counted * np.log(seen))).sum()) / total, slope / total

        dark = max(0.0, float(np.quantile(self.mean[self._movie.used], 0.1))) / bright
        start = np.full(1 + shape[0] * shape[1], max(dark, 1e-3))
        start[0] = 0.5 if unit else 0.0
        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, None)] * start.size,
            options={"maxiter": 300, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-10},
        ).x
        background = bright * (rows @ found[1:].reshape(shape) @ columns.T)
        return np.maximum(background, 0.0) + found[0] * shown, float(found[0]) * unit
