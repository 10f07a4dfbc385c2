"""Pix2Pix's networks: their shapes, the paper's sizes, what a logit sees, and where the noise acts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, relu

from fluosr.errors import UsageError
from fluosr.networks.patch_discriminator import PatchDiscriminator, halvings_for, patch_px
from fluosr.networks.pix2pix_generator import Pix2PixGenerator
from tests.restorers import seeded

SIDES = (32, 64, 128, 256)


def small(side: int = 32, channels: int = 2, features: int = 3, dropout: float = 0.5) -> Pix2PixGenerator:
    return Pix2PixGenerator(seeded(), resolution=side, channels=channels, features=features, dropout=dropout)


def enliven(network: nn.Module) -> None:
    """Every weight drawn anew, so large that nothing is near to linear, offsets and scales too."""
    draws = seeded(5)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0.0, 0.5, generator=draws)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_any_size_and_channels_come_back_as_large(side: int, channels: int) -> None:
    images = torch.randn(2, channels, side, side, generator=seeded(1))
    made = small(side, channels)
    assert made(images, made.noise(2, seeded())).shape == images.shape
    logits = PatchDiscriminator(seeded(), resolution=side, channels=channels, features=3)(images, images)
    assert logits.shape == (2, 1, *[{32: 14, 64: 14, 128: 14, 256: 30}[side]] * 2)


def test_at_256_pixels_the_weights_are_the_papers() -> None:
    down = [1, 64, 128, 256, 512, 512, 512, 512, 512]  # C64-C128-C256-C512-C512-C512-C512-C512
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 1)]
    convolutions = 16 * (sum(a * b for a, b in pairwise(down)) + sum(a * b for a, b in up))
    offsets = 64 + 512 + 1  # of the layers that are not normalised
    scales = 2 * (sum(down[2:8]) + sum(after for _, after in up[:-1]))
    with torch.device("meta"):
        made = Pix2PixGenerator(torch.Generator(), resolution=256, channels=1)
        judge = PatchDiscriminator(torch.Generator(), resolution=256, channels=1)
    assert sum(weight.numel() for weight in made.parameters()) == convolutions + offsets + scales == 54_408_385
    shapes = [tuple(layer.weight.shape) for layer in judge.modules() if isinstance(layer, nn.Conv2d)]
    assert shapes == [(64, 2, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]


def instance_normalised(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    mean = features.mean((2, 3), keepdim=True)
    spread = (features - mean).square().mean((2, 3), keepdim=True).add(1e-5).sqrt()
    return (features - mean) / spread * weight[:, None, None] + bias[:, None, None]


def test_it_is_the_u_net_written_out() -> None:
    network = small().double()
    enliven(network)
    w = {name: value.detach() for name, value in network.named_parameters()}
    images = torch.randn(3, 2, 32, 32, generator=seeded(1), dtype=torch.float64)
    noise = [values.double() for values in network.noise(3, seeded(2))]
    came, x = [], images
    for n, name in enumerate(["down.0", "down.1.0", "down.2.0", "down.3.0", "down.4"]):
        x = conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), stride=2, padding=1)
        if 0 < n < 4:
            x = instance_normalised(x, w[f"down.{n}.1.weight"], w[f"down.{n}.1.bias"])
        x = leaky_relu(x, 0.2)
        came.append(x)
    assert [features.shape[-1] for features in came] == [16, 8, 4, 2, 1]
    for n in range(4):
        x = conv_transpose2d(x, w[f"up.{n}.0.weight"], stride=2, padding=1)
        x = instance_normalised(x, w[f"up.{n}.1.weight"], w[f"up.{n}.1.bias"])
        x = relu(x * noise[n]) if n < 3 else relu(x)
        x = torch.cat([x, came[3 - n]], 1)
    x = conv_transpose2d(x, w["last.weight"], w["last.bias"], stride=2, padding=1)
    torch.testing.assert_close(network(images, noise), x)
    alone = [network(images[n : n + 1], [values[n : n + 1] for values in noise]) for n in range(3)]
    torch.testing.assert_close(torch.cat(alone), x)  # no image has a part in another's


def test_noise_drops_as_often_as_said_and_keeps_the_mean() -> None:
    noise = small(features=40, dropout=0.2).noise(50, seeded())
    assert [tuple(values.shape) for values in noise] == [(50, 320, 2, 2), (50, 160, 4, 4), (50, 80, 8, 8)]
    for values in noise:
        assert set(values.unique().tolist()) == {0.0, 1.25}
        assert float(values.mean()) == pytest.approx(1, abs=0.02)
    again = small(features=40, dropout=0.2).noise(50, seeded())
    assert all(torch.equal(one, other) for one, other in zip(noise, again, strict=True))
    at_256 = small(256, features=1).noise(1, seeded())  # the paper's three layers CD512
    assert [tuple(values.shape) for values in at_256] == [(1, 8, 2, 2), (1, 8, 4, 4), (1, 8, 8, 8)]
    assert small(dropout=0.0).noise(2, seeded()) == []


@pytest.mark.parametrize("side", SIDES)
def test_a_logit_sees_the_patch_that_is_said_and_no_more(side: int) -> None:
    network = PatchDiscriminator(seeded(), resolution=side, channels=1, features=2).double()
    enliven(network)
    for layer in network.middle:
        layer[1] = nn.Identity()  # mean and spread are of the whole image
    images = torch.randn(1, 1, 256, 256, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    logits = network(torch.zeros_like(images), images)
    middle = logits.shape[-1] // 2
    (slope,) = torch.autograd.grad(logits[0, 0, middle, middle], images)
    seen = [(slope[0, 0].abs().sum(axis) > 0).nonzero().flatten() for axis in (0, 1)]
    expected = {32: 16, 64: 34, 128: 70, 256: 70}[side]
    assert [int(places[-1] - places[0]) + 1 for places in seen] == [expected] * 2
    assert patch_px(halvings_for(side)) == expected


def test_the_judge_sees_what_was_given_too() -> None:
    network = PatchDiscriminator(seeded(), resolution=32, channels=2, features=2)
    given, images = torch.randn(2, 1, 2, 32, 32, generator=seeded(1)).requires_grad_()
    for slope in torch.autograd.grad(network(given, images).sum(), (given, images)):
        assert float(slope.abs().max()) > 0


@pytest.mark.parametrize("wrong", [{"side": 48}, {"side": 512}, {"channels": 0}, {"features": 0}, {"dropout": 1.0}])
def test_networks_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="Pix2Pix"):
        small(**wrong)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes \(N, 2, 32, 32\)"):
        small()(torch.zeros(1, 1, 32, 32))
    with pytest.raises(UsageError, match="discriminator"):
        PatchDiscriminator(seeded(), resolution=32, channels=0)
