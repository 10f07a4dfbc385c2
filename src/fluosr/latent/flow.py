"""A masked autoregressive flow F on the codes w of a generator: their density, and Gaussian codes from them."""

from __future__ import annotations

import math

import torch
import zuko
from torch import nn

from fluosr.errors import UsageError


class LatentFlow(nn.Module):
    """u = F(w), standard Gaussian where w is distributed as the generator's codes; w is standardised first.

        log p_F(w) = log N(u; 0, I) + log |det J_F(w)|          (eq. 4)

    ``mean`` and ``spread`` (d,) are those of the codes that it was fitted to.

    Args:
        generator: draws the initial weights and the permutations of the coordinates.
        latent_features: d, at least 2.
        transforms: autoregressive blocks.
        hidden: units of the hidden layer of each.

    Raises:
        UsageError: a size that cannot be.

    Source:
        G. Papamakarios, T. Pavlakou, I. Murray, NeurIPS 30 (2017); the paper's section 3.1.2.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(
        self, generator: torch.Generator, latent_features: int, *, transforms: int = 5, hidden: int = 1024
    ) -> None:
        super().__init__()
        if latent_features < 2 or transforms < 1 or hidden < 1:
            raise UsageError(
                f"flow: codes of {latent_features} numbers, {transforms} transforms, {hidden} hidden units: at least "
                "2, 1 and 1 are needed."
            )
        self.latent_features = latent_features
        self.register_buffer("mean", torch.zeros(latent_features))
        self.register_buffer("spread", torch.ones(latent_features))
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # zuko knows of no generator but the global one
            torch.manual_seed(seed)
            self.maf = zuko.flows.MAF(latent_features, transforms=transforms, hidden_features=(hidden,), randperm=True)

    def forward(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """w (..., d) -> u (..., d) and log |det J_F(w)| (...)."""
        u, log_det = self.maf().transform.call_and_ladj((w - self.mean) / self.spread)
        return u, log_det - self.spread.log().sum()

    def log_prob(self, w: torch.Tensor) -> torch.Tensor:
        """log p_F(w), (..., d) -> (...)."""
        u, log_det = self(w)
        return log_det - 0.5 * (u.square().sum(-1) + self.latent_features * math.log(2 * math.pi))

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        """w of u (..., d): d passes through each block, so for a few codes only."""
        w: torch.Tensor = self.maf().transform.inv(u) * self.spread + self.mean
        return w

    @torch.no_grad()
    def standardise(self, codes: torch.Tensor) -> None:
        """Take mean and spread of codes (N, d) for the flow's own.

        Raises:
            UsageError: a coordinate that never changes has no density.
        """
        spread = codes.std(0)
        if not bool((spread > 0).all()):
            raise UsageError("flow: some coordinate of the codes is the same in all; they have no density.")
        self.mean.copy_(codes.mean(0))
        self.spread.copy_(spread)


def fixed(flow: LatentFlow) -> LatentFlow:
    """The same flow, changed in place: its masks are multiplied into its weights once and for all, which is quicker.

    It is no longer to be fitted: it would not stay autoregressive.
    """
    for module in list(flow.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, zuko.nn.MaskedLinear):
                plain = nn.Linear(child.in_features, child.out_features, device=child.weight.device)
                plain.weight = nn.Parameter(child.mask * child.weight.detach())
                plain.bias = nn.Parameter(child.bias.detach())
                setattr(module, name, plain)
    return flow.eval().requires_grad_(False)
