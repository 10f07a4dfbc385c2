"""A = U H: from emitters on the fine grid to expected photons per camera pixel, with exact adjoint and a proven norm.

Drift lives inside: the operator holds one A per group of frames that share a shift of the sample, so that
frames are never resampled. ``forward`` returns one image per group.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from fluosr.errors import OpticsError
from fluosr.optics.banded import BandedMatrix, band_saving
from fluosr.optics.psf import FWHM_PER_SIGMA, GaussianPSF, PointSpreadFunction, gaussian_integrals
from fluosr.optics.sampling import Grid, margin_for, sum_pool, sum_pool_adjoint

Shifts = Sequence[tuple[float, float]]
GRAIN_SPACING = 1.5  # between grains, in their standard deviations
LEAST_BAND_SAVING = 4.0  # of multiplications, along both axes, from which on products by blocks are faster


class ImagingOperator(ABC):
    """A linear map from the extended fine grid to the camera, one image per drift group.

    Attributes:
        grid: the fine grid.
        n_groups: K, groups of frames with a shift of their own.
        shape: of the sources: the extended fine grid's, or fewer where grains lie further apart than fine pixels.
    """

    grid: Grid
    n_groups: int
    shape: tuple[int, int]

    @abstractmethod
    def forward(self, fine: torch.Tensor) -> torch.Tensor:
        """A x: (ny, nx) photons per fine pixel -> (K, Y, X) photons per camera pixel."""

    @abstractmethod
    def forward_one(self, sources: torch.Tensor, group: int) -> torch.Tensor:
        """A_k x for one group alone -> (Y, X)."""

    @abstractmethod
    def adjoint(self, coarse: torch.Tensor) -> torch.Tensor:
        """A^T r: (K, Y, X) -> (ny, nx), summed over the groups."""

    @abstractmethod
    def norms(self) -> np.ndarray:
        """(K,) float64: for each group |A_k| or a proven upper bound of it."""

    @abstractmethod
    def spread(self, sources: torch.Tensor) -> torch.Tensor:
        """G c: sources -> (ny, nx) the extended fine image they make (identity without grains)."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The working precision."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """Memory the operator itself holds."""


