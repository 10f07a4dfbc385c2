"""What a search hands back: images that are plausible, not measured, and how far each is from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Degradation

CAUTION = "plausible, not measured"


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


def with_misfit(
    method: str,
    made: TrainedGenerator,
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


def checked_coarse(made: TrainedGenerator, degradation: Degradation, coarse: np.ndarray) -> torch.Tensor:
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
