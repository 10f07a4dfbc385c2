"""Features that know where a picture is bright, and how bright: means and deviations of its blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.quality.picture_stack import picture_stack

BLOCKS = 8  # along each side


@dataclass(frozen=True)
class BlockBrightness:
    """Mean and standard deviation of each of 8 x 8 blocks: 128 features.

    The complement of :class:`fluosr.quality.features.RandomConvolutions`, which sees fine texture and no brightness.

    WARNING: it sees nothing of texture, nor how anything smaller than a block is shaped. Pictures must come in a unit
    in which they are about 1: the kernel distance is not free of scale.
    """

    @property
    def name(self) -> str:
        """What scores from it are called by."""
        return "fluosr-blocks-8x8"

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, Y, X), about 1 -> (N, 128); sides that are no multiples of 8 lose their last rows and columns.

        Raises:
            UsageError: sides below 16 pixels, or values that are not finite.
        """
        stack = picture_stack(pictures, f"pictures for {self.name}", least_px=2 * BLOCKS).astype(np.float64)
        height, width = (side // BLOCKS for side in stack.shape[1:])
        cut = stack[:, : BLOCKS * height, : BLOCKS * width]
        blocks = cut.reshape(len(stack), BLOCKS, height, BLOCKS, width)
        found = [blocks.mean((2, 4)), blocks.std((2, 4))]
        return np.concatenate([values.reshape(len(stack), -1) for values in found], 1)
