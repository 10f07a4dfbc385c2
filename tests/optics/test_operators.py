"""Laws of A = U H: exact adjoint, exact or bounded norm, energy, centring, drift; against slow references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from fluosr.errors import OpticsError
from fluosr.optics.operators import FourierOperator, SeparableOperator, imaging_operator
from fluosr.optics.psf import FWHM_PER_SIGMA, AiryPSF, GaussianPSF, MeasuredPSF
from fluosr.optics.sampling import Grid, margin_for, sum_pool, sum_pool_adjoint

PIXEL = 100.0


def measured_psf():
    y, x = np.indices((25, 25)) - 12.0
    return MeasuredPSF(np.exp(-((y - 0.4) ** 2) / 2 / 3.0**2 - (x + 0.3) ** 2 / 2 / 3.6**2) + 0.05, 40.0)


PSFS = {"gaussian": GaussianPSF(260.0), "airy": AiryPSF(1.4, 600.0, reach_rings=2.0), "measured": measured_psf()}


def make(psf="gaussian", field=(7, 9), factor=3, *, fourier=False, **options):
    """The operator of the library's choice, or FFT for a Gaussian too."""
    point_spread = PSFS[psf] if isinstance(psf, str) else psf
    if not fourier or not isinstance(point_spread, GaussianPSF):
        return imaging_operator(field, factor, point_spread, PIXEL, dtype=torch.float64, **options)
    largest = max((max(map(abs, s)) for s in options.get("shifts", ((0.0, 0.0),))), default=0.0)
    reach = len(point_spread.kernel(PIXEL / factor)) // 2 / factor
    margin = 0 if options.get("periodic") else math.ceil(reach + largest)
    return FourierOperator(Grid(field, factor, margin), point_spread, PIXEL, dtype=torch.float64, **options)


def dense(operator, group=0):
    """The matrix, column by column."""
    n = math.prod(operator.shape)
    eye = torch.eye(n, dtype=torch.float64).reshape(n, *operator.shape)
    return np.stack([operator.forward(e)[group].numpy().ravel() for e in eye], axis=1)


shift = st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
cases = st.fixed_dictionaries(
    {
        "psf": st.sampled_from(list(PSFS)),
        "field": st.tuples(st.integers(4, 9), st.integers(4, 9)),
        "factor": st.integers(1, 6),
        "fourier": st.booleans(),
        "periodic": st.booleans(),
        "shifts": st.lists(shift, min_size=1, max_size=3).map(tuple),
        "grain_fwhm_nm": st.sampled_from([0.0, 0.0, 60.0, 150.0]),
    }
)


@settings(max_examples=150)
@given(case=cases, seed=st.integers(0, 2**31))
def test_the_adjoint_is_the_adjoint(case, seed):
    operator = make(**case)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(operator.shape, dtype=torch.float64, generator=generator)
    y = torch.randn((operator.n_groups, *case["field"]), dtype=torch.float64, generator=generator)
    ax, aty = operator.forward(x), operator.adjoint(y)
    assert ax.shape == y.shape and aty.shape == x.shape
    left, right = float((ax * y).sum()), float((x * aty).sum())
    assert abs(left - right) <= 1e-10 * float(ax.norm() * y.norm())


