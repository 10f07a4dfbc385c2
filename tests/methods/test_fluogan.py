"""FluoGAN as users meet it: parameters, presets, automatic choices, warnings, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fluosr
from fluosr.acquisition import Acquisition
from fluosr.errors import MemoryLimitError, OpticsError, UsageError
from fluosr.methods.base import Estimate, Method, Run
from fluosr.methods.fluogan import regularisation
from fluosr.methods.fluogan import setup as preparation
from fluosr.methods.fluogan.parameters import FluoganParameters
from fluosr.methods.fluogan.setup import Setup, prepare
from fluosr.methods.registry import get_method, method_names
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import FWHM_PER_SIGMA, AiryPSF, GaussianPSF
from fluosr.optics.sampling import automatic_factor
from fluosr.reconstruction import Reconstruction
from fluosr.statistics import gather
from tests.movies import CROSS, FWHM_NM, PIXEL_NM, cross_movie, frames_of, light_of, movie_of

QUICK: dict[str, Any] = {"factor": 3, "iterations": 150, "sparsity": 0.7, "smoothness": 1.0, "halves": False}


def reconstruct(movie: Acquisition, **parameters: Any) -> Reconstruction:
    return fluosr.reconstruct(movie, "fluogan", **(QUICK | parameters))


def set_up(movie: Acquisition, **parameters: Any) -> Setup:
    return prepare(movie, FluoganParameters(**parameters), Run(), gather(movie))


# Parameters, presets and the registry.


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sparsty": 1.0}, ["sparsty", "no such parameter", "did you mean sparsity"]),
        ({"factor": 0}, ["factor", "greater than or equal to 1", "got 0"]),
        ({"factor": 2.5}, ["factor", "integer"]),
        ({"iterations": -3}, ["iterations", "got -3"]),
        ({"sparsity": float("nan")}, ["sparsity", "finite"]),
        ({"batch": 1}, ["batch", "greater than or equal to 2"]),
        ({"data_term": "median"}, ["data_term", "mean-weighted", "paper"]),
        ({"borders": "reflect", "discriminator_rate": 0.0}, ["borders", "periodic", "discriminator_rate", "greater"]),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        get_method("fluogan").build(**wrong)
    assert caught.value.exit_code == 2
    for word in ["fluogan", *words]:
        assert word in str(caught.value)


def test_an_unknown_preset_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no preset 'papre'; did you mean paper"):
        get_method("fluogan").build("papre")
    with pytest.raises(UsageError, match="known are: paper"):
        get_method("fluogan").build("zzz")


def test_the_preset_holds_the_values_the_paper_states() -> None:
    paper = get_method("fluogan").build("paper")
    assert isinstance(paper, FluoganParameters)
    assert paper.batch == 32  # table 1
    assert paper.discriminator_rate == 1e-6  # table 1
    assert paper.factor == 6  # sections 5.1 and 5.2
    assert paper.adversarial_iterations == 5000  # section 5.2
    assert (paper.generator_steps, paper.discriminator_steps) == (1, 1)
    assert (paper.discriminator, paper.discriminator_weight) == (True, 1.0)  # delta = 1
    assert paper.borders == "periodic"  # section 2
    assert paper.data_term == "paper"  # eq. 14
    assert (paper.grain_nm, paper.background_spacing_nm) == (0.0, 0.0)  # free fine pixels, free background
    assert not paper.drift
    assert paper.sparsity is None and paper.smoothness is None  # not stated: automatic


def test_what_is_given_wins_over_the_preset() -> None:
    assert get_method("fluogan").build("paper", factor=4).factor == 4  # type: ignore[attr-defined]


def test_every_parameter_says_what_it_is() -> None:
    for name, field in FluoganParameters.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("name", ["fluogn", "FLUOGAN2", "fluo"])
def test_an_unknown_method_is_told_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match=f"no method {name!r}.*fluogan"):
        get_method(name)


def test_every_listed_method_is_whole() -> None:
    for name in method_names():
        method = get_method(name)
        assert isinstance(method, Method)
        assert method.name == name and method.summary
        assert method.citation.startswith("@")
        method.build()
        for preset in method.presets:
            method.build(preset)
        assert callable(method.load())


# What it chooses.


@pytest.mark.parametrize(
    ("fwhm_nm", "pixel_nm", "factor"), [(324.0, 100.0, 6), (318.0, 103.0, 6), (300.0, 30.0, 2), (200.0, 160.0, 12)]
)
def test_the_automatic_factor_puts_about_18_fine_pixels_on_the_psf(
    fwhm_nm: float, pixel_nm: float, factor: int
) -> None:
    assert automatic_factor(fwhm_nm, pixel_nm) == factor


def test_the_automatic_factor_stays_within_its_bounds() -> None:
    assert automatic_factor(1e5, 1.0) == 1
    assert automatic_factor(1.0, 1.0) == 12


def test_without_a_factor_the_automatic_one_is_used_and_shown() -> None:
    found = reconstruct(cross_movie(), factor=None, iterations=20)
    assert found.factor == found.choices["factor"]["value"] == automatic_factor(FWHM_NM, PIXEL_NM)
    assert found.image.shape == (16 * found.factor, 18 * found.factor)
    assert found.parameters["factor"] == found.factor


def test_the_regularisation_is_chosen_by_prediction_and_its_curve_is_shown() -> None:
    found = reconstruct(cross_movie(200), sparsity=None, smoothness=None)
    for name, tried in (("sparsity", regularisation.SPARSITIES), ("smoothness", regularisation.SMOOTHNESSES)):
        shown = found.choices[name]
        assert found.parameters[name] == shown["value"]
        assert set(tried) <= set(shown["x"])
        assert len(shown["x"]) == len(shown["y"])
        assert shown["value"] == shown["x"][int(np.argmin(shown["y"]))]
        assert np.isfinite(shown["y"]).all()
    # Each half predicts the other about to the noise of both: 2 per pixel, in units of one's own.
    assert 1.0 < min(found.choices["sparsity"]["y"]) < 4.0


def test_what_is_given_is_not_chosen() -> None:
    found = reconstruct(cross_movie(), factor=4, grain_nm=50.0)
    assert not {"sparsity", "smoothness", "factor", "grain_nm"} & set(found.choices)
    assert (found.parameters["sparsity"], found.parameters["smoothness"]) == (0.7, 1.0)


def test_more_photons_call_for_no_other_sparsity_in_its_own_units() -> None:
    """lambda_1 is scale-free: a movie of the same photons in fewer frames gives the same image."""
    frames = frames_of(light_of(CROSS, background=3.0), 60)
    merged = frames.reshape(30, 2, 16, 18).sum(1, dtype=np.uint16)
    every, pairs = (reconstruct(movie_of(f), drift=False, bad_pixels=False).image for f in (frames, merged))
    assert np.abs(pairs / 2 - every).max() < 0.02 * every.max()


def test_the_estimate_comes_once_before_the_long_part() -> None:
    calls: list[Any] = []
    run = Run(on_estimate=calls.append, on_progress=lambda stage, done, total: calls.append(stage))
    fluosr.reconstruct(cross_movie(), run=run, **QUICK)
    estimates = [call for call in calls if isinstance(call, Estimate)]
    assert len(estimates) == 1
    assert estimates[0].seconds > 0 and estimates[0].n_bytes > 16 * 18 * 9 * 4
    assert set(calls[: calls.index(estimates[0])]) == {"reading the movie"}
    assert "image" in calls[calls.index(estimates[0]) :]


def test_halves_and_an_uncertainty_come_together() -> None:
    found = reconstruct(cross_movie(), halves=True)
    assert found.halves is not None and found.uncertainty is not None
    first, second = found.halves
    assert first.shape == second.shape == found.uncertainty.shape == found.image.shape
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8
    assert not np.array_equal(first, second)
    without = reconstruct(cross_movie())
    assert without.halves is None and without.uncertainty is None


# The image itself.


def test_it_finds_the_light_and_leaves_the_background() -> None:
    found = reconstruct(cross_movie(200), iterations=600)
    light = sum(point[2] for point in CROSS)
    assert found.image.sum() == pytest.approx(light, rel=0.1)
    assert found.background.mean() == pytest.approx(3.0, abs=1.0)
    assert found.history["misfit per pixel"][-1] < 1.5


def test_two_points_that_the_camera_merges_come_apart() -> None:
    points = [(8.0, 8.0, 400.0), (8.0, 10.0, 400.0)]  # 200 nm apart, PSF 300 nm
    movie = movie_of(frames_of(light_of(points, background=1.0), 200))
    image = reconstruct(movie, iterations=1500).image
    profile = image.sum(0)
    mean_profile = movie.photons(slice(None)).mean(0).sum(0)
    assert mean_profile[9] > 0.95 * mean_profile[8:10].mean()  # the camera sees one
    assert profile[26:28].max() < 0.6 * min(profile[22:26].max(), profile[28:32].max())


def test_drift_is_put_into_the_operator() -> None:
    places = np.repeat(np.linspace(-0.9, 0.9, 6), 30)
    points = [(y, x, 5 * p) for y, x, p in CROSS]
    light = [light_of([(y + d, x - d, p) for y, x, p in points], background=3.0) for d in places]
    frames = np.random.default_rng(0).poisson(np.stack(light)).astype(np.uint16)
    still = reconstruct(movie_of(frames_of(light_of(points, background=3.0), 180)), iterations=300)
    followed = reconstruct(movie_of(frames), iterations=300)
    ignored = reconstruct(movie_of(frames), iterations=300, drift=False)
    setup = set_up(movie_of(frames), factor=3)
    assert setup.operator.n_groups > 1
    assert setup.group_of_frame.shape == (180,) and setup.group_of_frame.max() == setup.operator.n_groups - 1

    def error(found: Reconstruction) -> float:
        return float(np.linalg.norm(found.image - still.image) / np.linalg.norm(still.image))

    assert error(followed) < 0.6 * error(ignored)


def test_a_sample_at_rest_needs_one_group() -> None:
    assert set_up(cross_movie(100), factor=3).operator.n_groups == 1


def test_a_hot_pixel_leaves_no_spike() -> None:
    frames = frames_of(light_of(CROSS, background=3.0))
    clean = reconstruct(movie_of(frames)).image
    frames[:, 3, 4] = 900
    found = reconstruct(movie_of(frames))
    around = (slice(6, 15), slice(9, 18))
    assert found.image[around].max() < max(2.0 * clean[around].max(), 0.1 * clean.max())
    assert any("1 of 288 pixels are" in warning for warning in found.warnings)
    assert found.choices["bad_pixels"]["value"] == 1
    assert np.isinf(found.standard_error[3, 4])
    kept = reconstruct(movie_of(frames), bad_pixels=False)
    assert kept.image[around].max() > 5.0 * found.image[around].max()


def test_the_discriminator_runs_and_changes_the_image() -> None:
    messages: list[str] = []
    run = Run(on_progress=lambda stage, done, total: messages.append(stage))
    more = {"discriminator": True, "adversarial_iterations": 10, "batch": 4}
    without = reconstruct(cross_movie())
    found = fluosr.reconstruct(cross_movie(), run=run, **(QUICK | more))
    assert "image with discriminator" in messages
    assert not np.array_equal(found.image, without.image)
    assert np.corrcoef(found.image.ravel(), without.image.ravel())[0, 1] > 0.9
    assert found.image.min() >= 0.0 and np.isfinite(found.image).all()
    for name in ("discriminator loss", "gradient penalty", "discriminator's slope"):
        assert len(found.history[name]) == 10 and np.isfinite(found.history[name]).all()


def test_another_seed_gives_other_draws() -> None:
    more = {"discriminator": True, "adversarial_iterations": 4, "batch": 4, "iterations": 50}
    first, second = (fluosr.reconstruct(cross_movie(), seed=s, **(QUICK | more)) for s in (1, 2))
    assert not np.array_equal(first.image, second.image)


def test_steps_of_both_players_are_counted() -> None:
    more = {"discriminator": True, "adversarial_iterations": 4, "batch": 2, "iterations": 20}
    found = reconstruct(cross_movie(), **more, generator_steps=3, discriminator_steps=2)
    assert len(found.history["discriminator's slope"]) == 12
    assert len(found.history["gradient penalty"]) == 8


@pytest.mark.parametrize("options", [{}, {"borders": "periodic"}, {"data_term": "paper"}, {"grain_nm": 0.0}])
def test_any_psf_will_do(options: dict[str, Any]) -> None:
    psf = AiryPSF(0.9, 525.0)
    assert psf.fwhm_nm == pytest.approx(FWHM_NM, rel=0.01)
    found = reconstruct(cross_movie(fwhm_nm=None, psf=psf), **options)
    gaussian = reconstruct(cross_movie(), **options)
    assert np.isfinite(found.image).all() and found.image.min() >= 0.0
    assert found.image.sum() == pytest.approx(gaussian.image.sum(), rel=0.25)


# What it says and refuses.


@pytest.mark.parametrize(("n_frames", "warned"), [(2, True), (19, True), (20, False)])
def test_few_frames_are_said_to_be_few(n_frames: int, warned: bool) -> None:
    found = reconstruct(cross_movie(n_frames), iterations=20, halves=True)
    assert any(f"Only {n_frames} frames" in warning for warning in found.warnings) == warned


def test_blinking_is_noticed() -> None:
    generator = np.random.default_rng(1)
    levels = generator.gamma(0.2, 5.0, 200)  # the whole field flickers: variance far above Poisson's
    light = light_of(CROSS, background=30.0)
    found = reconstruct(movie_of(generator.poisson(levels[:, None, None] * light).astype(np.uint16)), iterations=20)
    assert any("times more than photon and read noise" in warning for warning in found.warnings)


def test_warnings_of_the_movie_are_passed_on() -> None:
    movie = movie_of(frames_of(light_of(CROSS)).astype(np.float32) - 1.0, offset=None)
    assert movie.warnings
    assert set(movie.warnings) <= set(reconstruct(movie, iterations=20).warnings)


def test_a_factor_that_needs_too_much_memory_is_refused_with_one_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = cross_movie()
    reach = 3.0 * FWHM_NM / FWHM_PER_SIGMA / PIXEL_NM
    enough = preparation.memory_needed((16, 18), 9, reach) / 0.9
    monkeypatch.setattr(preparation, "free_memory_bytes", lambda device: int(enough) + 1)
    with pytest.raises(MemoryLimitError, match=r"factor of 20 on 16 x 18 .*--factor 9 fits.*--crop"):
        reconstruct(movie, factor=20)
    reconstruct(movie, factor=9, iterations=5)
    monkeypatch.setattr(preparation, "free_memory_bytes", lambda device: 1000)
    with pytest.raises(MemoryLimitError, match="no factor fits"):
        reconstruct(movie, factor=2)


@pytest.mark.parametrize("psf", [AiryPSF(1.4, 600.0), GaussianPSF(FWHM_NM)], ids=["airy", "gaussian"])
def test_every_drift_group_counts_in_the_memory(psf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check = preparation.check_groups_memory
    one = preparation.memory_needed((40, 40), 6, psf.reach_nm / PIXEL_NM) / 0.9
    monkeypatch.setattr(preparation, "free_memory_bytes", lambda device: int(1.2 * one))
    check((40, 40), 6, psf, PIXEL_NM, 1, "cpu")
    with pytest.raises(MemoryLimitError, match=r"drift in 200 steps on 40 x 40 pixels .*--no-drift"):
        check((40, 40), 6, psf, PIXEL_NM, 200, "cpu")
    operators = [
        imaging_operator((40, 40), 6, psf, PIXEL_NM, shifts=[(0.01 * k, 0.0) for k in range(count)]) for count in (1, 4)
    ]
    assert operators[1].n_bytes == pytest.approx(4 * operators[0].n_bytes, rel=0.2)


def test_slow_blinking_enlarges_the_errors_and_is_told() -> None:
    generator = np.random.default_rng(0)
    spots = generator.uniform(2, 14, (60, 2))
    light = np.stack([light_of([(y, x, 60.0)]) for y, x in spots])
    on = np.repeat(generator.random((40, 60)) < 0.3, 10, axis=0)  # 400 frames, on and off for ten frames at a time
    movie = movie_of(generator.poisson(np.tensordot(on.astype(float), light, 1) + 5.0).astype(np.uint16))
    blinking = reconstruct(movie, iterations=20, drift=True)
    steady = movie_of(generator.poisson(np.broadcast_to(0.3 * light.sum(0) + 5.0, (400, 16, 18))).astype(np.uint16))
    still = reconstruct(steady, iterations=20, drift=True)
    assert still.choices["excess_noise"]["value"] == 1.0
    assert float(blinking.choices["excess_noise"]["value"]) > 3.0
    assert np.median(blinking.standard_error) > 1.5 * np.median(still.standard_error)
    assert any("times more than photon and read noise" in warning for warning in blinking.warnings)
    assert reconstruct(movie, iterations=20, drift=False).choices["excess_noise"]["value"] == 1.0


def test_grains_no_finer_than_the_psf_are_refused() -> None:
    with pytest.raises(OpticsError, match="no finer than the PSF"):
        reconstruct(cross_movie(), grain_nm=FWHM_NM)


def test_a_field_too_small_for_the_discriminator_is_refused_before_the_work() -> None:
    movie = movie_of(frames_of(np.full((7, 12), 5.0)))
    stages: list[str] = []
    run = Run(on_progress=lambda stage, done, total: stages.append(stage))
    with pytest.raises(OpticsError, match="--no-discriminator"):
        fluosr.reconstruct(movie, run=run, **(QUICK | {"discriminator": True}))
    assert stages == []
