"""From a movie to FluoGAN's problem: statistics, drift, unused pixels, weights, operator, and what it will cost."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from fluosr.acquisition import Acquisition
from fluosr.corrections.pattern import fixed_pattern
from fluosr.errors import AcquisitionError, MemoryLimitError, OpticsError
from fluosr.machine import free_memory_bytes
from fluosr.methods.base import Estimate, Run
from fluosr.methods.fluogan.parameters import FluoganParameters
from fluosr.optics.background import KNOTS_PER_FWHM, BackgroundBasis
from fluosr.optics.operators import GRAIN_SPACING, ImagingOperator, imaging_operator
from fluosr.optics.psf import FWHM_PER_SIGMA, GaussianPSF, PointSpreadFunction
from fluosr.optics.sampling import automatic_factor
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.mean_frame import GeneratorProblem
from fluosr.statistics import MovieStatistics

GRAINS_PER_FWHM = 7.0
DEFAULT_SMOOTHNESS_PX = 0.3
FIRST_SPARSITY, FIRST_ITERATIONS = 0.35, 150  # of the fit that tells how much noise to expect where
LARGEST_DRIFT_PX = 3.0
IMAGE_BUFFERS = 12  # fine images alive at once at the peak of an iteration


@dataclass(eq=False)
class Setup:
    """Everything fixed before the first iteration.

    Attributes:
        acquisition, parameters, statistics: what it was made from.
        factor: L.
        operator: A G with its drift groups.
        basis: the background's.
        means: (2, K, Y, X) mean frame of each half in each group, photoelectrons.
        counts: (2, K) frames in each.
        brightness: (K, 1, 1) mean light of each group's frames over the movie's (bleaching); ``means`` are freed of it.
        frame_weight: (K, Y, X) inverse variance of one frame; 0 where the pixel is not used.
        shifts: (dy, dx) of each drift group, camera pixels.
        group_of_frame: (T,) drift group of each frame.
        excess: measured noise variance of the mean frame over the model's, fixed pattern included.
        noise_per_weight: standard deviation of the data term's gradient at a fine pixel, for unit weight.
        grain_nm: FWHM of the grains.
        used: (Y, X) bool, pixels that take part.
        warnings: plain words.
        notes: what the automatic parts found.
    """

    acquisition: Acquisition
    parameters: FluoganParameters
    statistics: MovieStatistics
    factor: int
    operator: ImagingOperator
    basis: BackgroundBasis
    means: np.ndarray
    counts: np.ndarray
    brightness: np.ndarray
    frame_weight: torch.Tensor
    shifts: list[tuple[float, float]]
    group_of_frame: np.ndarray
    excess: float
    noise_per_weight: float
    grain_nm: float
    used: np.ndarray
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)

    def problem(
        self, sparsity: float, smoothness: float, half: int | None = None, keep: torch.Tensor | None = None
    ) -> GeneratorProblem:
        """The generator's problem on all frames, or on one half of them.

        Args:
            sparsity: lambda_1 in units of the noise of the data term's gradient.
            smoothness: the background's smoothing length, camera pixels.
            half: 0 (even frames), 1 (odd frames), None (all).
            keep: (Y, X), 0 for pixels to hold out.
        """
        mean, count = self.data(half)
        weight = self.frame_weight * count[:, None, None]
        typical = float(weight.sum(0)[torch.as_tensor(self.used)].median()) if self.used.any() else 1.0
        gamma = self.parameters.data_weight
        return GeneratorProblem(
            self.operator,
            self.basis,
            mean,
            weight * gamma if keep is None else weight * gamma * keep,
            sparsity * self.noise_per_weight * math.sqrt(typical),
            smoothness**2 * typical,
            variance_term=self.parameters.data_term == "paper",
        )

    def data(self, half: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, Y, X) mean frames and (K,) counts of a half, or of all frames."""
        if half is None:
            total = np.maximum(self.counts.sum(0), 1)
            mean = (self.means * self.counts[:, :, None, None]).sum(0) / total[:, None, None]
            counts = self.counts.sum(0)
        else:
            mean, counts = self.means[half], self.counts[half]
        like = self.frame_weight
        return torch.as_tensor(mean.astype(np.float32)).to(like), torch.as_tensor(counts).to(like)

    def image(self, blocks: list[torch.Tensor]) -> np.ndarray:
        """(L Y, L X) float32 photons per fine pixel and frame."""
        spread = self.operator.grid.crop(self.operator.spread(blocks[0]))
        return spread.clamp_min(0.0).cpu().numpy().astype(np.float32)

    def background(self, blocks: list[torch.Tensor]) -> np.ndarray:
        """(Y, X) float32 photons per camera pixel and frame."""
        return self.basis.image(blocks[1]).cpu().numpy().astype(np.float32)