@settings(max_examples=60)
@given(case=cases, seed=st.integers(0, 2**31))
def test_linear_and_one_group_alone_is_that_group(case, seed):
    operator = make(**case)
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn((2, *operator.shape), dtype=torch.float64, generator=generator)
    whole = operator.forward(2 * x - 3 * z)
    torch.testing.assert_close(whole, 2 * operator.forward(x) - 3 * operator.forward(z), rtol=1e-10, atol=1e-10)
    for k in range(operator.n_groups):
        torch.testing.assert_close(whole[k], operator.forward_one(2 * x - 3 * z, k), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("grain", [0.0, 90.0])
def test_the_separable_norm_is_exact(factor, periodic, grain):
    shifts = ((0.0, 0.0), (0.4, -0.7))
    operator = make(field=(5, 6), factor=factor, periodic=periodic, grain_fwhm_nm=grain, shifts=shifts)
    for k in range(2):
        assert operator.norms()[k] == pytest.approx(np.linalg.norm(dense(operator, k), 2), rel=1e-10)


@pytest.mark.parametrize("psf", list(PSFS))
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("field", [(5, 6), (7, 5)])
def test_the_periodic_fourier_norm_is_exact(psf, factor, field):
    shifts = ((0.0, 0.0), (0.3, 0.8))
    operator = make(psf, field, factor, periodic=True, fourier=True, shifts=shifts)
    for k in range(2):
        assert operator.norms()[k] == pytest.approx(np.linalg.norm(dense(operator, k), 2), rel=1e-9)


@pytest.mark.parametrize("psf", list(PSFS))
def test_the_extended_fourier_norm_is_a_close_bound(psf):
    operator = make(psf, (24, 24), 3, fourier=True)
    x = torch.rand(operator.grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(200):
        x = operator.adjoint(operator.forward(x))
        squared = x.norm()
        x /= squared
    true = math.sqrt(float(squared))
    assert true <= operator.norms()[0] * (1 + 1e-12)
    assert operator.norms()[0] <= 1.06 * true


def test_the_norm_known_for_the_paper_s_setting():
    psf = GaussianPSF(8.25 * FWHM_PER_SIGMA / 6 * PIXEL)
    squared = make(psf, (50, 50), 6).norms()[0] ** 2
    assert squared == pytest.approx(35.5, abs=0.05)


def test_separable_equals_the_obvious_loops():
    field, factor, shifts = (4, 5), 3, ((0.0, 0.0), (0.35, -0.8))
    operator = make(field=field, factor=factor, shifts=shifts)
    margin = operator.grid.margin
    sigma = PSFS["gaussian"].sigma_nm / PIXEL
    x = np.random.default_rng(0).random(operator.grid.shape)

    def mass(i, position):
        return (erf((i + 1 - position) / sigma / math.sqrt(2)) - erf((i - position) / sigma / math.sqrt(2))) / 2

    for k, (dy, dx) in enumerate(shifts):
        wanted = np.zeros(field)
        for i in range(field[0]):
            for j in range(field[1]):
                for p in range(x.shape[0]):
                    for q in range(x.shape[1]):
                        y_p = (p + 0.5) / factor - margin + dy
                        x_q = (q + 0.5) / factor - margin + dx
                        wanted[i, j] += x[p, q] * mass(i, y_p) * mass(j, x_q)
        found = operator.forward(torch.as_tensor(x))[k].numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("factor", [1, 2, 5, 6])
def test_fourier_with_a_gaussian_equals_separable_but_for_the_cut_tails(factor):
    field, shifts = (9, 12), ((0.0, 0.0), (1.0, -2.0))
    fast, slow = (
        make(field=field, factor=factor, shifts=shifts),
        make(field=field, factor=factor, shifts=shifts, fourier=True),
    )
    x = np.random.default_rng(0).random((9 * factor, 12 * factor))
    a, b = (op.forward(op.grid.embed(torch.as_tensor(x))).numpy() for op in (fast, slow))
    assert np.abs(a - b).max() < 0.006 * a.max()  # the kernel is cut at 3 sigma: .3 % along each axis


@pytest.mark.parametrize("psf", list(PSFS))
@pytest.mark.parametrize("factor", [1, 2, 3, 6])
@pytest.mark.parametrize("fourier", [False, True])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.25, -0.6), (1.0, 2.0)])
def test_a_point_source_stays_where_it_was_and_keeps_its_light(psf, factor, fourier, place):
    """Its image has its centroid at the centre of its fine pixel, moved by the drift."""
    field = (31, 33)
    operator = make(psf, field, factor, fourier=fourier, shifts=(place,))
    p, q = 15 * factor + factor // 2, 16 * factor + (factor - 1) // 2
    x = torch.zeros(operator.grid.fine_field_shape, dtype=torch.float64)
    x[p, q] = 1.0
    image = operator.forward(operator.grid.embed(x))[0].numpy()
    # By FFT a fraction of a pixel's drift rings, a little of it beyond the field.
    exact = isinstance(operator, SeparableOperator)
    assert image.sum() == pytest.approx(1.0, abs=1e-6 if exact else 1e-4)
    y = image.sum(1) @ (np.arange(field[0]) + 0.5) / image.sum()
    x_ = image.sum(0) @ (np.arange(field[1]) + 0.5) / image.sum()
    # A fine pixel as large as the camera's undersamples the PSF, which an FFT then cannot move quite exactly.
    tolerance = 1e-3 if exact or factor > 1 else 2e-3
    assert y == pytest.approx((p + 0.5) / factor + place[0], abs=tolerance)
    assert x_ == pytest.approx((q + 0.5) / factor + place[1], abs=tolerance)


