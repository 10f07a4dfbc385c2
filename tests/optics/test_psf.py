"""Laws of the point spread functions: unit sum, centred, of the width they state."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.optimize import brentq
from scipy.special import erf

from fluosr.errors import OpticsError
from fluosr.optics.psf import AiryPSF, GaussianPSF, MeasuredPSF, PointSpreadFunction, gaussian_integrals


def bead(offset=(0.0, 0.0), *, side=31, sigma=(3.0, 3.0), background=0.0):
    y, x = np.indices((side, side)) - side // 2
    return (
        100 * np.exp(-((y - offset[0]) ** 2) / 2 / sigma[0] ** 2 - (x - offset[1]) ** 2 / 2 / sigma[1] ** 2)
        + background
    )


PSFS = [GaussianPSF(324.0), AiryPSF(1.4, 525.0), MeasuredPSF(bead((0.3, -0.4), sigma=(3.0, 3.5), background=7.0), 40.0)]
NAMES = [type(p).__name__ for p in PSFS]


def centroid(kernel):
    axis = np.arange(len(kernel)) - len(kernel) // 2
    return kernel.sum(1) @ axis / kernel.sum(), kernel.sum(0) @ axis / kernel.sum()


@pytest.mark.parametrize("psf", PSFS, ids=NAMES)
@pytest.mark.parametrize("pixel_nm", [12.5, 100 / 6, 33.0, 100.0])
def test_kernels_are_odd_of_unit_sum_nonnegative_and_centred(psf, pixel_nm):
    assert isinstance(psf, PointSpreadFunction)
    kernel = psf.kernel(pixel_nm)
    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1.0, abs=1e-12)
    assert kernel.min() >= 0
    assert np.abs(centroid(kernel)).max() < 1e-3


@pytest.mark.parametrize("psf", PSFS, ids=NAMES)
def test_a_kernel_has_the_stated_width(psf):
    kernel = psf.kernel(5.0)
    radius = np.sqrt((kernel > kernel.max() / 2).sum() / np.pi)
    # The bead's own pixel of 40 nm limits how well its width is known.
    assert 2 * radius * 5.0 == pytest.approx(psf.fwhm_nm, rel=0.02 if not isinstance(psf, MeasuredPSF) else 0.06)


@given(left=st.floats(-5, 5), width=st.floats(0.01, 3), centre=st.floats(-3, 3), sigma=st.floats(0.2, 4))
def test_gaussian_integrals_are_the_difference_of_two_error_functions(left, width, centre, sigma):
    a, b = ((edge - centre) / sigma / np.sqrt(2) for edge in (left, left + width))
    assert gaussian_integrals(np.array(left), width, centre, sigma) == pytest.approx((erf(b) - erf(a)) / 2, abs=1e-12)


def test_gaussian_fwhm_and_sigma_belong_together():
    psf = GaussianPSF(324.0)
    assert psf.sigma_nm == pytest.approx(137.59, abs=0.01)
    assert np.exp(-((psf.fwhm_nm / 2) ** 2) / 2 / psf.sigma_nm**2) == pytest.approx(0.5)


@settings(max_examples=20)
@given(na=st.floats(0.2, 1.6), wavelength=st.floats(350, 800))
def test_airy_fwhm_and_first_dark_ring_match_the_profile(na, wavelength):
    psf = AiryPSF(na, wavelength)
    half = brentq(lambda r: float(psf(np.array(r))) - 0.5, 1.0, 0.5 * wavelength / na)
    assert psf.fwhm_nm == pytest.approx(2 * half, rel=1e-4)
    dark = 0.609835 * wavelength / na
    assert float(psf(np.array(dark))) < 1e-8
    assert float(psf(np.array(0.9 * dark))) > 1e-3
    assert psf.reach_nm == pytest.approx(4 * dark)


def test_airy_kernel_is_integrated_over_each_pixel():
    psf = AiryPSF(1.3, 600.0)
    kernel = psf.kernel(100.0)
    r = len(kernel) // 2

    def mass(i, j):
        return dblquad(
            lambda y, x: float(psf(np.array(np.hypot(y, x)))), j * 100 - 50, j * 100 + 50, i * 100 - 50, i * 100 + 50,
            epsabs=1e-4, epsrel=1e-6,
        )[0]  # fmt: skip

    centre = mass(0, 0)
    for i, j in [(0, 1), (1, 1), (0, 3), (2, 4)]:
        assert kernel[r + i, r + j] / kernel[r, r] == pytest.approx(mass(i, j) / centre, rel=1e-4, abs=1e-6)


def test_airy_encircled_energy():
    psf = AiryPSF(1.4, 525.0, reach_rings=1.0)
    first = quad(lambda r: float(psf(np.array(r))) * r, 0, psf.reach_nm)[0]
    whole = (525.0 / (2 * np.pi * 1.4)) ** 2 * 2  # integral of [2 J1(v)/v]^2 v dv = 2
    assert first / whole == pytest.approx(0.838, abs=0.001)  # Born and Wolf, 8.5.2


@settings(max_examples=25)
@given(dy=st.floats(-2, 2), dx=st.floats(-2, 2), background=st.floats(0, 50), pixel=st.floats(10, 80))
@example(dy=0.0, dx=0.0, background=0.0, pixel=74.5)
def test_a_measured_psf_is_recentred_wherever_the_bead_lay(dy, dx, background, pixel):
    psf = MeasuredPSF(bead((dy, dx), background=background), 40.0)
    assert np.abs(centroid(psf.kernel(pixel))).max() < 1e-3


def test_a_measured_gaussian_gives_back_the_gaussian():
    measured = MeasuredPSF(bead(side=61, sigma=(6.88, 6.88)), 20.0)
    assert measured.fwhm_nm == pytest.approx(324.0, rel=0.02)
    wanted = GaussianPSF(6.88 * 20 * 2.3548).kernel(50.0)
    found = measured.kernel(50.0)
    r = min(len(found), len(wanted)) // 2
    cut = [k[len(k) // 2 - r : len(k) // 2 + r + 1, len(k) // 2 - r : len(k) // 2 + r + 1] for k in (found, wanted)]
    assert np.abs(cut[0] - cut[1]).max() < 0.03 * wanted.max()


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianPSF(0.0),
        lambda: GaussianPSF(float("nan")),
        lambda: AiryPSF(60.0, 500.0),
        lambda: AiryPSF(1.4, -500.0),
        lambda: MeasuredPSF(np.ones((2, 2)), 50.0),
        lambda: MeasuredPSF(np.ones((5, 5, 3)), 50.0),
        lambda: MeasuredPSF(np.ones((9, 9)), 50.0),
        lambda: MeasuredPSF(np.full((9, 9), np.nan), 50.0),
        lambda: MeasuredPSF(bead(), 0.0),
    ],
)
def test_impossible_optics_are_refused(make):
    with pytest.raises(OpticsError):
        make()


def noisy(image, seed=0):
    return image + 2.0 * np.random.default_rng(seed).standard_normal(image.shape)


def single(y, x, side=15):
    image = np.zeros((side, side))
    image[y, x] = 100.0
    return image


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (bead((-15.0, 3.0)), "peak on the border.*row 0.*whole bead"),
        (bead((3.0, 15.0)), "peak on the border"),
        (-bead(), "empty|further below its rim"),
        (bead((0.0, 4.0), sigma=(2.0, 2.0)) - 0.9 * bead((0.0, -4.0), sigma=(2.0, 2.0)), "below its rim"),
        (single(7, 7), "hot pixel"),
        (noisy(single(7, 7)), "hot pixel"),
        (bead((-7.0, 0.0), sigma=(2.0, 2.0)) + bead((7.0, 2.0), sigma=(2.0, 2.0)), "2 spots; give an image cut"),
        (bead((-7.0, 0.0), sigma=(2.0, 2.0)) + 0.5 * bead((7.0, 2.0), sigma=(2.0, 2.0)), "2 spots"),
    ],
    ids=["cut above", "cut at the right", "inverted", "filtered", "hot", "hot in noise", "two", "a dim second"],
)
def test_what_is_not_one_bead_is_refused(image, message):
    with pytest.raises(OpticsError, match=rf"the measured PSF \(beads.tif\).*({message})"):
        MeasuredPSF(image, 40.0, source="beads.tif")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sigma", [(1.0, 1.0), (2.0, 3.0), (4.0, 4.0)])
def test_a_bead_in_noise_is_a_bead(sigma, seed):
    MeasuredPSF(noisy(bead((0.3, -0.4), sigma=sigma, background=20.0), seed), 40.0)
    MeasuredPSF(noisy(noisy(noisy(bead(sigma=sigma), seed), seed + 10), seed + 20), 40.0)


def test_an_airy_pattern_is_one_bead():
    y, x = np.indices((61, 61)) - 30.0
    MeasuredPSF(AiryPSF(1.4, 525.0)(20.0 * np.hypot(y, x)), 20.0)


@pytest.mark.parametrize(("share", "wider"), [(1 / 3, 1.025), (1 / 6, 1.0065)])
def test_a_bead_s_own_pixel_widens_it_as_documented(share, wider):
    """Root mean square width of a Gaussian that was integrated over the pixels of its image."""
    pixel, sigma = 324.0 * share, 324.0 / 2.35482
    edges = np.arange(-12, 13) - 0.5
    profile = gaussian_integrals(edges, 1.0, 0.0, sigma / pixel)
    found = np.sqrt((profile * np.arange(-12, 13) ** 2).sum()) * pixel
    assert found / sigma == pytest.approx(wider, abs=1e-3)


@pytest.mark.parametrize(("rings", "beyond"), [(4.0, 0.041), (8.0, 0.021), (16.0, 0.010)])
def test_the_light_beyond_an_airy_kernel_is_as_documented(rings, beyond):
    psf = AiryPSF(1.4, 525.0, reach_rings=rings)
    inside = quad(lambda r: float(psf(np.array(r))) * r, 0, psf.reach_nm, limit=500)[0]
    assert 1 - inside / ((525.0 / (2 * np.pi * 1.4)) ** 2 * 2) == pytest.approx(beyond, abs=6e-4)


def test_describe_names_the_model():
    assert [p.describe()["model"] for p in PSFS] == ["gaussian", "airy", "measured"]