class SeparableOperator(ImagingOperator):
    """A X = A1 X A2^T for a Gaussian PSF: two small matrix products (A1 = U1 H1 G1, Y x ny; A2 likewise).

    Entry (i, j) of U1 H1 is the mass that an emitter at the centre of fine pixel j puts into camera pixel i:
    the Gaussian integrated over the pixel. Grains lie on a grid of their own, 1.5 of their standard deviations apart:
    sums of such Gaussians ripple by 3e-4, so a finer grid would add unknowns but no images.

    A pixel sees only what lies within the PSF's reach. In a field much larger than that, on the CPU, the factors are
    kept as blocks around their diagonal and multiplied block by block, so that the cost of a pixel does not grow with
    the field; what is left out is less than the working precision rounds off.

    Args:
        grid: fine grid with its margin.
        psf: Gaussian.
        pixel_size_nm: camera pixel, nm.
        shifts: (dy, dx) of the sample per group, camera pixels; a positive dy moves the image to larger y.
        periodic: wrap light around the field (the paper's borders) instead of seeing beyond it; needs margin 0.
        grain_fwhm_nm: the image is made of Gaussian grains of this width (0: of single fine pixels).
        dtype, device: where and in which precision to compute.
        banded: multiply by blocks; by default where it is faster.
    """

    def __init__(
        self,
        grid: Grid,
        psf: GaussianPSF,
        pixel_size_nm: float,
        *,
        shifts: Shifts = ((0.0, 0.0),),
        periodic: bool = False,
        grain_fwhm_nm: float = 0.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        banded: bool | None = None,
    ) -> None:
        if periodic and grid.margin:
            raise OpticsError("periodic borders and a margin exclude each other: nothing lies beyond a torus.")
        self.grid = grid
        self.n_groups = len(shifts)
        sigma = psf.sigma_nm / pixel_size_nm
        grain_sigma = grain_fwhm_nm / FWHM_PER_SIGMA / pixel_size_nm
        stacks: list[np.ndarray] = []
        grains: list[np.ndarray] = []
        for axis, size in enumerate(grid.field_shape):
            stack = np.stack([_axis_matrix(size, grid, sigma, shift[axis], periodic) for shift in shifts])
            if grain_sigma > 0:
                grains.append(_grain_matrix(size, grid, grain_sigma, periodic))
                stack = stack @ grains[-1]
            stacks.append(stack)
        self.shape = (stacks[0].shape[2], stacks[1].shape[2])
        self._dtype, self._device = dtype, torch.device(device)
        if banded is None:
            worth = all(
                band_saving(stack[k], dtype) > LEAST_BAND_SAVING for stack in stacks for k in range(len(shifts))
            )
            banded = worth and self._device.type == "cpu"
        self.banded = banded
        if banded:
            self._bands = [tuple(BandedMatrix(stack[k], dtype, device) for stack in stacks) for k in range(len(shifts))]
            self._grain_bands = [BandedMatrix(grain, dtype, device) for grain in grains]
            return
        self._grains = [torch.as_tensor(grain, dtype=dtype, device=device) for grain in grains]
        self._rows, self._columns = (torch.as_tensor(stack, dtype=dtype, device=device) for stack in stacks)
        self._rows_t = self._rows.transpose(1, 2).contiguous()
        self._columns_t = self._columns.transpose(1, 2).contiguous()

    @property
    def dtype(self) -> torch.dtype:
        """The working precision."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def n_bytes(self) -> int:
        """Memory of the factors, bytes."""
        if self.banded:
            return sum(band.n_bytes for pair in (*self._bands, self._grain_bands) for band in pair)
        return 2 * (self._rows.nbytes + self._columns.nbytes) + sum(g.nbytes for g in self._grains)

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """A1 C A2^T for every group, (K, Y, X)."""
        if self.banded:
            return torch.stack([self.forward_one(sources, k) for k in range(self.n_groups)])
        if self.n_groups == 1:
            return ((self._rows[0] @ sources) @ self._columns_t[0]).unsqueeze(0)
        return torch.matmul(torch.matmul(self._rows, sources), self._columns_t)

    def forward_one(self, sources: torch.Tensor, group: int) -> torch.Tensor:
        """A1 C A2^T for one group, (Y, X)."""
        if self.banded:
            rows, columns = self._bands[group]
            return rows.apply(columns.apply(sources))
        return (self._rows[group] @ sources) @ self._columns_t[group]

    def adjoint(self, coarse: torch.Tensor) -> torch.Tensor:
        """Sum over groups of A1^T R A2, shape of the sources."""
        if self.banded:
            total = coarse.new_zeros(self.shape)
            for (rows, columns), image in zip(self._bands, coarse, strict=True):
                total += rows.apply_adjoint(columns.apply_adjoint(image))
            return total
        if self.n_groups == 1:
            return self._rows_t[0] @ (coarse[0] @ self._columns[0])
        return torch.matmul(self._rows_t, torch.matmul(coarse, self._columns)).sum(0)

    def norms(self) -> np.ndarray:
        """|A_k| = |A1_k| |A2_k|, exact (a Kronecker product's norm is the product of the norms)."""
        if self.banded:
            pairs = [tuple(band.dense() for band in pair) for pair in self._bands]
        else:
            pairs = list(zip(*(f.double().cpu().numpy() for f in (self._rows, self._columns)), strict=True))
        return np.array([np.prod([np.linalg.norm(factor, ord=2) for factor in pair]) for pair in pairs])

    def spread(self, sources: torch.Tensor) -> torch.Tensor:
        """G1 C G2^T, (ny, nx)."""
        if self.banded and self._grain_bands:
            rows, columns = self._grain_bands
            return rows.apply(columns.apply(sources))
        if self.banded or not self._grains:
            return sources
        return self._grains[0] @ sources @ self._grains[1].T


def _axis_matrix(size: int, grid: Grid, sigma: float, shift: float, periodic: bool) -> np.ndarray:
    """(size, n) float64: mass in camera pixel i from a unit emitter at the centre of fine pixel j, along one axis.

    ``sigma`` and ``shift`` in camera pixels.
    """
    n = (size + 2 * grid.margin) * grid.factor
    centres = (np.arange(n) + 0.5) / grid.factor - grid.margin + shift
    return _wrapped_integrals(size, 1.0, centres, sigma, periodic)


def _grain_matrix(size: int, grid: Grid, sigma: float, periodic: bool) -> np.ndarray:
    """(n, k) float64: k unit Gaussian grains on the fine grid, along one axis; ``sigma`` in camera pixels."""
    extent = size + 2 * grid.margin
    count = math.ceil(extent / (GRAIN_SPACING * sigma))
    centres = (np.arange(count) + 0.5) * extent / count * grid.factor
    return _wrapped_integrals(extent * grid.factor, 1.0, centres, sigma * grid.factor, periodic)


def _wrapped_integrals(size: int, width: float, centres: np.ndarray, sigma: float, periodic: bool) -> np.ndarray:
    """(size, len(centres)): Gaussians integrated over consecutive intervals, summed over their images on a torus."""
    edges = np.arange(size, dtype=float)[:, None]
    if not periodic:
        return gaussian_integrals(edges, width, centres, sigma)
    wraps = math.ceil(6.0 * sigma / size) + 1
    total = np.zeros((size, len(centres)))
    for k in range(-wraps, wraps + 1):
        total += gaussian_integrals(edges + k * size, width, centres, sigma)
    return total


class FourierOperator(ImagingOperator):
    """A = U H by FFT on the extended grid, for any PSF (Airy, measured), with drift as a phase.

    The extended grid's margin is at least the radius of the kernel and of the grains plus the largest shift, so what
    wraps around never reaches the field. Grains, where asked for, sit on every fine pixel. The groups' transfer
    functions are held, made one by one; a product takes the memory of one group.

    Args: as for :class:`SeparableOperator`; ``psf`` may be any.
    """

    def __init__(
        self,
        grid: Grid,
        psf: PointSpreadFunction,
        pixel_size_nm: float,
        *,
        shifts: Shifts = ((0.0, 0.0),),
        periodic: bool = False,
        grain_fwhm_nm: float = 0.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        if periodic and grid.margin:
            raise OpticsError("periodic borders and a margin exclude each other: nothing lies beyond a torus.")
        self.grid = grid
        self.n_groups = len(shifts)
        self._periodic = periodic
        ny, nx = self.shape = grid.shape
        kernel = psf.kernel(pixel_size_nm / grid.factor)
        radius = kernel.shape[0] // 2
        transfer = np.fft.rfft2(_centred_on_origin(kernel, (ny, nx), periodic))
        self._grain = None
        if grain_fwhm_nm > 0:
            grain_kernel = GaussianPSF(grain_fwhm_nm).kernel(pixel_size_nm / grid.factor)
            radius += grain_kernel.shape[0] // 2
            grain = np.fft.rfft2(_centred_on_origin(grain_kernel, (ny, nx), periodic=True))
            transfer = transfer * grain
            self._grain = torch.as_tensor(grain).to(device, _complex(dtype))
        fy, fx = np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :]
        self._transfer = torch.empty((self.n_groups, *transfer.shape), dtype=_complex(dtype), device=device)
        self._norms = np.empty(self.n_groups)
        for k, (dy, dx) in enumerate(shifts):
            ramp = np.exp(-2j * np.pi * grid.factor * (fy * dy + fx * dx))
            if (dy or dx) and ny % 2 == 0:
                ramp[ny // 2] = np.cos(np.pi * grid.factor * dy) * np.exp(-2j * np.pi * grid.factor * fx[0] * dx)
            if (dy or dx) and nx % 2 == 0:
                ramp[:, -1] = ramp[:, 0] * np.cos(np.pi * grid.factor * dx)
            moved = (dy * grid.factor, dx * grid.factor)
            shifted = _without_ringing(transfer * ramp, (ny, nx), moved, radius) if dy or dx else transfer
            self._norms[k] = _aliased_norm(shifted, grid)
            self._transfer[k] = torch.as_tensor(shifted)
        self._dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        """The working precision."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._transfer.device

    @property
    def n_bytes(self) -> int:
        """Memory of the transfer functions, bytes."""
        return self._transfer.nbytes + (0 if self._grain is None else self._grain.nbytes)

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """U H_k G c cropped to the field, (K, Y, X)."""
        spectrum = torch.fft.rfft2(sources)
        return torch.stack([self._seen(spectrum, k) for k in range(self.n_groups)])

    def forward_one(self, sources: torch.Tensor, group: int) -> torch.Tensor:
        """U H_k G c cropped to the field, (Y, X)."""
        return self._seen(torch.fft.rfft2(sources), group)

    def _seen(self, spectrum: torch.Tensor, group: int) -> torch.Tensor:
        blurred = torch.fft.irfft2(spectrum * self._transfer[group], s=self.grid.shape)
        return sum_pool(self.grid.crop(blurred), self.grid.factor)

    def adjoint(self, coarse: torch.Tensor) -> torch.Tensor:
        """Sum over groups of G^T H_k^T U^T r, (ny, nx)."""
        total = torch.zeros_like(self._transfer[0])
        for image, transfer in zip(coarse, self._transfer, strict=True):
            spread = self.grid.embed(sum_pool_adjoint(image, self.grid.factor))
            total += torch.fft.rfft2(spread) * transfer.conj()
        return torch.fft.irfft2(total, s=self.grid.shape)

    def norms(self) -> np.ndarray:
        """Exact for periodic borders; else a bound: cropping to the field cannot raise the torus operator's norm."""
        return self._norms.copy()

    def spread(self, sources: torch.Tensor) -> torch.Tensor:
        """G c on the extended grid's torus."""
        if self._grain is None:
            return sources
        return torch.fft.irfft2(torch.fft.rfft2(sources) * self._grain, s=self.grid.shape)


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _centred_on_origin(kernel: np.ndarray, shape: tuple[int, int], periodic: bool) -> np.ndarray:
    """The kernel on a torus of ``shape`` with its middle on pixel (0, 0); wrapped where allowed."""
    radius = kernel.shape[0] // 2
    if not periodic and 2 * radius + 1 > min(shape):
        raise OpticsError("the PSF is larger than the field with its margin; choose a larger field.")
    origin = np.zeros(shape)
    axes = [np.arange(-radius, radius + 1) % n for n in shape]
    np.add.at(origin, np.ix_(*axes), kernel)
    return origin


def _without_ringing(
    transfer: np.ndarray, shape: tuple[int, int], centre: tuple[float, float], radius: int
) -> np.ndarray:
    """A shift by a phase makes a coarsely sampled kernel ring, below zero too; solvers rely on light being positive.

    ``centre`` and ``radius`` of the kernel in fine pixels.
    """
    kernel = np.fft.irfft2(transfer, s=shape)
    for axis, (n, c) in enumerate(zip(shape, centre, strict=True)):
        distance = np.abs((np.arange(n) - c + n / 2) % n - n / 2)
        kernel *= np.expand_dims(distance <= radius + 1, 1 - axis)
    kernel = np.clip(kernel, 0.0, None)
    return np.fft.rfft2(kernel * (transfer[0, 0].real / kernel.sum()))


def _aliased_norm(transfer: np.ndarray, grid: Grid) -> float:
    """|U H| on a torus: U folds L x L frequencies onto one, and each fold acts alone (a rank-one map of its aliases).

    |U H|^2 = max over coarse frequencies of sum over their aliases of |u h|^2 / L^2, u the transform of the L x L sum.
    """
    ny, nx = grid.shape
    factor = grid.factor
    full = np.abs(transfer) ** 2
    mirrored = full[(-np.arange(ny)) % ny][:, 1 : (nx + 1) // 2][:, ::-1]
    full = np.concatenate([full, mirrored], axis=1)
    box_y, box_x = (_box_transfer(n, factor) ** 2 for n in (ny, nx))
    energy = full * box_y[:, None] * box_x[None, :]
    folded = energy.reshape(factor, ny // factor, factor, nx // factor).sum(axis=(0, 2))
    return float(np.sqrt(folded.max() / factor**2))


def _box_transfer(n: int, factor: int) -> np.ndarray:
    box = np.zeros(n)
    box[:factor] = 1.0
    return np.abs(np.fft.fft(box))


def imaging_operator(
    field_shape: tuple[int, int],
    factor: int,
    psf: PointSpreadFunction,
    pixel_size_nm: float,
    *,
    shifts: Shifts = ((0.0, 0.0),),
    periodic: bool = False,
    grain_fwhm_nm: float = 0.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    grid: Grid | None = None,
) -> ImagingOperator:
    """The operator that suits the PSF: matrix products for a Gaussian, FFT for any other.

    Args:
        field_shape: (Y, X), camera pixels.
        factor: L.
        psf: point spread function.
        pixel_size_nm: camera pixel, nm.
        shifts: (dy, dx) of the sample per drift group, camera pixels.
        periodic: the paper's periodic borders.
        grain_fwhm_nm: width of the grains the image is made of, nm; 0 for single fine pixels.
        dtype, device: precision and place.
        grid: the fine grid of another operator for the same field and shifts; by default one that holds all light.

    Raises:
        OpticsError: the PSF does not fit the field.
    """
    largest = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    if isinstance(psf, GaussianPSF):
        margin = 0 if periodic else margin_for(psf.reach_nm, pixel_size_nm) + math.ceil(largest)
        kind: type[SeparableOperator] | type[FourierOperator] = SeparableOperator
    else:
        kernels = [psf, GaussianPSF(grain_fwhm_nm)] if grain_fwhm_nm > 0 else [psf]
        reach = sum(k.kernel(pixel_size_nm / factor).shape[0] // 2 for k in kernels) / factor
        margin = 0 if periodic else math.ceil(reach + largest)
        kind = FourierOperator
    return kind(
        Grid(field_shape, factor, margin) if grid is None else grid,
        psf,  # type: ignore[arg-type]
        pixel_size_nm,
        shifts=shifts,
        periodic=periodic,
        grain_fwhm_nm=grain_fwhm_nm,
        dtype=dtype,
        device=device,
    )
