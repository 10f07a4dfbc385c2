"""What is learnt from: frames with the truth on the fine grid, and what follows from them for all of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.methods.unfolded.background import background_levels
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.network import Units
from fluosr.methods.unfolded.physics import Physics


@dataclass(frozen=True, eq=False)
class Pair:
    """Frames and the truth behind them.

    Args:
        name: for messages.
        frames: (T, Y, X) photons.
        truth: (T, L Y, L X) photons per fine pixel; for a semi-blind model also (L Y, L X), the variance over time.
    """

    name: str
    frames: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Example:
    """One image to learn from.

    Args:
        frame: (Y, X) float32 photons, or their variance over time.
        background: photons per camera pixel.
        truth: (L Y, L X) float32.
    """

    frame: torch.Tensor
    background: float
    truth: torch.Tensor


def examples_of(pairs: list[Pair], physics: Physics) -> list[Example]:
    """Every image to learn from, in order; fields may be of different sizes.

    Raises:
        UsageError: no pairs, shapes that do not fit each other or the factor, values that are not finite, a truth that
            is negative or empty in all pairs.
    """
    examples: list[Example] = []
    for pair in pairs:
        examples += _examples_of(pair, physics)
    if not examples:
        raise UsageError("there is nothing to learn from: give at least one pair of frames and truth.")
    if not any(bool((example.truth > 0).any()) for example in examples):
        raise UsageError("every truth is empty: there is nothing to find in any pair, so nothing can be learnt.")
    return examples


def _examples_of(pair: Pair, physics: Physics) -> list[Example]:
    frames, truth = np.asarray(pair.frames, float), np.asarray(pair.truth, float)
    if frames.ndim != 3 or not frames.size:
        raise UsageError(f"{pair.name}: frames are (T, Y, X), got shape {frames.shape}.")
    wanted = (frames.shape[1] * physics.factor, frames.shape[2] * physics.factor)
    if truth.ndim not in (2, 3) or truth.shape[-2:] != wanted:
        got = " x ".join(str(n) for n in truth.shape[-2:])
        raise UsageError(
            f"{pair.name}: frames of {frames.shape[1]} x {frames.shape[2]} pixels and a factor of {physics.factor} "
            f"need a truth of {wanted[0]} x {wanted[1]} fine pixels; this one has {got}. Check --factor."
        )
    for name, values in (("frames", frames), ("truth", truth)):
        if not np.isfinite(values).all():
            raise UsageError(f"{pair.name}: the {name} hold NaN or infinite values.")
    if truth.min() < 0:
        raise UsageError(f"{pair.name}: the truth holds negative values; it is photons per fine pixel.")
    if truth.ndim == 3 and len(truth) != len(frames):
        raise UsageError(f"{pair.name}: {len(frames)} frames, but {len(truth)} images of the truth.")
    if physics.semi_blind:
        if len(frames) < 2:
            raise UsageError(f"{pair.name}: the variance of a single frame is not known; give a movie.")
        frames, truth = frames.var(0, ddof=1)[None], (truth.var(0, ddof=1) if truth.ndim == 3 else truth)[None]
    elif truth.ndim == 2 and len(frames) > 1:
        raise UsageError(f"{pair.name}: {len(frames)} frames, but one image of the truth: every frame needs its own.")
    levels = background_levels(frames) if physics.background_photons is None else None
    return [
        Example(
            torch.as_tensor(frame, dtype=torch.float32),
            float(physics.background_photons or 0.0) if levels is None else float(levels[number]),
            torch.as_tensor(image, dtype=torch.float32),
        )
        for number, (frame, image) in enumerate(zip(frames, truth if truth.ndim == 3 else truth[None], strict=True))
    ]


def units_of(examples: list[Example], physics: Physics) -> Units:
    """Sizes of the training data, in which the parameters are counted.

    Raises:
        UsageError: no frame is brighter than its background.
    """
    penalty = 0.0
    one = torch.ones((), dtype=torch.float64)
    for example in examples:
        field = (example.frame.shape[0], example.frame.shape[1])
        operator = operator_for(physics, grid_for(physics, field), one, torch.float32)
        penalty = max(penalty, float(operator.adjoint(example.frame[None] - example.background).max()))
    if not penalty > 0:
        raise UsageError("no frame is brighter than its background: check --background, --offset and --gain.")
    mean = float(np.mean([float(example.frame.double().mean()) for example in examples]))
    return Units(
        peak=max(float(example.truth.max()) for example in examples),
        penalty=penalty,
        level=max(mean, physics.background_photons or 0.0, 1e-6 * penalty),
    )


def batches_of(examples: list[Example], size: int) -> list[list[Example]]:
    """The examples in order, up to ``size`` at once; those of another field begin a new batch."""
    batches: list[list[Example]] = []
    for example in examples:
        if not batches or len(batches[-1]) >= size or batches[-1][0].frame.shape != example.frame.shape:
            batches.append([])
        batches[-1].append(example)
    return batches


def stacked(batch: list[Example], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, Y, X) frames, (B,) backgrounds, (B, L Y, L X) truths."""
    frames, truths = (torch.stack([getattr(e, name) for e in batch]).to(device) for name in ("frame", "truth"))
    return frames, torch.tensor([e.background for e in batch], dtype=frames.dtype, device=device), truths
