"""Frames that vary too little: a gain is suggested where the noise tells of one, read noise blamed where it is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fluosr
from fluosr.acquisition import Acquisition
from fluosr.corrections.movie import light_warnings
from fluosr.statistics import gather
from tests.movies import CROSS, frames_of, light_of, movie_of

LIGHT = light_of(CROSS, background=3.0)
COUNTS = frames_of(LIGHT, 200)
RAW = np.round(4.0 * (COUNTS + np.random.default_rng(1).normal(0.0, 0.5, COUNTS.shape)) + 100.0).astype(np.uint16)
AVERAGED = (LIGHT + 0.02 * np.random.default_rng(2).standard_normal((60, *LIGHT.shape))).astype(np.float32)
CAMERA = {"gain": 4.0, "offset": 100.0, "read_noise": 0.5}


def said(movie: Acquisition, **options: Any) -> list[str]:
    return light_warnings(gather(movie), movie.camera, **options)


def test_frames_as_the_camera_took_them_are_not_doubted() -> None:
    assert said(movie_of(RAW, **CAMERA)) == []


@pytest.mark.parametrize("gain", [6.0, 12.0])
def test_a_gain_that_is_too_large_is_told_from_the_noise(gain: float) -> None:
    (warning,) = said(movie_of(RAW, **CAMERA | {"gain": gain}))
    (found,) = re.findall(r"suggests --gain (\S+) \(roughly\)", warning)
    assert float(found) == pytest.approx(4.0, rel=0.25)
    assert said(movie_of(RAW, **CAMERA | {"gain": gain}), doubt_gain=False) == []


@pytest.mark.parametrize("gain", [1.0, 4.0, 40.0])
def test_frames_that_were_averaged_suggest_no_gain(gain: float) -> None:
    (warning,) = said(movie_of(AVERAGED * gain, gain=gain))
    assert "averaged" in warning and "suggests no gain" in warning and "--gain" not in warning


@pytest.mark.parametrize("read_noise", [20.0, 1e6])
@pytest.mark.parametrize("as_map", [False, True])
def test_a_read_noise_above_all_that_is_found_is_blamed_and_not_the_gain(read_noise: float, as_map: bool) -> None:
    value = np.full(LIGHT.shape, read_noise) if as_map else read_noise
    movie = movie_of(RAW, **CAMERA | {"read_noise": value})
    for doubt_gain in (True, False):
        (warning,) = said(movie, doubt_gain=doubt_gain)
        assert f"said to be {read_noise:.3g}" in warning and "check --read-noise" in warning and "--gain" not in warning


def test_a_gain_so_wrong_that_the_read_noise_seems_too_large_is_still_doubted() -> None:
    (warning,) = said(movie_of(RAW, **CAMERA | {"gain": 100.0, "read_noise": 3.0}))
    assert "must" in warning and "--read-noise" not in warning


@pytest.mark.parametrize("fall_back", [False, True])
def test_the_covariance_doubts_a_gain_once_and_with_an_interval(fall_back: bool) -> None:
    movie = movie_of(RAW, **CAMERA | {"gain": 20.0})
    quick: dict[str, Any] = {
        "factor": 2,
        "iterations": 2,
        "sparsity": 2.0,
        "halves": False,
        "fano": 2.0,
        "fall_back": fall_back,
    }
    made = fluosr.reconstruct(movie, "covariance", **quick)
    (doubt,) = (warning for warning in made.warnings if "vary less" in warning)
    assert re.search(r"suggests --gain \S+ \(95 %: ", doubt)
