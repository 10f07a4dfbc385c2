"""Generator and discriminator: shapes, plan of channels, noise, truncation, mixed styles, deviation of a minibatch."""

from __future__ import annotations

import pytest
import torch

from fluosr.errors import UsageError
from fluosr.networks.equalised import leaky
from fluosr.networks.modulated import StyledLayer, ToImage, enlarged
from fluosr.networks.stylegan2_discriminator import ResidualBlock, StyleGAN2Discriminator, minibatch_deviation
from fluosr.networks.stylegan2_generator import StyleGAN2Generator, channels_at, mixed_styles
from tests.restorers import seeded


def small(resolution: int = 32, channels: int = 3, seed: int = 0, depth: int = 2) -> StyleGAN2Generator:
    return StyleGAN2Generator(
        seeded(seed), resolution=resolution, channels=channels, latent_features=6, mapping_depth=depth, features=4
    )


def codes(count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 6, generator=seeded(seed))


@pytest.mark.parametrize(("resolution", "styles"), [(32, 8), (64, 10), (128, 12), (256, 14)])
@pytest.mark.parametrize("channels", [1, 4])
def test_shapes_and_number_of_styles(resolution: int, styles: int, channels: int) -> None:
    network = small(resolution, channels)
    assert network.number_of_styles == styles
    w = network.mapping(codes())
    assert w.shape == (2, 6)
    image = network.synthesis(w[:, None].repeat(1, styles, 1))
    assert image.shape == (2, channels, resolution, resolution) and image.dtype == torch.float32
    assert torch.equal(network(codes()), image)
    judge = StyleGAN2Discriminator(seeded(), resolution=resolution, channels=channels, features=4)
    assert judge(image).shape == (2,)


def test_the_plan_of_channels_is_the_papers_and_one_number_scales_it() -> None:
    assert [channels_at(side, 512) for side in (4, 8, 16, 32, 64, 128, 256)] == [512] * 4 + [256, 128, 64]
    assert [channels_at(side, 64) for side in (4, 64, 256)] == [64] * 3


def test_a_generator_has_the_weights_that_the_papers_layers_have() -> None:
    network = StyleGAN2Generator(seeded(), resolution=64, channels=2, latent_features=512, mapping_depth=2)
    count = 2 * (512 * 512 + 512) + 512 * 16  # mapping, constant
    for a, b in [(512, 512)] * 7 + [(512, 256), (256, 256)]:  # styled layers: weight, affine, bias, strength
        count += 9 * a * b + 512 * a + a + b + 1
    for a in [512] * 4 + [256]:  # to the image: weight, affine, bias
        count += 2 * a + 512 * a + a + 2
    assert sum(weight.numel() for weight in network.parameters()) == count


def test_the_mapping_takes_the_direction_of_z_alone() -> None:
    network = small()
    torch.testing.assert_close(network.mapping(3 * codes()), network.mapping(codes()))
    wide = StyleGAN2Generator(seeded(), resolution=32, channels=1, latent_features=200, features=1)
    w = wide.mapping(torch.randn(50, 200, generator=seeded(1))).detach()
    assert float(w.square().mean()) == pytest.approx(1.04**2, abs=0.15)


def test_each_style_reaches_the_image_and_the_last_only_its_last_layer() -> None:
    network = small().double()
    ws = network.styles(codes().double()).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.synthesis(ws).square().sum(), ws)
    assert (gradient.abs().sum((0, 2)) > 0).all()
    changed = ws.detach().clone()
    changed[:, -1] += 1.0
    last = network.synthesis.to_image[-1]
    assert isinstance(last, ToImage)
    with torch.no_grad():
        before = network.synthesis(ws)
        last.convolution.weight.zero_()
        assert torch.equal(network.synthesis(ws), network.synthesis(changed))
        assert not torch.equal(before, network.synthesis(ws))


def test_the_synthesis_layer_by_layer() -> None:
    network = small().double()
    synthesis, (w0, w1, w2, w3, w4, w5, w6, w7) = network.synthesis, torch.randn(8, 2, 6, generator=seeded(2)).double()
    layers, to_image = list(synthesis.layers), list(synthesis.to_image)
    noise = [layer.constant_noise for layer in layers]
    x = layers[0](synthesis.constant.expand(2, -1, -1, -1), w0, noise[0])
    image = to_image[0](x, w1)
    x = layers[2](layers[1](x, w1, noise[1]), w2, noise[2])
    image = enlarged(image) + to_image[1](x, w3)
    x = layers[4](layers[3](x, w3, noise[3]), w4, noise[4])
    image = enlarged(image) + to_image[2](x, w5)
    x = layers[6](layers[5](x, w5, noise[5]), w6, noise[6])
    image = enlarged(image) + to_image[3](x, w7)
    ws = torch.stack([w0, w1, w2, w3, w4, w5, w6, w7], 1)
    torch.testing.assert_close(network.synthesis(ws), image)


def test_the_discriminator_layer_by_layer() -> None:
    judge = StyleGAN2Discriminator(seeded(), resolution=32, channels=3, features=4).double()
    images = torch.randn(5, 3, 32, 32, generator=seeded(1), dtype=torch.float64)
    x = leaky(judge.first(images))
    for block in judge.blocks:
        assert isinstance(block, ResidualBlock)
        x = (leaky(block.second(leaky(block.first(x)))) + block.skip(x)) / 2**0.5
    assert x.shape == (5, 4, 4, 4)
    x = leaky(judge.last(minibatch_deviation(x)))
    expected = judge.logit(leaky(judge.dense(x.reshape(5, -1))))[:, 0]
    torch.testing.assert_close(judge(images), expected)


