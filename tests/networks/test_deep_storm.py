"""Deep-STORM's network: its size, its reach, its seeds."""

from __future__ import annotations

import pytest
import torch

from fluosr.networks.deep_storm import REACH, DeepStorm


def network(filters: int = 2, seed: int = 0) -> DeepStorm:
    return DeepStorm(torch.Generator().manual_seed(seed), filters).eval()


def test_the_papers_network_has_its_weights() -> None:
    kernels = 9 * (32 + 32 * 64 + 64 * 128 + 128 * 512 + 512 * 128 + 128 * 64 + 64 * 32) + 32
    normalisations = 2 * (32 + 64 + 128 + 512 + 128 + 64 + 32)
    assert sum(p.numel() for p in network(32).parameters()) == kernels + normalisations


@pytest.mark.parametrize("shape", [(16, 24), (17, 9), (8, 31)])
def test_any_field_comes_back_in_its_size(shape: tuple[int, int]) -> None:
    frames = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    found = network()(frames)
    assert found.shape == frames.shape
    # What is padded at the far edge changes nothing that lies beyond the reach; frames do not mix.
    torch.testing.assert_close(network()(frames[1:]), found[1:])


def test_a_pixel_is_seen_from_no_farther_than_the_reach() -> None:
    frames = torch.zeros(1, 96, 96)
    model, changed = network(), frames.clone()
    changed[0, 48, 48] = 5.0
    rows, columns = torch.nonzero(model(changed)[0] - model(frames)[0], as_tuple=True)
    assert len(rows) > 0
    assert max(int((rows - 48).abs().max()), int((columns - 48).abs().max())) <= REACH


def test_same_seed_same_weights() -> None:
    first, again, other = (network(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
