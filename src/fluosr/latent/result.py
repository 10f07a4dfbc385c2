"""What a search hands back: images that are plausible, not measured, and how far each is from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.latent.degradation import Degradation
from fluosr.phenotypes.levels import Levels

CAUTION = "plausible, not measured"


class KnownCrops(Protocol):
    """Which crops a model knows."""

    @property
    def resolution(self) -> int:
        """R, pixels."""

    @property
    def channels(self) -> Sequence[str]:
        """Names, in their order."""

    @property
    def pixel_size_nm(self) -> float | None:
        """Of the sharp images; None where it was not said."""


class CropModel(Protocol):
    """What proposes images: a trained generator, or a network trained on pairs."""

    @property
    def knowledge(self) -> KnownCrops:
        """Which crops it knows."""

    @property
    def levels(self) -> Levels:
        """Dark and bright grey value of each channel."""

    def to_grey(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, C, R, R) in the network's range -> grey values."""


@dataclass(frozen=True, eq=False)
class PlausibleImages:
    """Images that a generator, or a baseline, proposes for coarse ones; never without their data misfit.

    Args:
        method: by which they were found.
        images: (N, C, R, R) float32 grey values.
        misfit: (N,) mean |y - D(image)| in the network's range, from -1 to 1.
        misfit_grey: (N, C) the same in grey values, for each channel.
        codes: (N, L, d); None where there are none.
        terms: of the objective, name -> (N,), at these codes.
        history: name -> (iterations, N) before each step.

    Raises:
        UsageError: no finite misfit for each image.
    """

    method: str
    images: np.ndarray
    misfit: np.ndarray
    misfit_grey: np.ndarray
    codes: np.ndarray | None = None
    terms: dict[str, np.ndarray] | None = None
    history: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        n, c = self.images.shape[:2]
        if self.misfit.shape != (n,) or self.misfit_grey.shape != (n, c) or not np.isfinite(self.misfit).all():
            raise UsageError(f"{self.method}: images are never shown without their data misfit, one for each.")

    @property
    def caution(self) -> str:
        """What is to be said beside every one of them."""
        return CAUTION


@dataclass(frozen=True, eq=False)
class SeveralImages:
    """Several plausible images for each coarse one.

    Args:
        drawn: n images of the first coarse image, then n of the second and so on, with their misfits.
        samples: n.
    """

    drawn: PlausibleImages
    samples: int

    @property
    def images(self) -> np.ndarray:
        """(N, n, C, R, R) grey values."""
        return self.drawn.images.reshape(-1, self.samples, *self.drawn.images.shape[1:])

    @property
    def misfit(self) -> np.ndarray:
        """(N, n) of each."""
        return self.drawn.misfit.reshape(-1, self.samples)

    @property
    def spread(self) -> np.ndarray:
        """(N, C, R, R) standard deviation of each pixel over the n images, grey values."""
        return self.images.std(1, ddof=1)

    def measured(self, feature: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(N, n) of a feature that takes (M, C, R, R) grey values to (M,)."""
        return np.asarray(feature(self.drawn.images), float).reshape(-1, self.samples)


def with_misfit(
    method: str,
    made: CropModel,
    degradation: Degradation,
    coarse: np.ndarray,
    images: torch.Tensor,
    *,
    codes: torch.Tensor | None = None,
    terms: dict[str, np.ndarray] | None = None,
    history: dict[str, np.ndarray] | None = None,
) -> PlausibleImages:
    """Images (N, C, R, R) in the network's range as grey values, with their misfit to coarse ones, grey values too."""
    with torch.no_grad():
        grey = made.to_grey(images.detach().cpu())
        difference = torch.abs(torch.as_tensor(coarse, dtype=grey.dtype) - degradation(grey)).mean((2, 3))
    spans = made.levels.spans / 2
    return PlausibleImages(
        method,
        grey.float().numpy(),
        (difference.numpy() / spans).mean(1),
        difference.numpy(),
        None if codes is None else codes.detach().cpu().numpy(),
        terms,
        history,
    )


def checked_coarse(made: CropModel, degradation: Degradation, coarse: np.ndarray) -> torch.Tensor:
    """Coarse images (N, C, r, r) grey values -> in the network's range.

    Raises:
        UsageError: other channels or another size than the generator and D give, values that are not finite, an empty
            channel.
    """
    known = made.knowledge
    side = known.resolution // degradation.factor
    if coarse.ndim != 4 or coarse.shape[1:] != (len(known.channels), side, side) or not len(coarse):
        raise UsageError(
            f"coarse images: this generator and a factor of {degradation.factor} need (N, {len(known.channels)}, "
            f"{side}, {side}), channels {', '.join(known.channels)}; got {tuple(coarse.shape)}."
        )
    for number, image in enumerate(coarse):
        if not np.isfinite(image).all():
            raise UsageError(f"coarse image {number} has values that are not finite numbers.")
        for name, channel in zip(known.channels, image, strict=True):
            if side > 1 and channel.min() == channel.max():
                raise UsageError(
                    f"coarse image {number}: channel {name!r} is empty, all its pixels are {channel.min():g}."
                )
    return torch.from_numpy(made.levels.to_range(np.asarray(coarse, np.float32)))