@pytest.mark.parametrize("fourier", [False, True])
def test_light_from_outside_the_field_is_seen(fourier):
    operator = make(field=(8, 8), factor=4, fourier=fourier)
    margin = operator.grid.margin * 4
    x = torch.zeros(operator.grid.shape, dtype=torch.float64)
    x[margin - 1, margin + 16] = 1.0
    image = operator.forward(x)[0]
    assert 0.4 < float(image.sum()) < 0.5
    assert float(image[0].sum()) > float(image[1].sum()) > float(image[3].sum())
    assert float(image[6:].sum()) < 1e-4  # and nothing comes in on the other side


@settings(max_examples=30)
@given(
    psf=st.sampled_from(list(PSFS)),
    fourier=st.booleans(),
    factor=st.integers(1, 4),
    dy=st.integers(-3, 3),
    dx=st.integers(-3, 3),
)
def test_drift_by_whole_pixels_rolls_a_periodic_image(psf, fourier, factor, dy, dx):
    still = make(psf, (10, 11), factor, fourier=fourier, periodic=True)
    moved = make(psf, (10, 11), factor, fourier=fourier, periodic=True, shifts=((float(dy), float(dx)),))
    x = torch.rand(still.grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.roll(still.forward(x)[0], (dy, dx), (0, 1))
    torch.testing.assert_close(moved.forward(x)[0], wanted, rtol=1e-8, atol=1e-8)


def test_drift_moves_what_lies_beyond_the_field_into_it():
    operator = make(field=(8, 8), factor=2, shifts=((0.0, 0.0), (2.0, 0.0)))
    x = torch.rand(operator.grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    still, moved = operator.forward(x)
    torch.testing.assert_close(moved[3:], still[1:-2], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("fourier", [False, True])
def test_uniform_emission_makes_a_uniform_image(fourier):
    operator = make(field=(9, 9), factor=3, periodic=True, fourier=fourier)
    image = operator.forward(torch.ones(operator.grid.shape, dtype=torch.float64))
    torch.testing.assert_close(image, torch.full_like(image, 9.0), rtol=1e-8, atol=0)
    # With a margin the far tails are cut: less than .6 % at the rim.
    extended = make(field=(9, 9), factor=3, fourier=fourier)
    image = extended.forward(torch.ones(extended.grid.shape, dtype=torch.float64))
    assert float((image - 9.0).abs().max()) < 0.06


@pytest.mark.parametrize("fourier", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_grains_are_the_image_they_spread_to(fourier, periodic):
    plain = make(field=(9, 9), factor=3, fourier=fourier, periodic=periodic)
    grainy = make(field=(9, 9), factor=3, fourier=fourier, periodic=periodic, grain_fwhm_nm=120.0)
    assert plain.shape == plain.grid.shape
    c = torch.rand(grainy.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert grainy.spread(c).shape == plain.grid.shape
    torch.testing.assert_close(grainy.forward(c), plain.forward(grainy.spread(c)), rtol=1e-9, atol=1e-9)
    x = torch.rand(plain.shape, dtype=torch.float64)
    assert torch.equal(plain.spread(x), x)
    single = torch.zeros_like(c)
    single[tuple(n // 2 for n in grainy.shape)] = 1.0
    assert float(grainy.spread(single).sum()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("fourier", [False, True])
@pytest.mark.parametrize("grain", [50.0, 120.0])
def test_equal_grains_make_an_even_image(fourier, grain):
    operator = make(field=(9, 9), factor=4, fourier=fourier, periodic=True, grain_fwhm_nm=grain)
    image = operator.spread(torch.ones(operator.shape, dtype=torch.float64))
    assert float(image.max() / image.min()) < 1.0015  # 3e-4 up and down along each axis


@pytest.mark.parametrize("field", [(5, 21), (40, 70), (97, 64)])
@pytest.mark.parametrize("grain", [0.0, 60.0])
@pytest.mark.parametrize("shifts", [((0.0, 0.0),), ((0.4, -0.7), (-1.0, 0.3))])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_by_blocks_are_the_dense_ones(field, grain, shifts, periodic, dtype):
    margin = 0 if periodic else 6
    options = {"shifts": shifts, "periodic": periodic, "grain_fwhm_nm": grain, "dtype": dtype}
    whole, blocks = (
        SeparableOperator(Grid(field, 3, margin), PSFS["gaussian"], PIXEL, banded=banded, **options)
        for banded in (False, True)
    )
    assert blocks.banded and not whole.banded and blocks.shape == whole.shape
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(whole.shape, dtype=dtype, generator=generator)
    y = torch.rand((len(shifts), *field), dtype=dtype, generator=generator)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    pairs = [(op.forward(x), op.adjoint(y), op.forward_one(x, 0), op.spread(x)) for op in (whole, blocks)]
    for dense_one, banded_one in zip(*pairs, strict=True):
        assert banded_one.dtype == dtype and banded_one.shape == dense_one.shape
        assert float((dense_one - banded_one).abs().max()) <= tolerance * float(dense_one.abs().max())
    np.testing.assert_allclose(blocks.norms(), whole.norms(), rtol=10 * tolerance)
    left, right = (pairs[1][0] * y).sum(), (x * pairs[1][1]).sum()
    assert float((left - right).abs()) <= 10 * tolerance * float(left)


@pytest.mark.parametrize(("field", "expected"), [((50, 50), False), ((40, 400), False), ((160, 160), True)])
def test_blocks_are_for_fields_much_larger_than_the_psf(field, expected):
    operator = imaging_operator(field, 6, GaussianPSF(324.0), PIXEL, grain_fwhm_nm=46.0)
    assert operator.banded is expected
    dense = SeparableOperator(operator.grid, GaussianPSF(324.0), PIXEL, grain_fwhm_nm=46.0, banded=False)
    assert (operator.n_bytes < 0.5 * dense.n_bytes) is expected


def test_groups_by_fft_are_those_of_one_operator_each():
    shifts = ((0.0, 0.0), (0.4, -0.7), (2.0, 1.0))
    whole = make("airy", (12, 14), 3, shifts=shifts, grain_fwhm_nm=80.0)
    y = torch.rand((3, 12, 14), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    summed = torch.zeros(whole.shape, dtype=torch.float64)
    for k, place in enumerate(shifts):
        one = FourierOperator(whole.grid, PSFS["airy"], PIXEL, shifts=(place,), grain_fwhm_nm=80.0, dtype=torch.float64)
        summed += one.adjoint(y[k : k + 1])
        torch.testing.assert_close(one.forward(summed)[0], whole.forward(summed)[k], rtol=1e-12, atol=1e-12)
        assert one.norms()[0] == whole.norms()[k]
    torch.testing.assert_close(whole.adjoint(y), summed, rtol=1e-12, atol=1e-12)
    assert whole.n_bytes == 4 * whole.shape[0] * (whole.shape[1] // 2 + 1) * 16


def test_making_a_fourier_operator_of_many_groups_takes_the_memory_of_their_transfers():
    import tracemalloc

    psf, grid = AiryPSF(1.4, 600.0, reach_rings=2.0), Grid((40, 40), 4, 12)
    peaks = []
    for count in (1, 12):
        tracemalloc.start()
        operator = FourierOperator(grid, psf, PIXEL, shifts=[(0.1 * k, 0.0) for k in range(count)])
        peaks.append(tracemalloc.get_traced_memory()[1])  # numpy's part; the transfers themselves are torch's
        tracemalloc.stop()
    assert peaks[1] < 2.0 * peaks[0]
    assert operator.n_bytes == 12 * grid.shape[0] * (grid.shape[1] // 2 + 1) * 8


@pytest.mark.parametrize("psf", ["airy", "measured"])
def test_by_fft_no_grain_reaches_the_field_around_the_torus(psf):
    """A grain on the very rim of the extended grid wraps around it, and still misses the field."""
    operator = make(psf, (10, 11), 3, grain_fwhm_nm=200.0)
    reach = len(PSFS[psf].kernel(PIXEL / 3)) // 2 / 3
    narrow = FourierOperator(
        Grid((10, 11), 3, math.ceil(reach)), PSFS[psf], PIXEL, grain_fwhm_nm=200.0, dtype=torch.float64
    )

    def leak(made, y, x):
        sources = torch.zeros(made.shape, dtype=torch.float64)
        sources[y, x] = 1.0
        return float(made.forward(sources).abs().max())

    for place in ((0, "middle"), ("middle", 0), (-1, "middle"), ("middle", -1)):
        found = [
            leak(made, *(n // 2 if p == "middle" else p for p, n in zip(place, made.shape, strict=True)))
            for made in (operator, narrow)
        ]
        assert found[0] < 1e-5 and found[1] > 10 * found[0], place


def test_single_precision_is_the_same_operator():
    double = make(field=(12, 12), factor=4)
    single = imaging_operator((12, 12), 4, PSFS["gaussian"], PIXEL)
    assert single.dtype == torch.float32 and single.n_bytes > 0
    x = torch.rand(double.grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(single.forward(x.float()).double(), double.forward(x), rtol=1e-5, atol=1e-5)


@given(y=st.integers(1, 5), x=st.integers(1, 5), factor=st.integers(1, 5))
def test_sum_pool_keeps_photons_and_has_its_adjoint(y, x, factor):
    generator = torch.Generator().manual_seed(0)
    fine = torch.rand((y * factor, x * factor), dtype=torch.float64, generator=generator)
    coarse = torch.rand((y, x), dtype=torch.float64, generator=generator)
    assert float(sum_pool(fine, factor).sum()) == pytest.approx(float(fine.sum()))
    left, right = float((sum_pool(fine, factor) * coarse).sum()), float((fine * sum_pool_adjoint(coarse, factor)).sum())
    assert left == pytest.approx(right, rel=1e-12)


def test_crop_undoes_embed():
    grid = Grid((4, 6), 3, 2)
    x = torch.rand(grid.fine_field_shape)
    assert grid.shape == (24, 30)
    assert torch.equal(grid.crop(grid.embed(x)), x)
    assert float(grid.embed(x).sum()) == pytest.approx(float(x.sum()))
    assert margin_for(412.8, 100.0) == 5


def test_what_cannot_be_is_refused():
    with pytest.raises(OpticsError, match="torus"):
        SeparableOperator(Grid((8, 8), 2, 3), PSFS["gaussian"], PIXEL, periodic=True)
    with pytest.raises(OpticsError, match="torus"):
        FourierOperator(Grid((8, 8), 2, 3), PSFS["airy"], PIXEL, periodic=True)
    with pytest.raises(OpticsError, match="larger than the field"):
        FourierOperator(Grid((4, 4), 2, 0), AiryPSF(0.5, 600.0), PIXEL)
    with pytest.raises(OpticsError, match="whole number"):
        Grid((4, 4), 0)
    with pytest.raises(OpticsError, match="divide"):
        sum_pool(torch.zeros(5, 6), 2)
