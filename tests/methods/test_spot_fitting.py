"""Spot fitting: false alarms as promised, molecules where they are and as sure as said, and what is no molecule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln, log_ndtr

import fluosr
from fluosr.errors import UsageError
from fluosr.localisations import Localisations
from fluosr.methods.registry import get_method
from fluosr.methods.spot_fitting.detection import Detector, significance
from fluosr.methods.spot_fitting.frames import _leave_to_neighbours
from fluosr.quality.residuals import residual_map
from fluosr.reconstruction import Reconstruction
from tests.movies import FWHM_NM, PIXEL_NM, frames_of, light_of, movie_of

SIGMA_PX = 1.27
Rows = list[tuple[float, float, float]]


def reconstruct(frames: np.ndarray, camera: dict[str, Any] | None = None, **parameters: Any) -> Reconstruction:
    movie = movie_of(frames, **(camera or {}))
    return fluosr.reconstruct(movie, "spot-fitting", **({"factor": 4, "halves": False} | parameters))


def molecules(found: Reconstruction) -> Localisations:
    assert found.localisations is not None
    return found.localisations


def sparse_movie(
    n_frames: int = 30, photons: float = 800.0, background: float = 5.0, *, seed: int = 0
) -> tuple[np.ndarray, list[Rows]]:
    """Frames of 48 x 48 pixels with four molecules each, one in every quarter: far from each other; and the truth."""
    random = np.random.default_rng(seed)
    truth, frames = [], []
    for _ in range(n_frames):
        corners = [(y, x) for y in (0.0, 24.0) for x in (0.0, 24.0)]
        rows = [(y + random.uniform(6, 18), x + random.uniform(6, 18), photons) for y, x in corners]
        truth.append(rows)
        frames.append(random.poisson(light_of(rows, (48, 48), background)))
    return np.stack(frames).astype(np.uint16), truth


def errors_px(found: Localisations, truth: list[Rows], radius: float = 1.5) -> tuple[np.ndarray, np.ndarray, int]:
    """(m, 2) y and x errors of the matched, in pixels; (m,) their stated uncertainty; number of true molecules."""
    misses, stated = [], []
    for number, rows in enumerate(truth):
        here = found.in_frame(number)
        places = np.stack([here.y_nm, here.x_nm], 1) / PIXEL_NM
        away = places[:, None] - np.array(rows)[None, :, :2]
        distance = np.linalg.norm(away, axis=2)
        pairs = zip(*linear_sum_assignment(np.minimum(distance, radius)), strict=True)
        for i, j in pairs:
            if distance[i, j] < radius:
                misses.append(away[i, j])
                stated.append(here.uncertainty_nm[i] / PIXEL_NM)
    return np.array(misses).reshape(-1, 2), np.array(stated), sum(map(len, truth))


@pytest.mark.parametrize(("background", "read_noise"), [(0.2, 0.0), (2.0, 0.0), (100.0, 0.0), (1.0, 1.5), (10.0, 3.0)])
@pytest.mark.parametrize("sigma_px", [0.9, 1.6])
def test_noise_gives_as_many_false_alarms_as_asked_for(background: float, read_noise: float, sigma_px: float) -> None:
    random = np.random.default_rng(1)
    wanted, count = 2.0, 30
    detector = Detector(np.full((96, 90), read_noise**2), sigma_px, wanted)
    frames = random.poisson(background, (count, 96, 90)) + read_noise * random.standard_normal((count, 96, 90))
    alarms = sum(len(detector.find(frame.astype(np.float32)).rows) for frame in frames) / count
    assert 0.35 * wanted < alarms < 2.0 * wanted


@pytest.mark.parametrize("skewness", [0.05, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("height", [0.3, 3.0, 12.0, 100.0, 500.0])
def test_scores_are_normal_deviates_of_a_gamma_tail(skewness: float, height: float) -> None:
    shape = 4.0 / skewness**2
    place = shape + height * np.sqrt(shape)
    # The tail over the density at its begin, by sums; far out, where no chance is a number, too.
    beyond = place * np.expm1(np.linspace(0.0, 8.0, 400_001) ** 2 / 8.0)
    relative = np.exp((shape - 1.0) * np.log1p(beyond / place) - beyond)
    density = (shape - 1.0) * np.log(place) - place - gammaln(shape)
    tail = density + np.log(np.trapezoid(relative, beyond))
    found = significance(np.array([height, height]), np.array([skewness, skewness]))
    np.testing.assert_allclose(log_ndtr(-found), tail, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("background", "sigma_px"), [(0.1, 0.9), (0.2, 1.6), (20.0, 1.3)])
def test_scores_of_noise_are_as_rare_as_those_of_a_normal_law(background: float, sigma_px: float) -> None:
    random, wanted, count = np.random.default_rng(3), 5.0, 60
    detector = Detector(np.zeros((96, 90)), sigma_px, wanted)
    frames = random.poisson(background, (count, 96, 90)).astype(np.float32)
    found = [detector.find(frame) for frame in frames]
    score = np.concatenate([significance(one.height, one.skewness) for one in found])
    assert score.min() > detector.level - 0.01
    higher = detector.level + 1.0
    expected = len(score) * higher / detector.level * np.exp((detector.level**2 - higher**2) / 2.0)  # Adler's law
    assert (score > higher).sum() < expected + 4.0 * np.sqrt(expected)


def test_more_false_alarms_than_can_be_are_said_not_to_be() -> None:
    found = reconstruct(np.random.default_rng(0).poisson(5.0, (3, 48, 48)).astype(np.uint16), false_alarms=900.0)
    threshold = found.choices["threshold"]
    assert threshold["value"] == 2.0
    assert "no more of which" in threshold["why"] and "900" not in threshold["why"]
    for wanted in (0.1, 2.0):
        detector = Detector(np.zeros((48, 48)), SIGMA_PX, wanted)
        assert detector.false_alarms == wanted and detector.level > 2.0
    most = Detector(np.zeros((48, 48)), SIGMA_PX, 900.0).false_alarms
    assert Detector(np.zeros((48, 48)), SIGMA_PX, 0.999 * most).level == pytest.approx(2.0, abs=1e-3)


def test_a_smooth_hill_is_no_molecule() -> None:
    random, detector = np.random.default_rng(7), Detector(np.zeros((64, 64)), SIGMA_PX, 1.0)
    y, x = np.indices((64, 64))
    hill = 100.0 * np.exp(-((y - 8) ** 2 + (x - 20) ** 2) / (2.0 * 16.0**2)) + 5.0  # its top is near the rim
    alarms = sum(len(detector.find(random.poisson(hill).astype(np.float32)).rows) for _ in range(30)) / 30
    assert alarms < 2.0


def test_frames_that_scatter_more_than_their_photons_raise_the_threshold() -> None:
    random, detector = np.random.default_rng(8), Detector(np.zeros((64, 64)), SIGMA_PX, 1.0)
    multiplied = random.gamma(random.poisson(20.0, (30, 64, 64)) + 1e-9)  # electron multiplication: twice the variance
    assert sum(len(detector.find(frame.astype(np.float32)).rows) for frame in multiplied) / 30 < 2.0


@pytest.mark.parametrize("seed", [0, 1])
def test_pixels_belong_to_the_nearest_spot(seed: int) -> None:
    random, side = np.random.default_rng(seed), 7
    which = np.sort(random.integers(0, 2, 12))
    places = random.integers(0, 20, (2, 12))
    corners = np.clip(places - side // 2, 0, 20 - side)
    variance = np.ones((12, side, side))
    crowded = _leave_to_neighbours(variance, which, places, corners)
    for n in range(12):
        others = [m for m in range(12) if m != n and which[m] == which[n]]
        box = np.indices((side, side)) + corners[:, n, None, None]

        def distance(m: int, box: np.ndarray = box) -> np.ndarray:
            return ((box - places[:, m, None, None]) ** 2).sum(0)

        given = np.any([distance(m) < distance(n) for m in others], axis=0) if others else np.zeros((side, side), bool)
        np.testing.assert_array_equal(np.isinf(variance[n]), given)
        assert crowded[n] == any((distance(m) == 0).any() for m in others)


def test_a_hot_pixel_is_no_molecule_once_its_noise_is_known() -> None:
    random = np.random.default_rng(2)
    noise = np.full((48, 48), 1.5)
    noise[random.integers(0, 48, 40), random.integers(0, 48, 40)] = 30.0
    frames = random.poisson(5.0, (20, 48, 48)) + noise * random.standard_normal((20, 48, 48)) + 100.0
    # Without --no-bad-pixels the hottest would be left out all the same.
    options: dict[str, Any] = {"bad_pixels": False, "false_alarms": 0.5, "fit_probability": 0.0}
    known = reconstruct(frames.astype(np.float32), {"offset": 100.0, "read_noise": noise}, **options)
    unknown = reconstruct(frames.astype(np.float32), {"offset": 100.0, "read_noise": 1.5}, **options)
    assert len(molecules(known)) < 2 * 0.5 * 20
    assert len(molecules(unknown)) > 5 * len(molecules(known))
    assert any("Nothing here" in warning for warning in known.warnings)


def test_molecules_are_found_where_they_are_and_as_sure_as_said() -> None:
    frames, truth = sparse_movie()
    found = reconstruct(frames, false_alarms=1e-3)
    table = molecules(found)
    misses, stated, n = errors_px(table, truth)
    assert len(misses) >= 0.98 * n
    assert len(table) <= len(misses) + 1
    assert (np.abs(misses.mean(0)) < 4 * stated.mean() / np.sqrt(n)).all()
    assert (misses / stated[:, None]).std() == pytest.approx(1.0, abs=0.15)
    assert table.photons.mean() == pytest.approx(800.0, rel=0.01)
    assert table.background.mean() == pytest.approx(5.0, rel=0.05)
    assert np.isfinite(table.uncertainty_nm).all()
    assert not any("Nothing here" in warning for warning in found.warnings)


def test_the_image_is_the_molecules_light_and_explains_the_mean_frame() -> None:
    frames, _ = sparse_movie(200, photons=2000.0)
    found = reconstruct(frames)
    table = molecules(found)
    np.testing.assert_allclose(found.image, table.rendered((48, 48), 4, PIXEL_NM) / len(frames), rtol=1e-6)
    residuals = residual_map(found)
    assert residuals.rms is not None and residuals.rms < 1.3
    counts = found.maps["localisations_per_um2"]
    assert counts.sum() * (PIXEL_NM / 4000.0) ** 2 == pytest.approx(len(table))


def test_halves_are_drawn_from_alternate_frames_and_add_up() -> None:
    frames, _ = sparse_movie(31)
    found = reconstruct(frames, halves=True)
    table = molecules(found)
    assert found.halves is not None
    for which, half in enumerate(found.halves):
        own = table.where(table.frame % 2 == which).rendered((48, 48), 4, PIXEL_NM)
        np.testing.assert_allclose(half / half.sum(), own / own.sum(), rtol=1e-5)


def test_a_chunk_of_one_frame_gives_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = sparse_movie(10)
    whole = molecules(reconstruct(frames))
    monkeypatch.setattr("fluosr.corrections.movie.CHUNK_BYTES", 1)
    split = molecules(reconstruct(frames))
    for name in ("frame", "x_nm", "y_nm", "photons", "uncertainty_nm"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))


@pytest.mark.parametrize(("y", "x"), [(0.7, 10.0), (10.0, 23.2), (0.9, 0.8), (19.4, 12.0)])
def test_molecules_at_the_rim_are_fitted_too(y: float, x: float) -> None:
    frames = frames_of(light_of([(y, x, 3000.0)], (20, 24), background=3.0), 20)
    table = molecules(reconstruct(frames, false_alarms=1e-3))
    assert len(table) >= 19
    assert np.abs(table.y_nm / PIXEL_NM - y).mean() < 0.15
    assert np.abs(table.x_nm / PIXEL_NM - x).mean() < 0.15


def test_neighbours_are_told_apart_or_left_out() -> None:
    def pair(distance_px: float) -> Localisations:
        spots = [(12.0, 12.0 - distance_px / 2, 1500.0), (12.0, 12.0 + distance_px / 2, 1500.0)]
        return molecules(reconstruct(frames_of(light_of(spots, (24, 24), background=3.0), 20)))

    apart = pair(6.0)
    assert len(apart) >= 38
    assert np.abs(np.abs(apart.x_nm / PIXEL_NM - 12.0) - 3.0).mean() < 0.1
    assert len(pair(2.5)) <= 2  # one blob, wider than one molecule


@pytest.mark.parametrize("background", [0.0, 4.0])
def test_a_movie_without_molecules_gives_an_empty_table_and_says_so(background: float) -> None:
    found = reconstruct(frames_of(np.full((20, 24), background)), false_alarms=1e-4, halves=True)
    assert len(molecules(found)) == 0
    assert found.image.max() == 0.0
    assert any("No spot stands out" in warning for warning in found.warnings)
    assert any("Nothing here" in warning for warning in found.warnings)


def test_dense_fluorescence_is_called_so() -> None:
    random = np.random.default_rng(4)
    emitters = np.column_stack([random.uniform(0, 40, (250, 2)), np.full(250, 600.0)])
    frames = np.stack([random.poisson(light_of(emitters[random.random(250) < 0.5], (40, 40), 5.0)) for _ in range(20)])
    found = reconstruct(frames.astype(np.uint16))
    assert any("stands alone" in warning for warning in found.warnings)


def test_molecules_that_no_mean_frame_shows_are_something() -> None:
    n_frames, random = 1000, np.random.default_rng(5)
    frames = random.poisson(10.0, (n_frames, 20, 22)).astype(np.uint16)
    for number in (100, 500, 901):
        frames[number] = random.poisson(light_of([(10.0, 11.0, 700.0)], (20, 22), 10.0))
    found = reconstruct(frames, false_alarms=1e-3, halves=True)
    assert {100, 500, 901} <= set(molecules(found).frame.tolist())
    assert found.significance is not None and found.significance > 4.0
    assert not any("Nothing here" in warning for warning in found.warnings)


def test_drift_is_taken_off_the_coordinates() -> None:
    random = np.random.default_rng(6)
    places = np.array([(y, x) for y in (8.0, 20.0, 33.0) for x in (9.0, 21.0, 34.0)]) + random.uniform(-1, 1, (9, 2))
    drift = np.outer(np.linspace(-0.5, 0.5, 400), (1.0, -0.8))
    frames = np.stack(
        [random.poisson(light_of([(y + dy, x + dx, 600.0) for y, x in places], (42, 42), 4.0)) for dy, dx in drift]
    ).astype(np.uint16)
    left, taken = (molecules(reconstruct(frames, drift=wanted, false_alarms=1e-3)) for wanted in (False, True))

    def spread(table: Localisations) -> float:
        y, x = table.y_nm / PIXEL_NM, table.x_nm / PIXEL_NM
        nearest = np.hypot(y[:, None] - places[:, 0], x[:, None] - places[:, 1]).argmin(1)
        return float(np.sqrt(np.mean([y[nearest == i].var() + x[nearest == i].var() for i in range(9)])))

    assert len(taken) == len(left)
    np.testing.assert_array_equal(taken.photons, left.photons)
    assert spread(left) > 0.35
    assert spread(taken) < 0.15


def test_fitted_widths_tell_a_wrong_psf() -> None:
    frames, _ = sparse_movie(10, photons=3000.0)
    right = reconstruct(frames, fit_width=True)
    assert right.choices["fitted_fwhm_nm"]["value"] == pytest.approx(FWHM_NM, rel=0.02)
    assert not any("wrong width" in warning for warning in right.warnings)
    wrong = reconstruct(frames, {"fwhm_nm": 240.0}, fit_width=True)
    assert wrong.choices["fitted_fwhm_nm"]["value"] == pytest.approx(FWHM_NM, rel=0.03)
    assert any("FWHM is 30" in warning or "FWHM is 29" in warning for warning in wrong.warnings)


def test_what_is_asked_for_is_kept() -> None:
    frames, truth = sparse_movie(10)
    whole = molecules(reconstruct(frames))
    middle = float(np.median(whole.photons))
    np.testing.assert_array_equal(
        molecules(reconstruct(frames, least_photons=middle)).photons, whole.photons[whole.photons >= middle]
    )
    np.testing.assert_array_equal(
        molecules(reconstruct(frames, most_photons=middle)).photons, whole.photons[whole.photons <= middle]
    )
    sure = float(np.median(whole.uncertainty_nm))
    assert molecules(reconstruct(frames, largest_uncertainty_nm=sure)).uncertainty_nm.max() <= sure
    dim = errors_px(molecules(reconstruct(frames, box_px=6)), truth)[0]
    assert len(dim) > 0.9 * 40
    with pytest.raises(UsageError, match="must exceed least_photons"):
        get_method("spot-fitting").build(least_photons=100.0, most_photons=50.0)
