"""The parameter-free attention network: its block and its gathering written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fluosr.errors import UsageError
from fluosr.networks.span import SPAN, AttentionBlock
from tests.restorers import seeded


def test_a_block_lets_through_what_answers_strongly_of_either_sign() -> None:
    block, features = AttentionBlock(3).double(), torch.randn(1, 3, 6, 5, dtype=torch.float64, generator=seeded())
    made, early = block(features)
    torch.testing.assert_close(early, block.conv1(features))
    answer = block.conv3(F.silu(block.conv2(F.silu(early))))
    # (sigmoid(h) - 1/2) is tanh(h / 2) / 2: odd.
    torch.testing.assert_close(made, features + (features + answer) * torch.tanh(answer / 2) / 2)


def test_early_and_late_features_are_gathered() -> None:
    network = SPAN(seeded(), 2, blocks=3, features=4).double()
    image = torch.randn(1, 1, 6, 5, dtype=torch.float64, generator=seeded(1))
    start = network.first(image)
    first, _ = network.blocks[0](start)
    second, _ = network.blocks[1](first)
    third, early = network.blocks[2](second)
    gathered = network.gather(torch.cat([start, network.late(third), first, early], dim=1))
    added = network.last(gathered)
    expected = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for i in range(2):
        for j in range(2):
            expected[:, 0, i::2, j::2] += added[:, 2 * i + j]
    torch.testing.assert_close(network(image), expected)


@pytest.mark.parametrize("brightest", [0.01, 1.0, 5.0])
def test_no_block_is_silent_at_the_beginning(brightest: float) -> None:
    network = SPAN(seeded(), 2)
    features = start = network.first(brightest * torch.rand(1, 1, 24, 24, generator=seeded(1)))
    for block in network.blocks:
        features, _ = block(features)
        assert 0.5 < (features.std() / start.std()).item() < 5.0


@pytest.mark.parametrize(
    ("options", "words"), [({"scale": 8}, "1, 2 or 4"), ({"blocks": 1}, "at least 2"), ({"features": 0}, "features")]
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SPAN(seeded(), **options)
