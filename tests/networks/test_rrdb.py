"""RRDBNet: the published sizes and names, its layers written out, and colours folded into grey."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fluosr.errors import UsageError
from fluosr.networks.rrdb import DenseBlock, ResidualInResidual, RRDBNet, one_channel
from tests.restorers import seeded


def small(scale: int, channels: int = 1, seed: int = 0) -> RRDBNet:
    return RRDBNet(seeded(seed), scale, channels=channels, blocks=2, features=6, growth=3)


def strengthened(network: RRDBNet, seed: int = 1) -> RRDBNet:
    """Weights and biases large enough for every layer to show in the output; in double precision."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0.0, weight[0].numel() ** -0.5, generator=seeded(seed + weight.numel()))
    return network.double()


def outer(channels_in: int, channels: int) -> int:
    return 9 * 64 * channels_in + 64 + 4 * (9 * 64 * 64 + 64) + 9 * 64 * channels + channels


def block() -> int:
    dense = [(64 + 32 * n, 32) for n in range(4)] + [(64 + 32 * 4, 64)]
    return 3 * sum(9 * before * after + after for before, after in dense)


@pytest.mark.parametrize(("channels", "count"), [(1, 16_697_409), (3, 16_703_171)])
def test_the_published_network_has_its_weights(channels: int, count: int) -> None:
    with torch.device("meta"):
        network = RRDBNet(torch.Generator("cpu"), 2, channels=channels)
    assert sum(weight.numel() for weight in network.parameters()) == count


@pytest.mark.parametrize(("scale", "unshuffled"), [(1, 16), (2, 4), (4, 1)])
def test_the_light_network_has_its_weights_at_every_scale(scale: int, unshuffled: int) -> None:
    with torch.device("meta"):
        network = RRDBNet(torch.Generator("cpu"), scale, blocks=6)
    assert sum(weight.numel() for weight in network.parameters()) == outer(unshuffled, 1) + 6 * block()


def test_the_names_are_those_of_the_published_model() -> None:
    with torch.device("meta"):
        names = set(RRDBNet(torch.Generator("cpu"), 2, channels=3).state_dict())
    layers = {"conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"}
    layers |= {f"body.{n}.rdb{dense}.conv{c}" for n in range(23) for dense in (1, 2, 3) for c in (1, 2, 3, 4, 5)}
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def reference(weights: dict[str, torch.Tensor], image: torch.Tensor, unshuffled: int) -> torch.Tensor:
    """The network layer by layer, from ESRGAN's Fig. 4 and Real-ESRGAN's Fig. 4."""

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def lrelu(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    rows, columns = range(unshuffled), range(unshuffled)
    x = torch.stack(
        [image[:, c, i::unshuffled, j::unshuffled] for c in range(image.shape[1]) for i in rows for j in columns], dim=1
    )
    first = x = conv("conv_first", x)
    for n in range(2):
        entered = x
        for dense in (1, 2, 3):
            known = [x]
            for c in (1, 2, 3, 4):
                known.append(lrelu(conv(f"body.{n}.rdb{dense}.conv{c}", torch.cat(known, 1))))
            x = x + 0.2 * conv(f"body.{n}.rdb{dense}.conv5", torch.cat(known, 1))
        x = entered + 0.2 * x
    x = first + conv("conv_body", x)
    for name in ("conv_up1", "conv_up2"):
        x = lrelu(conv(name, x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv("conv_last", lrelu(conv("conv_hr", x)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("scale", "unshuffled"), [(1, 4), (2, 2), (4, 1)])
def test_it_is_the_published_network_layer_by_layer(scale: int, unshuffled: int, channels: int) -> None:
    network = strengthened(small(scale, channels))
    images = torch.randn(2, channels, 8, 12, dtype=torch.float64, generator=seeded(2))
    made = network(images)
    assert made.shape == (2, channels, 8 * scale, 12 * scale)
    torch.testing.assert_close(made, reference(network.state_dict(), images, unshuffled))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_colour_network_folds_into_a_grey_one(scale: int) -> None:
    colour = strengthened(small(scale, channels=3))
    grey = small(scale).double()
    grey.load_state_dict(one_channel(colour.state_dict()))
    image = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=seeded(3))
    in_colours = colour(image.expand(1, 3, 8, 8))
    torch.testing.assert_close(grey(image), in_colours.mean(dim=1, keepdim=True))
    assert (in_colours[:, 0] - in_colours[:, 2]).abs().max() > 0.01  # the colours do differ before


def test_folding_one_channel_changes_nothing() -> None:
    weights = small(2).state_dict()
    folded = one_channel(weights)
    assert all(torch.equal(weights[name], folded[name]) for name in weights)


def test_dense_blocks_begin_a_tenth_of_kaiming() -> None:
    network = RRDBNet(seeded(), 2, blocks=1)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
            continue
        inputs = weight[0].numel()
        expected = 0.1 * (2 / inputs) ** 0.5 if name.startswith("body") else (1 / (3 * inputs)) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=5.0 / weight.numel() ** 0.5), name


def test_same_seed_same_weights() -> None:
    first, again, other = (small(2, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv_first.weight"], other["conv_first.weight"])


@pytest.mark.parametrize(
    ("scale", "options", "words"),
    [(3, {}, "1, 2 or 4"), (0, {}, "1, 2 or 4"), (2, {"channels": 0}, "channels"), (2, {"blocks": 0}, "at least 1")],
)
def test_sizes_that_cannot_be_are_refused(scale: int, options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        RRDBNet(seeded(), scale, **{"blocks": 1, "features": 2, "growth": 2, **options})


def test_blocks_without_weights_add_their_skips() -> None:
    dense, residual = DenseBlock(4, 2), ResidualInResidual(4, 2)
    for module in (dense, residual):
        for weight in module.parameters():
            torch.nn.init.zeros_(weight)
    features = torch.randn(1, 4, 5, 5, generator=seeded())
    torch.testing.assert_close(dense(features), features)
    torch.testing.assert_close(residual(features), 1.2 * features)
