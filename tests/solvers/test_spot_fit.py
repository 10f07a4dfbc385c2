"""Spots by maximum likelihood: derivatives, the optimum, the bound, and what reaches it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtr

from fluosr.optics.psf import gaussian_integrals
from fluosr.solvers.spot_fit import SpotFits, allowed_misfit, fit_spots, profile

SIDE, SIGMA = 7, 1.0
VALUES = ("x_px", "y_px", "photons", "background", "sigma_px")
ERRORS = ("x_error_px", "y_error_px", "photons_error", "background_error", "sigma_error_px")


def model(
    x: float, y: float, photons: float, background: float, sigma: float = SIGMA, shape: tuple[int, int] = (SIDE, SIDE)
) -> np.ndarray:
    """The plain formula, with the error function of another library."""
    rows, columns = (gaussian_integrals(np.arange(n), 1.0, c, sigma) for n, c in zip(shape, (y, x), strict=True))
    return photons * np.outer(rows, columns) + background


def spots(
    n: int, photons: float, background: float, *, seed: int = 0, variance: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and (n, 7, 7) patches of spots anywhere in the middle pixel."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(SIDE / 2 - 0.5, SIDE / 2 + 0.5, (2, n))
    clean = np.stack([model(a, b, photons, background) for a, b in zip(x, y, strict=True)])
    return x, y, random.poisson(clean) + np.sqrt(variance) * random.standard_normal(clean.shape)


def ratio(patch: np.ndarray, noise: np.ndarray | float, expected: np.ndarray) -> float:
    """The log-likelihood ratio, written out."""
    counted, seen = np.maximum(patch + noise, 0.0), expected + noise
    logs = np.where(counted > 0, counted * np.log(np.maximum(counted, 1e-300) / seen), 0.0)
    return float(2.0 * (seen - counted + logs).sum())


def fisher(values: np.ndarray, noise: np.ndarray | float, count: int, shape: tuple[int, int]) -> np.ndarray:
    """sum_k dM_k/di dM_k/dj / M_k, with differences for derivatives."""
    steps = 1e-4 * np.array([1.0, 1.0, values[2], values[3] + 1.0, 1.0])
    slopes = [
        (model(*(values + s * e), shape=shape) - model(*(values - s * e), shape=shape)) / (2.0 * s)
        for s, e in zip(steps[:count], np.eye(5), strict=False)
    ]
    seen = model(*values, shape=shape) + noise
    return np.array([[(a * b / seen).sum() for b in slopes] for a in slopes])


@given(st.integers(2, 12), st.floats(-1.0, 13.0), st.floats(0.4, 3.0))
def test_profiles_are_integrals_of_gaussians_and_their_derivatives(size: int, centre: float, sigma: float) -> None:
    value, by_centre, by_sigma = profile(size, centre, sigma)
    np.testing.assert_allclose(value, gaussian_integrals(np.arange(size), 1.0, centre, sigma), atol=1e-14)
    h = 1e-5
    across = (profile(size, centre + h, sigma)[0] - profile(size, centre - h, sigma)[0]) / (2 * h)
    wider = (profile(size, centre, sigma + h)[0] - profile(size, centre, sigma - h)[0]) / (2 * h)
    np.testing.assert_allclose(by_centre, across, atol=1e-8)
    np.testing.assert_allclose(by_sigma, wider, atol=1e-8)


@pytest.mark.parametrize("fit_width", [False, True])
@pytest.mark.parametrize("shape", [(7, 7), (6, 9)])
def test_the_optimum_is_that_of_the_likelihood_written_out(fit_width: bool, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    noise = random.gamma(2.0, 2.0, (8, *shape))
    true = np.array([shape[1] / 2 + 0.3, shape[0] / 2 - 0.4, 500.0, 5.0, SIGMA])
    clean = np.broadcast_to(model(*true, shape=shape), noise.shape)
    patches = random.poisson(clean) + np.sqrt(noise) * random.standard_normal(noise.shape)
    found = fit_spots(patches, SIGMA, variance=noise, fit_width=fit_width)
    assert found.converged.all()
    count = 5 if fit_width else 4
    for i, (patch, extra) in enumerate(zip(patches, noise, strict=True)):
        start = true.copy()

        def misfit(v: np.ndarray, patch: np.ndarray = patch, extra: np.ndarray = extra) -> float:
            return ratio(patch, extra, model(*v, *(() if fit_width else (SIGMA,)), shape=shape))

        best = minimize(misfit, start[:count], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
        best = minimize(misfit, best, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
        ours = np.array([getattr(found, name)[i] for name in VALUES])
        errors = np.array([getattr(found, name)[i] for name in ERRORS[:count]])
        assert (np.abs(ours[:count] - best) < 3e-3 * errors).all()
        assert found.misfit[i] == pytest.approx(misfit(best), abs=1e-4)
        bound = np.sqrt(np.diag(np.linalg.inv(fisher(ours, extra, count, shape))))
        np.testing.assert_allclose(errors, bound, rtol=1e-4)
        assert found.misfit_mean[i] == pytest.approx(patch.size - count, rel=0.1)
    assert np.isnan(found.sigma_error_px).all() == (not fit_width)


@pytest.mark.parametrize(
    ("photons", "background", "variance"), [(1000.0, 10.0, 0.0), (300.0, 2.0, 0.0), (500.0, 3.0, 4.0)]
)
def test_estimates_are_unbiased_and_reach_the_bound(photons: float, background: float, variance: float) -> None:
    n = 2000
    x, y, patches = spots(n, photons, background, variance=variance)
    found = fit_spots(patches, SIGMA, variance=variance)
    assert found.converged.mean() > 0.999
    for name, true in (("x_px", x), ("y_px", y), ("photons", photons), ("background", background)):
        miss = getattr(found, name) - true
        value = {"x_px": "x_error_px", "y_px": "y_error_px"}.get(name, f"{name}_error")
        bound = np.sqrt((getattr(found, value) ** 2).mean())
        spread = 1.0 / np.sqrt(2 * n)  # of an rms over n, relative
        assert abs(np.sqrt((miss**2).mean()) / bound - 1.0) < 0.03 + 2 * spread, name
        assert abs(miss.mean()) < 4 * bound / np.sqrt(n) + (0.005 * true if name == "photons" else 0.0), name
    unlikely = (found.misfit - found.misfit_mean) / found.misfit_sd
    assert abs(unlikely.mean()) < 0.15  # with read noise a pixel is not quite Poisson
    assert unlikely.std() == pytest.approx(1.0, abs=0.12 if variance else 0.06)


@pytest.mark.parametrize(
    ("side", "sigma_px", "photons", "background", "fit_width"),
    [(5, 0.9, 300, 2, False), (7, 1.0, 300, 0.2, False), (7, 1.0, 1000, 20, True), (11, 1.6, 500, 1, False)],
)
def test_right_models_are_rejected_as_often_as_asked_for(
    side: int, sigma_px: float, photons: float, background: float, fit_width: bool
) -> None:
    random, n, asked = np.random.default_rng(9), 16000, 0.01
    centres = random.uniform(side / 2 - 0.5, side / 2 + 0.5, (2, n, 1))
    across, down = np.diff(ndtr((np.arange(side + 1) - centres) / sigma_px))
    patches = random.poisson(photons * down[:, :, None] * across[:, None, :] + background)
    fits = fit_spots(patches, sigma_px, fit_width=fit_width)
    fits = fits.where(fits.converged)
    rejected = fits.misfit > allowed_misfit(fits, asked)
    assert rejected.mean() == pytest.approx(asked, abs=3.0 * np.sqrt(asked / n))
    assert fits.misfit_sd.mean() == pytest.approx(fits.misfit.std(), rel=0.04)


@pytest.mark.parametrize("light", [1e-3, 0.4, 5.0])
@pytest.mark.parametrize("pixels", [0, 5, 9, 49])
def test_a_misfit_is_allowed_to_the_darkest_and_fewest_pixels(pixels: int, light: float) -> None:
    noise = np.where(np.arange(49) < pixels, 0.0, np.inf).reshape(1, 7, 7)
    fits = fit_spots(np.full((1, 7, 7), light), 1.0, variance=noise)
    allowed = allowed_misfit(fits, 1e-3)
    assert (allowed[0] > fits.misfit_mean[0] > 0.0) == (pixels > 0)
    assert np.isfinite(allowed[0])


def test_a_hot_pixel_of_known_variance_pulls_nothing() -> None:
    n, noise = 1000, np.full((SIDE, SIDE), 1.0)
    noise[2, 5] = 2500.0
    x, _, patches = spots(n, 500.0, 5.0, variance=noise)
    known = fit_spots(patches, SIGMA, variance=np.broadcast_to(noise, patches.shape))
    unknown = fit_spots(patches, SIGMA, variance=1.0)
    left_out = fit_spots(
        patches, SIGMA, variance=np.where(noise > 100.0, np.inf, np.broadcast_to(noise, patches.shape))
    )
    bound = np.sqrt((known.x_error_px**2).mean())
    for found in (known, left_out):
        assert abs((found.x_px - x).mean()) < 4 * bound / np.sqrt(n)
        assert np.sqrt(((found.x_px - x) ** 2).mean()) < 1.06 * bound
    assert (left_out.misfit_mean < known.misfit_mean - 0.5).all()
    wrong = unknown.converged & (unknown.photons > 50.0)
    assert abs((unknown.x_px - x)[wrong].mean()) > 10 * bound / np.sqrt(n)
    assert np.sqrt(((unknown.x_px - x)[wrong] ** 2).mean()) > 1.5 * bound


def same(a: SpotFits, b: SpotFits, names: tuple[str, ...], rtol: float = 1e-5) -> None:
    for name in names:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-6, err_msg=name)


def test_turned_and_shifted_patches_give_turned_and_shifted_estimates() -> None:
    _, _, patches = spots(50, 800.0, 4.0, seed=3)
    found = fit_spots(patches, SIGMA, fit_width=True)
    turned = fit_spots(patches.transpose(0, 2, 1), SIGMA, fit_width=True)
    same(found, turned, ("photons", "background", "sigma_px", "photons_error", "misfit"))
    np.testing.assert_allclose(found.x_px, turned.y_px, atol=1e-5)
    np.testing.assert_allclose(found.x_error_px, turned.y_error_px, atol=1e-5)
    mirrored = fit_spots(patches[:, :, ::-1], SIGMA, fit_width=True)
    np.testing.assert_allclose(SIDE - mirrored.x_px, found.x_px, atol=1e-5)
    wide = np.full((50, SIDE + 4, SIDE + 5), np.nan)
    noise = np.full(wide.shape, np.inf)  # nothing is known outside the shifted patch
    wide[:, 1:8, 3:10], noise[:, 1:8, 3:10] = patches, 0.0
    moved = fit_spots(np.nan_to_num(wide), SIGMA, variance=noise, fit_width=True)
    np.testing.assert_allclose(moved.x_px - 3.0, found.x_px, atol=1e-4)
    np.testing.assert_allclose(moved.y_px - 1.0, found.y_px, atol=1e-4)
    same(found, moved, ("photons", "misfit", "misfit_mean"), rtol=1e-3)


def test_patches_without_a_spot_do_no_harm() -> None:
    odd = np.stack([np.zeros((7, 7)), np.full((7, 7), 5.0), np.full((7, 7), -3.0), 1e6 * np.eye(7)])
    found = fit_spots(odd, SIGMA)
    for name in VALUES[:4]:
        assert np.isfinite(getattr(found, name)).all(), name
    assert np.isfinite(found.x_error_px[found.converged]).all()
    assert not fit_spots(np.ones((1, 7, 7)), SIGMA, variance=np.full((1, 7, 7), np.inf)).converged.any()
    assert len(fit_spots(np.zeros((0, 7, 7)), SIGMA)) == 0


@pytest.mark.parametrize(("shape", "sigma"), [((7, 7), 1.0), ((1, 1, 7), 1.0), ((1, 7, 7), 0.0), ((1, 7, 7), np.nan)])
def test_what_is_no_patch_or_no_width_is_refused(shape: tuple[int, ...], sigma: float) -> None:
    with pytest.raises(ValueError, match=r"patches are|width must"):
        fit_spots(np.ones(shape), sigma)
