"""SOFI on a movie: frames to cumulants, cumulants to an image on the fine grid."""

from __future__ import annotations

import math
import time

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.corrections.movie import CorrectedMovie
from fluosr.errors import AcquisitionError, UsageError
from fluosr.methods.base import Run
from fluosr.methods.image_maker import IMAGE, ImageMaker
from fluosr.methods.sofi.auto import AutoSums
from fluosr.methods.sofi.blocks import LEAST_BLOCK_FRAMES, BlockwiseCumulants, equal_loss_borders
from fluosr.methods.sofi.contrast import compress_dynamic_range
from fluosr.methods.sofi.cross import CrossSums, fitted_fwhm_px, flattened, n_products
from fluosr.methods.sofi.emitters import emitter_maps
from fluosr.methods.sofi.linearise import MirrorBlur, richardson_lucy, rooted
from fluosr.methods.sofi.parameters import SofiParameters
from fluosr.optics.psf import FWHM_PER_SIGMA

MAP_ORDERS = (2, 3, 4)
# Samples on the standard deviation of U^n from which on what is lost between them is under a thousandth.
SPANS_PER_BLOCK = 4  # at the least, or most of its lagged products would reach beyond the block
SAMPLES_PER_SIGMA = 1.2
BELIEVED_FWHM = (0.75, 4 / 3)  # of the known PSF's, within which a fitted one is taken


