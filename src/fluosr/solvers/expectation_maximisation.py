"""Richardson-Lucy: expectation maximisation of the Poisson likelihood of light and background, all at once.

For counts d = Poisson(A x + B beta + s), s known, every step

    x    <- x    A^T(w d / phi) / A^T w,        phi = A x + B beta + s,
    beta <- beta B^T(w d / phi) / B^T w,

raises the likelihood (Richardson 1972, Lucy 1974; Shepp & Vardi 1982; w = 1 where a pixel takes part, else 0), keeps x
and beta positive, and without s keeps the light: sum(w phi) = sum(w d).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fluosr.optics.background import BackgroundBasis
from fluosr.optics.operators import ImagingOperator

Blocks = list[torch.Tensor]
LEAST_SEEN = 1e-6  # of the best seen source's light: sources seen less fade away instead of taking huge steps


@dataclass
class EmState:
    """Where the iteration stands.

    Attributes:
        point: [x, beta].
        expected: (Y, X), A x + B beta.
        iteration: iterations done.
    """

    point: Blocks
    expected: torch.Tensor
    iteration: int = 0

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint; they are never changed later."""
        named = {f"point.{i}": p for i, p in enumerate(self.point)}
        return named | {"expected": self.expected, "iteration": torch.tensor(self.iteration)}

    @classmethod
    def from_tensors(cls, named: dict[str, torch.Tensor], device: torch.device) -> EmState:
        """Back from :meth:`tensors`."""
        return cls(
            [named[f"point.{i}"].to(device) for i in (0, 1)], named["expected"].to(device), int(named["iteration"])
        )


class PoissonEm:
    """The steps of one problem.

    Args:
        operator: A, with one drift group.
        basis: B.
        mean: (Y, X) mean frame, photoelectrons.
        weight: (Y, X), 1 where a pixel takes part, else 0.
        offset: s, photoelectrons: the read noise's variance, which data and expectation are both raised by, so that
            the variance is right (Snyder et al. 1993).
        background_waits: first iterations that leave beta as it is. Before the image is sharp, the background would be
            pulled down around bright light, and what it lost the image would keep as haze.
    """

    def __init__(
        self,
        operator: ImagingOperator,
        basis: BackgroundBasis,
        mean: torch.Tensor,
        weight: torch.Tensor,
        offset: float = 0.0,
        background_waits: int = 0,
    ) -> None:
        self._operator, self._basis, self._offset, self._waits = operator, basis, offset, background_waits
        self._counted = (mean + offset).clamp_min(0.0) * weight
        self._least = 1e-9 * max(float(self._counted.max()), 1e-30)
        self._seen = []
        for seen in (operator.adjoint(weight[None]), basis.adjoint(weight)):
            self._seen.append(seen.clamp_min(max(LEAST_SEEN * float(seen.max()), 1e-30)))

    def start(self, point: Blocks) -> EmState:
        """The state at a positive [x, beta]."""
        return EmState(point, self._expected(point))

    def advance(self, state: EmState) -> None:
        """One iteration; the state gets new tensors."""
        ratio = self._counted / (state.expected + self._offset).clamp_min(self._least)
        image, beta = state.point
        image = image * (self._operator.adjoint(ratio[None]) / self._seen[0])
        if state.iteration >= self._waits:
            beta = beta * (self._basis.adjoint(ratio) / self._seen[1])
        state.point = [image, beta]
        state.expected = self._expected(state.point)
        state.iteration += 1

    def _expected(self, point: Blocks) -> torch.Tensor:
        return self._operator.forward(point[0])[0] + self._basis.image(point[1])


def poisson_deviance(mean: torch.Tensor, expected: torch.Tensor, n_frames: int, offset: float = 0.0) -> torch.Tensor:
    """2 n [phi - d + d log(d / phi)] of every pixel: about 1 on average where phi is right.

    Args:
        mean: mean of ``n_frames`` frames, photoelectrons.
        expected: of the same shape.
        n_frames: n.
        offset: added to both, as in :class:`PoissonEm`.
    """
    counted = (mean + offset).clamp_min(0.0)
    shown = (expected + offset).clamp_min(1e-12)
    return 2.0 * n_frames * (shown - counted + torch.xlogy(counted, counted / shown))
