"""Laws of the error map: a blur that was made is found, what was added shows where it is, nothing ends in NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from fluosr.errors import UsageError
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.quality.error_map import _Blurs, error_map, error_map_with_psf


def points(shape, seed=0, share=0.02):
    generator = np.random.default_rng(seed)
    return (generator.random(shape) < share) * generator.random(shape)


def taken(image, factor, sigma_px):
    """The image blurred with mirrored borders, its mean over L x L pixels; ``sigma_px`` in coarse pixels."""
    blurred = gaussian_filter(image, sigma_px * factor, truncate=8, mode="reflect")
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return blurred.reshape(height, factor, width, factor).mean((1, 3))


@pytest.mark.parametrize("shape", [(16, 16), (31, 20), (9, 53)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 7])
def test_the_blurs_are_those_of_the_image(shape, factor):
    image = points((factor * shape[0], factor * shape[1]))
    blurs = _Blurs(image, shape, factor)
    pooled = image.reshape(shape[0], factor, shape[1], factor).mean((1, 3))
    np.testing.assert_allclose(blurs.image(0.0), pooled, atol=1e-12)
    for sigma in (0.9, 1.0, 2.0) if factor > 1 else (2.0, 3.0):  # under a pixel the sampled Gaussian is another
        np.testing.assert_allclose(blurs.image(sigma), taken(image, factor, sigma), atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([((40, 50), 3), ((33, 47), 2), ((60, 31), 5)]),
    st.floats(0.8, 3.0),
    st.floats(0.01, 100.0),
    st.floats(-5.0, 50.0),
)
def test_blur_scale_and_offset_are_found(size, sigma, scale, offset):
    shape, factor = size
    image = points((factor * shape[0], factor * shape[1]))
    found = error_map(scale * taken(image, factor, sigma) + offset, image, 100.0)
    assert found.sigma_nm == pytest.approx(100.0 * sigma, rel=2e-3)
    assert found.scale == pytest.approx(scale, rel=1e-2)
    assert found.offset == pytest.approx(offset, abs=1e-3 * scale + 1e-9)
    assert found.rsp == pytest.approx(1.0, abs=1e-5)
    assert found.rse < 1e-2 * scale * image.std()


def test_figures_are_those_of_their_formulas():
    image = points((120, 96))
    reference = 4 * taken(image, 4, 1.3) + 1 + 0.05 * np.random.default_rng(1).standard_normal((30, 24))
    found = error_map(reference, image, 100.0)
    expected = found.expected.astype(float)
    assert found.rse == pytest.approx(np.sqrt(np.mean((reference - expected) ** 2)), rel=1e-5)
    assert found.rsp == pytest.approx(np.corrcoef(reference.ravel(), expected.ravel())[0, 1], rel=1e-5)
    np.testing.assert_allclose(found.error, np.abs(reference - expected), atol=1e-6)
    # no other blur, scale or offset does better
    for sigma in np.linspace(0.5, 3, 26):
        design = np.stack([taken(image, 4, sigma).ravel(), np.ones(720)], 1)
        left = reference.ravel() - design @ np.linalg.lstsq(design, reference.ravel(), rcond=None)[0]
        assert np.sqrt(np.mean(left**2)) > found.rse * (1 - 1e-6)


def test_what_was_invented_shows_where_it_is():
    image = points((120, 120))
    reference = taken(image, 4, 1.3)
    image[60:64, 80:84] += 1.0
    found = error_map(reference, image, 100.0)
    assert np.unravel_index(np.argmax(found.error), (30, 30)) == (15, 20)


def test_dead_pixels_are_left_out():
    image = points((80, 120))
    reference = 3 * taken(image, 4, 1.5) + 2
    reference[4, 5], reference[11, :3] = np.nan, np.inf
    found = error_map(reference, image, 100.0)
    assert found.n_ignored == 4 and np.isnan(found.error).sum() == 4
    assert found.rsp > 0.999 and found.scale == pytest.approx(3, rel=0.05)


def test_a_reversed_image_is_not_turned_round():
    image = points((80, 80))
    found = error_map(-taken(image, 4, 1.5), image, 100.0)
    assert found.scale == 0.0 and found.rsp < 0


def test_a_blur_at_the_limit_is_said():
    image = points((80, 120))
    found = error_map(taken(image, 2, 4.0), image, 100.0, most_sigma_nm=200.0)
    assert found.sigma_at_limit and found.sigma_nm == pytest.approx(200.0, rel=0.01)


@pytest.mark.parametrize("psf", [GaussianPSF(300.0), AiryPSF(1.4, 600.0)], ids=["gaussian", "airy"])
def test_with_the_psf_known_the_operator_explains_its_own_image(psf):
    import torch

    from fluosr.optics.operators import imaging_operator

    image = points((100, 128), share=0.05)
    operator = imaging_operator((25, 32), 4, psf, 100.0, dtype=torch.float64)
    margin = operator.grid.margin * 4
    seen = operator.forward_one(torch.nn.functional.pad(torch.as_tensor(image), (margin,) * 4), 0).numpy()
    found = error_map_with_psf(2 * seen + 7, image, psf, 100.0)
    assert (found.scale, found.offset, found.rsp) == pytest.approx((2.0, 7.0, 1.0), rel=1e-9)
    assert found.rse == pytest.approx(0.0, abs=1e-9) and found.sigma_nm is None


@pytest.mark.parametrize("judge", [error_map, lambda r, i, p: error_map_with_psf(r, i, GaussianPSF(300.0), p)])
@pytest.mark.parametrize(
    ("reference", "image", "word"),
    [
        (np.full((20, 20), 3.0), points((40, 40)), "reference is constant"),
        (points((20, 20)), np.zeros((40, 40)), "image is constant"),
        (points((20, 20)), np.full((40, 40), np.nan), "finite"),
        (np.full((20, 20), np.nan), points((40, 40)), "too few"),
        (points((3, 20), share=0.5), points((6, 40)), "too small"),
    ],
)
def test_what_cannot_be_judged_says_why(judge, reference, image, word):
    found = judge(reference, image, 100.0)
    assert word in found.reason
    assert found.rse is None and found.rsp is None
    assert found.error.shape == reference.shape


@pytest.mark.parametrize(
    ("reference", "image", "pixel"),
    [
        ((20, 20), (41, 40), 100.0),
        ((20, 20), (40, 60), 100.0),
        ((20, 20), (10, 10), 100.0),
        ((2, 20, 20), (40, 40), 100.0),
        ((20, 20), (40, 40), -1.0),
    ],
)
def test_wrong_use_is_refused(reference, image, pixel):
    with pytest.raises(UsageError):
        error_map(np.zeros(reference), np.zeros(image), pixel)
