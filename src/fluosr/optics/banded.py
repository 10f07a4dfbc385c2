"""Products with matrices whose entries lie around the diagonal: a pixel sees only what is within the PSF's reach."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch

BLOCK_PX = 16  # camera pixels along an axis that a product takes at once

Products = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class BandedMatrix:
    """A matrix whose rows see only part of the columns: dense blocks of consecutive rows by the columns they see.

    Args:
        matrix: (m, n) float64, not negative.
        dtype, device: of the blocks.
    """

    def __init__(self, matrix: np.ndarray, dtype: torch.dtype, device: torch.device | str) -> None:
        self.shape: tuple[int, int] = matrix.shape
        self._blocks, self._blocks_t = (
            [
                (rows, columns, torch.as_tensor(np.ascontiguousarray(m[rows, columns]), dtype=dtype, device=device))
                for rows, columns in _bands(m, dtype, matrix.shape[0])
            ]
            for m in (matrix, matrix.T)
        )

    @property
    def n_bytes(self) -> int:
        """Memory of the blocks, bytes."""
        return sum(block.nbytes for _, _, block in (*self._blocks, *self._blocks_t))

    def dense(self) -> np.ndarray:
        """(m, n) float64, the matrix as it is used."""
        matrix = np.zeros(self.shape)
        for rows, columns, block in self._blocks:
            matrix[rows, columns] = block.double().cpu().numpy()
        return matrix

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """M x^T: (q, n) -> (m, q). Twice, with the factors of either axis, it is A1 (A2 X^T)^T = A1 X A2^T."""
        return _apply(self._blocks, x, self.shape[0])

    def apply_adjoint(self, x: torch.Tensor) -> torch.Tensor:
        """M^T x^T: (q, m) -> (n, q)."""
        return _apply(self._blocks_t, x, self.shape[1])

    def products(self, x: torch.Tensor, out: torch.Tensor) -> Products:
        """What :func:`multiply` needs to make ``out`` = M x, (n, q) -> (m, q), again whenever ``x`` has changed."""
        return [(block, x[columns], out[rows]) for rows, columns, block in self._blocks]

    def products_adjoint(self, x: torch.Tensor, out: torch.Tensor) -> Products:
        """Likewise ``out`` = M^T x, (m, q) -> (n, q)."""
        return [(block, x[columns], out[rows]) for rows, columns, block in self._blocks_t]


def multiply(products: Products) -> None:
    """Each block with its part of what it is multiplied with, into its part of the product."""
    for block, part, product in products:
        torch.mm(block, part, out=product)


def _apply(blocks: list[tuple[slice, slice, torch.Tensor]], x: torch.Tensor, size: int) -> torch.Tensor:
    product = x.new_empty((size, x.shape[0]))
    for rows, columns, block in blocks:
        torch.mm(block, x[:, columns].T, out=product[rows])
    return product


def _bands(matrix: np.ndarray, dtype: torch.dtype, length_px: int) -> list[tuple[slice, slice]]:
    """Consecutive rows of a matrix, about ``BLOCK_PX`` of an axis of ``length_px`` at once, and the columns they see.

    Columns at either end whose entries are all under ``eps`` / 128 of the matrix's largest are not seen.
    """
    edges = np.linspace(0, matrix.shape[0], math.ceil(length_px / BLOCK_PX) + 1).round().astype(int)
    seen = np.maximum.reduceat(matrix, edges[:-1], axis=0) > torch.finfo(dtype).eps / 128 * matrix.max()
    first, last = seen.argmax(1), seen.shape[1] - seen[:, ::-1].argmax(1)
    return [
        (slice(*rows), slice(*columns))
        for rows, columns in zip(pairwise(edges.tolist()), zip(first.tolist(), last.tolist(), strict=True), strict=True)
    ]


def band_saving(matrix: np.ndarray, dtype: torch.dtype) -> float:
    """Multiplications that a matrix takes over those that its bands take."""
    bands = _bands(matrix, dtype, matrix.shape[0])
    return matrix.size / sum((r.stop - r.start) * (c.stop - c.start) for r, c in bands)
