"""The perceptual loss: VGG19's layers, the weights a user supplies, and those it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from fluosr.errors import ModelError, UsageError
from fluosr.networks.vgg import CHANNELS, VGG19, layer_places
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.perceptual import WEIGHTS, PerceptualLoss, load_perceptual
from tests.restoration.fields_at_hand import field


def weights_of_vgg() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {**VGG19(list(WEIGHTS)).state_dict(), "classifier.0.weight": torch.zeros(2)}


def test_the_layers_lie_where_published_weights_have_them() -> None:
    places = layer_places()
    assert len(places) == 16 == sum(map(len, CHANNELS))
    assert [places[n] for n in ("conv1_1", "conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")] == [
        0,
        2,
        7,
        16,
        25,
        34,
    ]
    with torch.device("meta"):
        network = VGG19(["conv5_4"])
        assert sum(weight.numel() for weight in network.parameters()) == 20_024_384
        assert network(torch.zeros(2, 1, 32, 48))["conv5_4"].shape == (2, 512, 2, 3)


def test_features_are_those_before_the_relu() -> None:
    network = VGG19(["conv1_1"])
    image = torch.rand(1, 1, 8, 8)
    found = network(image)["conv1_1"]
    means, deviations = network.means, network.deviations
    wanted = torch.nn.functional.conv2d(
        (image.repeat(1, 3, 1, 1) - means) / deviations, network.features[0].weight, network.features[0].bias, padding=1
    )
    torch.testing.assert_close(found, wanted)
    assert found.min() < 0


def test_the_loss_is_none_for_the_truth_and_ignores_gain_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    safetensors.torch.save_file(weights_of_vgg(), path)
    loss = load_perceptual(path)
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    other = (truth + 0.1 * torch.rand(truth.shape)).requires_grad_()
    assert float(loss(truth, truth)) == 0.0
    found = loss(other, truth)
    torch.testing.assert_close(loss(3 * other + 7, 3 * truth + 7), found, rtol=1e-3, atol=1e-6)
    found.backward()
    assert other.grad is not None and other.grad.abs().sum() > 0
    assert all(not weight.requires_grad for weight in loss.parameters())


def test_weights_that_are_not_vgg_are_refused(tmp_path: Path) -> None:
    weights = weights_of_vgg()
    weights["features.7.weight"] = torch.zeros(3)
    with pytest.raises(ModelError, match=r"features\.7\.weight"):
        PerceptualLoss(weights, "my.safetensors")
    path = tmp_path / "bad.safetensors"
    with pytest.raises(ModelError, match="cannot be read"):
        load_perceptual(path)
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(ModelError, match="not a safetensors"):
        load_perceptual(path)


def test_a_training_knows_its_loss_by_its_weights_and_not_by_name_alone() -> None:
    fields = [field(number) for number in range(3)]
    given = RestorationTraining(network="span", gan_iterations=1, perceptual=Path("vgg.safetensors"), patch=8)
    with pytest.raises(UsageError, match="needs both"):
        lesson_of(fields, 2, given)
    weights = weights_of_vgg()
    changed = {**weights, "features.2.bias": weights["features.2.bias"] + 1}
    facts = [lesson_of(fields, 2, given, perceptual=PerceptualLoss(w, "")).facts for w in (weights, weights, changed)]
    assert facts[0] == facts[1] != facts[2]
    with pytest.raises(ValidationError, match="gan_iterations is 0"):
        RestorationTraining(perceptual=Path("vgg.safetensors"))
