"""Regularisation that acts seldom: weighs and steps in a cycle as if it acted at every step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fluosr.generation import training as trainings
from fluosr.generation.training import Training
from tests.generation.dots import training
from tests.restorers import seeded


def gathered(made: Training, monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.optim.Adam, float]]:
    """Every loss that an optimiser is given; the networks stay as they are."""
    given: list[tuple[torch.optim.Adam, float]] = []
    monkeypatch.setattr(trainings, "_descend", lambda adam, loss: given.append((adam, float(loss.detach()))))
    while not made.finished:
        made.step()
    return given


def alike(interval: int, **given: Any) -> Training:
    """A training whose networks see the same at every step, so that a cycle's sum is no matter of chance."""
    made = training(
        batch=8, images=8 * 12, r1_interval=interval, path_interval=interval, augment=False, path_decay=1.0, **given
    )
    made.crops = made.crops[:1].expand(64, -1, -1, -1)
    drawn = seeded(5).get_state()
    paths = made._regularise_paths

    def same_draws() -> torch.Tensor:
        made.generator.set_state(drawn)
        return paths()

    made._regularise_paths = same_draws  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("interval", [2, 3, 4])
def test_over_a_cycle_lazy_regularisation_weighs_as_much_as_one_at_every_step(
    interval: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = []
    for every in (1, interval):
        made = alike(every)
        given = gathered(made, monkeypatch)
        assert len(given) == 24 + 2 * 12 / every  # two losses at each of 12 steps, and regularisation now and then
        paths = [loss for (adam, loss) in given if adam is made.adam]
        slopes = [loss for (adam, loss) in given if adam is made.adam_of_discriminator]
        # At a step that has it, the regularisation comes after the loss.
        regular = [number for number in range(len(paths)) if number % (every + 1) == 1]
        sums.append([sum(losses[number] for number in regular) for losses in (paths, slopes)])
    assert min(sums[0]) > 0
    assert sums[1] == pytest.approx(sums[0], rel=1e-4)


def test_the_discriminator_descends_r1_with_its_lazy_weight() -> None:
    made = training(r1_interval=16, augment=False)
    made.discriminator.double()
    made.crops = made.crops.double()
    before = {name: value.clone() for name, value in made.discriminator.state_dict().items()}
    state = made.generator.get_state()
    made._regularise_slope()
    slopes = {name: value.grad for name, value in made.discriminator.named_parameters()}
    made.discriminator.load_state_dict(before)
    made.generator.set_state(state)
    crops = made._drawn_crops()

    def penalty() -> float:  # gamma / 2 x the mean of |dD / dx|^2, image by image
        asked = crops.clone().requires_grad_()
        (slope,) = torch.autograd.grad(made.discriminator(asked).sum(), asked)
        return made.r1_gamma / 2 * sum(float((one**2).sum()) for one in slope) / len(slope)

    for name in ("logit.weight", "dense.weight", "blocks.0.second.weight"):
        weight, slope = made.discriminator.get_parameter(name).data, slopes[name]
        assert slope is not None
        place = tuple(torch.nonzero(slope.abs() == slope.abs().max())[0].tolist())
        weight[place] += 1e-5
        ahead = penalty()
        weight[place] -= 2e-5
        behind = penalty()
        weight[place] += 1e-5
        assert float(slope[place]) == pytest.approx(16 * (ahead - behind) / 2e-5, rel=1e-4)


def test_the_generator_descends_path_lengths_with_their_lazy_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    made = training(path_interval=4, path_weight=2.0, path_decay=0.25, batch=8)
    made.path_mean = torch.tensor(0.3)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    drawn, losses = made._codes, []

    def codes(count: int, **given: Any) -> torch.Tensor:
        seen.append((ws := drawn(count, **given), made.generator.get_state()))
        return ws

    made._codes = codes  # type: ignore[method-assign]
    monkeypatch.setattr(trainings, "_descend", lambda adam, loss: losses.append(float(loss.detach())))
    told = float(made._regularise_paths().detach())
    ((ws, state),) = seen
    assert len(ws) == 4  # half a batch
    made.generator.set_state(state)
    images = made._made(ws)
    direction = torch.randn(images.shape, generator=made.generator) / 32
    lengths = []
    for number in range(4):  # image by image, layer by layer
        (slope,) = torch.autograd.grad((images[number] * direction[number]).sum(), ws, retain_graph=True)
        lengths.append(math.sqrt(sum(float((layer**2).sum()) for layer in slope[number]) / ws.shape[1]))
    mean = 0.3 + 0.25 * (sum(lengths) / 4 - 0.3)
    assert float(made.path_mean) == pytest.approx(mean, rel=1e-5)
    penalty = sum((length - mean) ** 2 for length in lengths) / 4
    assert told == pytest.approx(penalty, rel=1e-4)
    assert losses == pytest.approx([2.0 * 4 * penalty], rel=1e-4)


@pytest.mark.parametrize(("interval", "name"), [(4, "adam"), (16, "adam_of_discriminator")])
def test_an_optimiser_with_lazy_steps_goes_as_far_and_forgets_as_much_in_a_cycle(interval: int, name: str) -> None:
    made = training(r1_interval=16, path_interval=4, learning_rate=0.002)
    (group,) = getattr(made, name).param_groups
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (interval / (interval + 1)))) and group["eps"] == 1e-8

    def moved(rate: float, betas: tuple[float, float], steps: int) -> tuple[float, float]:
        weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        adam = torch.optim.Adam([weight], lr=rate, betas=betas, eps=1e-12)
        weight.grad = torch.full((1,), 1e3, dtype=torch.float64)
        adam.step()  # a jolt, which is then forgotten
        begun = float(adam.state[weight]["exp_avg_sq"]) / (1 - betas[1])
        weight.grad = torch.zeros(1, dtype=torch.float64)
        for _ in range(steps):
            adam.step()
        forgotten = float(adam.state[weight]["exp_avg_sq"]) / (1 - betas[1]) / begun
        weight.data.zero_()
        adam.state.clear()
        weight.grad = torch.full((1,), 1e3, dtype=torch.float64)
        for _ in range(steps):
            adam.step()
        return float(-weight.detach()), forgotten

    assert moved(group["lr"], group["betas"], interval + 1) == pytest.approx(moved(0.002, (0.0, 0.99), interval))
