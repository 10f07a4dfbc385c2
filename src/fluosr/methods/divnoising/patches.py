"""A movie's frames as training material: a bounded choice of them, standardised once, cut into patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fluosr.corrections.movie import CorrectedMovie
from fluosr.networks.variational import STRIDE

TRAINING_BYTES = 128 * 2**20  # of float32 frames held in memory; the others stay on disk
HELD_OUT_SHARE = 0.1
ALIKE = 1e-6  # spread over mean light under which frames hold nothing to learn


@dataclass(frozen=True)
class TrainingPatches:
    """Pieces of frames.

    Attributes:
        values: (B, P, P) photoelectrons.
        used: (B, P, P) 1 where a pixel was seen by the camera and is believed, else 0.
        scale: (B, 1, 1) what the frame was multiplied with.
    """

    values: torch.Tensor
    used: torch.Tensor
    scale: torch.Tensor


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """Frames in memory, padded to whole latent pixels.

    Attributes:
        values: (N, Y', X') float32, photoelectrons; sides are multiples of 4.
        used: (Y', X') float32, 0 at bad pixels and beyond the field.
        scale: (N,) float32, see :class:`TrainingPatches`.
        learnt: (n,) numbers of the frames to learn from; held_out: of the others.
        mean, spread: over pixels and frames, photoelectrons: what the network sees is (x - mean) / spread.
    """

    values: torch.Tensor
    used: torch.Tensor
    scale: torch.Tensor
    learnt: torch.Tensor
    held_out: torch.Tensor
    mean: float
    spread: float

    @property
    def all_alike(self) -> bool:
        """There is nothing to learn: every pixel of every frame holds the same."""
        return self.spread <= ALIKE * max(abs(self.mean), 1e-30)

    def draw(self, numbers: torch.Tensor, side: int, generator: torch.Generator) -> TrainingPatches:
        """One patch from each of the frames ``numbers``, anywhere, in one of eight orientations.

        Args:
            numbers: (B,) of frames.
            side: P, camera pixels, a multiple of 4 that fits the padded field.
            generator: draws places and orientations.
        """
        values: list[torch.Tensor] = []
        used: list[torch.Tensor] = []
        height, width = self.used.shape
        for number in numbers.tolist():
            top, left, turns, flip = (
                int(torch.randint(most, (1,), generator=generator))
                for most in (height - side + 1, width - side + 1, 4, 2)
            )
            where = (slice(top, top + side), slice(left, left + side))
            for pieces, image in ((values, self.values[number][where]), (used, self.used[where])):
                turned = torch.rot90(image, turns)
                pieces.append(turned.flip(0) if flip else turned)
        return TrainingPatches(torch.stack(values), torch.stack(used), self.scale[numbers][:, None, None])


def frames_held(field_shape: tuple[int, int], n_frames: int) -> int:
    """How many frames ``TRAINING_BYTES`` hold; two at the least, to learn from one and hold out the other."""
    return min(n_frames, max(2, TRAINING_BYTES // (4 * field_shape[0] * field_shape[1])))


def padded(frames: torch.Tensor) -> torch.Tensor:
    """(N, Y, X) -> (N, Y', X'), sides the next multiples of 4; borders go on as they are."""
    y, x = frames.shape[-2:]
    wider: torch.Tensor = torch.nn.functional.pad(frames, (0, -x % STRIDE, 0, -y % STRIDE), mode="replicate")
    return wider


def choose_frames(movie: CorrectedMovie, generator: np.random.Generator) -> TrainingFrames:
    """Frames picked at random, as many as ``TRAINING_BYTES`` hold and two at the least, read once.

    Args:
        movie: corrected frames, at least two.
        generator: picks frames, and those that are held out.

    Raises:
        AcquisitionError: NaN or infinite values.
    """
    count = frames_held(movie.field_shape, movie.n_frames)
    members = movie.members[np.sort(generator.permutation(movie.n_frames)[:count])]
    frames = np.empty((count, *movie.field_shape), np.float32)
    filled = 0
    for numbers, chunk in movie.select(members).chunks():
        frames[filled : filled + len(numbers)] = chunk
        filled += len(numbers)
    mean = float(frames.mean(dtype=np.float64, where=movie.used))
    squares = sum(float(((frame[movie.used] - mean) ** 2).sum(dtype=np.float64)) for frame in frames)
    y, x = movie.field_shape
    used = torch.as_tensor(movie.used.astype(np.float32))
    shuffled = torch.as_tensor(generator.permutation(count))
    out = max(1, round(HELD_OUT_SHARE * count))
    return TrainingFrames(
        padded(torch.as_tensor(frames)),
        torch.nn.functional.pad(used, (0, -x % STRIDE, 0, -y % STRIDE)),
        torch.as_tensor(movie.scale[members].astype(np.float32)),
        shuffled[out:],
        shuffled[:out],
        mean,
        (squares / (count * int(movie.used.sum()))) ** 0.5,
    )
