"""The discriminator of the paper's section 4.3, and a gradient penalty that moves it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fluosr.errors import OpticsError
from fluosr.networks.discriminator import Discriminator, gradient_penalty


def make(shape: tuple[int, int] = (16, 18), seed: int = 0) -> Discriminator:
    return Discriminator(shape, torch.Generator().manual_seed(seed))


def random_frames(n: int = 6, shape: tuple[int, int] = (16, 18), seed: int = 1) -> torch.Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


def test_its_layers_are_the_papers() -> None:
    layers = list(make().layers)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 64, 128]
    assert [layer.in_channels for layer in convolutions] == [1, 32, 64]
    assert all(layer.kernel_size == (5, 5) for layer in convolutions)
    pools = [layer for layer in layers if isinstance(layer, nn.MaxPool2d)]
    assert [pool.kernel_size for pool in pools] == [2, 2, 2]
    full = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in full] == [10, 1]
    assert isinstance(layers[-1], nn.Sigmoid)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):  # each is pooled and rectified
            assert isinstance(layers[place + 1], nn.MaxPool2d) and isinstance(layers[place + 2], nn.LeakyReLU)


@pytest.mark.parametrize("shape", [(8, 8), (9, 15), (16, 18), (40, 31)])
def test_every_frame_gets_one_score_between_0_and_1(shape: tuple[int, int]) -> None:
    scores = make(shape)(10.0 * random_frames(5, shape))
    assert scores.shape == (5,)
    assert bool(((scores > 0) & (scores < 1)).all())


def test_frames_are_judged_one_by_one() -> None:
    judge, frames = make(), random_frames()
    torch.testing.assert_close(judge(frames), torch.cat([judge(frame[None]) for frame in frames]))


@pytest.mark.parametrize("shape", [(7, 20), (20, 7), (4, 4)])
def test_a_field_too_small_to_pool_three_times_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(OpticsError, match=f"{shape[0]} x {shape[1]}.*--no-discriminator"):
        Discriminator(shape)


def test_its_weights_come_from_the_generator_alone() -> None:
    first, second, other = make(seed=4), make(seed=4), make(seed=5)
    torch.manual_seed(99)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dim() == 1 or not torch.equal(a, c)
    assert all(float(p.detach().abs().max()) > 0 for p in first.parameters() if p.dim() > 1)


def slopes(judge: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """|grad_y D| of every frame, one at a time."""
    norms = []
    for frame in frames:
        single = frame[None].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(judge(single)[0], single)
        norms.append(slope.norm())
    return torch.stack(norms)


def test_the_penalty_is_the_mean_of_each_frames_own() -> None:
    judge, frames = make(), random_frames()
    wanted = ((slopes(judge, frames) - 1.0) ** 2).mean()
    torch.testing.assert_close(gradient_penalty(judge, frames).detach(), wanted)


def test_the_penalty_moves_the_weights() -> None:
    """Without keeping the graph of the inner gradient it would be a constant."""
    judge, frames = make(), random_frames()
    penalty = gradient_penalty(judge, frames)
    gradients = torch.autograd.grad(penalty, list(judge.parameters()), allow_unused=True)
    weights = [g for g, p in zip(gradients, judge.parameters(), strict=True) if p.dim() > 1]
    assert all(g is not None and float(g.abs().max()) > 0.0 for g in weights)


def test_its_gradient_is_that_of_a_finite_difference() -> None:
    judge = make((8, 8)).double()
    frames = random_frames(3, (8, 8)).double()
    parameter = next(p for p in judge.parameters() if p.shape == (1, 10))
    (gradient,) = torch.autograd.grad(gradient_penalty(judge, frames), parameter)
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            parameter[0, 3] += step
        values.append(float(gradient_penalty(judge, frames).detach()))
        with torch.no_grad():
            parameter[0, 3] -= step
    assert float(gradient[0, 3]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_minimised_alone_it_brings_the_slope_to_one() -> None:
    judge, frames = make((8, 8)), random_frames(4, (8, 8))
    before = slopes(judge, frames).mean()
    adam = torch.optim.Adam(judge.parameters(), lr=1e-3)
    for _ in range(150):
        adam.zero_grad(set_to_none=True)
        gradient_penalty(judge, frames).backward()
        adam.step()
    after = slopes(judge, frames)
    assert float(before) < 0.2
    assert bool(((after - 1.0).abs() < 0.1).all())


def test_the_frames_themselves_are_not_touched() -> None:
    frames = random_frames()
    gradient_penalty(make(), frames)
    assert not frames.requires_grad and frames.grad is None
