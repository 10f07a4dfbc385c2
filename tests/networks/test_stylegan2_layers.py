"""Equalised and modulated layers: their rates, their variance, and the slow, obvious form of each."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from fluosr.networks.equalised import EqualisedConv2d, EqualisedLinear, leaky, smoothed
from fluosr.networks.modulated import ModulatedConv2d, StyledLayer, ToImage, enlarged
from tests.restorers import seeded


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def value(tensor: torch.Tensor) -> float:
    return float(tensor.detach())


def moved_by_adam(layer: EqualisedLinear | EqualisedConv2d, features: torch.Tensor) -> torch.Tensor:
    """How far one step of Adam moves the weight that acts, rms over its elements, at a rate of 0.001."""
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3, eps=1e-30)
    before = layer.weight.detach().clone()
    (layer(features).square().sum()).backward()
    adam.step()
    return (layer.weight.detach() - before).mul(layer.scale).square().mean().sqrt()


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
@pytest.mark.parametrize("inputs", [4, 100])
def test_a_step_moves_the_acting_weight_by_the_rate_over_the_root_of_the_inputs(inputs: int, multiplier: float) -> None:
    layer = EqualisedLinear(seeded(), inputs, 30, multiplier=multiplier).double()
    moved = moved_by_adam(layer, normal(20, inputs))
    assert float(moved) == pytest.approx(1e-3 * multiplier / math.sqrt(inputs), rel=1e-6)


@pytest.mark.parametrize("inputs", [3, 12])
def test_the_same_of_a_convolution(inputs: int) -> None:
    layer = EqualisedConv2d(seeded(), inputs, 8, 3).double()
    moved = moved_by_adam(layer, normal(2, inputs, 6, 6))
    assert float(moved) == pytest.approx(1e-3 / math.sqrt(9 * inputs), rel=1e-6)


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_at_first_a_layer_keeps_the_variance_whatever_its_multiplier(multiplier: float) -> None:
    layer = EqualisedLinear(seeded(), 400, 500, multiplier=multiplier).double()
    assert value(layer(normal(100, 400)).var()) == pytest.approx(1.0, abs=0.02)
    shifted = EqualisedLinear(seeded(), 3, 2, bias=1.0, multiplier=multiplier)
    assert value(shifted(torch.zeros(3))[0]) == pytest.approx(1.0)


def test_the_activation_nearly_keeps_the_second_moment() -> None:
    # E leaky(x)^2 = 2 (1 + 0.04) / 2 of a normal x
    assert float(leaky(normal(200_000)).square().mean()) == pytest.approx(1.04, abs=0.02)


def test_the_filter_is_the_product_of_two_lines_with_one_as_sum() -> None:
    point = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    point[0, 1, 3, 3] = 1.0
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    spread = smoothed(point, 2)
    assert spread.shape == (1, 2, 8, 8) and not spread[0, 0].any()
    torch.testing.assert_close(spread[0, 1, 2:6, 2:6], torch.outer(line, line))
    assert float(spread.sum()) == pytest.approx(1.0)


def test_enlarging_is_bilinear_away_from_the_border() -> None:
    images = normal(2, 3, 6, 5)
    bilinear = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarged(images)[:, :, 1:-1, 1:-1], bilinear[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize("side", [1, 3])
def test_down_smooths_then_convolves_then_takes_every_second_pixel(side: int) -> None:
    layer = EqualisedConv2d(seeded(), 3, 4, side, bias=side == 3, down=True).double()
    images = normal(2, 3, 8, 10)
    everywhere = F.conv2d(smoothed(images, side // 2 + 1), layer.weight * layer.scale, layer.bias)
    torch.testing.assert_close(layer(images), everywhere[:, :, ::2, ::2])
    assert layer(images).shape == (2, 4, 4, 5)


def slowly(layer: ModulatedConv2d, images: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 3 for one image after the other, with its own weights."""
    made = []
    for image, style in zip(images, layer.affine(code), strict=True):
        weight = layer.weight * layer.scale * style[None, :, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            apart = torch.zeros(len(image), 2 * image.shape[1], 2 * image.shape[2], dtype=image.dtype)
            apart[:, ::2, ::2] = image
            wide = F.conv2d(F.pad(apart, (2, 2, 2, 2))[None], weight)  # wherever the kernel meets anything
            made.append(4 * smoothed(wide[:, :, :-1, :-1], 1)[0])
        else:
            made.append(F.conv2d(image[None], weight, padding=layer.side // 2)[0])
    return torch.stack(made)


def gradients(layer: ModulatedConv2d, images: torch.Tensor, code: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Of the sum of squares for code and weights: of the layer, and of its slow form."""
    found = []
    for form in (layer, partial(slowly, layer)):
        own = code.clone().requires_grad_()
        found.append(torch.autograd.grad(form(images, own).square().sum(), [own, *layer.parameters()]))
    return found


@pytest.mark.parametrize(("side", "up"), [(3, False), (3, True), (1, False)])
@pytest.mark.parametrize("demodulate", [True, False])
def test_one_shared_convolution_equals_weights_of_each_image(side: int, up: bool, demodulate: bool) -> None:
    layer = ModulatedConv2d(seeded(), 3, 4, side, 5, demodulate=demodulate, up=up).double()
    images, code = normal(3, 3, 5, 6), normal(3, 5, seed=2)
    torch.testing.assert_close(layer(images, code, gain=0.5), 0.5 * slowly(layer, images, code), rtol=1e-12, atol=1e-12)
    ours, theirs = gradients(layer, images, code)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spread", [0.1, 10.0])
def test_demodulation_gives_unit_variance_whatever_the_style(spread: float) -> None:
    layer = ModulatedConv2d(seeded(), 20, 10, 3, 6).double()
    images, code = normal(20, 20, 18, 18), spread * normal(20, 6, seed=2)
    inside = layer(images, code)[:, :, 1:-1, 1:-1]  # at the border some inputs are zeros
    for image in inside:
        assert value(image.var()) == pytest.approx(1.0, abs=0.15)
    assert value(inside.var()) == pytest.approx(1.0, abs=0.02)


def test_noise_does_nothing_at_first_and_then_by_its_strength() -> None:
    layer = StyledLayer(seeded(), 3, 4, 5, 6, up=False).double()
    images, code, noise = normal(2, 3, 6, 6), normal(2, 5, seed=2), normal(2, 1, 6, 6, seed=3)
    without = layer(images, code, None)
    assert torch.equal(layer(images, code, noise), without)
    with torch.no_grad():
        layer.noise_strength.fill_(0.5)
        layer.bias.fill_(0.25)
    expected = leaky(layer.convolution(images, code) + 0.5 * noise + 0.25)
    torch.testing.assert_close(layer(images, code, noise), expected)


def test_the_layer_to_the_image_is_linear_in_the_style_and_has_a_bias() -> None:
    layer = ToImage(seeded(), 3, 2, 5).double()
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    images, code = normal(1, 3, 4, 4), normal(1, 5, seed=2)
    once = layer(images, code) - layer.bias[:, None, None]
    torch.testing.assert_close(layer(2 * images, code) - layer.bias[:, None, None], 2 * once)
