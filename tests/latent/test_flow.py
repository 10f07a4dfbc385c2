"""The flow: its density is one, of its codes, and it is undone by its inverse."""

from __future__ import annotations

import pytest
import torch

from fluosr.errors import UsageError
from fluosr.latent.flow import LatentFlow, fixed
from tests.restorers import seeded


def bent(features: int, transforms: int = 2) -> LatentFlow:
    """Weights large enough that it is far from linear, and a standardisation of its own."""
    flow = LatentFlow(seeded(), features, transforms=transforms, hidden=16).double()
    flow.standardise(torch.randn(50, features, generator=seeded(1), dtype=torch.float64) * 1.5 + 0.3)
    return flow


@pytest.mark.parametrize("features", [2, 5])
def test_the_log_determinant_is_that_of_autograds_jacobian(features: int) -> None:
    flow = bent(features)
    for w in torch.randn(4, features, generator=seeded(2), dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x)[0], w)
        torch.testing.assert_close(flow(w)[1], jacobian.slogdet().logabsdet)
        u = flow(w)[0]
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(u).sum()
        torch.testing.assert_close(flow.log_prob(w), normal + jacobian.slogdet().logabsdet)


def test_the_density_integrates_to_one() -> None:
    flow, side = bent(2), torch.linspace(-14, 14, 561, dtype=torch.float64)
    with torch.no_grad():
        density = flow.log_prob(torch.cartesian_prod(side, side)).exp()
    assert float(density.sum()) * float(side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_the_inverse_undoes_it() -> None:
    flow = bent(6, transforms=5)
    w = torch.randn(7, 6, generator=seeded(3), dtype=torch.float64)
    torch.testing.assert_close(flow.inverse(flow(w)[0]), w)


def test_fixed_it_says_the_same() -> None:
    flow = bent(6).float()
    w = torch.randn(7, 6, generator=seeded(3))
    before = flow.log_prob(w).detach()
    names = set(flow.state_dict())
    again = fixed(flow)
    torch.testing.assert_close(again.log_prob(w), before)
    assert not any(name.endswith("mask") for name in again.state_dict()) and any(n.endswith("mask") for n in names)
    assert not any(weight.requires_grad for weight in again.parameters())


def test_weights_and_permutations_come_from_the_generator_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, same, other = (LatentFlow(seeded(seed), 9, transforms=2, hidden=8) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(first.state_dict().items(), same.state_dict().values(), strict=True)
    assert all(torch.equal(value, again) for (_, value), again in pairs)
    orders = [flow.state_dict()["maf.transform.transforms.0.order"].numpy() for flow in (first, other)]
    assert sorted(orders[0]) == list(range(9)) and (orders[0] != orders[1]).any()


@pytest.mark.parametrize(("features", "transforms", "hidden"), [(1, 2, 8), (4, 0, 8), (4, 2, 0)])
def test_sizes_that_cannot_be_are_refused(features: int, transforms: int, hidden: int) -> None:
    with pytest.raises(UsageError, match="at least 2, 1 and 1"):
        LatentFlow(seeded(), features, transforms=transforms, hidden=hidden)


def test_a_coordinate_that_never_changes_is_refused() -> None:
    codes = torch.randn(20, 3, generator=seeded())
    codes[:, 1] = 0.5
    with pytest.raises(UsageError, match="the same in all"):
        LatentFlow(seeded(), 3, transforms=1, hidden=4).standardise(codes)
