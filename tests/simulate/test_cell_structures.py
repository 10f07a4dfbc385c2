"""Laws that every structure obeys: one seed one field, the same on any grid, its surroundings, record and light."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_structures import STRUCTURES, cell_phantom

SHAPE = (72, 60)
each = pytest.mark.parametrize("structure", STRUCTURES)


@each
def test_the_seed_makes_the_field(structure):
    grid = Grid(SHAPE, 1)
    one, again, other = (cell_phantom(structure, SHAPE, 90.0, seed).render(grid) for seed in (1, 1, 2))
    assert one.shape == SHAPE and one.dtype == np.float64
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert one.min() >= 0 and np.isfinite(one).all()


@each
def test_a_field_is_the_same_on_a_finer_grid(structure):
    phantom = cell_phantom(structure, SHAPE, 90.0, 3)
    coarse, fine = (phantom.render(Grid(SHAPE, factor)) for factor in (1, 3))
    blocks = fine.reshape(SHAPE[0], 3, SHAPE[1], 3).mean((1, 3))
    assert blocks.mean() == pytest.approx(coarse.mean(), rel=5e-3)
    # Points strewn over areas of curved tubes: a few per cent of a pixel.
    assert np.abs(blocks - coarse).mean() < 0.05 * coarse.mean()
    assert np.corrcoef(blocks.ravel(), coarse.ravel())[0, 1] > 0.995


@each
def test_a_field_is_the_same_under_a_camera_of_pixels_twice_as_large(structure):
    small, large = cell_phantom(structure, SHAPE, 90.0, 8), cell_phantom(structure, (36, 30), 180.0, 8)
    one, two = small.render(Grid(SHAPE, 1)), large.render(Grid((36, 30), 2))
    assert np.abs(one - two).mean() < 0.03 * one.mean()


@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "multiphoton"])
def test_a_field_goes_on_beyond_its_border(structure):
    phantom = cell_phantom(structure, SHAPE, 90.0, 4)
    field, wide = phantom.render(Grid(SHAPE, 2)), phantom.render(Grid(SHAPE, 2, 10))
    inner = wide[20:-20, 20:-20]
    # What is smeared, glow and haze, is so from a little farther than is seen.
    assert np.abs(inner - field).mean() < 0.01 * field.mean()
    assert wide[:20].mean() > 0


@each
@pytest.mark.parametrize("seed", range(3))
def test_small_fields_are_not_empty(structure, seed):
    phantom = cell_phantom(structure, (64, 64), 90.0, seed)
    assert phantom.render(Grid((64, 64), 1)).mean() > 0.02


@each
def test_what_it_was_made_from_goes_into_the_record(structure):
    phantom = cell_phantom(structure, SHAPE, 80.0, 5)
    record = json.loads(json.dumps(phantom.describe()))
    assert record["seed"] == 5 and record["pixel_size_nm"] == 80.0 and record["shape"] == list(SHAPE)
    assert phantom.field_shape == SHAPE and phantom.pixel_size_nm == 80.0


def test_deep_mitochondria_are_crowded_and_hazy():
    plain, deep = (cell_phantom(name, SHAPE, 90.0, 6).describe() for name in ("mitochondria", "multiphoton"))
    assert plain["kind"] == deep["kind"]
    assert deep["density_per_um"] > plain["density_per_um"] and deep["haze"] > plain["haze"] == 0


def test_no_other_structure_is_known():
    with pytest.raises(UsageError, match="mitochondria, membranes, nuclei, multiphoton"):
        cell_phantom("golgi", SHAPE, 90.0, 0)
