"""Blur kernels of many forms, round or long: Gaussian, generalised Gaussian, plateau, sinc; and blurring with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fluosr.degradations.draws import chosen, happens, uniform
from fluosr.errors import UsageError

SIZES_PX = tuple(range(7, 22, 2))
LARGEST_PX = SIZES_PX[-1]  # smaller kernels are padded with zeros, so that a batch has one shape
# The cut-off of a sinc filter begins lower where its kernel is large enough to hold the wave.
LOW_CUTOFF, LOW_CUTOFF_OF_LARGE, LARGE_PX = math.pi / 3, math.pi / 5, 13
FORMS = (
    "isotropic",
    "anisotropic",
    "generalised isotropic",
    "generalised anisotropic",
    "plateau isotropic",
    "plateau anisotropic",
)


def gaussian_kernels(
    sizes_px: torch.Tensor, sigmas_px: torch.Tensor, angles: torch.Tensor, betas: torch.Tensor
) -> torch.Tensor:
    """Generalised Gaussians, exp(-(r^T S^-1 r)^beta / 2); beta 1 is the Gaussian.

    Args:
        sizes_px: (B,), odd, at most 21: beyond them the kernel is 0.
        sigmas_px: (B, 2), the roots of the eigenvalues of S.
        angles: (B,), rad, of the first of them from the columns' axis x, towards y.
        betas: (B,); below 1 with a peak and long tails, above 1 flat and steep.

    Returns:
        (B, 21, 21) float64, sum 1.
    """
    return _normalised(torch.exp(-(_forms(sigmas_px, angles) ** _column(betas)) / 2), sizes_px)


def plateau_kernels(
    sizes_px: torch.Tensor, sigmas_px: torch.Tensor, angles: torch.Tensor, betas: torch.Tensor
) -> torch.Tensor:
    """Plateaus, 1 / (1 + (r^T S^-1 r)^beta); arguments and result as of :func:`gaussian_kernels`."""
    return _normalised(1 / (1 + _forms(sigmas_px, angles) ** _column(betas)), sizes_px)


def sinc_kernels(sizes_px: torch.Tensor, cutoffs: torch.Tensor) -> torch.Tensor:
    """The ideal low-pass of a disc of frequencies, c J1(c r) / (2 pi r), cut off at the kernel's size: it rings.

    Args:
        sizes_px: (B,), odd, at most 21.
        cutoffs: (B,), c, rad per pixel, at most pi.

    Returns:
        (B, 21, 21) float64, sum 1.
    """
    y, x = _axes(cutoffs)
    radius = torch.hypot(y, x)[None]
    c = _column(cutoffs)
    centre = c**2 / (4 * math.pi)  # the limit at r = 0
    ring = c * torch.special.bessel_j1(c * radius) / (2 * math.pi * radius.clamp(min=1e-9))
    return _normalised(torch.where(radius == 0, centre, ring), sizes_px)


def blur(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Each image convolved with its own kernel; beyond the border its last rows and columns go on.

    Real-ESRGAN mirrors the image at its border, which a kernel wider than twice the image does not allow.

    Args:
        images: (B, Y, X).
        kernels: (B, k, k), k odd.

    Returns:
        (B, Y, X).
    """
    half = kernels.shape[-1] // 2
    padded = torch.nn.functional.pad(images[None], (half, half, half, half), mode="replicate")
    weights = kernels.flip(-2, -1)[:, None].to(images)
    return torch.nn.functional.conv2d(padded, weights, groups=len(images))[0]


