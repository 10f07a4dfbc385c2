"""Bad movies, one table for every method: a picture that is finite and says what is wrong, or an error that does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fluosr
from fluosr.errors import AcquisitionError, FluosrError, MemoryLimitError, OpticsError, UsageError
from fluosr.methods.registry import get_method, method_names
from fluosr.quality.judge import judge
from fluosr.reconstruction import Reconstruction
from tests.models import give_models
from tests.movies import CROSS, frames_of, light_of, movie_of

FEW: dict[str, dict[str, Any]] = {
    "fluogan": {"iterations": 40, "sparsity": 0.7, "smoothness": 1.0},
    "richardson-lucy": {"iterations": 10},
    "sparse": {"iterations": 40, "sparsity": 0.7},
    "divnoising": {"iterations": 12, "batch": 2, "filters": 4, "frame_samples": 1, "samples": 2},
    "unfolded": {"model": "any", "bleaching": True},
    "deep-storm": {"model": "any", "bleaching": True},
    "spot-fitting": {"bleaching": True},
    "covariance": {"iterations": 20, "sparsity": 2.0, "fall_back": False},  # of steady movies it would give FluoGAN's
}
METHODS = method_names()
FROM_FRAMES = [name for name in METHODS if name != "fluogan"]


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    give_models(monkeypatch)


def reconstruct(name: str, frames: np.ndarray, **changes: Any) -> Reconstruction:
    return fluosr.reconstruct(movie_of(frames), name, **({"factor": 3} | FEW.get(name, {}) | changes))


def assert_sound(found: Reconstruction) -> None:
    images = [found.image, found.background, found.mean, found.expected, *(found.halves or ())]
    assert all(np.isfinite(image).all() for image in images)
    assert found.image.min() >= 0


def made_or_refused(name: str, frames: np.ndarray, errors: Any, words: str) -> Reconstruction | None:
    """What the method makes of it, or None where it refuses with an error of these kinds and words."""
    found: list[Reconstruction] = []
    try:
        with pytest.raises(errors, match=words):
            found.append(reconstruct(name, frames))
    except pytest.fail.Exception:
        assert found, "neither a picture nor an error"
    return found[0] if found else None


@pytest.mark.parametrize("name", METHODS)
def test_a_frame_with_nan_is_named(name: str) -> None:
    frames = frames_of(light_of(CROSS, background=3.0)).astype(np.float32)
    frames[17, 3, 4] = np.nan
    with pytest.raises(AcquisitionError, match="frame 17 holds NaN"):
        reconstruct(name, frames)


@pytest.mark.parametrize("name", FROM_FRAMES)
def test_frames_after_the_light_is_gone_are_left_out(name: str) -> None:
    light = light_of(CROSS, background=3.0)
    dying = np.exp(-np.arange(120) / 12.0)[:, None, None]
    frames = np.random.default_rng(0).poisson(light * dying).astype(np.uint16)
    found = reconstruct(name, frames, drift=False, halves=False)
    assert_sound(found)
    assert any("bleaches to nothing: frames from" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_too_few_frames_give_a_picture_with_a_warning_or_say_how_many_are_needed(name: str, count: int) -> None:
    frames = frames_of(light_of(CROSS, background=3.0), count)
    found = made_or_refused(name, frames, AcquisitionError, "at least")
    if found is None:
        return
    assert_sound(found)
    assert any(f"Only {count} frames" in warning for warning in found.warnings)
    quality = judge(found)
    assert quality.resolution is not None or quality.resolution_reason


@pytest.mark.parametrize("name", METHODS)
def test_a_grid_larger_than_the_memory_is_refused_before_it_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fluosr.methods.from_frames", "fluosr.machine"):
        monkeypatch.setattr(f"{module}.available_memory_bytes", lambda: 3_000_000)
    with pytest.raises(MemoryLimitError, match=r"factor of 32 .*--factor \d+ fits|no factor fits"):
        reconstruct(name, frames_of(light_of(CROSS, background=3.0)), factor=32)


@pytest.mark.parametrize("name", METHODS)
def test_a_field_hardly_wider_than_the_psf_gives_a_picture_or_says_what_does_not_fit(name: str) -> None:
    frames = frames_of(light_of([(2.5, 2.5, 300.0)], (5, 6), background=2.0))
    found = made_or_refused(name, frames, (OpticsError, AcquisitionError, UsageError), "field|window|pixels")
    if found is not None:
        assert_sound(found)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("sofi", {"order": 7}, "order"),
        ("sofi", {"lag": 60, "kind": "auto"}, "at least"),
        ("srrf", {"radius": 40.0}, "radius"),
        ("esrrf", {"radius": 40.0}, "radius"),
        ("musical", {"window_px": 40}, "window"),
        ("colorme", {"penalty": "l7"}, "penalty"),
        ("sparcom", {"factor": 0}, "factor"),
        ("richardson-lucy", {"iterations": 0}, "iterations"),
        ("covariance", {"fano": -1.0}, "fano"),
    ],
)
def test_a_value_that_the_method_cannot_do_is_named(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(FluosrError, match=words):
        reconstruct(name, frames_of(light_of(CROSS, background=3.0)), **parameters)


@pytest.mark.parametrize("name", METHODS)
def test_a_parameter_of_another_method_is_refused_with_the_nearest_names(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.*no such parameter"):
        get_method(name).build(no_such_thing=1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("sofi", {}),
        ("sofi", {"order": 4}),
        ("esrrf", {"temporal": "TAC2"}),
        ("srrf", {"temporal": "TRAC2"}),
        ("sacd", {}),
    ],
)
def test_steady_light_says_nothing_to_methods_that_live_on_fluctuations(name: str, parameters: dict[str, Any]) -> None:
    found = reconstruct(name, frames_of(light_of(CROSS, background=3.0), 200), **parameters)
    assert any("Nothing here for this method" in warning for warning in found.warnings)
    assert judge(found).resolution is None and judge(found).decorrelation is None


def test_a_lag_longer_than_a_bleaching_block_still_sees_the_emitters() -> None:
    light = light_of(CROSS, background=3.0)
    level = np.exp(-np.arange(600) / 400.0) * np.where(np.arange(600) % 100 < 50, 1.8, 0.2)
    frames = np.random.default_rng(0).poisson(light * level[:, None, None]).astype(np.uint16)
    found = reconstruct("sofi", frames, kind="auto", order=3, lag=50, drift=False, halves=False)
    assert found.image.max() > 0


@pytest.mark.parametrize(
    ("name", "n_frames", "parameters"),
    [
        ("sofi", 100, {"kind": "auto", "order": 4, "lag": 20}),
        ("sacd", 7, {}),
        ("srrf", 14, {"temporal": "TRAC4"}),
        ("esrrf", 7, {"temporal": "TAC2"}),
        ("fluogan", 3, {}),
        ("covariance", 15, {}),
    ],
)
def test_frames_that_suffice_for_a_picture_but_not_for_two_give_no_halves(
    name: str, n_frames: int, parameters: dict[str, Any]
) -> None:
    frames = frames_of(light_of(CROSS, background=3.0), n_frames, blinking=True)
    found = reconstruct(name, frames, drift=False, **parameters)
    assert found.halves is None
    assert any("Half of the frames are too few" in warning for warning in found.warnings)
    assert_sound(found)


def test_a_penalty_that_takes_all_light_is_not_taken_for_a_picture() -> None:
    found = reconstruct("sparse", frames_of(light_of(CROSS, background=3.0)), sparsity=1e6, halves=False)
    assert not found.image.any()
    assert found.significance is not None and found.significance <= 0
    assert any("holds no light" in warning for warning in found.warnings)


def test_a_threshold_that_was_given_is_not_blamed_on_the_sample() -> None:
    frames = frames_of(light_of(CROSS, background=3.0), blinking=True)
    found = reconstruct("colorme", frames, sparsity=1e9, halves=False)
    assert any("threshold that was given" in warning for warning in found.warnings)
    assert not any("seen to fluctuate" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", METHODS)
def test_an_offset_above_all_light_is_called_so(name: str) -> None:
    frames = frames_of(light_of(CROSS, background=3.0)) + 100
    options = {"factor": 3} | FEW.get(name, {}) | {"drift": False, "halves": False}
    found = fluosr.reconstruct(movie_of(frames, offset=1e4), name, **options)
    assert any("offset lies above all light" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", ["fluogan", "mean", "sofi"])
def test_black_frames_between_bright_ones_are_named(name: str) -> None:
    frames = frames_of(light_of(CROSS, background=3.0), 60)
    frames[1::2] = 0
    found = reconstruct(name, frames, drift=False, halves=False)
    assert any("29 of 60 frames are black" in warning for warning in found.warnings)  # the last has none after
