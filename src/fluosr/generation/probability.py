"""How often images are augmented: as often as it takes to keep the discriminator from knowing the crops by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# Karras et al. 2020, section 2.2: up to here a generator learns to make images as they were, though its discriminator
# sees them augmented; above, it begins to make augmented ones.
LEAKS_ABOVE = 0.8


@dataclass
class AdaptiveProbability:
    """The probability p of augmentation, raised where the discriminator is too sure of augmented real images.

        r = mean sign D(augmented real);  every few batches p rises by batches x batch / speed where r > target, and
        falls by as much where r < target; it stays within [0, 1].

    Args:
        target: of r, 0.6.
        interval: batches from one change to the next.
        speed: images over which p can rise from 0 to 1.
        probability: p at first.

    ``last`` is the latest r, NaN before there is one.

    Source:
        T. Karras et al., NeurIPS 33 (2020), section 3.1, r_t.
    """

    target: float = 0.6
    interval: int = 4
    speed: float = 500_000.0
    probability: float = 0.0
    batches: int = 0
    images: int = 0
    signs: float = 0.0
    last: float = math.nan

    def see(self, logits: torch.Tensor) -> None:
        """Count what the discriminator said of a batch of augmented real images (N,); change p when it is time."""
        self.signs += float(logits.detach().sign().sum())
        self.images += len(logits)
        self.batches += 1
        if self.batches < self.interval:
            return
        self.last = self.signs / self.images
        step = self.images / self.speed
        change = step if self.last > self.target else -step if self.last < self.target else 0.0
        self.probability = min(max(self.probability + change, 0.0), 1.0)
        self.batches, self.images, self.signs = 0, 0, 0.0

    def tensor(self) -> torch.Tensor:
        """What changes, for a checkpoint."""
        return torch.tensor([self.probability, self.batches, self.images, self.signs, self.last], dtype=torch.float64)

    def restore(self, kept: torch.Tensor) -> None:
        """Back from :meth:`tensor`."""
        self.probability, batches, images, self.signs, self.last = kept.tolist()
        self.batches, self.images = int(batches), int(images)
