"""MUSICAL from end to end: products in one pass over the frames, then the windows row by row."""

from __future__ import annotations

import math
import time
from functools import cached_property

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.corrections.movie import CorrectedMovie
from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.methods.from_frames import reconstruct_from_frames
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.musical.indicator import indicator, noise_edge, point_images, signal_of_noise
from fluosr.methods.musical.moments import WindowMoments, add_products, offsets
from fluosr.methods.musical.parameters import MusicalParameters
from fluosr.optics.sampling import automatic_factor
from fluosr.reconstruction import Reconstruction

LOBE_PER_FWHM = 2.37  # an Airy disk's diameter, 1.22 wavelength / NA, over its FWHM
LARGEST_AUTOMATIC_PX = 15
REACH_PX = 1  # from a window's middle to the pixels it speaks for
ROWS_PER_SAFE_POINT = 8
IMAGE_BUFFERS = 12
COPIES = 5  # of all products at the peak: the movie's, a half's, a trial's, and what was kept of them
TRIAL_WINDOWS = 16


class MusicalMaker(ImageMaker):
    """Keeps the products of every pixel with the neighbours that a window holds: (2 W - 1)^2 / 2 images.

    Args:
        movie: corrected frames.
        factor: L.
        parameters: see :class:`MusicalParameters`.
        side: W of the sliding window, camera pixels.
    """

    def __init__(self, movie: CorrectedMovie, factor: int, parameters: MusicalParameters, side: int) -> None:
        super().__init__()
        self._movie, self._factor, self._parameters, self._side = movie, factor, parameters, side
        self._pairs = offsets(side)
        self._sum = np.zeros(movie.field_shape)
        self._count = 0
        self.chosen["window_px"] = side
        if parameters.window_px is None:
            self.choices["window_px"] = {"value": side, "why": "the main lobe of the PSF"}

    @cached_property
    def _products(self) -> np.ndarray:
        """(n, Y, X), made when frames come: halves need none before it is their turn."""
        return np.zeros((len(self._pairs), *self._movie.field_shape))

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        add_products(self._products, np.ascontiguousarray(frames, np.float32), self._pairs)
        self._sum += frames.sum(0, dtype=np.float64)
        self._count += len(frames)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return {"products": self._products, "sum": self._sum, "count": np.array(self._count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._products, self._sum = state["products"].copy(), state["sum"].copy()
        self._count = int(state["count"])

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X), the mean indicator of the windows that speak for a pixel."""
        import torch

        (height, width), factor, side = self._movie.field_shape, self._factor, self._side
        rows, columns = height - side + 1, width - side + 1
        strongest = self._strongest(run, stage)
        name, top, rank = f"{stage} windows", 0, 0.0
        total, seen = np.zeros((height, factor, width, factor)), np.zeros((height, factor, width, factor))
        kept = run.recall(name)
        if kept is not None:
            total, seen = kept["total"].numpy().copy(), kept["seen"].numpy().copy()
            top, rank = int(kept["top"]), float(kept["rank"])
        points = point_images(self._movie.acquisition, side, factor)
        lefts = np.arange(columns)
        while top < rows:
            values, vectors = self._eigenimages(top)
            signal = self._signal(values, vectors, top, strongest)
            light = np.ones(columns)
            if self._parameters.weigh_light:
                light = np.sqrt(np.where(signal, np.maximum(values, 0.0), 0.0).sum(1) / self._count)
            rank += float(signal.sum())
            down, weight_down = _speaks_for(side, factor, top, rows)
            for group in (lefts[:1], lefts[1:-1], lefts[1:][-1:]):
                if not group.size:
                    continue
                across, weight_across = _speaks_for(side, factor, int(group[0]), columns)
                asked = points[:, down, :, across]
                found = indicator(
                    vectors[group], signal[group], asked.reshape(side**2, -1), self._parameters.indicator_power
                ).reshape(-1, *asked.shape[1:])
                weight = weight_down[:, :, None, None] * weight_across
                found *= weight * light[group, None, None, None, None]
                lines = slice(top + down.start, top + down.stop)
                for n, column in enumerate(range(across.start, across.stop)):
                    where = slice(group[0] + column, group[-1] + column + 1)
                    total[lines, :, where] += found[:, :, :, n].transpose(1, 2, 0, 3)
                    seen[lines, :, where] += weight[:, :, n, None]
            top += 1
            if top % ROWS_PER_SAFE_POINT == 0 or top == rows:
                run.progress(f"{stage}, windows", top, rows)
                state = {"total": total.copy(), "seen": seen.copy(), "top": np.array(top), "rank": np.array(rank)}
                run.keep(name, {key: torch.from_numpy(value) for key, value in state.items()})
        self.choices["eigenimages"] = {
            "value": round(rank / (rows * columns), 2),
            "why": "mean number of a window's eigenimages taken for signal",
        }
        return (total / seen).reshape(height * factor, width * factor)

    def image_so_far(self) -> np.ndarray | None:
        """None: there is no image before all windows are seen."""
        return None

    @cached_property
    def _windows(self) -> WindowMoments:
        return WindowMoments(self._side)

    def _cut(self, image: np.ndarray, top: int) -> np.ndarray:
        """(n, W^2): the windows of one row, cut out of a (Y, X) image."""
        cut = np.lib.stride_tricks.sliding_window_view(image[top : top + self._side], (self._side, self._side))[0]
        return cut.reshape(len(cut), -1)

    def _moments(self, top: int) -> np.ndarray:
        """(n, p, p) sum_t y y^T of the windows of one row, y less the window's darkest mean where this is asked."""
        columns = self._movie.field_shape[1] - self._side + 1
        moments = self._windows.row(self._products, top, np.arange(columns))
        if not self._parameters.dark_windows:
            return moments
        sums = self._cut(self._sum, top)
        dark = sums.min(1)[:, None, None] / self._count
        return moments - dark * (sums[:, :, None] + sums[:, None, :]) + self._count * dark**2

    def _eigenimages(self, top: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, p) eigenvalues and (n, p, p) eigenimages (columns) of the windows of one row."""
        import torch

        values, vectors = torch.linalg.eigh(torch.from_numpy(self._moments(top)))
        return values.numpy(), vectors.numpy()

    def _signal(self, values: np.ndarray, vectors: np.ndarray, top: int, strongest: float | None) -> np.ndarray:
        """(n, p) bool: which eigenimages are signal."""
        if strongest is not None and self._parameters.signal_log10 is not None:
            return (values > 0.0) & (values >= 10.0 ** (2.0 * self._parameters.signal_log10) * strongest)
        # A pixel that never saw a photon is not known to be infinitely dark: it may hold up to about one in all.
        mean = np.maximum(self._sum, 1.0) / self._count
        variance = self._movie.noise_variance(mean)
        return signal_of_noise(values, vectors, self._cut(variance, top), noise_edge(self._side**2, self._count))

    def _strongest(self, run: Run, stage: str) -> float | None:
        """Largest eigenvalue of all windows; None where the threshold does not ask for it."""
        import torch

        if self._parameters.signal_log10 is None:
            return None
        rows = self._movie.field_shape[0] - self._side + 1
        kept = run.recall(f"{stage} strongest")
        strongest, first = (0.0, 0) if kept is None else (float(kept["value"]), int(kept["top"]))
        for top in range(first, rows):
            strongest = max(strongest, float(torch.linalg.eigvalsh(torch.from_numpy(self._moments(top))).max()))
            if (top + 1) % ROWS_PER_SAFE_POINT == 0 or top + 1 == rows:
                run.progress(f"{stage}, strongest eigenimage", top + 1, rows)
                value = torch.tensor(strongest, dtype=torch.float64)
                run.keep(f"{stage} strongest", {"value": value, "top": torch.tensor(top + 1)})
        return strongest

    def solving_seconds(self) -> float:
        """Seconds for all windows, from a few that are tried."""
        import torch

        height, width = self._movie.field_shape
        size = self._side**2
        trial = np.random.default_rng(0).random((TRIAL_WINDOWS, size, size))
        started = time.perf_counter()
        _, vectors = torch.linalg.eigh(torch.from_numpy(trial @ trial.transpose(0, 2, 1)))
        points = np.ones((size, (2 * REACH_PX + 1) ** 2 * self._factor**2))
        indicator(vectors.numpy(), np.ones((TRIAL_WINDOWS, size), bool), points, self._parameters.indicator_power)
        each = (time.perf_counter() - started) / TRIAL_WINDOWS
        return each * (height - self._side + 1) * (width - self._side + 1)


def _speaks_for(side: int, factor: int, first: int, count: int) -> tuple[slice, np.ndarray]:
    """Pixels of a window, along one axis, that it speaks for, and (pixels, L) how loud at each of their points.

    Those around its middle, fading with distance so that the image has no seam where another window takes over; the
    outermost windows speak for all that lies beyond their middle, too.

    Args:
        side: of the window.
        factor: L.
        first: its first pixel in the field.
        count: windows along the axis.
    """
    middle = side // 2
    outermost_low, outermost_high = first == 0, first == count - 1
    start = 0 if outermost_low else max(0, middle - REACH_PX)
    stop = side if outermost_high else min(side, middle + REACH_PX + 1)
    away = start + (np.arange((stop - start) * factor) + 0.5) / factor - side / 2.0
    away[((away < 0) & outermost_low) | ((away > 0) & outermost_high)] = 0.0
    weight = np.cos(0.5 * np.pi * away / (REACH_PX + 0.5)) ** 2
    return slice(start, stop), weight.reshape(stop - start, factor)


def automatic_window(fwhm_px: float, field_shape: tuple[int, int]) -> int:
    """An odd number of camera pixels that holds the PSF's main lobe and fits the field."""
    fits = (min(field_shape) - 1) // 2 * 2 + 1
    lobe = 2 * math.ceil((LOBE_PER_FWHM * fwhm_px - 1.0) / 2.0 - 0.25) + 1
    return max(3, min(lobe, fits, LARGEST_AUTOMATIC_PX))


def reconstruct(acquisition: Acquisition, parameters: MusicalParameters, run: Run) -> Reconstruction:
    """See :class:`fluosr.methods.base.ReconstructFunction`.

    Raises:
        UsageError: a window of an even number of pixels, or larger than the field.
    """
    from fluosr.methods.registry import get_method

    field, fwhm_px = acquisition.field_shape, acquisition.psf.fwhm_nm / acquisition.pixel_size_nm
    side = parameters.window_px or automatic_window(fwhm_px, field)
    if side % 2 == 0:
        raise UsageError(
            f"musical: a window has a middle pixel, so its side is odd: --window-px {side + 1}, not {side}."
        )
    if side > min(field):
        raise UsageError(
            f"musical: a window of {side} pixels is larger than the field of {field[0]} x {field[1]}: choose a smaller "
            "--window-px or a larger --crop."
        )
    factor = parameters.factor or automatic_factor(acquisition.psf.fwhm_nm, acquisition.pixel_size_nm)
    products = COPIES * 8 * len(offsets(side)) / (4 * factor**2)  # in fine images of single precision

    def build(movie: CorrectedMovie, factor: int) -> MusicalMaker:
        return MusicalMaker(movie, factor, parameters, side)

    return reconstruct_from_frames(
        acquisition, parameters, run, get_method("musical"), build, buffers=IMAGE_BUFFERS + math.ceil(products)
    )
