"""How far a network sees: what a tile needs around it so that its middle is as in the whole image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from fluosr.networks.restorer import Restorer, StagedRestorer

FIRST_RADIUS = 8  # cells tried first; doubled until nothing reaches the ends
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
    """Cells around one that its output depends on: a cell of NaN goes in, and how far NaN comes out is the answer.

    NaN passes through every layer, be its weight 0, and convolutions in double precision take no transform that would
    carry it farther: this is exact, and a property of the layers, not of their weights. As every layer here sees
    a rectangle, a strip along each axis tells as much as a whole image.

    Args:
        function: of tensors (1, C, Y, X) in double precision on the CPU, to one of them; all over one grid of cells.
        inputs: (C, pixels on a cell's side) of each.
    """
    return max(_reach_along(axis, function, inputs) for axis in (0, 1))


def _reach_along(axis: int, function: Callable[..., torch.Tensor], inputs: Sequence[tuple[int, int]]) -> int:
    radius = FIRST_RADIUS
    while True:
        middle = (radius, STRIP // 2) if axis == 0 else (STRIP // 2, radius)
        probes = []
        for channels, per_cell in inputs:
            probe = torch.zeros(1, channels, *((2 * at + 1) * per_cell for at in middle), dtype=torch.float64)
            rows, columns = (slice(at * per_cell, (at + 1) * per_cell) for at in middle)
            probe[..., rows, columns] = torch.nan
            probes.append(probe)
        with torch.inference_mode():
            touched = torch.isnan(function(*probes)).any(dim=1)[0].any(dim=1 - axis)
        per_cell = len(touched) // (2 * radius + 1)
        found = torch.nonzero(touched)[:, 0] // per_cell - radius
        reach = int(found.abs().max()) if len(found) else 0
        if reach < radius:
            return reach
        radius *= 2


def _in_double(network: Network) -> Network:
    return copy.deepcopy(network).cpu().double().eval()
