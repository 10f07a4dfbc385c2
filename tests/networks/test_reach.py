"""How far networks see, against sums over layers and against gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fluosr.networks.reach import reach_cells, reach_px, stage_reaches
from fluosr.networks.restorer import Restorer, StagedRestorer
from fluosr.networks.restorers import build_restorer, restorer_names
from tests.restorers import seeded, small_restorer

RADIUS_CELLS = 48  # of the images whose gradient is taken: more than the small networks see


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 3)), min_size=1, max_size=4))
def test_a_chain_of_convolutions_reaches_the_sum_of_their_radii(layers: list[tuple[int, int]]) -> None:
    chain = nn.Sequential(
        *(nn.Conv2d(1, 1, side, padding=side // 2 * step, dilation=step) for side, step in layers)
    ).double()
    assert reach_cells(chain, [(1, 1)]) == sum(side // 2 * step for side, step in layers)


@pytest.mark.parametrize(("size", "reach"), [((7, 1), 3), ((1, 5), 2), ((1, 1), 0)])
def test_a_reach_along_one_axis_counts(size: tuple[int, int], reach: int) -> None:
    layer = nn.Conv2d(2, 3, size, padding=(size[0] // 2, size[1] // 2)).double()
    assert reach_cells(layer, [(2, 1)]) == reach


def test_cells_of_several_pixels_and_several_inputs() -> None:
    def function(images: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        # The image is seen 3 pixels, which is 2 cells, far; the features 1 cell.
        seen = nn.functional.max_pool2d(images, 7, stride=1, padding=3)
        return seen[..., ::2, ::2] + nn.functional.avg_pool2d(features, 3, stride=1, padding=1)

    assert reach_cells(function, [(1, 2), (1, 1)]) == 2


def by_gradient(network: Restorer) -> int:
    """LR pixels, in whole cells, over which a gradient of the cell in the middle is not 0."""
    m = network.multiple
    side = (2 * RADIUS_CELLS + 1) * m
    image = torch.randn(1, 1, side, side, dtype=torch.float64, generator=seeded(7)).requires_grad_(True)
    middle = slice(RADIUS_CELLS * m * network.scale, (RADIUS_CELLS + 1) * m * network.scale)
    made = network(image)[..., middle, middle]
    made.mul(torch.randn(made.shape, dtype=torch.float64, generator=seeded(8))).sum().backward()
    assert image.grad is not None
    cells = torch.nonzero(image.grad[0, 0]) // m - RADIUS_CELLS
    return int(cells.abs().max()) * m


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("name", ["rrdb-6", "nafnet", "span"])
def test_it_is_as_far_as_any_gradient_comes_from(name: str, scale: int) -> None:
    network = small_restorer(name, scale).double()
    assert reach_px(network) == by_gradient(network)


@pytest.mark.parametrize(
    ("name", "reaches", "narrow"),
    [
        ("rrdb-23", {1: 1396, 2: 698, 4: 349}, {"features": 2, "growth": 1}),
        ("nafnet", {2: 34}, {}),
        ("span", {1: 21, 2: 21, 4: 21}, {}),
    ],
)
def test_the_default_networks_reach(name: str, reaches: dict[int, int], narrow: dict[str, int]) -> None:
    # RRDBNet's, in cells: 1 of the head, 15 of each block, 3 of the tail: 1 + 1/2 + 3/4, cut short by whole cells.
    for scale, reach in reaches.items():
        assert reach_px(build_restorer(name, seeded(), scale, options=narrow)) == reach


@pytest.mark.parametrize("name", restorer_names())
def test_it_is_of_the_layers_and_not_of_the_weights(name: str) -> None:
    network = small_restorer(name, 2)
    network.train()
    reach = reach_px(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    assert reach_px(network) == reach > 0
    assert network.training and next(network.parameters()).dtype is torch.float32


def test_a_staged_network_has_one_for_each_of_its_stages() -> None:
    network = small_restorer("rrdb-23", 2)
    assert isinstance(network, StagedRestorer)
    assert stage_reaches(network) == [1, 15, 15, 3]
