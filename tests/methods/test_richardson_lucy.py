"""Richardson-Lucy as a method: when it stops, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

import fluosr
from fluosr.errors import UsageError
from fluosr.methods.registry import get_method
from fluosr.methods.richardson_lucy import MOST_ITERATIONS, _settled
from tests.movies import cross_movie, frames_of, light_of, movie_of

PLAIN = {"factor": 3, "drift": False, "bleaching": False}


def test_more_frames_carry_more_iterations() -> None:
    chosen = [fluosr.reconstruct(cross_movie(n), "richardson-lucy", **PLAIN).parameters["iterations"] for n in (6, 300)]
    assert 1 <= chosen[0] < chosen[1] <= MOST_ITERATIONS


def test_the_choice_comes_with_its_curve_and_is_its_minimum() -> None:
    found = fluosr.reconstruct(cross_movie(), "richardson-lucy", **PLAIN)
    choice = found.choices["iterations"]
    assert choice["value"] == found.parameters["iterations"] == int(np.argmin(choice["y"])) + 1
    assert choice["x"] == list(range(1, len(choice["y"]) + 1))
    assert "iterations" not in fluosr.reconstruct(cross_movie(), "richardson-lucy", iterations=5, **PLAIN).choices


def test_background_and_light_add_up_to_the_mean_frame_in_photons() -> None:
    points = [(8.0, 9.0, 900.0)]
    light = light_of(points, background=7.0)
    found = fluosr.reconstruct(movie_of(frames_of(light, 400)), "richardson-lucy", halves=False, **PLAIN)
    pixels = found.image.reshape(16, 3, 18, 3).sum((1, 3))
    # The background is a little low under the source, and what it lacks the image has: there is no telling them apart.
    assert pixels[5:11, 6:12].sum() == pytest.approx(900.0, rel=0.15)
    assert np.median(found.background) == pytest.approx(7.0, rel=0.1)
    assert np.median(pixels) < 0.05 * 7.0
    np.testing.assert_allclose(found.expected, light, atol=4.0)


def test_a_source_beyond_the_border_is_not_piled_up_at_it() -> None:
    frames = frames_of(light_of([(8.0, -1.0, 2000.0)], background=2.0), 200)
    found = fluosr.reconstruct(movie_of(frames), "richardson-lucy", halves=False, iterations=200, **PLAIN)
    inside = light_of([(8.0, -1.0, 2000.0)]).sum()  # the field's share of the source's light
    assert found.image.sum() < 0.7 * inside


def test_patience_ends_the_search() -> None:
    assert not _settled([])
    assert not _settled([3.0, 2.0, 2.5])
    assert _settled([3.0, 2.0] + [2.5] * 30)
    assert _settled([1.0, float("nan")])
    assert _settled(list(np.linspace(1.0, 0.0, MOST_ITERATIONS)))


def test_no_iterations_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="iterations"):
        get_method("richardson-lucy").build(iterations=0)
