"""The variational autoencoder: its divergence against draws, its gradients, its size and its reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.networks.variational import (
    LATENT_CHANNELS,
    REACH_PX,
    STRIDE,
    VariationalAutoencoder,
    divergence_from_prior,
    sample_latent,
)


def network(filters: int = 4, seed: int = 0) -> VariationalAutoencoder:
    return VariationalAutoencoder(torch.Generator().manual_seed(seed), filters).double()


@settings(deadline=None, max_examples=25)
@given(mean=st.floats(-3, 3), log_variance=st.floats(-6, 2))
def test_the_divergence_is_the_mean_of_log_posterior_over_prior(mean: float, log_variance: float) -> None:
    mu, log = (torch.tensor(v, dtype=torch.float64) for v in (mean, log_variance))
    # Slow and obvious: log q - log p at evenly spread quantiles of q.
    quantiles = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    z = sample_latent(mu, log, torch.special.ndtri(quantiles))
    posterior = torch.distributions.Normal(mu, torch.exp(log / 2)).log_prob(z)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    assert float(divergence_from_prior(mu, log)) == pytest.approx(float((posterior - prior).mean()), abs=1e-3)


def test_the_divergence_is_zero_at_the_prior_alone() -> None:
    zero = torch.zeros(3)
    assert (divergence_from_prior(zero, zero) == 0).all()
    tiny = torch.tensor([1e-4, -1e-4])
    # 1 + variance - 1 would leave nothing of these in single precision.
    np.testing.assert_allclose(divergence_from_prior(torch.zeros(2), tiny).numpy(), 0.25e-8, rtol=1e-2)


def test_samples_have_the_posteriors_moments() -> None:
    drawn = sample_latent(torch.tensor(1.5), torch.tensor(-1.0), torch.randn(200_000, generator=torch.Generator()))
    assert float(drawn.mean()) == pytest.approx(1.5, abs=0.01)
    assert float(drawn.var()) == pytest.approx(np.exp(-1.0), rel=0.02)


def test_it_is_as_large_as_published() -> None:
    count = sum(p.numel() for p in VariationalAutoencoder(torch.Generator()).parameters())
    assert count == pytest.approx(0.26e6, rel=0.03)


@pytest.mark.parametrize("shape", [(4, 4), (8, 20), (16, 12)])
def test_shapes(shape: tuple[int, int]) -> None:
    mean, log_variance = network().encode(torch.zeros(2, *shape, dtype=torch.float64))
    assert mean.shape == log_variance.shape == (2, LATENT_CHANNELS, shape[0] // STRIDE, shape[1] // STRIDE)
    assert network().decode(mean).shape == (2, *shape)


def test_the_same_generator_gives_the_same_weights() -> None:
    first, second, other = (network(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["mean_head.weight"], other["mean_head.weight"])


def test_signals_keep_their_size_through_the_layers() -> None:
    generator = torch.Generator().manual_seed(3)
    wide = VariationalAutoencoder(generator, 32)
    mean, _ = wide.encode(torch.randn(4, 32, 32, generator=generator))
    made = wide.decode(torch.randn(mean.shape, generator=generator))
    assert 0.05 < float(mean.detach().std()) < 5.0
    assert 0.05 < float(made.detach().std()) < 5.0


def test_every_weight_is_reached_by_the_gradient_of_a_sample() -> None:
    net, generator = network(), torch.Generator().manual_seed(0)
    mean, log_variance = net.encode(torch.randn(2, 16, 16, generator=generator, dtype=torch.float64))
    normal = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    (net.decode(sample_latent(mean, log_variance, normal)) ** 2).sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and float(weight.grad.abs().max()) > 0, name


def test_the_gradient_is_that_of_differences() -> None:
    net, generator = network(2), torch.Generator().manual_seed(0)
    image = torch.randn(1, 8, 8, generator=generator, dtype=torch.float64)
    normal = torch.randn(1, LATENT_CHANNELS, 2, 2, generator=generator, dtype=torch.float64)

    def loss() -> torch.Tensor:
        mean, log_variance = net.encode(image)
        made = net.decode(sample_latent(mean, log_variance, normal))
        return (made**2).sum() + divergence_from_prior(mean, log_variance).sum()

    loss().backward()
    for weight in (net.log_variance_head.bias, net.mean_head.bias):
        assert weight is not None and weight.grad is not None
        with torch.no_grad():
            step, before = 1e-5, float(weight[0])
            weight[0] = before + step
            up = float(loss())
            weight[0] = before - step
            down = float(loss())
            weight[0] = before
        assert float(weight.grad[0]) == pytest.approx((up - down) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("phase", range(STRIDE))
def test_nothing_beyond_its_reach_matters(phase: int) -> None:
    net, length = network(2), 4 * REACH_PX
    at = length // 2 + phase
    image = torch.randn(1, STRIDE, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image.requires_grad_(True)
    net.decode(net.encode(image)[0])[0, :, at].sum().backward()
    assert image.grad is not None
    seen = torch.nonzero(image.grad[0].abs().sum(0)).flatten()
    start = at - at % STRIDE  # of the latent pixel: tiles begin with one
    assert int(seen.min()) >= start - REACH_PX and int(seen.max()) < start + STRIDE + REACH_PX