class SofiMaker(ImageMaker):
    """Adds up products of pixels; makes cumulants of them, and an image.

    Args:
        movie: corrected frames.
        factor: L.
        parameters: of the method.
    """

    def __init__(self, movie: CorrectedMovie, factor: int, parameters: SofiParameters) -> None:
        super().__init__()
        window = parameters.ldrc_window_px
        if window is not None and window > min(movie.field_shape):
            y, x = movie.field_shape
            raise UsageError(
                f"sofi: ldrc_window_px={window} is larger than the field of {y} x {x} pixels; "
                f"choose at most {min(y, x)}."
            )
        self._parameters, self._factor = parameters, factor
        self._field_shape = movie.field_shape
        self._pixel_size_nm = movie.acquisition.pixel_size_nm
        # The camera's pixel widens the PSF that cumulants see.
        self._sigma_px = math.sqrt((movie.fwhm_px / FWHM_PER_SIGMA) ** 2 + 1.0 / 12.0)
        shortest = max(LEAST_BLOCK_FRAMES, SPANS_PER_BLOCK * parameters.span_frames)
        borders = equal_loss_borders(movie.statistics.trace, parameters.block_loss, shortest)
        self._upsampling = upsampling_for(parameters.order, self._sigma_px)
        self._parts: dict[str, BlockwiseCumulants] = {}
        if parameters.kind == "auto":
            sums = AutoSums(movie.field_shape, parameters.order, parameters.lag_frames, self._upsampling)
            self._parts["auto"] = BlockwiseCumulants(borders, sums)
        if orders := cross_orders(parameters):
            self._parts["cross"] = BlockwiseCumulants(borders, CrossSums(movie.field_shape, orders))
        self._mean_sum, self._count = np.zeros(movie.field_shape), 0
        self._deconvolved: np.ndarray | None = None
        self.chosen["lag"] = parameters.lag_frames
        if "cross" in self._parts and (movie.shifts.any() or not movie.used.all()):
            self.warnings.append(
                "Frames were shifted or bad pixels put together from their neighbours: neighbouring pixels then share "
                "some of their shot noise, and cross-cumulants take it for fluctuation. --kind auto --lag 1 does not."
            )
        if len(borders) > 1:
            self.choices["blocks"] = {
                "value": len(borders),
                "why": f"blocks in which the light changes by {100 * parameters.block_loss:.0f} % of the first",
            }

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        for part in self._parts.values():
            part.add(numbers, frames)
        if self._parameters.ldrc_window_px is not None:
            self._mean_sum += frames.sum(0, dtype=np.float64)
        self._count += len(frames)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        kept = {"mean sum": self._mean_sum, "count": np.array(self._count)}
        for name, part in self._parts.items():
            kept |= {f"{name}: {key}": value for key, value in part.state().items()}
        return kept

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._mean_sum, self._count = state["mean sum"].copy(), int(state["count"])
        for name, part in self._parts.items():
            begin = f"{name}: "
            part.restore({key[len(begin) :]: value for key, value in state.items() if key.startswith(begin)})

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X): the n-th root of the linearised cumulant, or the cumulant, photons to the power n."""
        order = self._parameters.order
        cumulant = self._cumulant()
        # Order 2 is a variance; from order 3 on the sign tells the on-time ratio, not whether there is light.
        cumulant = np.maximum(cumulant, 0.0) if order == 2 else np.abs(cumulant)
        if self._parameters.emitter_maps:
            self._map_emitters()
        self._deconvolved = None
        if self._parameters.linearise and cumulant.max() > 0:
            total = self._parameters.deconvolution_iterations
            for done, estimate in enumerate(richardson_lucy(cumulant, self._wide(), total), 1):
                self._deconvolved = estimate
                run.progress(f"{stage}, deconvolution", done, total)
                run.check()
        return self._finished(cumulant)

    def image_so_far(self) -> np.ndarray | None:
        """See :class:`ImageMaker`: the last iterate, where the deconvolution had begun."""
        if self._deconvolved is not None:
            return self._finished(self._deconvolved)
        return self.image(Run(), IMAGE)

    def solving_seconds(self) -> float:
        """See :class:`ImageMaker`."""
        if not self._parameters.linearise:
            return 0.0
        blur = self._wide()
        field = np.ones((self._factor * self._field_shape[0], self._factor * self._field_shape[1]))
        started = time.perf_counter()
        blur(field)
        return 2.0 * (time.perf_counter() - started) * self._parameters.deconvolution_iterations

    def _finished(self, cumulant: np.ndarray) -> np.ndarray:
        order = self._parameters.order
        image = cumulant
        if self._deconvolved is not None:
            narrow = MirrorBlur(image.shape, self._factor * self._sigma_px / order)
            image = rooted(self._deconvolved, order, narrow)
        if self._parameters.ldrc_window_px is not None:
            image = self._compressed(image)
        return image

    def _wide(self) -> MirrorBlur:
        """U^n on the fine grid."""
        y, x = self._field_shape
        sigma = self._factor * self._sigma_px / math.sqrt(self._parameters.order)
        return MirrorBlur((self._factor * y, self._factor * x), sigma)

    def _cumulant(self) -> np.ndarray:
        """(L Y, L X) of the order asked for.

        Raises:
            AcquisitionError: no frames lie as far apart as its factors.
        """
        order = self._parameters.order
        cross = self._parameters.kind == "cross"
        found = self._parts["cross" if cross else "auto"].cumulants()
        if not found:
            raise AcquisitionError(
                f"no {self._parameters.span_frames + 1} frames follow each other, which order {order} at lag "
                f"{self._parameters.lag_frames} needs: choose a lower --order or --lag."
            )
        if cross:
            return self._flattened((order,))[order]
        return self._on_fine_grid(found[str(order)], self._upsampling, 0.5 / self._upsampling)

    def _flattened(self, orders: tuple[int, ...]) -> dict[int, np.ndarray]:
        """(L Y, L X) cross-cumulants by order; none where there were no frames."""
        found = self._parts["cross"].cumulants()
        if not found:
            return {}
        known = self._sigma_px * FWHM_PER_SIGMA
        fwhm_px = fitted_fwhm_px(found["2"], self._field_shape, 2) or 0.0
        why = "fitted to the virtual pixels' means"
        if not BELIEVED_FWHM[0] < fwhm_px / known < BELIEVED_FWHM[1]:
            fwhm_px, why = known, "the PSF and the pixel: the virtual pixels' means tell no width near it"
        self.choices["flattening_fwhm_nm"] = {"value": round(fwhm_px * self._pixel_size_nm, 1), "why": why}
        flat = {n: flattened(found[str(n)], self._field_shape, n, fwhm_px) for n in orders}
        return {n: self._on_fine_grid(image, n, 0.5) for n, image in flat.items()}

    @property
    def _fine_shape(self) -> tuple[int, int]:
        return self._factor * self._field_shape[0], self._factor * self._field_shape[1]

    def _on_fine_grid(self, image: np.ndarray, samples_per_px: int, first_px: float) -> np.ndarray:
        return on_fine_grid(image, samples_per_px, first_px, self._fine_shape, self._factor)

    def _map_emitters(self) -> None:
        images = self._flattened(MAP_ORDERS)
        if images:
            self.maps = emitter_maps(images, self._sigma_px, self._factor, self._pixel_size_nm)

    def _compressed(self, image: np.ndarray) -> np.ndarray:
        from fluosr.optics.interpolation import fourier_upsample

        window = self._parameters.ldrc_window_px
        assert window is not None
        mean = fourier_upsample(self._mean_sum / max(1, self._count), self._factor)
        return compress_dynamic_range(image, mean - mean.min(), 2 * (window * self._factor // 2) + 1)


def cross_orders(parameters: SofiParameters) -> tuple[int, ...]:
    """Orders of the cross-cumulants that are needed: 2 is always among them, for the PSF's width."""
    wanted = {2, parameters.order} if parameters.kind == "cross" else set()
    return tuple(sorted(wanted.union(MAP_ORDERS if parameters.emitter_maps else ())))


