import numpy as np
import pytest
import torch

from fluosr.optics import kronecker
from fluosr.optics.operators import FourierOperator, SeparableOperator
from fluosr.optics.psf import AiryPSF, GaussianPSF, MeasuredPSF, PointSpreadFunction
from fluosr.optics.sampling import Grid

PIXEL_NM = 100.0


def dense(pairs: list[kronecker.Pair]) -> np.ndarray:
    return np.sum([np.kron(rows, columns) for rows, columns in pairs], axis=0)


def bead() -> MeasuredPSF:
    y, x = np.indices((41, 41)) - 20.0
    return MeasuredPSF(np.exp(-((y / 5) ** 2 + (x / 7) ** 2 + x * y / 60) / 2), 25.0)


def test_a_gaussian_is_one_product_and_equals_the_imaging_operator() -> None:
    grid = Grid((9, 7), 3, 2)
    operator = SeparableOperator(grid, GaussianPSF(300.0), PIXEL_NM, dtype=torch.float64)
    pairs = kronecker.imaging_pairs(grid, GaussianPSF(300.0), PIXEL_NM)
    x = torch.rand(grid.shape, dtype=torch.float64)
    assert len(pairs) == 1
    torch.testing.assert_close(kronecker.KroneckerSum(pairs)(x), operator.forward(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("psf", [AiryPSF(1.4, 700.0, reach_rings=2.0), bead()], ids=["airy", "measured"])
@pytest.mark.parametrize("factor", [2, 3])
def test_any_other_psf_is_a_few_products(psf: PointSpreadFunction, factor: int) -> None:
    margin = -(-(psf.kernel(PIXEL_NM / factor).shape[0] // 2) // factor)
    grid = Grid((11, 8), factor, margin)
    pairs = kronecker.imaging_pairs(grid, psf, PIXEL_NM)
    x = torch.rand(grid.shape, dtype=torch.float64)
    expected = FourierOperator(grid, psf, PIXEL_NM, dtype=torch.float64).forward(x)[0]
    difference = (kronecker.KroneckerSum(pairs)(x) - expected).abs().max()
    assert 1 < len(pairs) <= kronecker.MOST_VECTORS
    assert difference < 5e-3 * expected.max()


@pytest.mark.parametrize("psf", [GaussianPSF(300.0), AiryPSF(1.4, 700.0, reach_rings=1.0)], ids=["gaussian", "airy"])
def test_squares_and_products_are_those_of_the_dense_matrix(psf: PointSpreadFunction) -> None:
    pairs = kronecker.imaging_pairs(Grid((5, 4), 2, 1), psf, PIXEL_NM)
    a = dense(pairs)
    for made, expected in (
        (kronecker.transposed(pairs), a.T),
        (kronecker.gram(pairs), a.T @ a),
        (kronecker.squared(pairs), a * a),
        (kronecker.squared(kronecker.gram(pairs)), (a.T @ a) ** 2),
    ):
        np.testing.assert_allclose(dense(made), expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(
        kronecker.column_sums(kronecker.squared(pairs)).ravel(), (a * a).sum(0), atol=1e-4 * (a * a).sum(0).max()
    )


def test_bands_leave_nothing_out() -> None:
    grid = Grid((60, 50), 3, 3)
    pairs = kronecker.squared(kronecker.gram(kronecker.imaging_pairs(grid, GaussianPSF(300.0), PIXEL_NM)))
    x = torch.rand(grid.shape, dtype=torch.float64)
    rows, columns = (torch.as_tensor(m) for m in pairs[0])
    torch.testing.assert_close(kronecker.KroneckerSum(pairs)(x), rows @ x @ columns.T, rtol=1e-13, atol=0.0)
