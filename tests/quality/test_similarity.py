"""PSNR, SSIM and MS-SSIM: their formulas written out, 1 for the truth, blind to what was fitted, honest about sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, gaussian_filter

from fluosr.errors import UsageError
from fluosr.quality.fidelity import gain_and_offset
from fluosr.quality.similarity import SCALE_WEIGHTS, against_truth, ms_ssim, psnr_db, ssim


def scenes(shape: tuple[int, int] = (40, 52), count: int = 2, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([gaussian_filter(generator.random(shape), 1.5) for _ in range(count)]) * 900 + 100


def noisy(truths: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return truths + sigma * np.random.default_rng(seed).standard_normal(truths.shape)


def window_terms(x: np.ndarray, y: np.ndarray, span: float) -> tuple[float, float]:
    """(mean SSIM, mean contrast-structure) over the windows inside, as Wang's equations 13 to 16 say."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def mean(a: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(a, taps, axis=0), taps, axis=1)[5:-5, 5:-5]

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mx, my = mean(x), mean(y)
    sxx, syy, sxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    contrast = (2 * sxy + c2) / (sxx + syy + c2)
    return float((contrast * (2 * mx * my + c1) / (mx**2 + my**2 + c1)).mean()), float(contrast.mean())


def slow_ms_ssim(x: np.ndarray, y: np.ndarray, span: float, scales: int) -> float:
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    found = 1.0
    for j, weight in enumerate(weights):
        whole, contrast = window_terms(x, y, span)
        found *= max(whole if j == scales - 1 else contrast, 0.0) ** weight
        height, width = (side // 2 * 2 for side in x.shape)
        x, y = (a[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for a in (x, y))
    return float(found)


def test_psnr_is_its_formula() -> None:
    truths = scenes()
    pictures = noisy(truths, 30)
    wanted = [10 * np.log10(1000**2 / ((p - t) ** 2).mean()) for p, t in zip(pictures, truths, strict=True)]
    np.testing.assert_allclose(psnr_db(pictures, truths, data_range=1000), wanted, rtol=1e-12)


@pytest.mark.parametrize(("sigma", "offset"), [(3, 0.0), (60, 0.0), (60, 1e5)])
def test_ssim_is_wangs(sigma: float, offset: float) -> None:
    truths = scenes() + offset
    pictures = noisy(truths, sigma)
    wanted = [window_terms(p, t, 700.0)[0] for p, t in zip(pictures, truths, strict=True)]
    np.testing.assert_allclose(ssim(pictures, truths, data_range=700), wanted, rtol=1e-9)


@pytest.mark.parametrize(("scales", "shape"), [(1, (11, 30)), (3, (45, 51)), (5, (176, 177))])
def test_ms_ssim_is_wangs(scales: int, shape: tuple[int, int]) -> None:
    truths = scenes(shape, 1)
    pictures = noisy(truths, 40)
    wanted = slow_ms_ssim(pictures[0], truths[0], 700.0, scales)
    assert ms_ssim(pictures, truths, data_range=700, scales=scales)[0] == pytest.approx(wanted, rel=1e-9)


def test_the_truth_is_perfect_and_noise_costs() -> None:
    truths = scenes()
    same = against_truth(truths, truths, data_range=1000, scales=2)
    assert np.isinf(same.psnr_db).all() and same.ms_ssim is not None
    np.testing.assert_allclose([same.ssim, same.ms_ssim], 1.0)
    less = [against_truth(noisy(truths, sigma), truths, data_range=1000, scales=2) for sigma in (5, 20, 80)]
    for name in less[0].metrics():
        assert (np.diff([found.metrics()[name] for found in less], axis=0) < 0).all(), name


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_gain_and_offset_cost_nothing_once_fitted(gain: float, offset: float) -> None:
    truths = scenes()
    pictures = noisy(truths, 20)
    plain = against_truth(pictures, truths, data_range=1000, fit=True, scales=2)
    other = against_truth(gain * pictures + offset, truths, data_range=1000, fit=True, scales=2)
    for name, values in plain.metrics().items():
        np.testing.assert_allclose(other.metrics()[name], values, rtol=1e-6, err_msg=name)


def test_the_fit_is_the_best_and_is_told() -> None:
    truths = scenes(count=1)
    pictures = 0.4 * noisy(truths, 20) - 30
    asked = against_truth(pictures, truths, data_range=1000, fit=True, scales=None)
    assert asked.fitted and asked.gain is not None and asked.offset is not None
    a, b = np.linalg.lstsq(np.stack([pictures[0].ravel(), np.ones(truths.size)], 1), truths[0].ravel())[0]
    assert (asked.gain[0], asked.offset[0]) == pytest.approx((a, b), rel=1e-9)
    assert list(asked.metrics()) == ["PSNR after gain and offset, dB", "SSIM after gain and offset"]
    plain = against_truth(pictures, truths, data_range=1000, scales=2)
    assert not plain.fitted and plain.psnr_db[0] < asked.psnr_db[0]
    assert list(plain.metrics()) == ["PSNR, dB", "SSIM", "MS-SSIM of 2 scales"]


@pytest.mark.parametrize("turned", [lambda t: -t, lambda t: np.full_like(t, 0.1)], ids=["upside down", "flat"])
def test_a_gain_never_turns_a_picture_over(turned) -> None:  # type: ignore[no-untyped-def]
    truth = scenes(count=1)[0]
    assert gain_and_offset(turned(truth), truth) == (0.0, pytest.approx(truth.mean()))


def test_the_type_of_the_pictures_does_not_matter() -> None:
    truths = scenes().astype(np.uint16)
    pictures = noisy(truths, 30).astype(np.uint16)
    found = against_truth(pictures, truths, data_range=1000, scales=2)
    wanted = against_truth(pictures.astype(float), truths.astype(np.float32), data_range=1000, scales=2)
    for name, values in wanted.metrics().items():
        np.testing.assert_array_equal(found.metrics()[name], values, name)
    np.testing.assert_array_equal(found.ssim, ssim(pictures, truths, data_range=1000))
    np.testing.assert_array_equal(found.psnr_db, psnr_db(pictures, truths, data_range=1000))
    np.testing.assert_array_equal(found.ms_ssim, ms_ssim(pictures, truths, data_range=1000, scales=2))


def test_each_picture_may_have_its_range() -> None:
    truths, spans = scenes(), np.array([500.0, 4095.0])
    pictures = noisy(truths, 20)
    both = ssim(pictures, truths, data_range=spans)
    alone = [ssim(pictures[i : i + 1], truths[i : i + 1], data_range=spans[i])[0] for i in range(2)]
    np.testing.assert_array_equal(both, alone)


def test_what_cannot_be_compared_is_said() -> None:
    truths = scenes()
    with pytest.raises(UsageError, match="one size"):
        psnr_db([truths[0], truths[0][1:]], truths, data_range=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="grids"):
        psnr_db(truths[:1], truths, data_range=1)
    with pytest.raises(UsageError, match=r"\(N, Y, X\)"):
        psnr_db(truths[0], truths[0], data_range=1)
    with pytest.raises(UsageError, match=r"number 1 .* NaN"):
        psnr_db(np.stack([truths[0], truths[1] * np.nan]), truths, data_range=1)
    for span in (0.0, -1.0, np.nan, [1.0, 2.0, 3.0]):
        with pytest.raises(UsageError, match="data_range"):
            ssim(truths, truths, data_range=span)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="11 or more"):
        ssim(truths[:, :10], truths[:, :10], data_range=1)


def test_ms_ssim_says_the_least_size() -> None:
    truths = scenes((128, 128), 1)
    with pytest.raises(UsageError, match=r"sides of 176 pixels or more, these have 128 x 128.*4 from 88"):
        ms_ssim(truths, truths, data_range=1)
    assert ms_ssim(truths, truths, data_range=1, scales=4)[0] == pytest.approx(1)
    with pytest.raises(UsageError, match="1 to 5"):
        ms_ssim(truths, truths, data_range=1, scales=6)
