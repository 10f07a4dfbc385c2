"""A perceptual loss: images are alike where the features of a network are that was trained on other images.

Its weights are the user's: none are shipped and none fetched. What looks natural to a network of photographs need not
be there in a cell, which is why it is off unless asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from fluosr.errors import ModelError
from fluosr.networks.vgg import VGG19

WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}  # Real-ESRGAN's
WHOLE_RANGE = 1e-6  # of a patch's grey values, at least


class PerceptualLoss(nn.Module):
    """Weighted sum over layers of the mean |features of one - features of the other|, before the ReLU.

    Args:
        weights: state dict of VGG19 with names ``features.N.weight`` and ``features.N.bias``; further ones are passed
            over.
        where: they came from, for messages.

    Raises:
        ModelError: weights that are not those of VGG19.
    """

    def __init__(self, weights: dict[str, torch.Tensor], where: str) -> None:
        super().__init__()
        self.network = VGG19(list(WEIGHTS))
        wanted = self.network.state_dict()
        missing = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
        if missing:
            raise ModelError(
                f"{where} does not hold VGG19: {missing[0]} is missing or of another shape. Names are those of "
                "torchvision's vgg19, features.0.weight and so on."
            )
        self.network.load_state_dict({name: weights[name].float() for name in wanted})
        self.requires_grad_(False)

    @property
    def fingerprint(self) -> str:
        """Of the weights, so that a training does not go on with others."""
        digest = hashlib.sha256()
        for value in self.network.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def forward(self, restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Of (B, 1, Y, X) images; each pair is put on the truth's own range of grey values, 0 to 1."""
        low, high = truth.amin((1, 2, 3), keepdim=True), truth.amax((1, 2, 3), keepdim=True)
        ones = [(image - low) / (high - low).clamp(min=WHOLE_RANGE) for image in (restored, truth)]
        found, wanted = (self.network(image) for image in ones)
        return torch.stack([w * (found[name] - wanted[name]).abs().mean() for name, w in WEIGHTS.items()]).sum()


def load_perceptual(path: Path) -> PerceptualLoss:
    """From a safetensors file.

    Raises:
        ModelError: absent, damaged, no safetensors, or not VGG19.
    """
    import safetensors
    import safetensors.torch

    try:
        weights = safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is not a safetensors file, or damaged ({error}).") from error
    return PerceptualLoss(weights, str(path))
