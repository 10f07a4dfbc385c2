"""What a sample must be able to do to be filmed."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fluosr.optics.sampling import Grid


class Phantom(Protocol):
    """A sample whose light is known everywhere."""

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel, nm."""

    def render(self, grid: Grid) -> np.ndarray:
        """The emitters on a fine grid: (ny, nx) float64, 1 where the sample covers a fine pixel whole."""

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from, for the record."""