def test_images_of_a_batch_do_not_know_of_each_other() -> None:
    network = small().double()
    z = codes(3).double()
    torch.testing.assert_close(network(z)[1:2], network(z[1:2]))


def test_noise_is_constant_fresh_or_none() -> None:
    network = small()
    with torch.no_grad():
        for layer in network.synthesis.layers:
            assert isinstance(layer, StyledLayer)
            layer.noise_strength.fill_(0.3)
    ws = network.styles(codes())
    assert torch.equal(network.synthesis(ws), network.synthesis(ws))
    fresh = [network.synthesis(ws, noise="random", generator=seeded(seed)) for seed in (5, 5, 6)]
    assert torch.equal(fresh[0], fresh[1]) and not torch.equal(fresh[0], fresh[2])
    none = network.synthesis(ws, noise="zero")
    assert not torch.equal(none, network.synthesis(ws)) and not torch.equal(none, fresh[0])
    same = network.styles(codes(1)).expand(2, -1, -1)
    one, other = network.synthesis(same, noise="random", generator=seeded())
    assert not torch.equal(one, other)
    with pytest.raises(UsageError, match="generator"):
        network.synthesis(ws, noise="random")


def test_truncation_draws_codes_to_the_running_mean() -> None:
    network = small()
    w = network.mapping(codes(50))
    for _ in range(3):
        network.follow_mean(w)
    torch.testing.assert_close(network.mean_w, w.mean(0) * (1 - 0.995**3))
    z = codes()
    half = network.styles(z, truncation=0.5)
    torch.testing.assert_close(half[:, 3], 0.5 * (network.mapping(z) + network.mean_w))
    centre = network.synthesis(network.mean_w.expand(1, network.number_of_styles, -1))
    torch.testing.assert_close(network(z, truncation=0.0)[1:], centre)


def test_mixed_styles_cross_where_they_are_told() -> None:
    network = small()
    first, second = network.styles(codes(3)), network.styles(codes(3, seed=2))
    mixed = mixed_styles(first, second, torch.tensor([0, 3, 8]))
    assert torch.equal(mixed[0], second[0]) and torch.equal(mixed[2], first[2])
    assert torch.equal(mixed[1, :3], first[1, :3]) and torch.equal(mixed[1, 3:], second[1, 3:])


def deviation_by_a_loop(features: torch.Tensor, group: int) -> torch.Tensor:
    groups = -(-len(features) // group)
    made = torch.empty(len(features), dtype=features.dtype)
    for number in range(groups):
        part = features[number::groups]
        made[number::groups] = (part.var(0, unbiased=False) + 1e-8).sqrt().mean()
    return made


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 8, 9])
@pytest.mark.parametrize("group", [1, 4])
def test_the_deviation_of_a_minibatch_by_a_loop(count: int, group: int) -> None:
    features = torch.randn(count, 3, 4, 4, generator=seeded(), dtype=torch.float64)
    found = minibatch_deviation(features, group)
    assert torch.equal(found[:, :3], features)
    expected = deviation_by_a_loop(features, group)[:, None, None].expand(-1, 4, 4)
    torch.testing.assert_close(found[:, 3], expected, rtol=1e-9, atol=1e-9)


def test_the_discriminator_sees_how_alike_a_batch_is() -> None:
    judge = StyleGAN2Discriminator(seeded(), resolution=32, channels=1, features=4)
    one = torch.randn(1, 1, 32, 32, generator=seeded())
    other = torch.randn(1, 1, 32, 32, generator=seeded(1))
    assert float(judge(torch.cat([one, one]))[0].detach()) == pytest.approx(float(judge(one)[0].detach()), abs=1e-5)
    assert abs(float((judge(torch.cat([one, other]))[0] - judge(one)[0]).detach())) > 1e-4


def test_both_differentiate_twice() -> None:
    network, judge = small().double(), StyleGAN2Discriminator(seeded(), resolution=32, channels=3, features=4).double()
    ws = network.styles(codes().double()).detach().requires_grad_()
    images = network.synthesis(ws)
    (slope,) = torch.autograd.grad(judge(images).sum(), ws, create_graph=True)
    slope.square().sum().backward()
    assert all(weight.grad is not None for weight in judge.blocks.parameters() if weight.ndim > 1)
    assert network.synthesis.constant.grad is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution": 48, "channels": 1}, "32, 64, 128 or 256"),
        ({"resolution": 32, "channels": 0}, "0 channels"),
        ({"resolution": 32, "channels": 1, "features": 0}, "0 features"),
    ],
)
def test_what_cannot_be_built_is_said(options: dict[str, int], words: str) -> None:
    for network in (StyleGAN2Generator, StyleGAN2Discriminator):
        with pytest.raises(UsageError, match=words):
            network(seeded(), **options)


def test_other_codes_and_images_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(N, 8, 6\), got \(2, 10, 6\)"):
        small().synthesis(torch.zeros(2, 10, 6))
    judge = StyleGAN2Discriminator(seeded(), resolution=32, channels=3, features=4)
    with pytest.raises(UsageError, match=r"got \(2, 3, 64, 64\)"):
        judge(torch.zeros(2, 3, 64, 64))
