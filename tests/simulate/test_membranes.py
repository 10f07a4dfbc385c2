"""Membranes: bright where three cells meet and along their edges, dark inside, with vesicles in the cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Voronoi, cKDTree

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.simulate.membranes import MembranePhantom

SHAPE = (300, 260)


def distances(phantom: MembranePhantom) -> np.ndarray:
    """(Y, X): from each pixel to the border of its cell, nm."""
    y, x = np.meshgrid(*phantom.coordinates(Grid(phantom.shape, 1)), indexing="ij")
    near, far = np.moveaxis(cKDTree(phantom.cells()).query(np.stack([y, x], axis=-1), k=2)[0], -1, 0)
    return np.asarray((far - near) / 2)


def test_outlines_are_bright_and_cells_are_dark():
    phantom = MembranePhantom(SHAPE, seed=2, vesicles_per_cell=0.0)
    image, away = phantom.render(Grid(SHAPE, 1)), distances(phantom)
    # Edges are bowed: they lie near those of the diagram.
    assert image[away < 500].mean() > 4 * image[away > 2000].mean()
    assert image[away > 2000].mean() < 3 * phantom.glow


def test_three_cells_meet_in_a_bright_point():
    phantom = MembranePhantom(SHAPE, seed=3, vesicles_per_cell=0.0)
    image = phantom.render(Grid(SHAPE, 1))
    corners = (Voronoi(phantom.cells()).vertices / phantom.pixel_size_nm).astype(int)
    corners = corners[((corners > 2) & (corners < np.array(SHAPE) - 3)).all(1)]
    assert len(corners) > 5
    peaks = [image[y - 1 : y + 2, x - 1 : x + 2].max() for y, x in corners]
    assert np.median(peaks) > 0.6 and min(peaks) > 4 * np.median(image)


def test_edges_are_uneven_in_brightness_and_breadth():
    tubes = MembranePhantom(SHAPE, seed=1).edges()
    edges = tubes.brightness > 0.25
    assert tubes.brightness[edges].std() / tubes.brightness[edges].mean() > 0.3
    assert tubes.radii_nm[edges].std() / tubes.radii_nm[edges].mean() > 0.2


def test_vesicles_are_as_many_as_they_should_be_and_larger_ones_are_hollow():
    phantom = MembranePhantom(SHAPE, seed=4, vesicles_per_cell=30.0)
    filled, hollow = phantom.vesicles()
    rings = len(hollow.radii_nm) / 20
    count, cells = len(filled.radii_nm) + rings, len(phantom.cells())
    assert count == pytest.approx(30 * cells, abs=4.5 * (30 * cells) ** 0.5)
    assert 0 < rings < 0.25 * count
    assert filled.radii_nm.max() <= 250 < np.hypot(*hollow.moves_nm.T).max() * 20 / 2 / np.pi
    own = cKDTree(phantom.cells()).query(filled.centres_nm)[0]
    assert np.quantile(own, 0.95) < 0.55 * phantom.cell_size_nm
    none, without = MembranePhantom(SHAPE, vesicles_per_cell=0.0).vesicles()
    assert none.light_nm2 == without.light_nm2 == 0


@pytest.mark.parametrize(
    "wrong", [{"cell_size_nm": 10.0}, {"width_nm": -1.0}, {"vesicles_per_cell": -1.0}, {"glow": 2.0}]
)
def test_membranes_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="membranes"):
        MembranePhantom(**wrong)
