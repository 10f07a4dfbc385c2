"""How far a network sees: what a tile needs around it so that its middle is as in the whole image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from fluosr.networks.restorer import Restorer, StagedRestorer

FIRST_RADIUS = 32  # cells on each side of the edge, doubled until some of them are out of reach
STRIP = 3  # cells across the strip in which it is measured

Network = TypeVar("Network", bound=Restorer)


def reach_px(network: Restorer) -> int:
    """LR pixels around one, on each side, that the network's output there depends on; a multiple of its cells.

    Measured, see :func:`reach_cells`; for a staged network the sum over its stages.

    Args:
        network: any weights and device; left as it is.
    """
    if isinstance(network, StagedRestorer):
        return sum(stage_reaches(network)) * network.multiple
    return reach_cells(_in_double(network), [(network.channels, network.multiple)]) * network.multiple


def stage_reaches(network: StagedRestorer) -> list[int]:
    """Cells that head, each block of the trunk, and tail see around one; blocks built alike are measured once.

    Args:
        network: any weights and device; left as it is.
    """
    twin, known = _in_double(network), dict[str, int]()
    for block in twin.trunk():
        if str(block) not in known:
            known[str(block)] = reach_cells(block, [(twin.features, 1)])
    return [
        reach_cells(twin.head, [(twin.channels, twin.multiple)]),
        *(known[str(block)] for block in twin.trunk()),
        reach_cells(twin.tail, [(twin.features, 1)] * 2),
    ]


def reach_cells(function: Callable[..., torch.Tensor], inputs: Sequence[tuple[int, int]]) -> int:
    """Cells around one that its output depends on: NaN goes in on one side of an edge, and is looked for on the other.

    NaN passes through every layer, be its weight 0, and convolutions in double precision take no transform that would
    carry it farther: this is exact, and a property of the layers, not of their weights. As every layer here sees
    a rectangle, a strip along each axis tells as much as a whole image. No layer may step 64 cells or more at once.

    Args:
        function: of tensors (1, C, Y, X) in double precision on the CPU, to one of them; all over one grid of cells.
        inputs: (C, pixels on a cell's side) of each.
    """
    ways = ((axis, backwards) for axis in (-2, -1) for backwards in (False, True))
    return max(_reach_beyond_an_edge(function, inputs, axis, backwards) for axis, backwards in ways)


def _reach_beyond_an_edge(
    function: Callable[..., torch.Tensor], inputs: Sequence[tuple[int, int]], axis: int, backwards: bool
) -> int:
    radius = FIRST_RADIUS
    while True:
        cells = {axis: 2 * radius}
        probes = []
        for channels, per_cell in inputs:
            sides = (cells.get(side, STRIP) * per_cell for side in (-2, -1))
            probe = torch.zeros(1, channels, *sides, dtype=torch.float64)
            probe.narrow(axis, radius * per_cell if backwards else 0, radius * per_cell).fill_(torch.nan)
            probes.append(probe)
        with torch.inference_mode():
            made = torch.isnan(function(*probes)).transpose(axis, -1).flatten(0, -2).any(dim=0)
        touched = made.reshape(2 * radius, -1).any(dim=1)
        beyond = touched[:radius].flip(0) if backwards else touched[radius:]
        reach = int(torch.nonzero(beyond).max()) + 1 if beyond.any() else 0
        if reach < radius:
            return reach
        radius *= 2


def _in_double(network: Network) -> Network:
    return copy.deepcopy(network).cpu().double().eval()
