"""The network of NAF blocks: its parts against their formulas, and attention that looks no farther than its window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fluosr.errors import UsageError
from fluosr.networks.nafnet import ChannelNorm, NAFBlock, NAFNet, window_mean
from tests.restorers import seeded


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def block(window_px: int) -> NAFBlock:
    made = NAFBlock(4, window_px).double()
    with torch.no_grad():
        for number, weight in enumerate(made.parameters()):
            weight.copy_(draw(*weight.shape, seed=number))
    return made


@pytest.mark.parametrize("window_px", [0, 3])
def test_a_block_is_the_papers_formula(window_px: int) -> None:
    made, x = block(window_px), draw(2, 4, 6, 5, seed=99)

    def one(layer: torch.nn.Conv2d, features: torch.Tensor) -> torch.Tensor:
        assert layer.bias is not None
        return torch.einsum("oi,biyx->boyx", layer.weight[:, :, 0, 0], features) + layer.bias[:, None, None]

    wide = one(made.widen1, made.norm1(x))
    depth = torch.cat(
        [F.conv2d(wide[:, c : c + 1], made.depthwise.weight[c : c + 1], padding=1) for c in range(8)], dim=1
    )
    assert made.depthwise.bias is not None
    depth = depth + made.depthwise.bias[:, None, None]
    gated = depth[:, :4] * depth[:, 4:]
    if window_px:
        assert made.attention is not None
        gated = gated * one(made.attention, window_mean(gated, window_px))
    y = x + made.beta * one(made.narrow1, gated)
    wide = one(made.widen2, made.norm2(y))
    expected = y + made.gamma * one(made.narrow2, wide[:, :4] * wide[:, 4:])
    torch.testing.assert_close(made(x), expected)


def test_channels_are_normalised_pixel_by_pixel() -> None:
    norm, features = ChannelNorm(5, eps=0.0).double(), draw(2, 5, 3, 4)
    made = norm(features)
    torch.testing.assert_close(made.mean(dim=1), torch.zeros(2, 3, 4, dtype=torch.float64))
    torch.testing.assert_close(made.square().mean(dim=1), torch.ones(2, 3, 4, dtype=torch.float64))
    torch.testing.assert_close(norm(features[..., 1:2, 2:3]), made[..., 1:2, 2:3])


@pytest.mark.parametrize("window_px", [1, 3, 7])
def test_means_are_over_the_pixels_of_the_window_that_exist(window_px: int) -> None:
    features, reach = draw(1, 2, 6, 9), window_px // 2
    expected = torch.empty_like(features)
    for i, j in np.ndindex(6, 9):
        seen = features[..., max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
        expected[..., i, j] = seen.mean(dim=(-2, -1))
    torch.testing.assert_close(window_mean(features, window_px), expected)


def test_blocks_begin_as_the_identity() -> None:
    network = NAFNet(seeded(), 2, blocks=3, features=4)
    features = torch.randn(1, 4, 6, 6, generator=seeded(1))
    assert torch.equal(network.blocks(features), features)


def test_without_a_window_there_is_no_attention() -> None:
    layers = NAFNet(seeded(), 2, blocks=2, features=4, window_px=0).state_dict()
    assert not any("attention" in name for name in layers)
    assert any("attention" in name for name in NAFNet(seeded(), 2, blocks=2, features=4).state_dict())


@pytest.mark.parametrize(
    ("options", "words"),
    [({"scale": 3}, "1, 2 or 4"), ({"blocks": 0}, "at least 1"), ({"window_px": 4}, "odd"), ({"window_px": -3}, "odd")],
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        NAFNet(seeded(), **options)
