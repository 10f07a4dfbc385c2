"""Losses against enumeration on linear networks; lazy rates; the average; when augmentation becomes likelier."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fluosr.generation.losses import (
    average_decay,
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_lengths,
    path_penalty,
    squared_slope,
)
from fluosr.generation.parameters import GeneratorTraining
from fluosr.generation.probability import AdaptiveProbability
from tests.restorers import seeded


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_the_losses_are_log_probabilities() -> None:
    fake, real = normal(7), normal(7, seed=2)
    assert float(generator_loss(fake)) == pytest.approx(float(-fake.sigmoid().log().mean()))
    expected = -(1 - fake.sigmoid()).log().mean() - real.sigmoid().log().mean()
    assert float(discriminator_loss(fake, real)) == pytest.approx(float(expected))


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights() -> None:
    weight, images = normal(3, 5, 5), normal(4, 3, 5, 5, seed=2).requires_grad_()
    logits = (images * weight).sum((1, 2, 3))
    assert float(squared_slope(logits, images).detach()) == pytest.approx(float(weight.square().sum()))


def test_r1_of_any_discriminator_by_differences_pixel_by_pixel() -> None:
    weight, images = normal(6, 9), normal(3, 1, 3, 3, seed=2)

    def judged(some: torch.Tensor) -> torch.Tensor:
        return (some.flatten(1) @ weight.T).tanh().sum(1)

    total = 0.0
    for number in range(3):
        for pixel in range(9):
            step = torch.zeros(1, 9, dtype=torch.float64)
            step[0, pixel] = 1e-6
            ahead, behind = (judged(images[number : number + 1] + s * step.view(1, 1, 3, 3)) for s in (1, -1))
            total += float((ahead - behind) / 2e-6) ** 2 / 3
    asked = images.clone().requires_grad_()
    assert float(squared_slope(judged(asked), asked).detach()) == pytest.approx(total, rel=1e-6)


def test_path_lengths_of_a_linear_generator_layer_by_layer() -> None:
    jacobian = normal(2, 4, 4, 3, 5)  # image (2, 4, 4) from ws (3, 5)
    ws = normal(6, 3, 5, seed=2).requires_grad_()
    images = torch.einsum("cyxld,nld->ncyx", jacobian, ws)
    direction = normal(6, 2, 4, 4, seed=3)
    expected = []
    for one in direction:
        squares = [(jacobian[:, :, :, layer] * one[..., None]).sum((0, 1, 2)).square().sum() for layer in range(3)]
        expected.append(torch.stack(squares).mean().sqrt())
    found = path_lengths(images, ws, direction)
    torch.testing.assert_close(found, torch.stack(expected))
    assert float(path_penalty(found, torch.tensor(2.0))) == pytest.approx(float(((found - 2) ** 2).mean()))


def test_a_generator_of_orthogonal_steps_has_one_length_whatever_the_direction() -> None:
    # J'J = 1: |J'y| of a normal y is about the root of the number of its w.
    basis = torch.linalg.qr(normal(400, 50))[0].reshape(1, 20, 20, 1, 50)
    ws = normal(200, 1, 50, seed=2).requires_grad_()
    images = torch.einsum("cyxld,nld->ncyx", basis, ws)
    lengths = path_lengths(images, ws, normal(200, 1, 20, 20, seed=3))
    assert float(lengths.square().mean().detach()) == pytest.approx(50, rel=0.05)


@pytest.mark.parametrize(("interval", "rate", "second"), [(16, 16 / 17, 0.99 ** (16 / 17)), (4, 0.8, 0.99**0.8)])
def test_lazy_regularisation_rescales_rate_and_betas(interval: int, rate: float, second: float) -> None:
    found, betas = lazy_adam(0.0025, (0.0, 0.99), interval)
    assert (found, *betas) == pytest.approx((0.0025 * rate, 0.0, second))
    assert lazy_adam(0.0025, (0.0, 0.99), None) == (0.0025, (0.0, 0.99))


@given(st.integers(2, 32))
def test_i_plus_one_lazy_steps_forget_as_much_as_i_plain_ones(interval: int) -> None:
    _, (_, beta) = lazy_adam(1.0, (0.0, 0.99), interval)
    assert beta ** (interval + 1) == pytest.approx(0.99**interval)


def test_the_average_halves_its_past_every_half_life_and_at_first_sooner() -> None:
    decay = average_decay(32, 10_000_000, 10_000, 0.05)
    assert decay ** (10_000 / 32) == pytest.approx(0.5)
    assert average_decay(32, 32_000, 10_000, 0.05) ** (1600 / 32) == pytest.approx(0.5)  # 0.05 x 32,000
    assert average_decay(32, 32_000, 10_000, 0.0) == pytest.approx(decay)
    assert average_decay(32, 32, 0.0, 0.05) == 0.0


def test_the_probability_rises_where_the_discriminator_is_too_sure_and_falls_where_not() -> None:
    ada = AdaptiveProbability(target=0.6, interval=4, speed=1000)
    sure, unsure = torch.ones(10), torch.cat([torch.ones(5), -torch.ones(5)])
    for _ in range(3):
        ada.see(sure)
    assert ada.probability == 0.0
    ada.see(sure)
    assert ada.probability == pytest.approx(40 / 1000) and ada.last == 1.0
    for _ in range(4):
        ada.see(unsure)
    assert ada.probability == pytest.approx(0.0) and ada.last == 0.0
    for _ in range(4):
        ada.see(unsure)
    assert ada.probability == 0.0


def test_from_none_to_always_in_as_many_images_as_said() -> None:
    ada = AdaptiveProbability(speed=4000)
    for _ in range(4000 // 50):
        ada.see(torch.ones(50))
    assert ada.probability == pytest.approx(1.0)
    for _ in range(8):
        ada.see(torch.ones(50))
    assert ada.probability == 1.0


def test_a_kept_probability_goes_on_where_it_was() -> None:
    ada, again = AdaptiveProbability(speed=1000), AdaptiveProbability(speed=1000)
    for number in range(6):
        ada.see(normal(10, seed=number) + 1)
    again.restore(ada.tensor())
    assert vars(again) == vars(ada)
    for one in (ada, again):
        one.see(torch.ones(10))
        one.see(torch.ones(10))
    assert again.probability == ada.probability > 0


@pytest.mark.parametrize("batch", [8, 32, 64])
def test_half_lives_are_of_ten_thousand_crops_at_the_published_batch_and_as_many_steps_at_another(batch: int) -> None:
    given = GeneratorTraining.model_validate({"batch": batch})
    decay = average_decay(batch, 10**9, given.average_half_life, given.ema_ramp)
    assert decay ** (10_000 / 32) == pytest.approx(0.5)
    assert GeneratorTraining.model_validate({"batch": batch, "ema_half_life": 70.0}).average_half_life == 70.0


def test_gamma_of_r1_is_the_recipes() -> None:
    assert GeneratorTraining.model_validate({}).r1_gamma(128) == pytest.approx(0.1024)
    assert GeneratorTraining.model_validate({"r1_weight": 3.0}).r1_gamma(128) == 3.0
    assert math.isclose(GeneratorTraining.model_validate({"batch": 16}).r1_gamma(64), 0.0512)
