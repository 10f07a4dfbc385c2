"""A as a sum of Kronecker products of small matrices: what squares and covariances of the operator are made from.

A Gaussian PSF gives one product, A = G1 (x) G2; any other gives a few, from the singular vectors of its kernel. So do
the matrices that a fit of covariances needs, and none of them is ever written out:

    A^T A = sum_kl (G1_k^T G1_l) (x) (G2_k^T G2_l),    (A o A)_mi = A_mi^2,    W = (A^T A) o (A^T A).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, pairwise

import numpy as np
import torch

from fluosr.optics.psf import GaussianPSF, PointSpreadFunction, gaussian_integrals
from fluosr.optics.sampling import Grid

Pair = tuple[np.ndarray, np.ndarray]  # (m, n) and (p, q) float64: their Kronecker product takes (n, q) to (m, p)

KERNEL_ERROR = 1e-3  # relative, of a kernel's singular vectors that are left out
MOST_VECTORS = 6  # of a kernel: a noisy bead has no end of them
PRODUCT_ERROR = 1e-5  # relative, of merged products
BLOCK = 64  # rows that a banded product takes at once


class KroneckerSum:
    """X -> sum_k R_k X C_k^T, banded where entries far from the diagonal are nothing but rounding.

    Args:
        pairs: (R_k, C_k), float64.
        dtype, device: of the products.
    """

    def __init__(
        self, pairs: Sequence[Pair], *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self._pairs = [(_Banded(rows, dtype, device), _Banded(columns, dtype, device)) for rows, columns in pairs]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, q) -> (m, p)."""
        total: torch.Tensor | None = None
        for rows, columns in self._pairs:
            # M x^T twice, with the factors of either axis, is R (C X^T)^T = R X C^T.
            product = rows.apply(columns.apply(x))
            total = product if total is None else total.add_(product)
        assert total is not None
        return total


class _Banded:
    """A matrix as dense blocks of consecutive rows by the columns they see."""

    def __init__(self, matrix: np.ndarray, dtype: torch.dtype, device: torch.device | str) -> None:
        self._size = matrix.shape[0]
        edges = np.linspace(0, matrix.shape[0], math.ceil(matrix.shape[0] / BLOCK) + 1).round().astype(int)
        seen = np.maximum.reduceat(np.abs(matrix), edges[:-1], axis=0) > 1e-3 * np.finfo(float).eps * _peak(matrix)
        first, last = seen.argmax(1), seen.shape[1] - seen[:, ::-1].argmax(1)
        self._blocks = [
            (
                slice(top, bottom),
                slice(left, right),
                torch.as_tensor(np.ascontiguousarray(matrix[top:bottom, left:right]), dtype=dtype, device=device),
            )
            for (top, bottom), left, right in zip(pairwise(edges.tolist()), first.tolist(), last.tolist(), strict=True)
        ]

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """M x^T: (q, n) -> (m, q)."""
        product = x.new_empty((self._size, x.shape[0]))
        for rows, columns, block in self._blocks:
            torch.mm(block, x[:, columns].T, out=product[rows])
        return product


def _peak(matrix: np.ndarray) -> float:
    return max(float(np.abs(matrix).max()), 1e-300)


def imaging_pairs(grid: Grid, psf: PointSpreadFunction, pixel_size_nm: float) -> list[Pair]:
    """A = U H, from emitters on the extended fine grid to camera pixels, as (Y, ny) and (X, nx) factors.

    Args:
        grid: fine grid with its margin.
        psf: a Gaussian is integrated over the pixels exactly; any other goes by its kernel on the fine grid, of which
            the few largest singular vectors are taken.
        pixel_size_nm: camera pixel, nm.
    """
    if isinstance(psf, GaussianPSF):
        sigma = psf.sigma_nm / pixel_size_nm
        rows, columns = (
            gaussian_integrals(
                np.arange(size, dtype=float)[:, None], 1.0, (np.arange(n) + 0.5) / grid.factor - grid.margin, sigma
            )
            for size, n in zip(grid.field_shape, grid.shape, strict=True)
        )
        return [(rows, columns)]
    left, values, right = np.linalg.svd(psf.kernel(pixel_size_nm / grid.factor))
    missing = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1] / (values**2).sum())  # with vectors k, k + 1 ... left out
    count = min(MOST_VECTORS, int((missing > KERNEL_ERROR).sum()))
    height, width = grid.field_shape
    return [
        (
            _sampled(left[:, k] * math.sqrt(values[k]), height, grid),
            _sampled(right[k] * math.sqrt(values[k]), width, grid),
        )
        for k in range(count)
    ]


def _sampled(profile: np.ndarray, size: int, grid: Grid) -> np.ndarray:
    """(size, n): a profile of 2 r + 1 fine pixels around every emitter, summed over each camera pixel."""
    n, radius = (size + 2 * grid.margin) * grid.factor, len(profile) // 2
    fine = np.arange(size * grid.factor) + grid.margin * grid.factor
    place = fine[:, None] - np.arange(n)[None, :] + radius
    inside = (place >= 0) & (place < len(profile))
    spread = np.where(inside, profile[np.clip(place, 0, len(profile) - 1)], 0.0)
    return spread.reshape(size, grid.factor, n).sum(1)


def transposed(pairs: Sequence[Pair]) -> list[Pair]:
    """A^T."""
    return [(rows.T, columns.T) for rows, columns in pairs]


def gram(pairs: Sequence[Pair]) -> list[Pair]:
    """A^T A."""
    return merged([(r.T @ s, c.T @ d) for r, c in pairs for s, d in pairs])


def squared(pairs: Sequence[Pair]) -> list[Pair]:
    """A o A, every entry squared."""
    made = []
    for i, j in combinations_with_replacement(range(len(pairs)), 2):
        (r, c), (s, d) = pairs[i], pairs[j]
        made.append(((1.0 if i == j else 2.0) * r * s, c * d))
    return merged(made)


def column_sums(pairs: Sequence[Pair]) -> np.ndarray:
    """(n, q) sum of each column of the matrix, as the fine image it belongs to."""
    return np.sum([np.outer(rows.sum(0), columns.sum(0)) for rows, columns in pairs], axis=0)


def merged(pairs: list[Pair]) -> list[Pair]:
    """The same sum in fewer terms: the largest singular vectors of sum_k vec(R_k) vec(C_k)^T."""
    if len(pairs) == 1:
        return pairs
    rows, columns = (np.stack(side) for side in zip(*pairs, strict=True))
    whiten, colour = zip(*(_roots(np.tensordot(m, m, ((1, 2), (1, 2)))) for m in (rows, columns)), strict=True)
    left, values, right = np.linalg.svd(colour[0] @ colour[1].T)
    missing = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1] / (values**2).sum())
    count = max(1, int((missing > PRODUCT_ERROR).sum()))
    first = np.tensordot((whiten[0].T @ left[:, :count]) * values[:count], rows, ((0,), (0,)))
    second = np.tensordot(whiten[1].T @ right[:count].T, columns, ((0,), (0,)))
    return list(zip(first, second, strict=True))


def _roots(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From scalar products P of vectors v to T with T v orthonormal, and S with v = S^T (T v)."""
    values, vectors = np.linalg.eigh(products)
    kept = values > 1e-14 * values.max()
    root = np.sqrt(values[kept])
    return (vectors[:, kept] / root).T, (vectors[:, kept] * root).T
