"""What every restoration network promises, and the list that names them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from fluosr.errors import UsageError
from fluosr.networks.restorer import Restorer, draw_kaiming
from fluosr.networks.restorers import build_restorer, get_restorer, restorer_names, restorer_options
from tests.restorers import SMALL, seeded, small_restorer

NAMES, SCALES = restorer_names(), (1, 2, 4)


def test_the_names() -> None:
    assert NAMES == ["rrdb-23", "rrdb-6", "nafnet", "span"]
    assert all(get_restorer(name).name == name and get_restorer(name).summary for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_network_enlarges_by_its_scale(name: str, scale: int, channels: int) -> None:
    network = build_restorer(name, seeded(), scale, channels=channels, options=SMALL[name])
    assert isinstance(network, Restorer)
    images = torch.rand(2, channels, 2 * network.multiple, 3 * network.multiple, generator=seeded(1))
    made = network(images)
    assert made.shape == (2, channels, scale * images.shape[-2], scale * images.shape[-1])
    assert made.dtype == torch.float32 and torch.isfinite(made).all()
    torch.testing.assert_close(network(images[1:]), made[1:])  # images of a batch do not mix


@pytest.mark.parametrize("name", ["nafnet", "span"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_light_network_without_weights_repeats_each_pixel(name: str, scale: int) -> None:
    network = build_restorer(name, seeded(), scale, options=SMALL[name])
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    images = torch.rand(1, 1, 5, 7, generator=seeded(1))
    assert torch.equal(network(images), images.repeat_interleave(scale, 2).repeat_interleave(scale, 3))


@pytest.mark.parametrize("name", NAMES)
def test_all_weights_learn(name: str) -> None:
    network = small_restorer(name, 2).train()
    network(torch.rand(1, 1, 12, 12, generator=seeded(1))).square().mean().backward()
    silent = [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_every_network_learns_from_its_first_weights(name: str) -> None:
    network = build_restorer(name, seeded(), 2, options=SMALL[name]).train()
    truth = torch.rand(4, 1, 32, 32, generator=seeded(1))
    truth = torch.nn.functional.avg_pool2d(truth, 5, stride=1, padding=2)
    images = torch.nn.functional.avg_pool2d(truth, 2)
    adam = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = (network(images) - truth).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.9 * losses[0], losses


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_restores_much_the_same(name: str) -> None:
    network = build_restorer(name, seeded(), 2, options=SMALL[name]).eval()
    images = torch.rand(1, 1, 16, 16, generator=seeded(1))
    with torch.inference_mode():
        single = network(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = network(images).float()
    assert (mixed - single).abs().max() < 0.05 * single.abs().max()


@pytest.mark.parametrize("name", ["nafnet", "span"])
def test_a_light_network_begins_near_the_image(name: str) -> None:
    network, images = build_restorer(name, seeded(), 2), torch.rand(1, 1, 24, 24, generator=seeded(1))
    with torch.inference_mode():
        added = network(images) - images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert 0 < added.std() < images.std()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights(name: str) -> None:
    first, again, other = (
        build_restorer(name, seeded(seed), 2, options=SMALL[name]).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_stored_options_build_the_same_network_again(name: str) -> None:
    stored = json.loads(json.dumps(restorer_options(name, SMALL[name]).model_dump()))
    network = build_restorer(name, seeded(), 2, options=stored)
    network.load_state_dict(small_restorer(name, 2).state_dict())


def test_the_papers_and_the_light_network_differ_in_blocks() -> None:
    options = [restorer_options(name, {}).model_dump() for name in ("rrdb-23", "rrdb-6")]
    assert [option.pop("blocks") for option in options] == [23, 6]
    assert options[0] == options[1]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("swinir", {}, "no restoration network 'swinir'; known are: rrdb-23"),
        ("span", {"growth": 3}, "growth"),
        ("rrdb-6", {"blocks": 0}, "blocks"),
        ("nafnet", {"window_px": 4}, "odd"),
        ("nafnet", {"features": "many"}, "many"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_restorer(name, seeded(), 2, options=values)


def test_kaimings_spread_for_a_slope_and_a_gain() -> None:
    layer = torch.nn.Conv2d(64, 64, 3)
    draw_kaiming(layer, seeded(), gain=0.5, slope=0.2)
    assert layer.bias is not None and not layer.bias.any()
    assert layer.weight.std().item() == pytest.approx(0.5 * (2 / (1.04 * 576)) ** 0.5, rel=0.02)
