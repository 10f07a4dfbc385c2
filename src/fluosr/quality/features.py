"""Features of pictures, (N, D), for distances between sets of pictures; every extractor has a name that scores bear."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.natural_scenes import BLOCK_PX, block_features, grey_value, normalised
from fluosr.quality.picture_stack import picture_stack

if TYPE_CHECKING:
    import torch

SEED = 20260101  # of the random filters: another seed would be another extractor, and need another name
FIRST, SECOND = (8, 1, 5, 5), (16, 8, 3, 3)  # shapes of the filters of the two layers
LEVELS = 3  # full size, half and a quarter of it
LEAST_PX = 2 ** (LEVELS - 1) * (FIRST[2] + SECOND[2] - 1)  # so that the coarsest level has one pixel left


class FeatureExtractor(Protocol):
    """Any network, or anything else, that gives pictures D numbers each. It comes as an object, never as a file.

    Distances from different extractors cannot be compared, and "FID" without a name means the Inception network.
    """

    @property
    def name(self) -> str:
        """What scores from it are called by."""

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, Y, X) pictures -> (M, D) features, row by row in the pictures' order; M = N unless it says otherwise."""


@dataclass(frozen=True)
class RandomConvolutions:
    """Two layers of fixed random filters at three sizes; the mean response of 16 filters at each: 48 features.

    At each size the pixels are first normalised by their surroundings, as for NIQE: gain and offset change nothing, and
    dim texture counts as much as bright. The pyramid halves by means of 2 x 2. The filters, of no sum, come from the
    bits of PCG64, which are the same on every machine; features agree between machines to about 1e-12.

    WARNING: it was never trained. It sees blur, noise and other texture, up to 28 pixels wide; it knows nothing of
    cells, nor how bright they are, and pictures that people tell apart at once may lie close together.
    """

    @property
    def name(self) -> str:
        """What scores from it are called by."""
        return "fluosr-random-conv"

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, Y, X), any unit -> (N, 48).

        Raises:
            UsageError: sides below 28 pixels, or values that are not finite.
        """
        stack = picture_stack(pictures, f"pictures for {self.name}", least_px=LEAST_PX)
        return np.stack([_responses(picture.astype(np.float64)) for picture in stack])


@dataclass(frozen=True)
class NiqeFeatures:
    """The 36 features of NIQE, one row for each block that shows something: more rows than pictures.

    Args:
        block_px: side of a block, an even number of 16 or more.
    """

    block_px: int = BLOCK_PX

    @property
    def name(self) -> str:
        """What scores from it are called by; blocks of another size than NIQE's 96 pixels are told."""
        return "niqe-features" if self.block_px == BLOCK_PX else f"niqe-features, blocks of {self.block_px} px"

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, Y, X), any unit -> (M, 36).

        Raises:
            UsageError: smaller than a block, values that are not finite, or nothing in any block.
        """
        stack = picture_stack(pictures, f"pictures for {self.name}", least_px=self.block_px)
        found = np.concatenate([block_features(picture, self.block_px).features for picture in stack])
        if not len(found):
            raise UsageError(f"{self.name}: no block of these pictures shows anything.")
        return found


def _responses(picture: np.ndarray) -> np.ndarray:
    import torch
    from torch.nn.functional import avg_pool2d, conv2d, relu

    constant = grey_value(picture)
    if constant == 0:
        return np.zeros(LEVELS * SECOND[0])
    first, second = _filters()
    found = []
    for _ in range(LEVELS):
        level = torch.from_numpy(normalised(picture, constant)[0])[None, None]
        found.append(relu(conv2d(relu(conv2d(level, first)), second)).mean((0, 2, 3)).numpy())
        picture = avg_pool2d(torch.from_numpy(np.ascontiguousarray(picture))[None, None], 2)[0, 0].numpy()
    return np.concatenate(found)


@functools.cache
def _filters() -> tuple[torch.Tensor, torch.Tensor]:
    """Filters without sum and of norm 1, from uniform numbers."""
    import torch

    # Distributions may change between versions of NumPy; the bits of a named generator do not.
    bits = np.random.PCG64(SEED)
    made = []
    for shape in (FIRST, SECOND):
        filters = (bits.random_raw(int(np.prod(shape))) >> np.uint64(11)).astype(float).reshape(shape) * 2.0**-53
        filters -= filters.mean((1, 2, 3), keepdims=True)
        made.append(torch.from_numpy(filters / np.sqrt((filters**2).sum((1, 2, 3), keepdims=True))))
    return made[0], made[1]
