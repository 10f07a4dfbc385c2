"""Nuclei: their area and shape, nucleoli and foci, grain, and that they do not overlap."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.nuclei import NucleiPhantom, Nucleus

FIELD = NucleiPhantom((150, 150), 100.0)
NONE = np.zeros((0, 3))


def seen(nucleus: Nucleus, grain: float = 0.0) -> np.ndarray:
    y, x = FIELD.coordinates(Grid(FIELD.shape, 1))
    chromatin = FIELD.texture({250.0: 1.0}, np.random.default_rng(0))
    return nucleus.seen(y[:, None], x[None, :], chromatin, grain, 100.0)


def nucleus(**changes: object) -> Nucleus:
    plain: dict[str, object] = {
        "centre_nm": np.array([7500.0, 7200.0]),
        "axes_nm": np.array([6000.0, 4000.0]),
        "angle": 0.5,
        "bumps": np.zeros((4, 2)),
        "brightness": 1.0,
        "blur_nm": 0.0,
        "dips": NONE,
        "foci": NONE,
        "divides": False,
    }
    return Nucleus(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_plain_nucleus_is_an_ellipse_evenly_bright_inside():
    image = seen(nucleus())
    area = (image > 0).sum() * 100.0**2
    assert area == pytest.approx(math.pi * 6000 * 4000, rel=0.02)
    assert image[75, 72] == pytest.approx(1, abs=0.02)
    y, x = np.indices(image.shape) * 100.0 + 50
    centre = [(image * side).sum() / image.sum() for side in (y, x)]
    np.testing.assert_allclose(centre, [7500, 7200], atol=10)
    cross = ((y - 7500) * (x - 7200) * image).sum() / image.sum()
    assert cross > 0  # its long axis points from x towards y


def test_nucleoli_are_dark_and_foci_bright():
    spot = np.array([[1000.0, -500.0, 800.0]])
    plain, dip, focus = (seen(nucleus(**c)) for c in ({}, {"dips": spot}, {"foci": spot}))
    assert dip[85, 67] < 0.35 * plain[85, 67]
    assert focus[85, 67] > 1.5 * plain[85, 67]
    far = (slice(60, 70), slice(60, 90))
    np.testing.assert_allclose(dip[far], plain[far], atol=0.01)


def test_grain_is_the_contrast_of_chromatin_and_keeps_its_mean():
    inside = seen(nucleus()) > 0.97
    plain, grained = seen(nucleus())[inside], seen(nucleus(), grain=0.4)[inside]
    assert np.log(grained / plain).std() == pytest.approx(0.4, rel=0.2)
    assert grained.mean() == pytest.approx(plain.mean(), rel=0.1)


def test_out_of_focus_there_is_no_edge():
    sharp, blurred = seen(nucleus()), seen(nucleus(blur_nm=1100.0))
    assert np.abs(np.diff(blurred, axis=1)).max() < 0.3 * np.abs(np.diff(sharp, axis=1)).max()
    assert blurred.max() > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_nuclei_keep_apart_and_differ(seed):
    nuclei = NucleiPhantom(seed=seed).nuclei()
    assert len(nuclei) > 6
    for one, two in combinations(nuclei, 2):
        assert math.dist(one.centre_nm, two.centre_nm) > 0.9 * (one.reach_nm + two.reach_nm)
    assert np.std([n.brightness for n in nuclei]) > 0.15
    assert np.std([n.axes_nm.prod() ** 0.5 for n in nuclei]) > 300


def test_what_divides_and_what_is_out_of_focus_are_as_many_as_they_should_be():
    nuclei = [n for seed in range(12) for n in NucleiPhantom(seed=seed, dividing=0.2, out_of_focus=0.3).nuclei()]
    for found, wanted in (([n.divides for n in nuclei], 0.2), ([n.blur_nm > 0 for n in nuclei], 0.3)):
        assert np.mean(found) == pytest.approx(wanted, abs=4.5 * math.sqrt(wanted * (1 - wanted) / len(nuclei)))
    assert all(len(n.dips) == 0 for n in nuclei if n.divides)


@pytest.mark.parametrize("wrong", [{"spacing_nm": 0.0}, {"radius_nm": math.inf}, {"grain": -0.1}, {"dividing": 1.5}])
def test_nuclei_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="nuclei"):
        NucleiPhantom(**wrong)
