"""What is kept of the frames: in each patch the mean and the covariance of the coordinates z = Q^T y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fluosr.methods.covariance.patches import Patches


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of some frames, patch by patch.

    Attributes:
        count: frames.
        mean: (P, M) photoelectrons.
        covariance: (P, M, M), about the mean, divided by ``count``; electrons squared.
    """

    count: int
    mean: torch.Tensor
    covariance: torch.Tensor

    def select(self, members: list[int]) -> Moments:
        """Of some patches."""
        return Moments(self.count, self.mean[members], self.covariance[members])


class PatchMoments:
    """First and second moments of two interleaved parts of the frames, gathered in one pass.

    Args:
        patches: where and in which coordinates.
        reference: (Y, X) near the mean frame: it is taken off first, so that no digits are lost.
        run_length: consecutive frames dealt to a part before the other has its turn: frames in which the same molecules
            shine must not foretell each other.
    """

    def __init__(self, patches: Patches, reference: np.ndarray, run_length: int) -> None:
        self._patches, self._run_length = patches, run_length
        self._reference = torch.as_tensor(np.asarray(reference, float), device=patches.device)
        self._first: torch.Tensor | None = None
        self._second: torch.Tensor | None = None
        self._counts = np.zeros(2, np.int64)

    def add(self, frames: np.ndarray) -> None:
        """(k, Y, X) photoelectrons."""
        first, second = self._begun()
        centred = torch.as_tensor(frames, device=self._patches.device).double() - self._reference
        turns = (int(self._counts.sum()) + np.arange(len(frames))) // self._run_length % 2
        for part in (0, 1):
            dealt = centred[torch.as_tensor(turns == part)]
            if len(dealt):
                z = self._patches.project(self._patches.gather(dealt))  # (P, k, M)
                first[part] += z.sum(1)
                second[part] += z.mT @ z
                self._counts[part] += len(dealt)

    def state(self) -> dict[str, np.ndarray]:
        """Everything gathered."""
        first, second = self._begun()
        return {"first": first.cpu().numpy(), "second": second.cpu().numpy(), "counts": self._counts}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`."""
        self._first = torch.as_tensor(state["first"].copy(), device=self._patches.device)
        self._second = torch.as_tensor(state["second"].copy(), device=self._patches.device)
        self._counts = state["counts"].copy()

    @property
    def count(self) -> int:
        """Frames so far."""
        return int(self._counts.sum())

    def moments(self, part: int | None = None) -> Moments:
        """Of one of the two parts, or of all frames."""
        first, second = self._begun()
        which = [0, 1] if part is None else [part]
        count = int(self._counts[which].sum())
        mean = first[which].sum(0) / count
        covariance = second[which].sum(0) / count - mean[:, :, None] * mean[:, None, :]
        reference = self._patches.project(self._patches.gather(self._reference))
        return Moments(count, mean + reference, covariance)

    def _begun(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Room is taken with the first frame: passes over the halves wait for theirs."""
        if self._first is None or self._second is None:
            count, size = len(self._patches), self._patches.size
            self._first = torch.zeros(2, count, size, dtype=torch.float64, device=self._patches.device)
            self._second = torch.zeros(2, count, size, size, dtype=torch.float64, device=self._patches.device)
        return self._first, self._second
