"""The U-Net discriminator: its size, its layers written out, the norm of its weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fluosr.errors import UsageError
from fluosr.networks.unet_discriminator import SpectralNorm, UNetDiscriminator
from tests.restorers import seeded


def small(seed: int = 0, channels: int = 1) -> UNetDiscriminator:
    return UNetDiscriminator(seeded(seed), channels=channels, features=3)


def images(sides: tuple[int, int] = (16, 24), channels: int = 1) -> torch.Tensor:
    return torch.randn(2, channels, *sides, generator=seeded(1))


def normed(network: UNetDiscriminator) -> list[torch.Tensor]:
    return [layer.weight for layer in (*network.down, *network.up, *network.late)]


@pytest.mark.parametrize(("channels", "count"), [(1, 4_375_745), (3, 4_375_745 + 2 * 64 * 9)])
def test_the_published_network_has_its_weights(channels: int, count: int) -> None:
    network = UNetDiscriminator(seeded(), channels=channels)
    assert sum(weight.numel() for weight in network.parameters()) == count


def test_it_is_the_published_network_layer_by_layer() -> None:
    network = small().eval()
    w = [weight.detach() for weight in normed(network)]

    def lrelu(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def larger(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x0 = lrelu(network.first(images()))
    x1 = lrelu(F.conv2d(x0, w[0], stride=2, padding=1))
    x2 = lrelu(F.conv2d(x1, w[1], stride=2, padding=1))
    x3 = lrelu(F.conv2d(x2, w[2], stride=2, padding=1))
    x4 = lrelu(F.conv2d(larger(x3), w[3], padding=1)) + x2
    x5 = lrelu(F.conv2d(larger(x4), w[4], padding=1)) + x1
    x6 = lrelu(F.conv2d(larger(x5), w[5], padding=1)) + x0
    x7 = lrelu(F.conv2d(x6, w[6], padding=1))
    x8 = lrelu(F.conv2d(x7, w[7], padding=1))
    torch.testing.assert_close(network(images()), network.last(x8))


@pytest.mark.parametrize("sides", [(8, 8), (16, 40)])
def test_every_pixel_is_judged(sides: tuple[int, int]) -> None:
    assert small(channels=3)(images(sides, 3)).shape == (2, 1, *sides)


def norms(network: UNetDiscriminator) -> list[float]:
    return [torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item() for weight in normed(network)]


def test_weights_have_norm_one_from_the_beginning_and_keep_it() -> None:
    network = small()
    assert norms(network) == pytest.approx([1.0] * 8, rel=0.1)
    for _ in range(100):
        network(images((8, 8)))
    assert norms(network) == pytest.approx([1.0] * 8, rel=1e-3)


def test_the_power_method_finds_the_largest_singular_value() -> None:
    weight = torch.randn(6, 5, 3, 3, generator=seeded())
    norm = SpectralNorm(weight, seeded(1))
    for _ in range(200):
        norm(weight)
    largest = torch.linalg.svdvals(weight.flatten(1))[0]
    torch.testing.assert_close(norm(weight), weight / largest)
    # The gradient goes through the norm: a weight made longer is the same weight.
    free = weight.clone().requires_grad_(True)
    (norm(free) * images((3, 3))[0, 0]).sum().backward()
    assert free.grad is not None
    assert (free.grad * weight).sum().item() == pytest.approx(0.0, abs=1e-4)


def test_judging_changes_nothing_but_in_training() -> None:
    network = small().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(images())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.train()(images())
    assert not all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_its_state_restores_it_bit_for_bit() -> None:
    network, other = small(), small(seed=5)
    network(images())
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(images()), other(images()))


def test_same_seed_same_bits() -> None:
    first, again, other = (small(seed)(images()) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_mixed_precision_leaves_the_norm_single() -> None:
    network, single = small(), small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = network(images())
    torch.testing.assert_close(mixed.float(), single(images()), rtol=0.05, atol=0.05)
    assert all(buffer.dtype == torch.float32 for buffer in network.buffers())
    assert norms(network) == norms(single)


def test_all_weights_learn() -> None:
    network = small()
    network(images()).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


@pytest.mark.parametrize("sides", [(12, 16), (16, 20)])
def test_other_sides_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="multiples of 8"):
        small()(images(sides))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        UNetDiscriminator(seeded(), features=0)
