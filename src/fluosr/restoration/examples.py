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
        # Grey values, one good image for all frames of a field: they come onto a frame's own scale patch by patch.
        self._fields: list[tuple[torch.Tensor, torch.Tensor, list[GreyScale]]] = []
        for field in fields:
            assert field.low is not None
            try:
                truth = on_scale_of(field.high, field.low.mean(0, dtype=float), factor)
                scales = [GreyScale.of(frame) for frame in field.low]
            except UsageError as error:
                raise UsageError(f"{field.name}: {error}") from None
            frames = torch.as_tensor(np.ascontiguousarray(field.low, np.float32))
            self._fields.append((frames, torch.as_tensor(truth), scales))

    def draw(self, count: int, side: int, generator: torch.Generator) -> Pair:
        """See :class:`Examples`."""
        patches = []
        for _ in range(count):
            pair, scale = self._drawn(self._fields[_integer(len(self._fields), generator)], generator)
            low, high = _cut(pair, side, self.factor, generator)
            patch = scale.apply(low), scale.apply(high)
            patches.append(_turned(patch, generator) if self._augment else patch)
        return _stacked(patches)

    def whole(self, generator: torch.Generator) -> list[Pair]:
        """See :class:`Examples`."""
        chosen = [self._drawn(field, generator) for field in self._fields]
        return [(scale.apply(low)[None, None], scale.apply(high)[None, None]) for (low, high), scale in chosen]

    @staticmethod
    def _drawn(
        field: tuple[torch.Tensor, torch.Tensor, list[GreyScale]], generator: torch.Generator
    ) -> tuple[Pair, GreyScale]:
        frames, truth, scales = field
        number = _integer(len(frames), generator)
        return (frames[number], truth), scales[number]


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
        scale = GreyScale.of(low[0].numpy())
        return scale.apply(low[0]), scale.apply(high[0])


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