def upsampling_for(order: int, sigma_px: float) -> int:
    """Samples per camera pixel on which the n-th power of a PSF is well sampled.

    Args:
        order: n.
        sigma_px: standard deviation of the PSF, camera pixels.
    """
    return max(1, math.ceil(SAMPLES_PER_SIGMA * math.sqrt(order) / sigma_px))


def on_fine_grid(
    image: np.ndarray, samples_per_px: int, first_px: float, shape: tuple[int, int], factor: int
) -> np.ndarray:
    """Samples read at the centres of the fine pixels, with cubic splines; beyond the outermost samples, their values.

    Args:
        image: (h, w); its sample (i, j) lies at first_px + (i, j) / samples_per_px camera pixels from the corner.
        samples_per_px: per camera pixel along each axis.
        first_px: where the first sample lies, camera pixels.
        shape: (L Y, L X) of the result.
        factor: L.
    """
    from scipy.ndimage import affine_transform

    step = samples_per_px / factor
    begin = (0.5 / factor - first_px) * samples_per_px
    fine: np.ndarray = affine_transform(
        image, np.array([step, step]), np.array([begin, begin]), shape, order=3, mode="nearest"
    )
    return fine


def buffers(acquisition: Acquisition, parameters: SofiParameters) -> int:
    """How many fine images in single precision the sums, the cumulants and the deconvolution take up."""
    from fluosr.optics.sampling import automatic_factor

    fwhm_nm, pixel_nm = acquisition.psf.fwhm_nm, acquisition.pixel_size_nm
    factor = parameters.factor or automatic_factor(fwhm_nm, pixel_nm)
    per_pixel = 0  # doubles per camera pixel
    if parameters.kind == "auto":
        samples = upsampling_for(parameters.order, fwhm_nm / pixel_nm / FWHM_PER_SIGMA) ** 2
        rows = 2**parameters.order - 1 if parameters.lag_frames else parameters.order
        per_pixel += samples * (2 * rows + 2 * parameters.order + parameters.span_frames)
    if orders := cross_orders(parameters):
        per_pixel += n_products(orders) + 4 * sum(n * n for n in orders) + 16
    return 16 + math.ceil(2 * per_pixel / factor**2)
