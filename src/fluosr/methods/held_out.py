"""How to choose between candidates by what they foretell of frames and pixels they have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HELD_OUT = 0.25  # of the pixels, which are not fitted but asked


def sparsest_as_good_as_best(errors: list[torch.Tensor]) -> int:
    """Index of the first candidate whose error exceeds the best's by no more than one standard error of the difference.

    Args:
        errors: for each candidate, sparsest first, the errors at the same pixels.
    """
    best = min(errors, key=lambda e: float(e.mean()))
    for index, error in enumerate(errors):
        difference = error - best
        spread = float(difference.std()) / max(1, difference.numel()) ** 0.5 if difference.numel() > 1 else 0.0
        if float(difference.mean()) <= spread:
            return index
    return len(errors) - 1
