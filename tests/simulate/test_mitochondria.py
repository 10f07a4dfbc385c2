"""Mitochondria: where they lie, how many, how they turn, and light from outside the section."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.mitochondria import MitochondriaPhantom

SHAPE = (256, 256)


def test_tubules_lie_in_the_cytoplasm_and_nuclei_are_dark():
    phantom = MitochondriaPhantom(SHAPE, seed=1)
    cytoplasm = phantom._cytoplasm
    tubes = phantom.tubes()
    ends = tubes.starts_nm + tubes.moves_nm
    assert cytoplasm.at(cytoplasm.inside, ends).all()
    image = phantom.render(Grid(SHAPE, 1))
    y, x = np.meshgrid(*phantom.coordinates(Grid(SHAPE, 1)), indexing="ij")
    inside = cytoplasm.at(cytoplasm.inside, np.stack([y, x], axis=-1))
    assert inside.any() and not inside.all()
    assert image[inside].mean() > 10 * image[~inside].mean()


def test_twice_the_density_is_twice_the_light():
    sparse, dense = (
        np.mean([MitochondriaPhantom((96, 96), seed=s, density_per_um=d).tubes().light_nm2 for s in range(5)])
        for d in (0.4, 0.8)
    )
    assert dense / sparse == pytest.approx(2, rel=0.3)


def test_directions_are_forgotten_over_the_persistence_length():
    class Free:
        """No cells: nothing steers, everything is inside."""

        inside = None

        def at(self, values: None, places: np.ndarray) -> np.ndarray:
            return np.ones(places.shape[:-1], bool)

        def steering(self, places: np.ndarray, theta: np.ndarray) -> np.ndarray:
            return np.zeros(len(places))

    phantom = MitochondriaPhantom((8, 8), persistence_nm=4000.0)
    object.__setattr__(phantom, "_cytoplasm", Free())
    many = np.ones(600)
    grown = phantom._grown(np.zeros((600, 2)), 0 * many, 9000.0 * many, 100.0 * many, many, np.random.default_rng(0))
    moves = np.diff(grown.curves, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moves, axis=2), 45.0)
    theta = np.unwrap(np.arctan2(moves[..., 0], moves[..., 1]), axis=1)
    for steps in (100, 180):
        turned = theta[:, steps:] - theta[:, :-steps]
        # A curvature that lasts for 450 nm turns less at first than a chain without memory: by 2 sigma^2 of its course.
        wanted = (45.0 * steps - 2 * 450.0 / math.sqrt(math.pi)) / 4000.0
        assert turned.var() == pytest.approx(wanted, rel=0.15)
    assert np.abs(np.diff(theta, axis=1)).max() < 0.25  # smooth: no kinks
    assert grown.tubes.light_nm2 > 0 and grown.alive.all()


def test_tubules_taper_at_their_ends_and_vary_in_between():
    tubes = MitochondriaPhantom((96, 96), seed=3, width_nm=350.0).tubes()
    assert np.median(tubes.radii_nm) == pytest.approx(175, rel=0.25)
    assert tubes.radii_nm.std() > 30 and tubes.radii_nm.min() < 90
    assert tubes.brightness.std() / tubes.brightness.mean() > 0.4


def test_haze_is_the_light_of_other_tubules_smeared():
    shape = (112, 112)
    grid = Grid(shape, 1)
    clear, hazy = (MitochondriaPhantom(shape, seed=2, haze=h) for h in (0.0, 0.8))
    haze = hazy.render(grid) - clear.render(grid)
    layers = [hazy.tubes(layer).render(grid, hazy.pixel_size_nm, points=2).mean() for layer in (1, 2, 3)]
    assert haze.mean() == pytest.approx(0.8 * np.dot(layers, [0.4, 0.35, 0.25]), rel=1e-3)
    assert len(set(layers)) == 3 and not np.isclose(layers, clear.tubes().render(grid, 90.0).mean()).any()
    assert np.abs(np.diff(haze, axis=1)).max() < 0.1 * np.abs(np.diff(clear.render(grid), axis=1)).max()


@pytest.mark.parametrize(
    "wrong", [{"density_per_um": -1.0}, {"width_nm": 0.0}, {"persistence_nm": 10.0}, {"haze": math.nan}]
)
def test_mitochondria_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="mitochondria"):
        MitochondriaPhantom(**wrong)