def prepare(acquisition: Acquisition, parameters: FluoganParameters, run: Run, statistics: MovieStatistics) -> Setup:
    """Build the :class:`Setup`.

    Raises:
        AcquisitionError: no pixel is fit for use.
        MemoryLimitError: the fine grid needs more memory than there is.
        OpticsError: PSF, pixel and factor do not fit.
    """
    warnings: list[str] = []
    notes: dict[str, object] = {}
    pixel, psf = acquisition.pixel_size_nm, acquisition.psf
    factor = parameters.factor or automatic_factor(psf.fwhm_nm, pixel)
    notes["factor"] = factor
    grain = psf.fwhm_nm / GRAINS_PER_FWHM if parameters.grain_nm is None else parameters.grain_nm
    if grain >= psf.fwhm_nm:
        raise OpticsError(
            f"grains of {grain:.4g} nm are no finer than the PSF ({psf.fwhm_nm:.4g} nm): nothing would be gained."
        )
    used = np.ones(acquisition.field_shape, bool)
    if parameters.bad_pixels:
        used = _usable_pixels(statistics, psf.fwhm_nm / pixel, warnings, notes)
    labels, shifts = np.zeros(statistics.counts.shape[1], int), [(0.0, 0.0)]
    if parameters.drift:
        labels, shifts = _drift_groups(statistics, psf.fwhm_nm / pixel, used, warnings, notes)
    means, counts = statistics.grouped(labels)
    check_groups_memory(acquisition.field_shape, factor, psf, pixel, len(shifts), run.device)
    brightness = _brightness(statistics, labels)
    means = means / brightness.astype(np.float32)
    operator = imaging_operator(
        acquisition.field_shape,
        factor,
        psf,
        pixel,
        shifts=shifts,
        periodic=parameters.borders == "periodic",
        grain_fwhm_nm=grain,
        device=run.device,
    )
    spacing = (
        psf.fwhm_nm / KNOTS_PER_FWHM if parameters.background_spacing_nm is None else parameters.background_spacing_nm
    )
    basis = BackgroundBasis(acquisition.field_shape, spacing / pixel, dtype=operator.dtype, device=run.device)
    read_variance = acquisition.camera.read_variance
    # Where the sample moves, or may move unseen, blocks differ without blinking.
    drifting = len(shifts) > 1 or not parameters.drift
    excess = statistics.excess_noise(read_variance, used=used, drifting=drifting)
    notes["excess_noise"] = excess
    if excess > 1.5:
        warnings.append(
            f"The frames fluctuate {excess:.1f} times more than photon and read noise explain: blinking emitters, or a "
            "gain that is off. The error map allows for it."
        )
    notes["background_spacing_nm"], notes["grain_nm"] = spacing, grain
    excess = max(excess, 1e-3)
    smooth = _smoothed_mean(means, counts, 0.5 * psf.fwhm_nm / FWHM_PER_SIGMA / pixel)
    weight = _frame_weight(smooth, brightness, statistics.n_frames, acquisition, parameters, excess, used)
    probe = torch.zeros(operator.shape, dtype=operator.dtype, device=operator.device)
    probe[operator.shape[0] // 2, operator.shape[1] // 2] = 1.0
    noise = math.sqrt(float((operator.forward(probe)[0] ** 2).sum()))
    setup = Setup(
        acquisition,
        parameters,
        statistics,
        factor,
        operator,
        basis,
        means,
        counts,
        brightness,
        torch.as_tensor(weight).to(operator.device),
        shifts,
        labels[statistics.block_of_frame()],
        excess,
        noise,
        grain,
        used,
        warnings,
        notes,
    )
    refine_weights(setup, run)
    return setup


def _brightness(statistics: MovieStatistics, labels: np.ndarray) -> np.ndarray:
    """(K, 1, 1) float64: mean light of each group's frames over that of all frames; ones for a movie without light."""
    count = int(labels.max()) + 1
    whole = float(statistics.trace.mean())
    if count == 1 or whole <= 0:
        return np.ones((count, 1, 1))
    group = labels[statistics.block_of_frame()]
    levels = np.array([statistics.trace[group == k].mean() for k in range(count)]) / whole
    return np.where(levels > 0.05, levels, 1.0)[:, None, None]


def _frame_weight(
    expected: np.ndarray,
    brightness: np.ndarray,
    n_frames: int,
    acquisition: Acquisition,
    parameters: FluoganParameters,
    excess: float,
    used: np.ndarray,
) -> np.ndarray:
    """(K, Y, X) float32: 1 / variance of one frame freed of bleaching, at ``expected`` photons; 0 where unused."""
    variance = acquisition.camera.noise_variance(expected * brightness) / brightness**2
    # A pixel that never saw a photon is not known to be infinitely dark: it may hold up to about one count in all.
    variance = np.maximum(variance, max(1.0 / n_frames, 1e-2 * float(variance.mean()), 1e-12))
    if parameters.data_term == "paper":
        variance = np.full_like(variance, np.median(variance))
    return np.where(used, 1.0 / (excess * variance), 0.0).astype(np.float32)


def _smoothed_mean(means: np.ndarray, counts: np.ndarray, width_px: float) -> np.ndarray:
    """(K, Y, X): mean frame of each group, smoothed within the PSF."""
    from scipy.ndimage import gaussian_filter

    mean = (means * counts[:, :, None, None]).sum(0) / np.maximum(counts.sum(0), 1)[:, None, None]
    return np.stack([gaussian_filter(m, width_px, mode="nearest") for m in mean])


def refine_weights(setup: Setup, run: Run) -> None:
    """Take the noise from a first fit instead of from the frames, in place.

    Raises:
        StopRequested: the user asked to stop.

    Weights made from the frames themselves are high where noise happened to be low, which drags the fit down by a
    few per cent where photons are few (the difference between Neyman's and Pearson's chi-square). What the fit leaves
    over also shows the camera's fixed pattern, which no number of frames averages out.
    """
    problem = setup.problem(FIRST_SPARSITY, DEFAULT_SMOOTHNESS_PX)
    state, fista = FistaState.start(problem.start()), Fista(problem)
    _first_fit(fista, state, FIRST_ITERATIONS, run)
    expected = problem.expected(state.point).cpu().numpy()
    share = (setup.counts.sum(0) / setup.counts.sum())[:, None, None] * setup.brightness
    variance = setup.acquisition.camera.noise_variance((expected * share).sum(0))
    model = setup.excess * variance / setup.statistics.n_frames
    fwhm_px = setup.acquisition.psf.fwhm_nm / setup.acquisition.pixel_size_nm
    pattern = fixed_pattern(setup.statistics.mean - (expected * share).sum(0), model, setup.used, fwhm_px)
    if pattern > 1.0:  # a pattern of the camera stays, what was merely not fitted yet shrinks: look again later
        _first_fit(fista, state, 4 * FIRST_ITERATIONS, run)
        expected = problem.expected(state.point).cpu().numpy()
        residual = setup.statistics.mean - (expected * share).sum(0)
        pattern = min(pattern, fixed_pattern(residual, model, setup.used, fwhm_px))
    setup.notes["fixed_pattern"] = pattern
    if pattern > 1.5:
        setup.warnings.append(
            f"Neighbouring pixels differ {pattern:.1f} times more (in variance) than the frames' noise explains, and "
            "no light through this PSF does that: a fixed pattern of the camera. It limits what more frames can bring; "
            "the fit allows for it."
        )
    setup.excess *= pattern
    weight = _frame_weight(
        expected,
        setup.brightness,
        setup.statistics.n_frames,
        setup.acquisition,
        setup.parameters,
        setup.excess,
        setup.used,
    )
    setup.frame_weight = torch.as_tensor(weight).to(setup.frame_weight)


def _first_fit(fista: Fista, state: FistaState, until: int, run: Run) -> None:
    while state.iteration < until:
        fista.advance(state)
        if state.iteration % 10 == 0:
            run.check()


def _usable_pixels(
    statistics: MovieStatistics, fwhm_px: float, warnings: list[str], notes: dict[str, object]
) -> np.ndarray:
    from fluosr.corrections.pixels import find_bad_pixels

    bad = find_bad_pixels(
        statistics.mean,
        statistics.variance,
        n_frames=statistics.n_frames,
        saturated_fraction=statistics.at_ceiling,
        fwhm_px=fwhm_px,
    )
    if bad.mask.all():
        raise AcquisitionError(f"no usable pixel is left: {' '.join(bad.warnings())}")
    warnings += bad.warnings()
    notes["bad_pixels"] = int(bad.mask.sum())
    return ~bad.mask


def _drift_groups(
    statistics: MovieStatistics, fwhm_px: float, used: np.ndarray, warnings: list[str], notes: dict[str, object]
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    from fluosr.corrections.drift import estimate_drift, group

    blocks = statistics.counts.shape[1]
    if blocks < 2:
        return np.zeros(blocks, int), [(0.0, 0.0)]
    drift = estimate_drift(
        statistics.block_means(), statistics.counts.sum(0), fwhm_px=fwhm_px, pixel_weight=used.astype(float)
    )
    notes["drift_px"] = drift.shifts.round(3).tolist()
    warnings += drift.warnings()
    if not drift.significant:
        return np.zeros(blocks, int), [(0.0, 0.0)]
    labels, shifts = group(drift)
    if drift.range_px > LARGEST_DRIFT_PX:
        warnings.append(
            "A drift above 3 pixels is hard to follow: check the residual map, or cut the movie with --frames."
        )
    return labels, [(float(dy), float(dx)) for dy, dx in shifts]


def check_field_memory(acquisition: Acquisition, parameters: FluoganParameters, run: Run) -> None:
    """Refuse a fine grid that is too large before the movie is read.

    Raises:
        MemoryLimitError: see :func:`check_memory`.
    """
    pixel, psf = acquisition.pixel_size_nm, acquisition.psf
    factor = parameters.factor or automatic_factor(psf.fwhm_nm, pixel)
    grain = psf.fwhm_nm / GRAINS_PER_FWHM if parameters.grain_nm is None else parameters.grain_nm
    least, reach = 1, psf.reach_nm
    if grain > 0:  # a Gaussian PSF's unknowns lie on the grains' grid, which may be finer than the image's
        least = math.ceil(pixel * FWHM_PER_SIGMA / (GRAIN_SPACING * grain))
        reach += 0.0 if isinstance(psf, GaussianPSF) else GaussianPSF(grain).reach_nm
    check_memory(acquisition.field_shape, factor, reach / pixel, device=run.device, least=least)


def memory_needed(field_shape: tuple[int, int], factor: int, reach_px: float, operator_bytes: int = 0) -> int:
    """Bytes at the peak: fine images, the operator and the movie's statistics.

    Args:
        field_shape: (Y, X), camera pixels.
        factor: L.
        reach_px: by which the fine grid reaches beyond the field, camera pixels.
        operator_bytes: what the operator holds in the end; the factors it is made from are counted beside it.
    """
    margin = 2 * math.ceil(reach_px)
    ny, nx = ((n + margin) * factor for n in field_shape)
    y, x = field_shape
    factors = 8 * (3 * (y * ny + x * nx) + 2 * (ny * ny + nx * nx))
    return 4 * IMAGE_BUFFERS * ny * nx + factors + operator_bytes + 4 * 110 * y * x


def check_memory(field_shape: tuple[int, int], factor: int, reach_px: float, *, device: str, least: int = 1) -> None:
    """Refuse before anything is allocated.

    Raises:
        MemoryLimitError: more than nine tenths of what is free would be needed; names the largest factor that fits.
    """
    available = free_memory_bytes(device)
    needed = memory_needed(field_shape, max(factor, least), reach_px)
    if needed <= 0.9 * available:
        return
    fitting = max(
        (f for f in range(1, factor) if memory_needed(field_shape, f, reach_px) <= 0.9 * available), default=0
    )
    advice = f"--factor {fitting} fits" if fitting else "no factor fits"
    raise MemoryLimitError(
        f"a factor of {factor} on {field_shape[0]} x {field_shape[1]} pixels needs about {needed / 2**30:.1f} GiB, "
        f"{available / 2**30:.1f} GiB are free: {advice}; or choose a smaller --crop."
    )


def check_groups_memory(
    field_shape: tuple[int, int], factor: int, psf: PointSpreadFunction, pixel_nm: float, n_groups: int, device: str
) -> None:
    """Refuse an operator of many drift groups before it is allocated: each holds a transfer function of its own.

    Raises:
        MemoryLimitError: more than nine tenths of what is free would be needed.
    """
    margin = 2 * math.ceil(psf.reach_nm / pixel_nm)
    y, x = field_shape
    ny, nx = ((n + margin) * factor for n in field_shape)
    one = 8 * (y * ny + x * nx) if isinstance(psf, GaussianPSF) else 4 * ny * nx
    available = free_memory_bytes(device)
    needed = memory_needed(field_shape, factor, psf.reach_nm / pixel_nm, n_groups * one)
    if n_groups > 1 and needed > 0.9 * available:
        raise MemoryLimitError(
            f"a drift in {n_groups} steps on {y} x {x} pixels at a factor of {factor} needs about "
            f"{needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are free: choose a smaller --factor or --crop, "
            "fewer --frames, or --no-drift."
        )


def estimate(setup: Setup, iterations: int) -> Estimate:
    """Time a few iterations and multiply."""
    problem = setup.problem(1.0, DEFAULT_SMOOTHNESS_PX)
    state, fista = FistaState.start(problem.start()), Fista(problem)
    fista.advance(state)
    started = time.perf_counter()
    trials = 3
    for _ in range(trials):
        fista.advance(state)
    seconds = (time.perf_counter() - started) / trials * iterations
    grid = setup.operator.grid
    return Estimate(seconds, memory_needed(grid.field_shape, grid.factor, grid.margin, setup.operator.n_bytes))
