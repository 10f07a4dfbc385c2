"""Patches to learn from: cut from recorded pairs, or from pairs whose bad image is made anew at every draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.restoration.fields import Field
from fluosr.restoration.scale import GreyScale, on_scale_of

Degrade = Callable[[torch.Tensor, torch.Generator], tuple[torch.Tensor, torch.Tensor]]
Pair = tuple[torch.Tensor, torch.Tensor]


class Examples(Protocol):
    """Where patches come from."""

    factor: int

    def draw(self, count: int, side: int, generator: torch.Generator) -> Pair:
        """(B, 1, p, p) bad and (B, 1, s p, s p) good patches, float32, as a network sees them."""

    def whole(self, generator: torch.Generator) -> list[Pair]:
        """One (1, 1, Y, X) and (1, 1, s Y, s X) of every field, to validate on."""


class PairedExamples:
    """From recorded pairs: a field, one of its frames, a place; each as likely as any.

    Args:
        fields: with frames.
        factor: s.
        augment: turn and flip both images alike. A scan has a direction: lines and their lag turn with it.

    Raises:
        UsageError: a constant frame, or images that do not belong together; says of which field.
    """

    def __init__(self, fields: Sequence[Field], factor: int, *, augment: bool = False) -> None:
        self.factor, self._augment = factor, augment
        self._pairs: list[list[Pair]] = []
        for field in fields:
            assert field.low is not None
            try:
                truth = on_scale_of(field.high, field.low.mean(0, dtype=float), factor)
                self._pairs.append([_scaled(frame, truth) for frame in field.low])
            except UsageError as error:
                raise UsageError(f"{field.name}: {error}") from None

    def draw(self, count: int, side: int, generator: torch.Generator) -> Pair:
        """See :class:`Examples`."""
        patches = []
        for _ in range(count):
            frames = self._pairs[_integer(len(self._pairs), generator)]
            pair = _cut(frames[_integer(len(frames), generator)], side, self.factor, generator)
            patches.append(_turned(pair, generator) if self._augment else pair)
        return _stacked(patches)

    def whole(self, generator: torch.Generator) -> list[Pair]:
        """See :class:`Examples`."""
        chosen = [frames[_integer(len(frames), generator)] for frames in self._pairs]
        return [(low[None, None], high[None, None]) for low, high in chosen]


class DegradedExamples:
    """From good images alone: the bad one is made of a whole field, so that its grey scale is that of a whole image.

    Args:
        fields: whose good images are used.
        factor: s.
        degrade: (1, s Y, s X) good image -> (1, Y, X) bad one, and the good one on its scale of grey values.
        augment: turn and flip the good image first.
        patches_a_field: that are cut from a field once it is degraded.
    """

    def __init__(
        self, fields: Sequence[Field], factor: int, degrade: Degrade, *, augment: bool = True, patches_a_field: int = 4
    ) -> None:
        self.factor, self._degrade, self._augment, self._at_once = factor, degrade, augment, patches_a_field
        self._images = [torch.as_tensor(_even(field.high, factor)) for field in fields]

    def draw(self, count: int, side: int, generator: torch.Generator) -> Pair:
        """See :class:`Examples`."""
        patches: list[Pair] = []
        while len(patches) < count:
            image = self._images[_integer(len(self._images), generator)]
            if self._augment:
                image, _ = _turned((image, image), generator)
            pair = self._degraded(image, generator)
            wanted = min(self._at_once, count - len(patches))
            patches += [_cut(pair, side, self.factor, generator) for _ in range(wanted)]
        return _stacked(patches)

    def whole(self, generator: torch.Generator) -> list[Pair]:
        """See :class:`Examples`."""
        pairs = [self._degraded(image, generator) for image in self._images]
        return [(low[None, None], high[None, None]) for low, high in pairs]

    def _degraded(self, image: torch.Tensor, generator: torch.Generator) -> Pair:
        low, high = self._degrade(image[None], generator)
        return _scaled(low[0].numpy(), high[0].numpy())


def _scaled(low: np.ndarray, high: np.ndarray) -> Pair:
    scale = GreyScale.of(low)
    seen, wanted = (np.ascontiguousarray(scale.apply(image), np.float32) for image in (low, high))
    return torch.as_tensor(seen), torch.as_tensor(wanted)


def _cut(pair: Pair, side: int, factor: int, generator: torch.Generator) -> Pair:
    low, high = pair
    height, width = low.shape
    if side > min(height, width):
        raise UsageError(f"--patch {side} is larger than an image of {height} x {width} pixels.")
    y, x = _integer(height - side + 1, generator), _integer(width - side + 1, generator)
    fine = [slice(factor * first, factor * (first + side)) for first in (y, x)]
    return low[y : y + side, x : x + side], high[fine[0], fine[1]]


def _turned(pair: Pair, generator: torch.Generator) -> Pair:
    """One of the eight positions of a square, both images alike."""
    turns, flip = _integer(4, generator), _integer(2, generator)
    low, high = (torch.rot90(image, turns, (0, 1)) for image in pair)
    return (low.flip(1), high.flip(1)) if flip else (low, high)


def _even(image: np.ndarray, factor: int) -> np.ndarray:
    """Without the last rows and columns that fill no whole pixel of the bad image."""
    height, width = (side // factor * factor for side in image.shape)
    return np.ascontiguousarray(image[:height, :width], np.float32)


def _stacked(pairs: list[Pair]) -> Pair:
    low, high = zip(*pairs, strict=True)
    return torch.stack(low).unsqueeze(1), torch.stack(high).unsqueeze(1)


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))
