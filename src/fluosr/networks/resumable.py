"""A network in training as named tensors, and back bit for bit: its weights, the best so far, and Adam's moments."""

from __future__ import annotations

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


def weights_of(network: nn.Module) -> Weights:
    """A copy of the weights and buffers."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def named_state(network: nn.Module, best: Weights, adam: torch.optim.Adam) -> Weights:
    """Network, best weights and moments under the names ``net.``, ``best.`` and ``adam.``."""
    named = {f"net.{key}": value for key, value in weights_of(network).items()}
    named |= {f"best.{key}": value for key, value in best.items()}
    for index, moments in adam.state_dict()["state"].items():
        named |= {f"adam.{index}.{key}": torch.as_tensor(value).clone() for key, value in moments.items()}
    return named


def restore_state(network: nn.Module, adam: torch.optim.Adam, named: Weights) -> Weights:
    """Back from :func:`named_state`; other names are passed over.

    Returns:
        The best weights.
    """
    network.load_state_dict(part(named, "net."))
    weights = list(network.parameters())
    moments: dict[int, Weights] = {}
    for key, value in part(named, "adam.").items():
        index, name = key.split(".")
        like = weights[int(index)]
        # Laid out in memory as before: sums over another order would round otherwise. The count of steps stays where it
        # is, though a weight may be a single number too.
        moment = name != "step" and value.shape == like.shape
        again = torch.empty_like(like).copy_(value) if moment else value.clone()
        moments.setdefault(int(index), {})[name] = again.detach()
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
    return {key: value.clone() for key, value in part(named, "best.").items()}


def part(named: Weights, prefix: str) -> Weights:
    """What stands under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}
