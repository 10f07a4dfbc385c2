"""What a restoration must beat: bicubic enlargement, and the mean of several repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.picture_stack import picture_stack

if TYPE_CHECKING:
    import torch


def bicubic(pictures: np.ndarray, scale: int = 2) -> np.ndarray:
    """Enlarge by Keys' cubic (a = -1/2), with fine pixel (i, j) inside coarse pixel (i // scale, j // scale).

    The centre of fine pixel i lies at (i + 1/2) / scale - 1/2 of the coarse ones: nothing is shifted by half a pixel.
    Beyond the border nothing is read; the weights of the pixels inside are scaled to sum to 1. Values are kept, not
    sums: photons of a coarse pixel are to be divided by scale^2 by whoever wants those of a fine one. It may overshoot
    next to bright spots, below 0 too.

    Args:
        pictures: (N, Y, X), any unit.
        scale: s, 1 or more.

    Returns:
        (N, s Y, s X) float32, the same unit.

    Raises:
        UsageError: another shape, values that are not finite, or a scale below 1.

    Source:
        R. Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29 (1981) 1153.
    """
    import torch

    stack = picture_stack(pictures)
    if scale < 1:
        raise UsageError(f"pictures can be enlarged by whole numbers from 1 on, not by {scale}.")
    count, height, width = stack.shape
    larger = np.empty((count, scale * height, scale * width), np.float32)
    for picture, out in zip(stack, larger, strict=True):
        out[:] = enlarged(torch.from_numpy(picture.astype(np.float64))[None, None], scale)[0, 0].numpy()
    return larger


def enlarged(images: torch.Tensor, scale: int) -> torch.Tensor:
    """What :func:`bicubic` does, of images (N, C, Y, X) -> (N, C, s Y, s X) where they lie, in their precision."""
    import torch

    height, width = images.shape[-2:]
    # PyTorch's bicubic has a = -3/4, except with ``antialias``, which otherwise tells only where it makes smaller.
    return torch.nn.functional.interpolate(
        images, size=(scale * height, scale * width), mode="bicubic", align_corners=False, antialias=True
    )


def frame_means(repeats: np.ndarray, count: int) -> np.ndarray:
    """Means of ``count`` repeats of one field each, none used twice.

    Args:
        repeats: (R, Y, X) of one field, in the order in which they were taken; any unit.
        count: n, from 1 to R. Repeats left over at the end are not used.

    Returns:
        (R // n, Y, X) float32, the same unit.

    Raises:
        UsageError: another shape, values that are not finite, or more repeats asked for than there are.
    """
    stack = picture_stack(repeats, "the repeats")
    if not 1 <= count <= len(stack):
        raise UsageError(f"there are {len(stack)} repeats of this field: means of {count} cannot be had.")
    groups = len(stack) // count
    return stack[: groups * count].reshape(groups, count, *stack.shape[1:]).mean(1, dtype=np.float64).astype(np.float32)