@dataclass(frozen=True)
class KernelParameters:
    """How kernels are drawn; the defaults are those of Real-ESRGAN's first stage.

    Args:
        sigma_px: range of the width along each axis.
        probabilities: of the six ``FORMS``, where it is not a sinc filter.
        sinc_probability: of a sinc filter in their place.
        beta_generalised, beta_plateau: ranges; a beta lies below 1 as often as above it.

    Raises:
        UsageError: probabilities or ranges that cannot be.

    Source:
        X. Wang, L. Xie, C. Dong and Y. Shan, Real-ESRGAN, ICCV Workshops 2021, section 3 and its published options.
    """

    sigma_px: tuple[float, float] = (0.2, 3.0)
    probabilities: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_probability: float = 0.1
    beta_generalised: tuple[float, float] = (0.5, 4.0)
    beta_plateau: tuple[float, float] = (1.0, 2.0)

    def __post_init__(self) -> None:
        check_probabilities("kernels", self.probabilities, len(FORMS))
        check_probabilities("sinc kernels", (self.sinc_probability, 1 - self.sinc_probability), 2)
        check_range("sigma_px", self.sigma_px, above=0.0)
        for name in ("beta_generalised", "beta_plateau"):
            low, high = check_range(name, getattr(self, name), above=0.0)
            if not low <= 1 <= high:
                raise UsageError(f"{name} lies on both sides of 1, got {low:g} to {high:g}.")

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(count, 21, 21) float64 kernels of sum 1."""
        sizes = _drawn_sizes(count, generator)
        forms = chosen(count, self.probabilities, generator)
        sigmas = torch.stack([uniform(count, self.sigma_px, generator) for _ in range(2)], dim=1)
        sigmas[:, 1] = torch.where(forms % 2 == 0, sigmas[:, 0], sigmas[:, 1])
        angles = uniform(count, (-math.pi, math.pi), generator)
        generalised = self._betas(count, self.beta_generalised, generator)
        plateau = self._betas(count, self.beta_plateau, generator)
        shares = uniform(count, (0.0, 1.0), generator)
        is_sinc = happens(count, self.sinc_probability, generator)
        lowest = torch.full_like(shares, LOW_CUTOFF).masked_fill(sizes >= LARGE_PX, LOW_CUTOFF_OF_LARGE)
        betas = torch.where(forms >= 2, generalised, 1.0)
        found = gaussian_kernels(sizes, sigmas, angles, betas)
        found = torch.where(_column(forms >= 4), plateau_kernels(sizes, sigmas, angles, plateau), found)
        return torch.where(_column(is_sinc), sinc_kernels(sizes, lowest + shares * (math.pi - lowest)), found)

    @staticmethod
    def _betas(count: int, low_high: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
        low, high = low_high
        below, above = uniform(count, (low, 1.0), generator), uniform(count, (1.0, high), generator)
        return torch.where(happens(count, 0.5, generator), below, above)


def draw_sinc_kernels(count: int, probability: float, lowest_cutoff: float, generator: torch.Generator) -> torch.Tensor:
    """(count, 21, 21) float64: a sinc filter with this probability, else the kernel that changes nothing."""
    sizes = _drawn_sizes(count, generator)
    filters = sinc_kernels(sizes, uniform(count, (lowest_cutoff, math.pi), generator))
    return sometimes(filters, probability, generator)


def sometimes(kernels: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Each of the (B, k, k) kernels with this probability, else one that changes nothing."""
    nothing = torch.zeros_like(kernels)
    nothing[:, kernels.shape[1] // 2, kernels.shape[2] // 2] = 1.0
    return torch.where(_column(happens(len(kernels), probability, generator)), kernels, nothing)


def check_probabilities(what: str, probabilities: tuple[float, ...], count: int) -> None:
    """Raises UsageError unless these are so many probabilities that sum to 1."""
    if len(probabilities) != count or min(probabilities) < 0 or not math.isclose(sum(probabilities), 1, abs_tol=1e-9):
        raise UsageError(f"the probabilities of {what} are {count} that sum to 1, got {probabilities}.")


def check_range(name: str, low_high: tuple[float, float], above: float) -> tuple[float, float]:
    """The range, or UsageError unless it is finite, in order and begins above this."""
    low, high = low_high
    if not (above < low <= high < math.inf):
        raise UsageError(f"{name} is a range that begins above {above:g}, got {low:g} to {high:g}.")
    return low, high


def _drawn_sizes(count: int, generator: torch.Generator) -> torch.Tensor:
    even = (1 / len(SIZES_PX),) * len(SIZES_PX)
    return torch.tensor(SIZES_PX, device=generator.device)[chosen(count, even, generator)]


def _column(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None]


def _axes(like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    along = torch.arange(LARGEST_PX, dtype=torch.float64, device=like.device) - LARGEST_PX // 2
    return along[:, None], along[None, :]


def _forms(sigmas_px: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """r^T S^-1 r at every pixel: (B, 21, 21)."""
    y, x = _axes(sigmas_px)
    cosine, sine = _column(angles.cos()), _column(angles.sin())
    first, second = x * cosine + y * sine, y * cosine - x * sine
    return (first / _column(sigmas_px[:, 0])) ** 2 + (second / _column(sigmas_px[:, 1])) ** 2


def _normalised(kernels: torch.Tensor, sizes_px: torch.Tensor) -> torch.Tensor:
    y, x = _axes(sizes_px)
    inside = torch.maximum(y.abs(), x.abs()) <= _column(sizes_px) // 2
    cut = torch.where(inside, kernels, 0.0)
    return cut / cut.sum((1, 2), keepdim=True)
