"""JPEG compression of grey images."""

from __future__ import annotations

import imagecodecs
import numpy as np
import torch


def jpeg(images: torch.Tensor, qualities: torch.Tensor) -> torch.Tensor:
    """Each image as it comes back from a JPEG file of 8 bits.

    Args:
        images: (B, Y, X), in [0, 1]; what lies outside is clipped.
        qualities: (B,), 1 to 100, rounded to whole numbers.

    Returns:
        (B, Y, X) of the images' kind, in [0, 1]. No gradient passes.
    """
    levels = (images.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
    found = [
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(level, level=round(quality)))
        for level, quality in zip(levels, qualities.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(found)).to(images) / 255
